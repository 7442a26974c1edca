"""The store of completions: round trip, replacement, resume, damage, old files, bounded memory."""

import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vtkit.errors import UserError
from vtkit.judging import judge
from vtkit.runs import rollout_store
from vtkit.runs.replay import REFERENCE, kept_records, unpacked
from vtkit.runs.rollout_store import SCHEMA, RolloutWriter, verdict_columns
from vtkit.runs.rollouts import fill_verdicts, load_rollouts

JUDGED = ["finish_reason", "rule", "answer", "span_start", "span_end", "choice"]
JUDGED += ["correct", "format_verdict", "style", "reflective"]


def make_row(**changes):
    row = {
        "prompt_id": 7,
        "group": 0,
        "sample": 1,
        "task": "Relation",
        "question": "Where is the lamp?",
        "choices": ["left", "right"],
        "solution": "<answer>left</answer>",
        "completion": " Links — 左。\x00 </think> <answer> left </answer>",
        "tokens": 12,
        "finished": True,
        "finish_reason": "stop",
        "rule": "block",
        "answer": "left",
        "span_start": 31,
        "span_end": 35,
        "choice": 0,
        "correct": True,
        "format_verdict": "good",
        "style": "direct",
        "reflective": False,
        "reward": 2.0,
        "accuracy_reward": 1.0,
        "format_reward": 1.0,
        "advantage": 0.5,
    }
    return row | changes


def write(run_dir, step, *rows):
    return RolloutWriter(run_dir / "rollouts").write(step, rows or [make_row()])


def frame_of(run_dir, steps=None):
    return load_rollouts(run_dir, steps).to_pandas()


def files(run_dir):
    return {path.name: path.read_bytes() for path in (run_dir / "rollouts").iterdir()}


@pytest.fixture
def short_blocks(monkeypatch):
    """Files are merged by tens, five steps at a time."""
    monkeypatch.setattr(rollout_store, "BLOCK", 10)
    monkeypatch.setattr(rollout_store, "STEPS_AT_ONCE", 5)


def write_steps(run_dir, first, last, completion="step {}"):
    writer = RolloutWriter(run_dir / "rollouts")
    for step in range(first, last + 1):
        rows = [make_row(sample=i, completion=completion.format(step)) for i in range(3)]
        writer.write(step, rows)


# -------------------------------------------------------------------------- what is written


def test_what_is_written_is_read_back(tmp_path):
    write(tmp_path, 3, make_row(sample=0), make_row(sample=1))
    frame = frame_of(tmp_path)
    assert list(frame.columns) == SCHEMA.names
    assert frame.drop(columns="step").to_dict("records") == [make_row(sample=0), make_row(sample=1)]
    assert set(frame["step"]) == {3}


def test_steps_are_ordered_by_number(tmp_path):
    for step in (2, 10, 1_000_000):
        write(tmp_path, step)
    assert list(frame_of(tmp_path)["step"]) == [2, 10, 1_000_000]
    assert list(frame_of(tmp_path, steps=range(5))["step"]) == [2]
    assert len(load_rollouts(tmp_path, steps=range(5))) == 1


def test_writing_a_step_again_drops_it_and_what_came_after(tmp_path):
    for step in (1, 2, 3):
        write(tmp_path, step, make_row(), make_row())
    write(tmp_path, 2, make_row(completion="again"))
    frame = frame_of(tmp_path)
    assert list(frame["step"]) == [1, 1, 2] and frame["completion"].iloc[-1] == "again"
    assert sorted(files(tmp_path)) == ["step-000001.parquet", "step-000002.parquet"]


def test_other_rewards_are_kept_and_missing_ones_are_nan(tmp_path):
    row = make_row(length_reward=0.25)
    del row["format_reward"]
    write(tmp_path, 1, row)
    write(tmp_path, 2)
    frame = frame_of(tmp_path)
    assert frame["length_reward"].iloc[0] == 0.25
    assert frame["length_reward"].isna().tolist() == [False, True]
    assert frame["format_reward"].isna().tolist() == [True, False]


def test_a_row_that_was_read_can_be_written(tmp_path):
    write(tmp_path, 1, make_row(choice=None, correct=None, answer=None), make_row())
    before = frame_of(tmp_path)
    write(tmp_path, 1, *before.to_dict("records"))
    assert frame_of(tmp_path).equals(before)


def test_a_misspelt_or_missing_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match="token_count"):
        write(tmp_path, 1, make_row(token_count=3))
    short = make_row()
    del short["tokens"]
    with pytest.raises(ValueError, match="tokens"):
        write(tmp_path, 1, make_row(), short)
    with pytest.raises(ValueError, match="step 0"):
        write(tmp_path, 0)
    assert not (tmp_path / "rollouts").exists()


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WHOLE = st.integers(-(2**63), 2**63 - 1)
KINDS = {
    pa.string(): TEXT,
    pa.int64(): WHOLE,
    pa.bool_(): st.booleans(),
    pa.float64(): st.floats(allow_nan=False),
    pa.list_(pa.string()): st.lists(TEXT, max_size=3),
}
ROWS = st.lists(
    st.fixed_dictionaries(
        {f.name: KINDS[f.type] for f in SCHEMA if f.name not in (*JUDGED, "step")},
        optional={name: st.none() | KINDS[SCHEMA.field(name).type] for name in JUDGED},
    ),
    min_size=1,
    max_size=4,
)


@given(ROWS)
def test_any_row_comes_back_as_it_went(tmp_path_factory, rows):
    run_dir = tmp_path_factory.mktemp("run")
    write(run_dir, 1, *rows)
    (batch,) = load_rollouts(run_dir).batches(SCHEMA.names)
    nothing = dict.fromkeys(SCHEMA.names)
    assert batch.to_pylist() == [nothing | row | {"step": 1} for row in rows]


@given(
    ROWS, st.sampled_from(SCHEMA.names), st.sampled_from(["drop", "misspell", "mistype"]), st.data()
)
def test_a_bad_row_is_refused_and_changes_nothing(tmp_path_factory, rows, name, how, data):
    run_dir = tmp_path_factory.mktemp("run")
    write(run_dir, 1)
    before = files(run_dir)
    bad = dict(data.draw(st.sampled_from(rows)))
    if how == "drop":
        assume(name not in (*JUDGED, "step", "accuracy_reward", "format_reward"))
        del bad[name]
    elif how == "misspell":
        bad[name + "x"] = bad.get(name)
    else:
        assume(name != "step")  # which is filled in
        bad[name] = object()
    with pytest.raises((ValueError, TypeError)):
        write(run_dir, 1, *rows, bad)
    assert files(run_dir) == before


# ------------------------------------------------------------------------------- asking


def test_selecting_and_grouping(tmp_path):
    for step in (1, 2):
        right = [make_row(sample=i, tokens=10 * step, correct=i < step) for i in range(2)]
        write(tmp_path, step, *right, make_row(sample=2, task="Count", correct=None, rule="none"))
    rollouts = load_rollouts(tmp_path)
    assert len(rollouts) == 6 and rollouts.dropped == 0
    block = pc.field("rule") == "block"
    assert rollouts.to_pandas(["step", "tokens"], block).to_dict("list") == {
        "step": [1, 1, 2, 2],
        "tokens": [10, 10, 20, 20],
    }
    by_step = rollouts.group_by("step", block, right=("correct", "mean"), most=("tokens", "max"))
    assert by_step.to_dict("index") == {
        1: {"n": 2, "right": 0.5, "most": 10},
        2: {"n": 2, "right": 1.0, "most": 20},
    }
    by_both = rollouts.group_by(["task", "step"], known=("correct", "count"))
    assert by_both.loc[("Count", 2)].to_dict() == {"n": 1, "known": 0}
    assert load_rollouts(tmp_path, steps=[2]).group_by("step")["n"].to_dict() == {2: 3}
    assert sum(batch.num_rows for batch in rollouts.batches(["step"], block)) == 4


def test_wrong_questions_are_answered_with_the_right_ones(tmp_path):
    write(tmp_path, 1)
    rollouts = load_rollouts(tmp_path)
    with pytest.raises(UserError, match="no column 'token'; did you mean 'tokens'"):
        rollouts.to_pandas(["token"])
    with pytest.raises(UserError, match="no function 'average'; known are"):
        rollouts.group_by("step", right=("correct", "average"))
    for where in (pc.field("token") > 3, pc.field("tokens") > "three"):
        with pytest.raises(UserError, match="where: "):
            rollouts.to_pandas(where=where)
        with pytest.raises(UserError, match="where: "):
            rollouts.group_by("step", where)


# ---------------------------------------------------------------------- merging and resuming


def test_blocks_are_merged_once_they_are_complete(tmp_path, short_blocks):
    write_steps(tmp_path, 1, 10)
    assert len(files(tmp_path)) == 10
    write_steps(tmp_path, 11, 24)
    singles = [f"step-{step:06d}.parquet" for step in range(21, 25)]
    merged = ["steps-000001-000010.parquet", "steps-000011-000020.parquet"]
    assert sorted(files(tmp_path)) == sorted(singles + merged)
    assert list(frame_of(tmp_path)["step"]) == [step for step in range(1, 25) for _ in range(3)]
    assert load_rollouts(tmp_path).steps == list(range(1, 25))
    assert frame_of(tmp_path, [13])["completion"].tolist() == ["step 13"] * 3
    with pytest.raises(UserError, match=r"for steps \[25\]"):
        load_rollouts(tmp_path, [25])


@pytest.mark.parametrize("again", [1, 7, 10, 11, 15, 20, 21, 23])
def test_a_resumed_run_ends_with_the_same_bytes(tmp_path, short_blocks, again):
    write_steps(tmp_path / "unbroken", 1, 23)
    write_steps(tmp_path / "broken", 1, again - 1)
    write_steps(tmp_path / "broken", again, 23, completion="drawn otherwise")
    write_steps(tmp_path / "broken", again, 23)
    assert files(tmp_path / "broken") == files(tmp_path / "unbroken")


def test_steps_before_the_resumed_one_are_kept_while_it_runs(tmp_path, short_blocks):
    write_steps(tmp_path, 1, 23)
    write_steps(tmp_path, 7, 8, completion="again")
    said = frame_of(tmp_path)["completion"].unique().tolist()
    assert said == [*(f"step {step}" for step in range(1, 7)), "again"]


def test_a_file_that_two_files_hold_counts_once(tmp_path, short_blocks):
    """Killed between the merged file and the removal of its parts, or while taking it apart."""
    write_steps(tmp_path, 1, 10)
    parts = files(tmp_path)
    write_steps(tmp_path, 11, 11)
    for name in list(parts)[:4]:
        (tmp_path / "rollouts" / name).write_bytes(parts[name])
    assert len(load_rollouts(tmp_path)) == 33 == len(frame_of(tmp_path))
    write_steps(tmp_path, 12, 12)
    assert len(files(tmp_path)) == 3


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_whole_steps(tmp_path, short_blocks):
    code = (
        "import sys; from pathlib import Path; from vtkit import rollout_writer as w\n"
        "sys.path.insert(0, 'tests/runs'); from test_rollouts import write_steps\n"
        "w.BLOCK, w.STEPS_AT_ONCE = 10, 5; print('ready', flush=True)\n"
        "write_steps(Path(sys.argv[1]), int(sys.argv[2]), 400)"
    )
    at, seen = 1, 0
    for wait in (0.02, 0.11, 0.23, 0.31):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(at)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if not list((tmp_path / "rollouts").glob("step*")):
            continue  # killed before the first step
        steps = load_rollouts(tmp_path).group_by("step")["n"].to_dict()
        assert steps == {step: 3 for step in range(1, len(steps) + 1)}
        assert len(steps) >= at - 1
        seen, at = len(steps), max(1, len(steps) - 3)  # resumed from a checkpoint
    write_steps(tmp_path / "unbroken", 1, seen + 1)
    write_steps(tmp_path, at, seen + 1)
    left = {name: content for name, content in files(tmp_path).items() if name[0] != "."}
    assert left == files(tmp_path / "unbroken")


# ----------------------------------------------------------------- damaged, foreign and old


def test_half_written_and_foreign_files_are_left_out_and_the_first_are_counted(tmp_path):
    path = write(tmp_path, 1)
    path.with_name(".step-000002.parquet.vtkit.99.part").write_bytes(b"PAR1")
    path.with_name("notes.txt").write_text("mine")
    path.with_name("step-2.parquet").write_bytes(b"PAR1")
    rollouts = load_rollouts(tmp_path)
    assert list(rollouts.to_pandas()["step"]) == [1] and rollouts.dropped == 1


@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_a_torn_last_step_is_dropped_and_counted(tmp_path, size):
    write(tmp_path, 1)
    path = write(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:size])
    rollouts = load_rollouts(tmp_path)
    assert rollouts.dropped == 1 and list(rollouts.to_pandas()["step"]) == [1]
    write(tmp_path, 2)
    assert load_rollouts(tmp_path).dropped == 0 and len(load_rollouts(tmp_path)) == 2


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(UserError, match="holds no rollouts"):
        load_rollouts(tmp_path)
    path = write(tmp_path, 1)
    with pytest.raises(UserError, match=r"for steps \[5\]"):
        load_rollouts(tmp_path, steps=[5])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="step-000001.parquet is damaged"):
        load_rollouts(tmp_path)
    write(tmp_path, 2)
    with pytest.raises(UserError, match="step-000001.parquet is damaged"):
        load_rollouts(tmp_path)


def test_damage_behind_a_good_footer_is_named(tmp_path):
    write(tmp_path, 1)
    path = write(tmp_path, 2)
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(1000) + content[1004:])
    rollouts = load_rollouts(tmp_path)
    for work in (rollouts.to_pandas, lambda: list(rollouts.batches())):
        with pytest.raises(UserError, match="step-000002.parquet is damaged"):
            work()
    with pytest.raises(UserError, match="step-000002.parquet is damaged"):
        rollouts.group_by("task", n_right=("correct", "sum"))


def test_a_damaged_step_is_not_merged_and_does_not_stop_the_run(tmp_path, short_blocks):
    write_steps(tmp_path, 1, 10)
    (tmp_path / "rollouts" / "step-000004.parquet").write_bytes(b"PAR1")
    with pytest.warns(UserWarning, match="not merged.*step-000004"):
        write_steps(tmp_path, 11, 12)
    assert len(files(tmp_path)) == 12


LOOKS = (" It is left. Wait, let me check again. </think> <answer> left </answer>", "<div>", " up")


def judged_rows(sample=0):
    return [
        make_row(sample=sample + place, completion=text, solution="left")
        | verdict_columns(judge(text, "left", ["left", "right"]))
        for place, text in enumerate(LOOKS)
    ]


def test_verdicts_are_stored_and_read(tmp_path):
    write(tmp_path, 1, *judged_rows())
    frame = frame_of(tmp_path)
    assert list(frame["style"]) == ["reflective", "html", "untagged"]
    assert list(frame["reflective"]) == [True, False, False]
    start, end = int(frame["span_start"][0]), int(frame["span_end"][0])
    assert LOOKS[0][start:end] == frame["answer"][0] == "left"
    assert frame["span_start"][1:].isna().all(), "no answer, no span"
    changed = frame.assign(style="direct", reflective=True, choice=1, span_start=5)
    for name in ("style", "reflective", "choice", "span_start"):
        assert (fill_verdicts(changed, spans=True)[name] == changed[name]).all(), "read, not judged"


@pytest.mark.parametrize("judged", [("style", "reflective", "span_start", "span_end"), JUDGED])
def test_verdicts_that_a_run_did_not_store_are_filled_in(judged, tmp_path):
    rows = judged_rows()
    write(tmp_path, 1, *({k: v for k, v in row.items() if k not in judged} for row in rows))
    write(tmp_path, 2, *rows)
    filled = fill_verdicts(frame_of(tmp_path), spans=True)
    names = ["style", "reflective", "rule", "answer", "choice", "span_start", "span_end"]
    old, new = (filled[filled["step"] == step][names].reset_index(drop=True) for step in (1, 2))
    assert old.equals(new)
    evaluated = frame_of(tmp_path, [1])[["completion", "choices"]]
    assert list(fill_verdicts(evaluated)) == ["completion", "choices", "style", "reflective"]


def test_what_old_files_lack_is_null(tmp_path):
    old = {name: value for name, value in make_row().items() if name not in JUDGED}
    path = write(tmp_path, 1, old)
    assert not set(JUDGED) & set(pq.read_schema(path).names)
    rollouts = load_rollouts(tmp_path)
    assert list(rollouts.to_pandas().columns) == ["step", *old]
    assert rollouts.to_pandas(JUDGED).isna().all(axis=None)
    assert rollouts.group_by("rule", known=("correct", "count"))["n"].tolist() == [1]
    write(tmp_path, 2)
    assert frame_of(tmp_path)["correct"].tolist() == [None, True]


def test_the_committed_runs_are_readable():
    for run in kept_records(REFERENCE):
        rollouts = load_rollouts(unpacked(REFERENCE / run))
        assert rollouts.dropped == 0
        shares = rollouts.group_by("task", right=("accuracy_reward", "mean"))
        assert shares["n"].sum() == len(rollouts) == len(rollouts.to_pandas())
        assert shares["right"].between(0, 1).all()


# ------------------------------------------------------------------------------- memory


def test_reading_holds_a_part_of_the_run_at_a_time(tmp_path, short_blocks):
    writer = RolloutWriter(tmp_path / "rollouts")
    text = "the lamp is left of the chair, " * 2000  # 64 kB, a step of 4 MB, 160 MB in all
    for step in range(1, 42):
        writer.write(step, [make_row(completion=f"{i} {text}") for i in range(64)])
    rollouts = load_rollouts(tmp_path)
    start = pa.total_allocated_bytes()
    most, rows = 0, 0
    for batch in rollouts.batches(["step", "completion"]):
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - start)
    assert rows == 41 * 64
    assert most < 120e6
