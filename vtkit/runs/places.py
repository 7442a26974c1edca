"""Where a run may be written, and what in a folder is the kit's own: nothing else is ever lost."""

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from vtkit.config.run_config import IDENTITY
from vtkit.config.values import read_yaml
from vtkit.errors import UserError
from vtkit.files import ROOT, is_draft, read_json, require_name

CHECKOUT = (
    *("configs", "data", "docs", "findings", "lab", "models", "notebooks", "results", "tests"),
    *("timings", "vtkit"),
)
"""Folders of the checkout in which there are no runs, nor in hidden ones."""
LOCKS = tuple(f".lock{more}{soft}" for more in ("", ".child") for soft in ("", ".soft"))
ENGINE, REPLAY = ".vtkit-engine", "replay.json"
"""Marks of folders in a run's that may be there before it: for a vLLM server, and a replay."""
_NOBODYS = (".DS_Store", ".gitkeep", ".ipynb_checkpoints", "lost+found")


def require_run_place(run_dir: str | Path) -> None:
    """Refuse a run folder unless it is absent, empty or a run of the kit already.

    The home folder, the checkout, its own folders and the working directory are refused always.
    """
    require_place(run_dir, _is_run, "run folder")
    for name in ("checkpoints", "cold_start", "evals", "figures", "notebooks", "rollouts", "sft"):
        path = Path(run_dir, name)
        if os.path.lexists(path) and not path.is_dir():
            raise UserError(f"{path} is no folder; move it away")


def require_seeds_place(folder: str | Path) -> None:
    """Refuse a folder for several seeds' results unless it is absent, empty or has such."""

    def has_seeds(place: Path) -> bool:
        path = place / "summary.json"
        found = read_json(path) if os.path.lexists(path) else None
        return isinstance(found, dict) and "seeds" in found

    require_place(folder, has_seeds, "folder of the seeds' summary")


def _is_run(folder: Path) -> bool:
    path = folder / "config.yaml"
    # With one of these missing it is a damaged run, which reading it says.
    return os.path.lexists(path) and len(set(IDENTITY) & read_yaml(path).keys()) > 1


def require_place(folder: str | Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """Refuse what :func:`require_own` does, and places that are nobody's to give."""
    require_name(folder, what)
    if _is_taken(Path(os.path.realpath(folder))):
        why = "is your home, the folder you are in, or one of the checkout's"
        raise UserError(f"{what} '{folder}' {why}; choose a new or empty one")
    require_own(folder, is_ours, what)


def require_own(folder: str | Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """Refuse a folder unless it is absent, empty or ours, before anything is written.

    Args:
        is_ours: whether an existing folder has what the kit wrote there before.
        what: it is to be, for the message.
    """
    require_name(folder, what)
    place = Path(os.path.realpath(folder))
    there = next(path for path in (place, *place.parents) if os.path.lexists(path))
    if not there.is_dir():
        why = f"cannot be made: {there} is a file"
    elif place == there and (other := _foreign(place, is_ours)):
        why = f"has files that the kit did not write, such as {other}"
    else:
        return
    raise UserError(f"{what} '{folder}' {why}; choose a new or empty one")


def _is_taken(place: Path) -> bool:
    home = Path(os.path.realpath(os.path.expanduser("~")))
    inside = place.relative_to(ROOT).parts[:1] if place.is_relative_to(ROOT) else ()
    above = any(place in (one, *one.parents) for one in (home, ROOT / "runs"))
    return above or place == Path.cwd() or any(p in CHECKOUT or p[0] == "." for p in inside)


def _foreign(place: Path, is_ours: Callable[[Path], bool]) -> str | None:
    """The name of a file that the kit did not write; None in a folder that is empty or ours."""
    try:
        names = sorted(os.listdir(place))
    except OSError as error:
        raise UserError(f"{place} cannot be read ({error.strerror}); choose another") from None
    if is_ours(place):
        return None
    for name in names:
        ours = name in (*LOCKS, *_NOBODYS) or name.startswith(".vtkit-")
        marked = any((place / name / mark).is_file() for mark in (ENGINE, REPLAY))
        if not (ours or marked or is_draft(place / name)):
            return name
    return None


def written_parts(run_dir: Path) -> list[Path]:
    """The run's folder and those in it whose files the kit writes through drafts."""
    names = ["checkpoints", "checkpoints/*", "cold_start", "evals", "figures", "interventions"]
    names += ("notebooks", "notebooks/.done", "rollouts")
    found = (path for name in names for path in run_dir.glob(name))
    return [run_dir, *(path for path in found if path.is_dir() and not path.is_symlink())]


def remove_files(folder: Path, names: Collection[str]) -> None:
    """Remove files of a folder that :func:`list_files` named, and folders in it left empty."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):  # not empty
                path.rmdir()
        elif path.relative_to(folder).as_posix() in names:
            path.unlink(missing_ok=True)


def list_files(folder: Path) -> list[str]:
    """The names of all files and links below a folder, with slashes."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)
