"""One trial: a copy of a folder, one file in it damaged, one reader, and what a person sees."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damage import damages
from damage.damages import Damage

from vtkit.errors import UserError

COUNTED = os.environ.get("VTKIT_TRIALS", "")
"""File to which each test adds a line, for docs/robustness.md; every trial is made then."""
LONGEST = 600  # characters of a line with two paths in it
Reader = Callable[[Path], Any]


def note(kind: str, tried: int, failed: int) -> None:
    """Add what a test tried to the file of ``COUNTED``."""
    if COUNTED:
        with open(COUNTED, "a", encoding="utf-8") as handle:
            handle.write(f"{kind}\t{tried}\t{failed}\n")


def outcome(reader: Reader, folder: Path, capsys: Any) -> tuple[int, list[str]]:
    """The status and the error lines of a reader; a UserError counts as status 2."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        try:
            status = reader(folder)
        except UserError as error:
            return 2, [f"error: {error}"]
    return status, capsys.readouterr().err.splitlines()


def try_out(
    reader: Reader, name: str, damage: Damage, whole: Path, place: Path, capsys: Any
) -> str:
    """Damage a file of a copy, read it, and return what was wrong with how that ended; or "".

    Right is: a status that is not 0, one short line that names the file, nothing else changed.
    """
    folder = damages.copied(whole, place / whole.name)
    try:
        damage(folder / name)
        before = damages.snapshot(folder)
        try:
            status, lines = outcome(reader, folder, capsys)
        except BaseException as error:  # what a person would see as a traceback
            return f"{type(error).__name__}: {error}"[:200]
        changed = damages.changes(before, damages.snapshot(folder))
        if status == 0 or len(lines) != 1:
            return f"status {status}, {lines}"[:300]
        if Path(name).name not in lines[0] or len(lines[0]) > LONGEST:
            return f"the line is {lines[0][:300]}"
        return f"changed {changed}" if changed else ""
    finally:
        shutil.rmtree(folder)
