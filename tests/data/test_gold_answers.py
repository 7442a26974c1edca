"""Every row that a loader yields pays for its gold text, its letter, and both together."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.calls import png, refusal

from vtkit.data.cv_bench import CV_BENCH_SCHEMA, load_cv_bench
from vtkit.data.formats import FORMATS, as_problem, flaw
from vtkit.data.replications import load_problems
from vtkit.data.sat import SAT_SCHEMA, load_sat
from vtkit.judging.verdict import judge

PNG = png()
SAYS = "so </think> <answer>{}</answer>"
NAMES = ["left", "right", "a lamp", "table lamp", "books", "book", "3", "12", "30°",
"60 degrees", r"\frac{1}{2}", "0.5",
         "2√3", "yes", "No", "A", "B", "A is closer", "moved away from the table",
         "none of the above", "3 or 4",
         "the chair (near the mark 1)", "(2, 5)", "x + 2", "cannot be determined"]  # fmt: skip
options = st.lists(st.sampled_from(NAMES), min_size=2, max_size=5, unique=True)
LISTS = {
    "lines": "{}. {}\n", "brackets": "({}) {}\n", "indented": "  {}. {}\n", "inline": "({}) {} ",
    "dots inline": "{}. {} ", "commas": "({}) {}, ", "closed": "{}) {}\n", "wide": "{}．{}\n",
    "wide brackets": "（{}）{} ", "colons": "{}: {}\n", "enumerated": "{}、{}\n",
}  # fmt: skip
GOLDS = ["{0}", "({0})", "{0}.", "{0}. {1}", "({0}) {1}", "{1}", "The correct answer is {0}", "{2}"]


def honest(row):
    """The answers that an honest policy would give."""
    if not row["choices"]:
        return [row["answer"]]
    letter = "ABCDEF"[row["choices"].index(row["answer"])]
    return [row["answer"], letter, f"({letter})", f"{letter}. {row['answer']}"]


def pays(row, solution):
    choices = row["choices"]
    return all(judge(SAYS.format(said), solution, choices).correct for said in honest(row))


@given(options, st.data())
@settings(max_examples=60, deadline=None)
def test_options_listed_in_any_way_are_read(choices, data):
    form = data.draw(st.sampled_from(sorted(LISTS)))
    place = data.draw(st.integers(0, len(choices) - 1))
    letter = "ABCDEF"[place]
    gold = data.draw(st.sampled_from(GOLDS)).format(letter, choices[place], letter.lower())
    listed = "".join(LISTS[form].format("ABCDEF"[n], each) for n, each in enumerate(choices))
    row = {"problem": f"Which one?\n{listed}", "solution": f"<answer>{gold}</answer>"}
    if flaw(row, FORMATS["text"]) is None:
        problem = as_problem(row, FORMATS["text"])
        assert problem["choices"] and pays(problem, problem["solution"])


@pytest.mark.parametrize("form", LISTS)
@pytest.mark.parametrize("gold", GOLDS)
def test_ordinary_options_are_read(form, gold):
    listed = "".join(
        LISTS[form].format("ABC"[n], each) for n, each in enumerate(("30", "45", "60"))
    )
    solution = f"<answer>{gold.format('B', '45', 'b')}</answer>"
    row = {
        "problem": f"Find x. {listed}" if "inline" in form else f"Find x.\n{listed}",
        "solution": solution,
    }
    assert flaw(row, FORMATS["text"]) is None
    problem = as_problem(row, FORMATS["text"])
    assert (problem["choices"], problem["answer"]) == (["30", "45", "60"], "45")
    assert pays(problem, solution)


def test_parts_of_a_problem_are_no_options():
    row = {
        "problem": "Find (a) the sum (b) the product of 3 and 4.",
        "solution": "<answer>7, 12</answer>",
    }
    assert flaw(row, FORMATS["text"]) is None
    assert as_problem(row, FORMATS["text"])["choices"] == []


@pytest.mark.parametrize(
    ("problem", "gold", "wrong"),
    [
        ("x\nA. 2\nB. 3\nC. 2", "2", "'2' is not among the choices (2, 3, 2)"),
        ("x\nA. 2\nB. 3\nC. 2", "A", "'A' cannot be told from another choice by the answer 2"),
        ("x\nA. 2\nB. 3", "D", "'D' is not among the choices (2, 3)"),
        ("x\nA. 2\nB. 3", "7", "'7' is not among the choices (2, 3)"),
        ("x\nA. 2\nB. 3", "A. 3", "'A. 3' is not among the choices (2, 3)"),
    ],
)
def test_a_row_that_nobody_could_be_paid_for_is_bad(problem, gold, wrong, tmp_path):
    good = {"problem": "How many?", "solution": "<answer>3</answer>"}
    rows = [{"problem": problem, "solution": f"<answer>{gold}</answer>"}, *[good] * 199]
    pq.write_table(pa.Table.from_pylist(rows, FORMATS["text"].schema), tmp_path / "a.parquet")
    problems = load_problems(tmp_path / "a.parquet", "text")
    assert len(problems) == 199
    assert f"column 'solution', row 0 {wrong}" in problems.info.description


@given(st.lists(options, min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_sat_pays_for_what_it_asks(tmp_path_factory, lists):
    rows = [
        {"image_bytes": [PNG], "question": "Which?", "answers": choices, "question_type": "other",
         "correct_answer": choices[0]}
        for choices in [*lists, *[["left", "right"]] * 400]
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("sat") / "SAT_train.parquet"
    pq.write_table(pa.Table.from_pylist(rows, SAT_SCHEMA), path)
    found = load_sat(path).remove_columns("images")
    assert len(found) >= 400
    assert all(
        pays(row, f"<answer>{row['answer']}</answer>")
        for row in found.select(range(len(found) - 399))
    )


def test_a_benchmark_with_such_a_row_is_refused(tmp_path):
    row = {
        **dict.fromkeys(CV_BENCH_SCHEMA.names), "idx": 0, "type": "2D", "task": "Count",
        "source": "COCO",
        "image": {"bytes": PNG, "path": None}, "question": "How many?", "choices": ["2", "3", "2"],
        "answer": "(A)", "prompt": "How many?",
    }  # fmt: skip
    for name in ("test_2d", "test_3d"):
        pq.write_table(pa.Table.from_pylist([row], CV_BENCH_SCHEMA), tmp_path / f"{name}.parquet")
    assert "column 'answer', row 0 cannot be told from another choice by the answer 2; fix" in (
        refusal(load_cv_bench, tmp_path)
    )
