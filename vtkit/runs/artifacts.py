"""Find the data and model of a run: a folder here, the hub, or made by ``python -m vtkit.mini``."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError, nearest
from vtkit.files import ROOT, read_json
from vtkit.hub import CV_BENCH_HUB, SAT_HUB, is_hub_id
from vtkit.models.families import require_family
from vtkit.runs.leash import leash
from vtkit.runs.places import require_run_place


def require_origins(config: RunConfig) -> None:
    """:func:`require_usable` before a new run's folder, which may be no other's, keeps a name."""
    require_run_place(config.run_dir)
    if not os.path.lexists(Path(config.run_dir) / "config.yaml"):
        require_usable(config)


def require_usable(config: RunConfig) -> None:
    """Refuse a name that is neither a file or folder, a hub id, nor one of :data:`MAKERS`.

    Also a model of a type that cannot be trained, and a reward whose file cannot be used. Whether a
    model's hub id exists is not checked.
    """
    from vtkit.judging.rewards import get_rewards  # takes half a second

    get_rewards(config.paid, config.reward_rules)
    for field in FIELDS:
        name = getattr(config, field)
        if not (name and os.path.exists(name)) and _made_as(name) not in MAKERS:
            _require_on_hub(config, field, name)
    _require_known_type(config.model)


def _require_known_type(model: str) -> None:
    """Refuse a model whose config.json, in its folder or the hub's cache, has another type."""
    path: Any = os.path.join(model, "config.json")
    if not os.path.isfile(path) and is_hub_id(model):
        from huggingface_hub import try_to_load_from_cache

        path = try_to_load_from_cache(model, "config.json")
    if not isinstance(path, str) or not os.path.isfile(path):
        return
    values = read_json(path)
    kind = values.get("model_type") if isinstance(values, dict) else None
    require_family(kind, f"parameters: model: {model}")


def _require_on_hub(config: RunConfig, field: str, name: str) -> None:
    hub = "" if field == "model" else _published(config, field)
    if is_hub_id(name) if field == "model" else name == hub:
        return
    kind = "models/" if field == "model" else "data/"
    known = [one for one in MAKERS if one.startswith(kind) and config.is_miniature]
    known += [hub] if hub else []
    path = Path(name)
    by_last = {Path(one).name: one for one in (*known, *map(str, path.parent.glob("*")))}
    if near := nearest(path.name, by_last):
        remedy = f"did you mean '{by_last[near]}'?"
    elif field == "model":
        remedy = "name a folder that has a model, or a hub id (owner/name)"
    else:
        remedy = "put the parquet files there, or name another folder"
        remedy += f" or, to download it, {hub}" if hub else ""
    raise UserError(f"parameters: {field}: no '{name}' here; {remedy}")


def _published(config: RunConfig, field: str) -> str:
    """The one data set of the hub that a field may name; "" if the format has none."""
    from vtkit.data.formats import FORMATS  # takes a second

    if config.train_format != "sat":
        return FORMATS[config.train_format].hub
    return SAT_HUB if field == "train_data" else CV_BENCH_HUB


FIELDS = ("train_data", "benchmark_data", "model")  # of a configuration that name such folders
_PARTS = ("train.parquet", "test.parquet")
_PROBLEMS = (_PARTS, "vtkit.mini data problems")
_SAT = tuple(f"{name}.parquet" for name in ("SAT_train", "SAT_val", "test_2d", "test_3d"))
_BASE, _TUNED = ("pretraining.json",), ("tuning.json",)
_INSTRUCT = "vtkit.mini instruct --manner"
_CONTROL = "vtkit.mini base --corpus"
MAKERS = {
    "data/mini": (_SAT, "vtkit.mini data"),
    "data/mini/r1-v": _PROBLEMS,
    "data/mini/journey": _PROBLEMS,
    "data/mini/open-r1-multimodal": _PROBLEMS,
    "data/mini/text": (_PARTS, "vtkit.mini data text"),
    "models/mini-base": (_BASE, "vtkit.mini base"),
    "models/mini-instruct": (_TUNED, "vtkit.mini instruct"),
    "models/mini-instruct-terse": (_TUNED, f"{_INSTRUCT} terse"),
    "models/mini-instruct-talkative": (_TUNED, f"{_INSTRUCT} talkative"),
    "models/mini-instruct-elsewhere": (_TUNED, f"{_INSTRUCT} elsewhere"),
    "models/mini-text": (_BASE, "vtkit.mini text"),
    "models/mini-base-qwen3-vl": (_BASE, "vtkit.mini base --family qwen3_vl"),
    "models/mini-no-long-traces": (_BASE, f"{_CONTROL} no_long_traces"),
    "models/mini-long-traces-no-better": (_BASE, f"{_CONTROL} long_traces_no_better"),
}
"""By folder: files that are there once it is whole, and the module (with its options) that writes
it. No other folder is ever written to for what a run reads."""


def maker(folder: str) -> list[str] | None:
    """The command that makes a missing or unfinished folder; None if none is needed or known."""
    files, command = MAKERS.get(_made_as(folder), ((), ""))
    missing = [name for name in files if not (ROOT / folder / name).exists()]
    return command.split() if missing else None


def _made_as(folder: str) -> str:
    """A folder as :data:`MAKERS` names it: ``./data/mini`` and its whole path are data/mini too."""
    return Path(os.path.relpath(ROOT / folder, ROOT)).as_posix()


def make_missing(
    config: Mapping[str, Any], fields: Sequence[str] = FIELDS, *, quiet: bool = False
) -> list[str]:
    """Make what is missing of the miniature's data and models; returns the folders.

    Args:
        fields: that name them; ``quiet``: say what was written, without progress bars.

    Raises:
        UserError: the command failed, after printing why.
    """
    made = []
    for folder in dict.fromkeys(config[name] for name in fields):
        if command := maker(folder):
            run = [sys.executable, "-m", *command]
            with leash() as variables:
                done = subprocess.run(run, cwd=ROOT, capture_output=quiet, text=True, env=variables)
            if done.returncode:
                why = done.stderr.strip().splitlines()[-1:] if quiet else ["see above"]
                raise UserError(f"{folder} is missing and could not be made; {' '.join(why)}")
            made.append(folder)
            if quiet:
                print(f"{folder}: written")
    return made
