"""Start a run on several GPUs from a notebook or any Python, and follow it.

Training runs in separate processes under ``accelerate launch``; this one waits and draws the live
plot. All they share is the run folder. A run that should not depend on the notebook is better
started in a terminal or with configs/accelerate/slurm.sh; the notebook then finds it finished.

    launch(config, "ddp", draw=lambda: plot.update(plots.live(config.run_dir)))
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import IDENTITY, RunConfig
from vtkit.config.values import as_text, read_yaml
from vtkit.errors import UserError, suggest
from vtkit.files import ROOT
from vtkit.runs.checkpoints import last_checkpoint
from vtkit.runs.folder import HEADLESS, start_run

CONFIGS = ROOT / "configs" / "accelerate"
LOG = "launch.log"
_SECONDS = 2.0  # between looks at metrics.csv


def list_launchers() -> list[str]:
    """Names of the files in ``configs/accelerate``."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def launch(
    config: RunConfig,
    launcher: str = "ddp",
    *,
    processes: int = 0,
    draw: Callable[[], None] | None = None,
) -> Path:
    """Train ``config`` under ``accelerate launch`` and follow it to its end.

    Args:
        launcher: name of a file in configs/accelerate.
        processes: how many; 0 means what the file says.
        draw: called whenever ``metrics.csv`` has new rows.

    Returns:
        The last checkpoint, like :func:`vtkit.training.train.train`.

    Raises:
        UserError: no such launcher, DeepSpeed is missing, or training failed (the message ends
            with its last line; ``launch.log`` in the run folder has all of them).
    """
    command = launch_command(config, launcher, processes=processes)
    folder = start_run(config)
    print(f"training in separate processes; their output is in {folder / LOG}", flush=True)
    with open(folder / LOG, "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, HEADLESS: "1"},
        )  # fmt: skip
        try:
            _follow(process, folder, draw)
        finally:  # the cell was interrupted
            _stop(process)
    if process.returncode:
        raise UserError(f"training failed: {_last_error(folder / LOG)}; see {folder / LOG}")
    return last_checkpoint(folder / "checkpoints")


def launch_command(config: RunConfig, launcher: str, *, processes: int = 0) -> list[str]:
    """The command line that trains exactly ``config``.

    Raises:
        UserError: no such launcher, or it needs DeepSpeed, which is not installed.
    """
    if launcher not in list_launchers():
        raise UserError(
            f"launcher '{launcher}' does not exist{suggest(launcher, list_launchers())}"
        )
    path = CONFIGS / f"{launcher}.yaml"
    needs_deepspeed = read_yaml(path)["distributed_type"] == "DEEPSPEED"
    if needs_deepspeed and importlib.util.find_spec("deepspeed") is None:
        raise UserError(f"{launcher}: DeepSpeed is not installed; `pip install deepspeed`, or ddp")
    number = ["--num_processes", str(processes)] if processes else []
    identity = [
        text for name in IDENTITY for text in (f"--{name.replace('_', '-')}", getattr(config, name))
    ]
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(path)),
        *(*number, "-m", "vtkit.training", *map(str, identity), *_parameters(config)),
    ]


def _parameters(config: RunConfig) -> list[str]:
    """``-p NAME VALUE`` for every field that recipe and profile set otherwise."""
    plain = resolve_config(config.recipe, config.profile, seed=config.seed).to_dict()
    changed = {
        name: value
        for name, value in config.to_dict().items()
        if name not in IDENTITY and value != plain[name]
    }
    return [text for name, value in changed.items() for text in ("-p", name, as_text(value))]


def _follow(process: subprocess.Popen, folder: Path, draw: Callable[[], None] | None) -> None:
    metrics, seen = folder / "metrics.csv", None
    while process.poll() is None:
        now = metrics.stat().st_mtime_ns if metrics.exists() else None
        if draw and now != seen:
            seen = now
            draw()
        time.sleep(_SECONDS)
    if draw and metrics.exists():
        draw()


def _stop(process: subprocess.Popen) -> None:
    """End the launcher and its processes, if they still run."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _last_error(log: Path) -> str:
    """The first error line of the kit, or else the last line that is not empty."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    ours = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (ours or lines[-1:] or ["it printed nothing"])[0]
