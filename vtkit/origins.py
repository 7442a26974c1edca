"""Where data and model of a run come from, a folder here or the hub, and whether that is there.

Asked before a new run's folder is written: a folder keeps its settings, so that a name mistyped
into them could only be corrected by deleting it.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from vtkit.errors import UserError
from vtkit.mini.makers import FIELDS, MAKERS
from vtkit.values import nearest

if TYPE_CHECKING:
    from vtkit.config import RunConfig

_OURS = ("data", "models", "results", "runs")  # folders, of which some are made only later


def require_origins(config: "RunConfig") -> None:
    """Refuse what is no file or folder, no hub id and nothing that the miniature's makers make.

    A run that has its folder is not asked: what it read may be gone since. Whether a model's hub id
    exists is for the hub to say.

    Raises:
        UserError: names the field and what comes nearest, or what would do.
    """
    if (Path(config.run_dir) / "config.yaml").exists():
        return
    for field in FIELDS:
        name = getattr(config, field)
        if not (name and os.path.exists(name)) and str(Path(name)) not in MAKERS:
            _require_on_hub(config, field, name)


def is_hub_id(name: str) -> bool:
    """Whether it reads as ``owner/name``, and not as a path below a folder of this place."""
    owner = name.partition("/")[0]
    return (
        re.fullmatch(r"\w[\w.-]*/[\w.-]+", name) is not None
        and owner not in _OURS
        and not Path(owner).is_dir()
    )


def _require_on_hub(config: "RunConfig", field: str, name: str) -> None:
    hub = "" if field == "model" else _published(config, field)
    if is_hub_id(name) if field == "model" else name == hub:
        return
    kind = "models/" if field == "model" else "data/"
    made = [one for one in MAKERS if one.startswith(kind) and config.profile == "mini"]
    if near := _nearest(name, [hub, *made] if hub else made):
        remedy = f"did you mean '{near}'?"
    elif field == "model":
        remedy = "name a folder that has a model, or a hub id (owner/name)"
    else:
        remedy = "put the parquet files there, or name another folder"
        remedy += f" or, to download it, {hub}" if hub else ""
    raise UserError(f"parameters: {field}: no '{name}' here; {remedy}")


def _published(config: "RunConfig", field: str) -> str:
    """The one data set of the hub that a field may name; "" if the format has none."""
    from vtkit.data import CV_BENCH_HUB, SAT_HUB  # takes a second
    from vtkit.formats import FORMATS

    if config.train_format != "sat":
        return FORMATS[config.train_format].hub
    return SAT_HUB if field == "train_data" else CV_BENCH_HUB


def _nearest(name: str, known: list[str]) -> str | None:
    """The neighbour or known name whose last part is most like this one's."""
    path = Path(name)
    by_last = {Path(one).name: one for one in (*known, *map(str, path.parent.glob("*")))}
    near = nearest(path.name, by_last)
    return by_last[near] if near else None
