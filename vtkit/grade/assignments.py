"""What otter-grader makes of the exercises: students' copies, solutions and tests."""

import zipfile
from pathlib import Path
from typing import NamedTuple

from vtkit.errors import UserError
from vtkit.files import ROOT

MASTERS = ROOT / "notebooks" / "exercises"


class Assignment(NamedTuple):
    """The files of one exercise notebook; ``tests`` is a folder with a file for each exercise."""

    name: str
    copy: Path
    solution: Path
    tests: Path


def assignment_names() -> list[str]:
    """Return the names of the exercise notebooks, in order."""
    return sorted(path.stem for path in MASTERS.glob("*.ipynb"))


def make_assignment(name: str, folder: Path) -> Assignment:
    """Write students' copy, solution and all tests, hidden ones too, of a notebook into a folder.

    Raises:
        UserError: otter-grader is not installed.
    """
    try:
        from otter.assign import main as assign
    except ImportError:
        raise UserError(
            "grading needs otter-grader; install it with: pip install -e '.[course]'"
        ) from None
    master, target = MASTERS / f"{name}.ipynb", folder / name
    assign(str(master), str(target), no_run_tests=True)
    (packed,) = (target / "autograder").glob("*.zip")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(target, [file for file in archive.namelist() if file[:6] == "tests/"])
    copy, solution = (target / part / master.name for part in ("student", "autograder"))
    return Assignment(name, copy, solution, target / "tests")
