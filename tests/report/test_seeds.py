"""Several seeds put together: no seed left out, means and spreads right, what is missing told."""

import json
from statistics import mean, stdev

import pytest
from shared.fake_run import write_fake_run

from vtkit.errors import UserError
from vtkit.files import read_json
from vtkit.report import seeds
from vtkit.report.summary import summarize


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    return [write_fake_run(folder / f"x-s{seed}", steps=30, seed=seed) for seed in range(3)]


def column(table, name):
    header, rows = table
    return {row[0]: row[header.index(name)] for row in rows}


def test_mean_and_spread_are_those_of_the_seeds(runs):
    summaries = [summarize(run) for run in runs]
    table = seeds.table(summaries)
    assert table[0] == ["", "asked", "mean", "spread", "seed 0", "seed 1", "seed 2"]
    values = [100 * summary["accuracy"]["grpo"]["value"] for summary in summaries]
    assert column(table, "mean")["accuracy, GRPO"] == f"{mean(values):.1f}%"
    spread = f"{min(values):.1f}% to {max(values):.1f}%, sd {stdev(values):.1f}%"
    assert column(table, "spread")["accuracy, GRPO"] == spread
    assert column(table, "seed 1")["accuracy, GRPO"].startswith(f"{values[1]:.1f}% [")
    growth = [one["mean_length"]["end"] / one["mean_length"]["dip"] for one in summaries]
    assert column(table, "mean")["mean rollout length, dip, end"] == f"{mean(growth):.2f}"
    plain = seeds.table(summaries, plain=True)
    assert column(plain, "seed 1")["accuracy, GRPO"] == f"{values[1]:.1f}%"
    assert column(plain, "mean") == column(table, "mean")


def test_what_is_missed_or_missing_says_so(runs):
    summary = summarize(runs[0])
    summary["accuracy"]["sft"] = None
    summary["html_share"]["intervals"]["end"] = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    table = seeds.table([summary])
    cells = column(table, "seed 0")
    assert cells["GRPO over SFT, points"] == "not run, **missed**"
    assert cells["HTML at the end"] == "50.0% [40.0, 60.0], **missed**"
    assert column(table, "spread")["accuracy, GRPO"] == "one seed"
    assert column(table, "mean")["accuracy, SFT"] == "not run"


def test_an_untrained_run_has_a_table_too(tmp_path):
    run = write_fake_run(tmp_path, steps=10, algorithm="sft")
    cells = column(seeds.table([summarize(run)]), "seed 0")
    assert cells["mean rollout length, start, dip"] == "not run, **missed**"
    assert cells["reflection, start"] == "not run" and "%" in cells["accuracy, SFT"]


def test_the_folder_of_all_seeds(runs, tmp_path):
    out = seeds.aggregate(runs, tmp_path / "x-seeds")
    summary = read_json(out / "summary.json")
    assert (summary["seeds"], summary["recipe"]) == ([0, 1, 2], "visualthinker")
    found = summary["measures"]["accuracy, GRPO"]
    assert found["mean"] == pytest.approx(mean(found["values"])) and len(found["values"]) == 3
    text = (out / "report.html").read_text()
    assert "3 seeds" in text and "GRPO over SFT" in text and "data:image/png" in text
    for name in ("bands.png", "bands.svg"):
        assert (out / "figures" / name).stat().st_size > 10_000
    assert sorted(path.name for path in out.iterdir()) == ["figures", "report.html", "summary.json"]


def test_other_settings_are_not_mixed(runs, tmp_path):
    other = write_fake_run(tmp_path / "other", steps=20, seed=4)
    with pytest.raises(UserError, match="differs from .* in max_steps, sft_steps, not in seed"):
        seeds.aggregate([runs[0], other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_scores_is_named(runs, tmp_path):
    bare = write_fake_run(tmp_path / "bare", steps=30, seed=4)
    for path in (bare / "evals").glob("*"):
        path.unlink()
    with pytest.raises(UserError, match="bare/evals holds no scores"):
        seeds.bands([runs[0], bare], tmp_path / "out")
    assert json.dumps(summarize(bare))
