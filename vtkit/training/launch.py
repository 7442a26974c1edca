"""Start a run on several GPUs from a notebook or any Python, and follow it."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vtkit.config.recipes import changed_settings
from vtkit.config.run_config import IDENTITY, LAUNCHERS, RunConfig
from vtkit.config.values import as_text, read_yaml
from vtkit.errors import UserError, suggest
from vtkit.files import ROOT
from vtkit.models.folders import family_in
from vtkit.planning.division import launch_file
from vtkit.runs.checkpoints import trained_checkpoint
from vtkit.runs.folder import HEADLESS, start_run
from vtkit.runs.leash import leash

LOG = "launch.log"
_DEEPSPEED = "pip install deepspeed==0.19.8"
_SECONDS = 2.0  # between looks at metrics.csv


def launch(
    config: RunConfig,
    launcher: str = "ddp",
    *,
    processes: int = 0,
    draw: Callable[[], None] | None = None,
) -> Path:
    """Train ``config`` under ``accelerate launch``; returns the last checkpoint.

    The processes end with this one, however it ends. The first of them holds the run's folder.

    Args:
        launcher: name of a file in configs/accelerate.
        processes: how many; 0 means what the file says.
        draw: called whenever ``metrics.csv`` has new rows.

    Raises:
        UserError: no such launcher, DeepSpeed is missing, or training failed.
    """
    command = launch_command(config, launcher, processes=processes)
    folder = start_run(config)
    print(f"training in separate processes; their output is in {folder / LOG}", flush=True)
    with open(folder / LOG, "w", encoding="utf-8") as log, leash() as variables:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**variables, HEADLESS: "1"},
        )  # fmt: skip
        try:
            _follow(process, folder / "metrics.csv", draw)
        finally:
            if process.poll() is None:  # the cell was interrupted
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    if process.returncode:
        raise UserError(f"training failed: {_last_error(folder / LOG)}; see {folder / LOG}")
    return trained_checkpoint(folder / "checkpoints")


def launch_command(config: RunConfig, launcher: str, *, processes: int = 0) -> list[str]:
    """The command line that trains exactly ``config``."""
    if launcher not in LAUNCHERS:
        raise UserError(f"launcher '{launcher}' does not exist{suggest(launcher, LAUNCHERS)}")
    path = launch_file(launcher)
    file = read_yaml(path)
    kind = file.get("distributed_type")
    needs_deepspeed = kind == "DEEPSPEED"
    if needs_deepspeed and importlib.util.find_spec("deepspeed") is None:
        raise UserError(f"{launcher}: DeepSpeed is not installed; `{_DEEPSPEED}`, or use ddp")
    number = ["--num_processes", str(processes)] if processes else []
    if "main_process_port" not in file:  # a free one: another training may have the usual one
        number += ["--main_process_port", "0"]
    if kind == "FSDP":  # the file names the original's
        blocks = ",".join(family_in(config.model).blocks)
        number += ["--fsdp_transformer_layer_cls_to_wrap", blocks]
    pairs: list[tuple[Any, ...]] = [
        (f"--{name.replace('_', '-')}", getattr(config, name)) for name in IDENTITY
    ]
    changed = changed_settings(config).items()
    pairs += [("-p", name, as_text(own)) for name, own in changed if name != "launcher"]
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(path)),
        *(*number, "-m", "vtkit.training", *(str(text) for pair in pairs for text in pair)),
    ]


def _follow(
    process: subprocess.Popen[bytes], metrics: Path, draw: Callable[[], None] | None
) -> None:
    seen = None
    while process.poll() is None:
        now = metrics.stat().st_mtime_ns if metrics.exists() else None
        if draw and now != seen:
            seen = now
            draw()
        time.sleep(_SECONDS)
    if draw and metrics.exists():
        draw()


def _last_error(log: Path) -> str:
    """The first error line of the kit, or else the last line that is not empty."""
    lines = [*filter(None, map(str.strip, log.read_text(errors="replace").splitlines()))]
    ours = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (ours or lines[-1:] or ["it printed nothing"])[0]
