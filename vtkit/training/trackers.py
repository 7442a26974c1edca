"""Who is told the metrics while a run goes on: TensorBoard, Weights & Biases, Trackio.

Everything they show is in the run folder's metrics.csv anyway; they add live curves and runs side
by side. TensorBoard is used wherever it is installed, the others where ``trackers`` names them.
Nothing ever asks for a login: W&B without an API key works offline, Trackio is local. Unlike
Trainer's ``report_to``, which leaves files in the current folder, in the home folder and among the
checkpoints, all of them write into the run folder.

    tensorboard --logdir runs        # all runs, live
    with tracking(config) as callbacks: ...
"""

import importlib.util
import netrc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from transformers import TrainerCallback

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.files import environment

PROJECT = "vtkit"
_OFFLINE = ("offline", "disabled", "dryrun")


def chosen(config: RunConfig) -> list[str]:
    """Names of the trackers of a run: TensorBoard if installed, then those that it asks for.

    Raises:
        UserError: one that was asked for is not installed.
    """
    for name in config.trackers:
        if not _installed(name):
            raise UserError(
                f"trackers: {name} is not installed; `pip install {name}`, or leave it out"
            )
    default = ["tensorboard"] if _installed("tensorboard") else []
    return list(dict.fromkeys([*default, *config.trackers]))


@contextmanager
def tracking(config: RunConfig) -> Iterator[list[TrainerCallback]]:
    """The callbacks that feed a run's trackers, for as long as the block lasts.

    A resumed run adds a file to the same TensorBoard folder, where repeated steps lie on top of
    each other, and a new run of the same name to W&B and Trackio.

    Raises:
        UserError: see :func:`chosen`.
    """
    names = chosen(config)
    with environment(_variables(config, names)):
        try:
            yield [_callback(name, config) for name in names]
        finally:
            if "wandb" in names:  # else the next run of this process would be logged as this one
                import wandb

                wandb.finish()


def run_name(config: RunConfig) -> str:
    """What a run is called by trackers: recipe, profile, seed."""
    return f"{config.recipe}-{config.profile}-s{config.seed}"


def _callback(name: str, config: RunConfig) -> TrainerCallback:
    from transformers.integrations import TensorBoardCallback, TrackioCallback, WandbCallback

    if name == "tensorboard":
        callback = TensorBoardCallback()
        callback.logging_dir = str(Path(config.run_dir) / "tensorboard")
        return callback
    return {"wandb": WandbCallback, "trackio": TrackioCallback}[name]()


def _variables(config: RunConfig, names: list[str]) -> dict[str, str]:
    """Environment variables that W&B and Trackio read; a project that is set already stays."""
    folder = Path(config.run_dir).resolve()
    variables = {}
    if "trackio" in names:  # read once a process, when it is first imported
        variables["TRACKIO_DIR"] = str(folder / "trackio")
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
    """Whether W&B would log in without asking: by variable, or by what ``wandb login`` wrote."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    places = (os.environ.get("NETRC"), "~/.netrc", "~/_netrc")
    for place in filter(None, places):
        try:
            if netrc.netrc(Path(place).expanduser()).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
