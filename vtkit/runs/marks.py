"""Marks of checkpoints: half written, or whole with the size and SHA-256 of each file.

A mark is written last and its name is that of the folder: a copy or a link is nobody's. Marks of
earlier versions have names of files alone, or only the folder's; they prove nothing.
"""

import json
import os
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from vtkit.errors import UserError
from vtkit.files import atomic_write, read_json, sha256, write_json
from vtkit.runs.places import list_files

HALF, WHOLE = "checkpoint-is-half", "checkpoint-is-whole"
CARD = "README.md"
"""The model card, which the kit and its users write again."""
_FORMAT = 2
_THREADS = 4  # two files are nearly all of a checkpoint
_STATE = "trainer_state.json"
# What an exact resume reads, as transformers, FSDP and DeepSpeed name it.
_PARTS = {
    "weights": ("*.safetensors", "pytorch_model*", "global_step*"),
    "optimizer": ("optimizer*", "global_step*"),
    "scheduler": ("scheduler.pt",),
    "trainer state": (_STATE,),
}


class Mark(NamedTuple):
    """name: of the folder; files: their ``bytes`` and ``sha256``, or None where not known."""

    name: str
    files: dict[str, dict[str, Any] | None]


def begin(checkpoint: Path) -> None:
    """Mark a folder as this run's before anything else is written to it."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    with atomic_write(checkpoint / HALF) as handle:
        handle.write(f"{checkpoint.name}\n")


def mark_whole(checkpoint: Path) -> None:
    """Mark a folder as completely written; every file in it is read once."""
    names = [name for name in list_files(checkpoint) if name not in (HALF, WHOLE)]
    kept = [name for name in names if name != CARD]
    found = zip(kept, _hashes([checkpoint / name for name in kept]), strict=True)
    seals = {
        name: {"bytes": (checkpoint / name).stat().st_size, "sha256": hash_}
        for name, hash_ in found
    }
    files = {name: seals.get(name) for name in names}
    value = {"format": _FORMAT, "checkpoint": checkpoint.name, "files": files}
    write_json(checkpoint / WHOLE, value)
    (checkpoint / HALF).unlink(missing_ok=True)


def _hashes(paths: Collection[Path]) -> list[str]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(sha256, paths))


def is_whole(checkpoint: Path) -> bool:
    return (checkpoint / WHOLE).is_file()


def is_ours(checkpoint: Path) -> bool:
    """Whether the folder itself, not a copy or a link, is what this run wrote or began to."""
    return read_mark(checkpoint).name == checkpoint.name and not checkpoint.is_symlink()


def read_mark(checkpoint: Path) -> Mark:
    """The mark of a checkpoint, whole or half; an empty one if it has none or it is damaged."""
    path = checkpoint / (WHOLE if is_whole(checkpoint) else HALF)
    try:
        text = path.read_text(encoding="utf-8")
        if not text.startswith("{"):
            name, *names = text.splitlines()
            return Mark(name, dict.fromkeys(names))
        value = json.loads(text)
        files = {
            name: seal and {"bytes": int(seal["bytes"]), "sha256": str(seal["sha256"])}
            for name, seal in value["files"].items()
        }
        return Mark(str(value["checkpoint"]), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Mark("", {})


def damage(folder: Path, files: dict[str, dict[str, Any] | None]) -> str:
    """What a folder lacks of what its mark promises, naming the file; "" if nothing.

    Sizes are compared before any file is read.
    """
    kept = {name: seal for name, seal in files.items() if name != CARD}
    sealed = {name: seal for name, seal in kept.items() if seal}
    for name in kept:
        if not (folder / name).is_file():
            return f"{name} is missing"
    for name, seal in sealed.items():
        if (size := (folder / name).stat().st_size) != seal["bytes"]:
            return f"{name} has {size:,} bytes instead of {seal['bytes']:,}"
    try:
        hashes = _hashes([folder / name for name in sealed])
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"
    for name, hash_ in zip(sealed, hashes, strict=True):
        if hash_ != sealed[name]["sha256"]:
            return f"{name} has other contents than were saved"
    return _other_step(folder)


def _other_step(folder: Path) -> str:
    """What is wrong with the step that a checkpoint's trainer state names, if it has one."""
    numbered = re.fullmatch(r"checkpoint-(\d+)", folder.name)
    if not numbered or not os.path.lexists(folder / _STATE):
        return ""
    try:
        state = read_json(folder / _STATE)
    except UserError:
        return f"{_STATE} cannot be read"
    step = state.get("global_step") if isinstance(state, dict) else None
    return "" if step == int(numbered[1]) else f"{_STATE} is of step {step}"


def unproven(checkpoint: Path, processes: int) -> list[str]:
    """Parts that an exact resume reads and whose files the mark does not hold with their hashes."""
    sealed = [name for name, seal in read_mark(checkpoint).files.items() if seal]
    ranks = [f"rng_state_{rank}.pth" for rank in range(processes)]
    states = ranks if processes > 1 else ["rng_state.pth"]
    lacking = [
        part
        for part, patterns in _PARTS.items()
        if not any(fnmatch(name, pattern) for name in sealed for pattern in patterns)
    ]
    return lacking + (["random state"] if not set(states) <= set(sealed) else [])
