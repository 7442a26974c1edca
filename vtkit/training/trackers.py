"""Send the metrics of a run to TensorBoard, Weights & Biases or Trackio, live.

All of them write into the run folder and none asks for a login.

    tensorboard --logdir runs        # all runs
"""

import importlib.util
import netrc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlparse

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.files import environment

PROJECT = "vtkit"
_OFFLINE = ("offline", "disabled", "dryrun")


def chosen(config: RunConfig) -> list[str]:
    """Names of the trackers of a run: TensorBoard if installed, then those that it asks for."""
    for name in config.trackers:
        if not _installed(name):
            raise UserError(
                f"trackers: {name} is not installed; `pip install {name}`, or leave it out"
            )
    default = ["tensorboard"] if _installed("tensorboard") else []
    return list(dict.fromkeys([*default, *config.trackers]))


@contextmanager
def tracking(config: RunConfig) -> Iterator[list[str]]:
    """Yield a run's trackers for TRL's ``report_to``; inside the block they use the run folder.

    A resumed run adds a file to TensorBoard's folder, and a new run of its name to W&B and Trackio.
    """
    names = chosen(config)
    with environment(_variables(config, names)):
        try:
            yield names
        finally:
            if "wandb" in names:  # else the next run of this process would be logged as this one
                import wandb

                wandb.finish()


def run_name(config: RunConfig) -> str:
    """The name of a run for trackers: recipe, profile, seed."""
    return f"{config.recipe}-{config.profile}-s{config.seed}"


def _variables(config: RunConfig, names: list[str]) -> dict[str, str]:
    """Environment variables that trackers read; a W&B project that is set already stays."""
    folder = Path(config.run_dir).resolve()
    variables = {
        "TENSORBOARD_LOGGING_DIR": str(folder / "tensorboard"),
        "TRACKIO_DIR": str(folder / "trackio"),  # read once a process, when it is first imported
    }
    if "wandb" in names:
        folder.mkdir(parents=True, exist_ok=True)  # W&B falls back to /tmp without a word
        variables["WANDB_DIR"] = str(folder)
        variables["WANDB_PROJECT"] = os.environ.get("WANDB_PROJECT", PROJECT)
        if os.environ.get("WANDB_MODE") not in _OFFLINE and not _has_wandb_key():
            print(
                "W&B: no API key found, so this run is kept offline; "
                f"`wandb sync {folder / 'wandb'}/offline-run-*` sends it later",
                flush=True,
            )
            variables["WANDB_MODE"] = "offline"
    return variables


def _has_wandb_key() -> bool:
    """Tell whether W&B can log in without asking: by variable, or by ``wandb login``'s file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    for place in filter(None, (os.environ.get("NETRC"), "~/.netrc", "~/_netrc")):
        with suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(Path(place).expanduser()).authenticators(host):
                return True
    return False


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
