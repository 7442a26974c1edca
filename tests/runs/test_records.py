"""Reading a run folder: windows, the dip, what was compared, damaged files."""

import pandas as pd
import pytest
from shared.fake_run import write_fake_run

from vtkit.config import recipes
from vtkit.config.run_config import read_config, save_config
from vtkit.errors import UserError
from vtkit.runs.curves import find_dip, moving_share, pooled_share
from vtkit.runs.records import (
    chance_levels,
    compared_rows,
    compared_scores,
    completions_per_step,
    describe_run,
    load_evaluated_rows,
    load_evaluations,
    load_metrics,
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("run"), steps=20)


def test_the_dip_is_the_lowest_moving_average():
    lengths = pd.Series([40.0, 30, 20, 10, 20, 30, 5, 40, 50], index=range(1, 10))
    # windows around steps 3..7: 24, 22, 17, 21, 29: one low step is not the dip
    assert find_dip(lengths) == (5, pytest.approx(17.0))
    assert find_dip(pd.Series([8.0, 6.0], index=[1, 2])) == (2, 7.0)


def test_shares_are_pooled_over_completions():
    shares = pd.Series([0.5, 0.25, 0.0], index=[1, 2, 3])
    assert pooled_share(shares, 8)["value"] == pytest.approx(6 / 24)
    moving = moving_share(pd.Series([1.0] * 5 + [0.0] * 5, index=range(1, 11)), 4)
    assert list(moving["n"]) == [12, 16] + [20] * 6 + [16, 12]
    assert moving["value"].iloc[[0, 4, 9]].tolist() == [1.0, 0.6, 0.0]


def test_metrics_keep_what_was_logged_and_get_their_times(run_dir):
    metrics = load_metrics(run_dir)
    assert metrics.index.tolist() == list(range(1, 21))
    assert "kl" not in metrics and "step_time" in metrics


def test_compared_scores(run_dir):
    scores = compared_scores(run_dir)
    assert {name: result["step"] for name, result in scores.items()} == {
        "base": 0,
        "sft": 20,
        "grpo": 20,
    }
    assert load_evaluations(run_dir)[1]["step"] == 10
    own = compared_scores(run_dir / "sft")
    assert own["grpo"] is None and own["sft"]["step"] == 20


def test_compared_rows_are_those_of_the_scores(run_dir):
    for folder, names in ((run_dir, ["base", "sft", "grpo"]), (run_dir / "sft", ["base", "sft"])):
        rows, scores = compared_rows(folder), compared_scores(folder)
        assert list(rows) == names
        for name, frame in rows.items():
            assert frame["correct"].mean() == scores[name]["accuracy"]["value"]


def test_a_run_that_only_scored_its_base(tmp_path):
    run_dir = write_fake_run(tmp_path, steps=2, sft=False)
    scores = compared_scores(run_dir)
    assert scores["base"] and scores["sft"] is None and scores["grpo"] is None


def test_names_and_sizes(run_dir, tmp_path):
    assert describe_run(run_dir) == "visualthinker, profile mini, seed 0"
    save_config(recipes.resolve_config(cold_start=16), tmp_path / "config.yaml")
    assert describe_run(tmp_path).endswith("seed 0, after a cold start on 16 examples")
    assert completions_per_step(run_dir) == 64
    assert chance_levels(run_dir)["Count"] == 0.25
    assert len(load_evaluated_rows(run_dir, 10)) == 400


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("config.yaml", b"recipe: [", lambda run: read_config(run / "config.yaml")),
        ("config.yaml", b"- 1", describe_run),
        ("metrics.csv", b"", load_metrics),
        ("metrics.csv", b"loss\n1\n", load_metrics),
        ("metrics.csv", b"step,loss\n", load_metrics),
        ("metrics.csv", b"step,loss\n1,2\n1,2,3,4\n", load_metrics),
        ("metrics.csv", b"\xff\xfe\x00", load_metrics),
        ("evals/step-000000.json", b'{"step"', load_evaluations),
        ("evals/step-000000.parquet", b"PAR1", lambda run: load_evaluated_rows(run, 0)),
    ],
)
def test_damaged_files_are_named(name, content, read, tmp_path):
    (tmp_path / "evals").mkdir()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        read(tmp_path)


def test_missing_rows_are_named(tmp_path):
    with pytest.raises(UserError, match="step-000005.parquet is missing"):
        load_evaluated_rows(tmp_path, 5)
