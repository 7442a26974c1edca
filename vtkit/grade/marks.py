"""Grade a folder of submissions, a few at a time, and write their marks."""

import json
import secrets
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pandas as pd

from vtkit.errors import UserError
from vtkit.files import atomic_path, full_disk_is_a_user_error, shown
from vtkit.grade.assignments import Assignment, assignment_names, make_assignment
from vtkit.grade.examiner import RESULT, possible_points
from vtkit.grade.limits import run_limited
from vtkit.grade.submissions import assignment_of, code_cells, read_submission

SECONDS = 30
"""Of CPU, what a submission may take, all exercises together."""
_EXAMINE = "from vtkit.grade.examiner import examine; examine()"
_TAMPERED = "it changes what grades it"
_NEVER = """\
from otter.test_files import test_case

OK_FORMAT = False
name = "never"
points = 0

@test_case(points=0, hidden=True)
def test_never():
    raise AssertionError
"""
"""A test that no submission passes, unless it changed how tests are run."""


class Graded(NamedTuple):
    """The marks of one submission; ``note`` says what was wrong with it, or has the first hints."""

    submission: str
    assignment: str
    points: float
    possible: float
    exercises: dict[str, float]
    note: str


def find_submissions(folder: Path) -> list[Path]:
    """Return the notebooks in a folder and below it, in order of their paths.

    Raises:
        UserError: there is no such folder, or no notebook in it.
    """
    if not folder.is_dir():
        raise UserError(f"{shown(folder)} is no folder; name the one with the submissions")
    found = [path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    if not found:
        raise UserError(f"{shown(folder)} has no notebook (*.ipynb); name the one with submissions")
    return sorted(found)


def grade_folder(folder: Path, jobs: int = 2, seconds: int = SECONDS) -> Iterator[Graded]:
    """Grade all submissions in a folder, in order; at most ``jobs`` at a time.

    Raises:
        UserError: there are none, or otter-grader is not installed.
    """
    paths = find_submissions(folder)
    with (
        tempfile.TemporaryDirectory(prefix="vtkit-grade-") as work,
        ThreadPoolExecutor(jobs) as pool,
    ):
        with full_disk_is_a_user_error(work):
            made = [make_assignment(name, Path(work)) for name in assignment_names()]
        known = {assignment.name: assignment for assignment in made}

        def grade(path: Path) -> Graded:
            name = path.relative_to(folder).as_posix()
            with tempfile.TemporaryDirectory(dir=work) as place:
                return _graded(path, name, known, Path(place), seconds)

        yield from pool.map(grade, paths)


def _graded(
    path: Path, name: str, known: dict[str, Assignment], place: Path, seconds: int
) -> Graded:
    """Grade one submission in an empty folder."""
    assignment = None
    try:
        notebook = read_submission(path, sorted(known))
        assignment = known[str(assignment_of(notebook))]  # one of them: it was read
        cells = code_cells(notebook, nbformat.read(assignment.copy, nbformat.NO_CONVERT))
        marks = _examined(assignment, cells, place, seconds)
    except (UserError, OSError) as error:
        possible = possible_points(assignment.tests.glob("*.py")) if assignment else 0.0
        return Graded(name, assignment.name if assignment else "", 0.0, possible, {}, str(error))
    hints = [f"{one['name']}: {one['hint']}" for one in marks if one["hint"]]
    points = {one["name"]: one["points"] for one in marks}
    total, possible = sum(points.values()), sum(one["possible"] for one in marks)
    return Graded(name, assignment.name, total, possible, points, "; ".join(hints))


def _examined(
    assignment: Assignment, cells: list[str], place: Path, seconds: int
) -> list[dict[str, Any]]:
    """Run cells and tests in a process of their own; a UserError says why there are no marks."""
    tests, own, token = place / "tests", place / "own", secrets.token_hex()
    tests.mkdir()
    own.mkdir()
    originals = {path.name: path.read_bytes() for path in assignment.tests.glob("*.py")}
    originals["never.py"] = _NEVER.encode()
    for file, content in originals.items():
        (tests / file).write_bytes(content)
    task = {"folder": str(own), "tests": str(tests), "cells": cells, "token": token}
    command = [sys.executable, "-c", _EXAMINE]
    stopped = run_limited(command, own, json.dumps(task | {"seconds": seconds}), seconds)
    if stopped:
        raise UserError(stopped)
    try:
        found = json.loads((own / RESULT).read_text(encoding="utf-8"))
        marks = {one["name"]: one for one in found["marks"]} if found["token"] == token else {}
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError("its process ended before its tests") from None
    kept = {path.name: path.read_bytes() for path in tests.glob("*")}
    if kept != originals or not marks.pop("never", {}).get("hint"):
        raise UserError(_TAMPERED)
    return list(marks.values())


def write_marks(path: Path, graded: list[Graded]) -> None:
    """Write a CSV: a row a submission, a column for each exercise that one of them answers.

    Raises:
        UserError: the file cannot be written.
    """
    rows = [
        {"submission": one.submission, "assignment": one.assignment, "points": one.points,
         "possible": one.possible, **one.exercises, "note": one.note}
        for one in graded
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.insert(len(table.columns) - 1, "note", table.pop("note"))
    with atomic_path(path) as draft:
        table.to_csv(draft, index=False)
