"""Does every solution pass, every untouched copy fail, and each wrong answer get its own hint?"""

import ast
import re
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from vtkit.grade.assignments import MASTERS, Assignment, assignment_names, make_assignment
from vtkit.grade.examiner import mark, run_cells
from vtkit.grade.submissions import code_cells
from vtkit.runs.steps import discover

WRONG = yaml.safe_load(Path(__file__).with_name("wrong_answers.yaml").read_text(encoding="utf-8"))
ALL_VISIBLE = ("paid", "hack")
"""Exercises about rules that anybody may call."""
NUMBERS = ("right_of_answered", "guessing", "at_most", "base_total")
LEVELS = ("5 minutes", "20 minutes", "an afternoon")
MASTER = {name: nbformat.read(MASTERS / f"{name}.ipynb", 4) for name in assignment_names()}
QUESTION = re.compile(r"# BEGIN QUESTION\nname: (\w+)\npoints: (\d+)")


@pytest.fixture(params=assignment_names())
def name(request) -> str:
    return request.param


@pytest.fixture
def assignment(name, made_once) -> Assignment:
    pytest.importorskip("otter")
    folder = made_once(f"exercises-{name}", lambda part: make_assignment(name, part)) / name
    copy, solution = (folder / part / f"{name}.ipynb" for part in ("student", "autograder"))
    return Assignment(name, copy, solution, folder / "tests")


@pytest.fixture
def in_process(tmp_path, monkeypatch):
    """Cells and tests run here; IPython's traces are removed."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))


def checks_of(assignment: Assignment, question: str = "*") -> list[Path]:
    return sorted(assignment.tests.glob(f"{question}.py"))


def questions(name: str) -> list[str]:
    return [match[1] for cell in MASTER[name].cells if (match := QUESTION.match(cell.source))]


def test_each_notebook_has_exercises_of_three_levels(name):
    tasks = [cell.source for cell in MASTER[name].cells if cell.id.endswith("-task")]
    for number, (text, level) in enumerate(zip(tasks, LEVELS, strict=True), 1):
        assert re.match(rf"## {name[:2]}\.{number} .*\({level}\)\n", text)
        title = text.splitlines()[0].removeprefix("## ").removesuffix(f" ({level})")
        assert f"| {title} | {level} | " in MASTER[name].cells[1].source
    assert "**Goal:**" in MASTER[name].cells[1].source


def test_there_are_exercises_to_every_notebook():
    assert assignment_names() == [step.path.stem for step in discover()]
    found = [question for name in MASTER for question in questions(name)]
    assert len(set(found)) == len(found) >= 18 and set(found) == set(WRONG)


def test_masters_are_committed_as_source(name):
    master = MASTER[name]
    nbformat.validate(master)
    assert set(master.metadata) == {"kernelspec", "language_info"}
    for cell in master.cells:
        assert re.fullmatch(r"[a-z][a-z0-9-]*", cell.id) and not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, cell.id
            lines = cell.source.splitlines()
            assert len(lines) <= 15 and max(map(len, lines)) <= 100, cell.id
            ast.parse(cell.source)


def test_every_check_has_a_hint(name):
    for cell in MASTER[name].cells:
        if re.search(r"-test-\d$", cell.id):
            (function,) = ast.parse(cell.source).body
            asserts = [node for node in ast.walk(function) if isinstance(node, ast.Assert)]
            assert asserts and all(node.msg for node in asserts), cell.id


def test_student_copies_have_neither_solutions_nor_hidden_tests(assignment):
    copy = nbformat.read(assignment.copy, 4)
    given = {cell.id: cell.source for cell in copy.cells}
    for cell in MASTER[assignment.name].cells:
        if "# SOLUTION" in cell.source or "# BEGIN SOLUTION\n" in cell.source:
            assert "..." in given[cell.id] or "# BEGIN PROMPT" in cell.source
            assert "SOLUTION" not in given[cell.id]
    for question in questions(assignment.name):
        whole = (assignment.tests / f"{question}.py").read_text(encoding="utf-8")
        assert "hidden=True" not in copy.metadata["otter"]["tests"][question]
        assert "hidden=True" in whole or question in ALL_VISIBLE


@pytest.mark.slow
def test_every_solution_passes(assignment, in_process):
    """And no number that is asked for is in the copy, in its checks for instance."""
    copy, solution = (nbformat.read(path, 4) for path in (assignment.copy, assignment.solution))
    names = run_cells(code_cells(solution, copy))
    marks = mark(names, checks_of(assignment))
    assert {one["name"] for one in marks} == set(questions(assignment.name))
    assert all(one["points"] == one["possible"] > 0 and not one["hint"] for one in marks), marks
    text = assignment.copy.read_text(encoding="utf-8")
    asked = {name: names[name] for name in NUMBERS if name in names}
    assert not [name for name, number in asked.items() if f"{number:.3g}" in text]


@pytest.mark.slow
def test_every_untouched_copy_fails(assignment, in_process):
    copy = nbformat.read(assignment.copy, 4)
    marks = mark(run_cells(code_cells(copy, copy)), checks_of(assignment))
    assert {one["name"] for one in marks} == set(questions(assignment.name))
    assert all(one["points"] == 0 and one["hint"] for one in marks), marks


@pytest.mark.slow
def test_five_wrong_answers_get_five_hints(assignment, in_process):
    setup = next(cell.source for cell in MASTER[assignment.name].cells if cell.id == "setup")
    for question in questions(assignment.name):
        runs = [run_cells([setup, wrong]) for wrong in WRONG[question]]
        found = [mark(names, checks_of(assignment, question))[0] for names in runs]
        hints = {one["hint"] for one in found}
        assert len(WRONG[question]) == len(hints) == 5, (question, hints)
        assert all(one["points"] == 0 for one in found)
        assert not [hint for hint in hints if not hint or hint.startswith("the code raised")]
