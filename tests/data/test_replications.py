"""Problems of the other replications, in their true schemas and in wrong ones."""

import re
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.problems import picture, write
from shared.problems import row as published

from vtkit.benchmark.evaluate import judged_row, score
from vtkit.config.recipes import resolve_config
from vtkit.data import replications
from vtkit.data.formats import FORMATS
from vtkit.data.replications import load_problems
from vtkit.data.rows import load_benchmark_rows, load_training_rows
from vtkit.errors import UserError
from vtkit.judging.rewards import get_rewards
from vtkit.judging.verdict import judge, solution_text
from vtkit.runs import artifacts
from vtkit.sampling.generation import Completion

GOLD = {
    "r1-v": ("<answer> 1 </answer>", "1", []),
    "journey": (
        "<think>The angle is 1 degrees.</think> <answer>B</answer>",
        "2",
        ["1", "2", "3", "4"],
    ),
    "open-r1": ("<think>So.</think>\n<answer>1.5</answer>", "1.5", []),
    "text": ("<answer>right</answer>", "right", []),
    "countdown": ("<answer>4 from 2, 2</answer>", "4 from 2, 2", []),
}


@pytest.mark.parametrize("format", FORMATS)
def test_columns_are_those_of_sat(format, tmp_path):
    rows = load_problems(write(tmp_path / "train.parquet", format), format)
    row = rows[1]
    assert (row["id"], row["solution"], row["answer"], row["choices"]) == (1, *GOLD[format])
    assert row["task"] == FORMATS[format].task and row["question"]
    assert ("images" in row) == (format not in ("text", "countdown"))
    if "images" in row:
        assert row["images"][0].size == (64, 64)


@pytest.mark.parametrize("format", FORMATS)
def test_published_and_careful_rules_read_the_gold(format, tmp_path):
    rows = load_problems(write(tmp_path / "train.parquet", format), format)
    rules = {"journey": "journey", "open-r1": "open-r1-multimodal"}.get(format, "r1-v")
    for row in rows:
        said = f"<think>so</think> <answer>{row['answer']}</answer>"
        if format != "countdown":
            assert judge(said, row["solution"], row["choices"], prefilled=False).correct
        (paid,) = get_rewards(["accuracy"], rules, prefilled=False)
        assert paid(completions=[row["solution"]], solution=[row["solution"]]) == [1.0]


def test_journeys_published_rule_takes_a_number_of_the_golds_thinking_for_right(tmp_path):
    solution = load_problems(write(tmp_path / "a.parquet", "journey"), "journey")[1]["solution"]
    wrong = "<think>It is 1 degrees.</think><answer>A</answer>"
    (published,) = get_rewards(["accuracy"], "journey", prefilled=False)
    assert published(completions=[wrong], solution=[solution]) == [1.0]
    assert judge(wrong, solution, list("ABCD"), prefilled=False).correct is False


@pytest.mark.parametrize(
    "listed", ["A. 30°\nB. 60°\nC. 90°", "A:30°\nB:60°\nC:90°", "(A) 30°\n(B) 60°"]
)
def test_options_in_the_question_are_the_choices(listed, tmp_path):
    path = write(
        tmp_path / "train.parquet", "open-r1", problem=f"Which angle?\nChoices:\n{listed}",
        solution="<think>So.</think>\n<answer>The correct answer is B</answer>",
    )  # fmt: skip
    row = load_problems(path, "open-r1")[0]
    assert row["choices"][:2] == ["30°", "60°"] and row["answer"] == "60°"
    assert row["solution"].endswith("<answer>The correct answer is B</answer>")
    for said, right in {"B": True, "60°": True, "(B)": True, "A": False, "30°": False}.items():
        completion = f"<think>so</think> <answer>{said}</answer>"
        verdict = judge(completion, row["solution"], row["choices"], prefilled=False)
        assert verdict.correct is right


def test_a_sentence_around_the_solution_is_left_out():
    assert solution_text("<answer>The correct answer is B</answer>") == "B"
    assert (
        solution_text("<answer>rotated left by 57 degrees</answer>") == "rotated left by 57 degrees"
    )


def test_a_benchmark_has_what_cv_bench_evaluates(tmp_path):
    rows = load_problems(write(tmp_path / "test.parquet", "r1-v"), "r1-v", split="test")
    assert rows[1]["choices"] == ["0", "1", "2", "3"] and rows[1]["answer"] == "(B)"
    assert rows[1]["prompt"] == rows[1]["question"] and rows[1]["idx"] == 1
    letters = load_problems(write(tmp_path / "j.parquet", "journey"), "journey", split="test")
    assert letters[2]["choices"] == ["1", "2", "3", "4"] and letters[2]["answer"] == "(D)"


def test_answers_of_all_kinds_are_judged_as_they_are_paid(tmp_path):
    path = write(tmp_path / "test.parquet", "open-r1")
    row = load_problems(path, "open-r1", split="test")[2]
    assert row["choices"] == [] and row["answer"] == "2.5"
    judged = [judged_row(row, Completion(text, 9), prefilled=False) for text in _COMPLETIONS]
    assert [each["correct"] for each in judged] == [True, False, False]
    assert [each["parsed"] for each in judged] == [True, True, False]
    total = score(judged)
    assert total["accuracy"]["value"] == pytest.approx(1 / 3) and total["chance"] == 0


_COMPLETIONS = [
    "<think>x</think> <answer>2.5</answer>",
    "<think>x</think> <answer>7</answer>",
    "<div>",
]


def test_own_choices_and_tasks_of_a_text_file_are_kept(tmp_path):
    path = write(tmp_path / "test.parquet", "text", choices=["left", "right"], task="Relation")
    row = load_problems(path, "text", split="test")[1]
    assert (row["choices"], row["answer"], row["task"]) == (["left", "right"], "(B)", "Relation")


def test_without_a_test_file_the_last_rows_are_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr(replications, "HELD_OUT", 3)
    for part, rows in enumerate((4, 4)):
        write(tmp_path / "data" / f"train-0000{part}-of-00002.parquet", "text", rows)
    train, test = (load_problems(tmp_path, "text", split=split) for split in ("train", "test"))
    assert train["id"][:] == [0, 1, 2, 3, 4] and test["idx"][:] == [5, 6, 7]
    assert load_problems(tmp_path, "text", rows=2)["id"][:] == [0, 1]
    with pytest.raises(UserError, match="holds 5 rows to train on but 6 are wanted; lower train_r"):
        load_problems(tmp_path, "text", rows=6)
    monkeypatch.setattr(replications, "HELD_OUT", 8)
    with pytest.raises(UserError, match=r"holds 8 rows and no test.parquet; .* add a test.parquet"):
        load_problems(tmp_path, "text")


@pytest.mark.parametrize(
    ("format", "changes", "message"),
    [
        ("r1-v", {"image": None}, "column 'image' is missing"),
        ("r1-v", {"problem": ""}, "column 'problem', row 0 is empty"),
        ("r1-v", {"solution": "3"}, "'solution', row 0 has no answer in <answer> </answer>"),
        ("r1-v", {"image": {"bytes": b"", "path": None}}, "column 'image', row 0 is empty"),
        ("journey", {"image_path": None}, "column 'image_path' is missing"),
        ("journey", {"solution": "<answer> </answer>"}, "row 0 has no answer"),
        ("open-r1", {"original_answer": None}, "column 'original_answer' is missing"),
        ("text", {"choices": ["up", "down"]}, "'left' is not among the choices"),
        ("countdown", {"nums": None}, "column 'nums' is missing"),
        ("countdown", {"nums": [3]}, "column 'nums', row 0 has no two numbers"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_line(format, changes, message, tmp_path):
    path = write(tmp_path / "train.parquet", format, **changes)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_problems(path, format)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def refusal(path, format, **options):
    with pytest.raises(UserError) as caught:
        load_problems(path, format, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


_PICTURES = [None, {"bytes": b"", "path": None}, {"bytes": b"GIF89", "path": None}]
_TAGLESS = ["", None, "<answer> 3", "<answer> </answer>"]
_PICTURED = [
    *({"image": cell} for cell in _PICTURES),
    *({"problem": cell} for cell in ("", None)),
    *({"solution": cell} for cell in (*_TAGLESS, "3")),
]
DAMAGE = {
    **dict.fromkeys(("r1-v", "journey", "open-r1"), _PICTURED),
    "text": [
        *({"problem": cell} for cell in ("", None)),
        *({"solution": cell} for cell in _TAGLESS),
        *({"choices": cell} for cell in (["left"], ["up", "down"], ["left", "right", None])),
        {"choices": ["left", "right", *map(str, range(25))]},
    ],
    "countdown": [
        {"target": None},
        {"target": 10**9},
        *({"nums": cell} for cell in (None, [], [3], [1, None], [1, -2], [1, 10**9])),
    ],
}


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_one_bad_row_in_a_hundred_is_left_out_and_more_are_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bad")
    format = data.draw(st.sampled_from(list(FORMATS)))
    total = data.draw(st.integers(100, 300))
    bad = data.draw(
        st.dictionaries(
            st.integers(0, total - 1), st.sampled_from(DAMAGE[format]), max_size=total // 50
        )
    )
    path = write(folder / "train.parquet", format, total, bad)
    if len(bad) * 100 > total:
        message = refusal(path, format)
        assert message.startswith(f"{path}: {len(bad)} of {total} rows looked at are bad, more ")
        first = min(bad)
        column = "solution" if bad[first] == {"choices": ["up", "down"]} else next(iter(bad[first]))
        assert f": column '{column}', row {first} " in message
        assert message.endswith("; fix these rows, or fetch the file again")
        return
    rows = load_problems(path, format)
    good = [n for n in range(total) if n not in bad]
    assert rows["id"][:] == good
    if format != "countdown":
        assert rows["question"][:] == [published(format, n)["problem"] for n in good]
    description = rows.info.description
    assert description.startswith(f"{len(good)} rows of train.parquet")
    assert (f", {len(bad)} of {total} bad: " in description) == bool(bad)


def test_unread_rows_are_not_judged_and_the_first_good_ones_are_taken(tmp_path, caplog):
    path = write(tmp_path / "train.parquet", "text", 400, {7: {"problem": ""}})
    rows = load_problems(path, "text", rows=200)
    assert rows["id"][:] == [n for n in range(201) if n != 7]
    description = "200 rows of train.parquet, 1 of 201 bad: column 'problem', row 7 is empty"
    assert rows.info.description == description
    assert [record.message for record in caplog.records] == [description], "logged once"
    caplog.clear()
    assert load_problems(path, "text", rows=7).info.description == "7 rows of train.parquet"
    assert not caplog.records
    with pytest.raises(UserError, match="holds 399 rows to train on but 400 are wanted"):
        load_problems(path, "text", rows=400)


def test_bad_rows_of_several_files_are_counted_together_and_held_out_rows_stay(tmp_path):
    """Rows are named by file; a bad row more or less in either split does not move the other."""
    names = [f"train-0000{part}-of-00002.parquet" for part in range(2)]
    write(tmp_path / names[0], "r1-v", 300)
    write(tmp_path / names[1], "r1-v", 700, {3: {"image": None}, 699: {"solution": "3"}})
    train = load_problems(tmp_path, "r1-v")
    assert train["id"][:] == [n for n in range(500) if n != 303]
    said = (
        f"499 rows of {tmp_path.name}, 1 of 500 bad: column 'image', row 3 of {names[1]} is empty"
    )
    assert train.info.description == said
    test = load_problems(tmp_path, "r1-v", split="test")
    assert test["idx"][:] == list(range(500, 999))
    assert f"1 of 500 bad: column 'solution', row 699 of {names[1]} has" in test.info.description
    with pytest.raises(UserError, match="holds 499 rows but 500 are wanted; lower benchmark_rows"):
        load_problems(tmp_path, "r1-v", split="test", rows=500)
    write(tmp_path / names[0], "r1-v", 300, {n: {"problem": ""} for n in range(5)})
    message = refusal(tmp_path, "r1-v")
    assert f"{tmp_path}: 6 of 500 rows" in message and f"row 2 of {names[0]} is empty" in message


def test_text_that_is_not_utf_8_is_a_bad_row(tmp_path):
    path = write(tmp_path / "train.parquet", "r1-v", 200)
    table = pq.read_table(path)
    solutions = [text.encode() for text in table["solution"].to_pylist()]
    solutions[9] = b"<answer> \xff </answer>"
    column = pa.array(solutions, pa.binary())
    column = pa.StringArray.from_buffers(len(column), *column.buffers()[1:])
    pq.write_table(table.set_column(2, "solution", column), path)
    rows = load_problems(path, "r1-v")
    assert "1 of 200 bad: column 'solution', row 9 has no answer" in rows.info.description
    assert len(rows) == 199


def test_other_types_and_files_are_refused(tmp_path):
    table = pq.read_table(write(tmp_path / "train.parquet", "countdown"))
    pq.write_table(table.set_column(0, "target", [["3"] * 6]), tmp_path / "train.parquet")
    with pytest.raises(UserError, match="column 'target' is string, expected int64"):
        load_problems(tmp_path / "train.parquet", "countdown")
    with pytest.raises(UserError, match="no such folder; .* or name lmms-lab/multimodal"):
        load_problems("nowhere", "open-r1")
    empty = write(tmp_path / "test.parquet", "text", 1)
    pq.write_table(pq.read_table(empty).slice(0, 0), empty)
    for split in ("train", "test"):
        assert "test.parquet holds no rows" in refusal(empty, "text", split=split)
    (tmp_path / "train.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="cannot be read as parquet"):
        load_problems(tmp_path / "train.parquet", "text")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no train.parquet"):
        load_problems(tmp_path / "empty", "text")


def test_a_configuration_says_what_is_read(mini_data, tmp_path):
    for split in ("train", "test"):
        write(tmp_path / f"{split}.parquet", "r1-v", 9)
    config = resolve_config(
        "r1-v", train_data=str(tmp_path), benchmark_data=str(tmp_path)
    ).to_dict()
    assert len(load_training_rows(config)) == len(load_benchmark_rows(config)) == 9
    sat = resolve_config(train_data=str(mini_data), benchmark_data=str(mini_data)).to_dict()
    assert len(load_training_rows(sat)) and "Count" in load_benchmark_rows(sat)["task"]
    assert artifacts.make_missing(config | {"model": str(tmp_path)}) == []
    assert picture()["bytes"].startswith(b"\x89PNG")


def test_what_is_missing_is_made_by_its_command_once(tmp_path, monkeypatch):
    commands = []

    def run(command, **options):
        commands.append(command[2:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(artifacts, "ROOT", tmp_path)
    monkeypatch.setattr(artifacts.subprocess, "run", run)
    model = "models/mini-instruct-terse"
    config = {"train_data": "data/mini", "benchmark_data": "data/mini", "model": model}
    assert artifacts.make_missing(config, ("model",)) == [model]
    assert artifacts.make_missing(config) == ["data/mini", model]
    tune = ["vtkit.mini", "instruct", "--manner", "terse"]
    assert commands == [tune, ["vtkit.mini", "data"], tune]
