"""The store of completions: round trip, replacement, resume, damage."""

import pytest

from vtkit.errors import UserError
from vtkit.rollouts import SCHEMA, RolloutWriter, load_rollouts, step_files


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
        "reward": 2.0,
        "accuracy_reward": 1.0,
        "format_reward": 1.0,
        "advantage": 0.5,
    }
    return row | changes


def write(run_dir, step, *rows):
    return RolloutWriter(run_dir / "rollouts").write(step, rows or [make_row()])


def test_what_is_written_is_read_back(tmp_path):
    write(tmp_path, 3, make_row(sample=0), make_row(sample=1))
    frame = load_rollouts(tmp_path)
    assert list(frame.columns) == SCHEMA.names
    assert frame.drop(columns="step").to_dict("records") == [make_row(sample=0), make_row(sample=1)]
    assert set(frame["step"]) == {3}


def test_steps_are_ordered_by_number(tmp_path):
    for step in (1_000_000, 2, 10):
        write(tmp_path, step)
    assert list(load_rollouts(tmp_path)["step"]) == [2, 10, 1_000_000]
    assert list(load_rollouts(tmp_path, steps=range(5))["step"]) == [2]


def test_a_step_written_twice_is_stored_once(tmp_path):
    write(tmp_path, 4, make_row(), make_row())
    write(tmp_path, 4, make_row(completion="again"))
    assert list(load_rollouts(tmp_path)["completion"]) == ["again"]
    assert [path.name for path in (tmp_path / "rollouts").iterdir()] == ["step-000004.parquet"]


def test_drop_after_removes_later_steps_only(tmp_path):
    for step in (1, 2, 3):
        write(tmp_path, step)
    assert RolloutWriter(tmp_path / "rollouts").drop_after(1) == 2
    assert [step for step, _ in step_files(tmp_path / "rollouts")] == [1]


def test_other_rewards_are_kept_and_missing_ones_are_nan(tmp_path):
    row = make_row(length_reward=0.25)
    del row["format_reward"]
    write(tmp_path, 1, row)
    write(tmp_path, 2)
    frame = load_rollouts(tmp_path)
    assert frame["length_reward"].iloc[0] == 0.25
    assert frame["length_reward"].isna().tolist() == [False, True]
    assert frame["format_reward"].isna().tolist() == [True, False]


def test_a_misspelt_or_missing_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match="token_count"):
        write(tmp_path, 1, make_row(token_count=3))
    short = make_row()
    del short["tokens"]
    with pytest.raises(ValueError, match="tokens"):
        write(tmp_path, 1, make_row(), short)
    assert not (tmp_path / "rollouts").exists()


def test_half_written_files_are_not_read(tmp_path):
    path = write(tmp_path, 1)
    path.with_name(".step-000002.parquet.99.part").write_bytes(b"PAR1")
    assert list(load_rollouts(tmp_path)["step"]) == [1]


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(UserError, match="holds no rollouts"):
        load_rollouts(tmp_path)
    path = write(tmp_path, 1)
    with pytest.raises(UserError, match=r"for steps \[5\]"):
        load_rollouts(tmp_path, steps=[5])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="step-000001.parquet is damaged"):
        load_rollouts(tmp_path)
