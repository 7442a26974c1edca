"""Does a pile of submissions get its marks, and a hostile one nothing but a line?"""

import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from vtkit.errors import UserError
from vtkit.grade.__main__ import main
from vtkit.grade.assignments import make_assignment
from vtkit.grade.submissions import code_cells, read_submission

NAME = "05_cv_bench"
KNOWN = ["04_aha_moment", NAME]
HOSTILE = {
    "loops": ("while True: pass", "it takes too long"),
    "prints": ("print('x' * 10**9)", "it prints more than 1 MB"),
    "forks": ("import os\nwhile True: os.fork()", "it starts copies of its process"),
    "edits": (
        "from pathlib import Path\nfor one in Path('..').rglob('*.py'): one.write_text('')",
        "it writes outside its own folder",
    ),
    "removes": (
        "import shutil\nshutil.rmtree('../tests')",
        "it writes outside its own folder",
    ),
    "leaves": ("import os\nos._exit(0)", "its process ended before its tests"),
    "forges": (
        "import json, os\nwith open('result.json', 'w') as file:\n"
        "    json.dump({'token': '', 'marks': []}, file)\nos._exit(0)",
        "it changes what grades it",
    ),
    "patches": (
        "from otter.test_files.exception_test import test_case\n"
        "test_case.call_func = lambda *given: None",
        "it changes what grades it",
    ),
}


@pytest.fixture
def assignment(made_once):
    pytest.importorskip("otter")
    folder = made_once(f"exercises-{NAME}", lambda part: make_assignment(NAME, part)) / NAME
    return folder / "student" / f"{NAME}.ipynb", folder / "autograder" / f"{NAME}.ipynb"


def changed(source: Path, target: Path, change) -> None:
    notebook = nbformat.read(source, nbformat.NO_CONVERT)
    change(notebook, {cell.id: cell for cell in notebook.cells})
    nbformat.write(notebook, target)


def answered(code: str):
    """Put code in front of the first answer."""

    def change(notebook, cells):
        cells["base-total"].source = f"{code}\n{cells['base-total'].source}"

    return change


def without(name: str):
    return lambda notebook, cells: notebook.cells.remove(cells[name])


@pytest.mark.slow
def test_a_pile_is_graded(assignment, tmp_path, capsys):
    copy, solution = assignment
    shutil.copy(copy, tmp_path / "untouched.ipynb")
    changed(solution, tmp_path / "good.ipynb", answered("x = bytearray(10**13)\n"))
    (tmp_path / "of a class").mkdir()
    helper = "def total(rates, sizes):\n    return float((rates * sizes).sum() / sizes.sum())"

    def with_a_cell_of_its_own(notebook, cells):
        place = notebook.cells.index(cells["base-total"])
        notebook.cells.insert(place, nbformat.v4.new_code_cell(helper))
        cells["base-total"].source = "base_total = round(total(reported['base'], sizes), 2)"
        cells["setup"].source = "raise SystemExit"

    changed(solution, tmp_path / "of a class" / "helped.ipynb", with_a_cell_of_its_own)
    (tmp_path / "broken.ipynb").write_text("{")
    (tmp_path / "notes.txt").write_text("no notebook")
    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    table = pd.read_csv(tmp_path / "grades.csv").set_index("submission")
    assert list(table.index) == ["broken.ipynb", "good.ipynb", "of a class/helped.ipynb",
                                 "untouched.ipynb"]  # fmt: skip
    assert list(table["points"]) == [0, 6, 7, 0] and list(table["possible"]) == [0, 7, 7, 7]
    assert table.loc["good.ipynb", "sign_test"] == 2 and table.loc["good.ipynb", "base_total"] == 0
    assert table.loc["good.ipynb", "note"].startswith("base_total: ")
    assert table.loc["untouched.ipynb", "note"].count(": ") >= 3
    assert printed[0] == "broken.ipynb: 0 of 0  not a notebook; save it again in Jupyter"
    assert printed[-1].startswith("4 submissions: ")


@pytest.mark.slow
def test_hostile_submissions_get_nothing_but_a_line(assignment, tmp_path):
    copy, solution = assignment
    for name, (code, _) in HOSTILE.items():
        changed(solution, tmp_path / f"{name}.ipynb", answered(code))
    assert main([str(tmp_path), "--seconds", "8"]) == 0
    table = pd.read_csv(tmp_path / "grades.csv").set_index("submission")
    assert (table["points"] == 0).all() and (table["possible"] == 7).all()
    notes = {name: table.loc[f"{name}.ipynb", "note"] for name in HOSTILE}
    assert notes == {name: note for name, (_, note) in HOSTILE.items()}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (without("sign-test"), "cell 'sign-test' is missing; start from a fresh copy"),
        (without("setup"), "cell 'setup' is missing"),
    ],
)
def test_what_is_missing_is_named(assignment, tmp_path, change, line):
    path, fresh = tmp_path / "one.ipynb", nbformat.read(assignment[0], 4)
    changed(assignment[1], path, change)
    with pytest.raises(UserError, match=line):
        code_cells(read_submission(path, KNOWN), fresh)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "not a notebook"),
        ("[1]", "not a notebook"),
        ('{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "not a notebook"),
        ('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "is no copy of"),
        (
            '{"cells": [], "metadata": {"otter": {"assignment_name": "05_cv_bnch"}}, '
            '"nbformat": 4, "nbformat_minor": 5}',
            "wrong notebook: it answers '05_cv_bnch'; did you mean '05_cv_bench'",
        ),
        (" " * 20_000_001, "larger than 20 MB; clear its outputs"),
    ],
    ids=["empty", "list", "no cells", "another", "misspelt", "large"],
)
def test_what_is_no_submission_is_one_line(tmp_path, text, line):
    path = tmp_path / "one.ipynb"
    path.write_text(text)
    with pytest.raises(UserError, match=line):
        read_submission(path, KNOWN)


def test_a_folder_without_notebooks_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "has no notebook (*.ipynb)" in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert main([str(tmp_path), "--jobs", "0"]) == 2
    assert "expected a number from 1 to 9999" in capsys.readouterr().err


def test_without_otter_grader_there_is_one_line(monkeypatch, tmp_path, capsys):
    import sys

    (tmp_path / "one.ipynb").write_text("{}")
    monkeypatch.setitem(sys.modules, "otter.assign", None)
    assert main([str(tmp_path)]) == 2
    assert "pip install -e '.[course]'" in capsys.readouterr().err
