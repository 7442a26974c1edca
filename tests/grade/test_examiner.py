"""Do marks say which tests a notebook's names pass, and give the first hint where one fails?"""

import pytest

pytest.importorskip("otter")

from vtkit.grade.examiner import mark, possible_points  # noqa: E402

TEST = """\
from otter.test_files import test_case

OK_FORMAT = False
name = "mean"
points = None

@test_case(points=2)
def test_value(mean):
    assert mean([1, 3]) == 2, "the mean of 1 and 3 is 2"

@test_case(points=1)
def test_nothing(mean):
    assert mean([]) is None, "nothing has no mean"
"""


@pytest.fixture
def tests(tmp_path):
    (tmp_path / "mean.py").write_text(TEST)
    return [tmp_path / "mean.py"]


def right(values):
    return sum(values) / len(values) if values else None


ANSWERS = {
    "right": (right, 3, ""),
    "half right": (lambda values: 2 if values else 0, 2, "nothing has no mean"),
    "wrong": (max, 0, "the mean of 1 and 3 is 2"),
    "fails": (lambda values: sum(values) / len(values), 2, "the code raised ZeroDivisionError: "),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_points_and_the_first_hint(answer, tests):
    function, points, hint = ANSWERS[answer]
    (found,) = mark({"mean": function}, tests)
    assert (found["name"], found["points"], found["possible"]) == ("mean", points, 3)
    assert found["hint"].startswith(hint) and bool(found["hint"]) == bool(hint)


def test_a_name_that_is_missing_is_a_hint_not_a_crash(tests):
    (found,) = mark({}, tests)
    assert found["points"] == 0
    assert found["hint"].startswith("the code raised TypeError: "), "otter hands on None"


def test_what_can_be_had(tests):
    assert possible_points(tests) == 3
