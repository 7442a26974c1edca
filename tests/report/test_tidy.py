"""One table over many runs: every number of every run, whatever lies around them."""

import io
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from shared.calls import refusal
from shared.fake_run import write_fake_run

from vtkit.files import ROOT
from vtkit.report.__main__ import main
from vtkit.report.tidy import COLUMNS, tidy, write_tidy
from vtkit.runs.records import load_evaluations, load_metrics


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs, one with a supervised baseline, a summary of seeds, a log, an empty folder."""
    folder = tmp_path_factory.mktemp("runs")
    write_fake_run(folder / "x-s0", steps=20, seed=0)
    write_fake_run(folder / "x-s1", steps=20, seed=1, sft=False)
    (folder / "x-seeds").mkdir()
    (folder / "x-seeds" / "summary.json").write_text("{}")
    (folder / "x.log").write_text("so it goes")
    return folder


@pytest.fixture
def damaged(runs, tmp_path):
    """A folder with runs that cannot be read, by what is wrong with them."""
    for name in ("config", "metrics", "cells", "scores", "score", "fresh"):
        shutil.copytree(runs / "x-s1", tmp_path / name)
    (tmp_path / "config" / "config.yaml").unlink()
    (tmp_path / "metrics" / "metrics.csv").write_text("")
    (tmp_path / "cells" / "metrics.csv").write_text("step,loss\n1,low\n")
    (tmp_path / "scores" / "evals" / "step-000010.json").write_text("{")
    (tmp_path / "score" / "evals" / "step-000010.json").write_text('{"step": 10}')
    (tmp_path / "fresh" / "metrics.csv").unlink()
    shutil.rmtree(tmp_path / "fresh" / "evals")
    return tmp_path


def test_every_number_is_there_once(runs):
    table, problems = tidy([f"{runs}/*"])
    assert problems == [] and list(table) == COLUMNS
    assert list(table["run"].unique()) == [str(runs / n) for n in ("x-s0", "x-s0/sft", "x-s1")]
    assert set(table["recipe"]) == {"visualthinker", "sft"} and set(table["seed"]) == {0, 1}
    assert not table.duplicated(["run", "step", "metric"]).any() and table["value"].notna().all()
    for run, rows in table.groupby("run"):
        wide = rows.pivot(index="step", columns="metric", values="value")
        metrics = load_metrics(run)
        logged = wide.loc[metrics.index, list(metrics)]
        pd.testing.assert_frame_equal(
            logged, metrics.astype(float), check_names=False, check_exact=True
        )
        for score in load_evaluations(run):
            at = wide.loc[score["step"]]
            assert at["eval/accuracy"] == score["accuracy"]["value"]
            assert at["eval/accuracy_low"] == score["accuracy"]["low"]
            assert at["eval/accuracy_as_published"] == score["paper"]["accuracy"]["value"]
            assert at["eval/tasks/Depth"] == score["tasks"]["Depth"]["value"]


def test_a_run_is_read_once_and_alone(runs):
    table, problems = tidy([str(runs / "x-s1"), f"{runs}/x-s*"])
    assert problems == [] and table["run"].iloc[0] == str(runs / "x-s1")
    assert len(table) == len(tidy([f"{runs}/*"])[0])


def test_what_cannot_be_read_is_named_and_the_rest_is_there(runs, damaged, capsys):
    assert main(["--all", f"{runs}/*", f"{damaged}/*", str(runs / "x-seeds"), "no/such"]) == 1
    out, err = capsys.readouterr()
    assert len(pd.read_csv(io.StringIO(out))) == len(tidy([f"{runs}/*"])[0])
    lines = err.splitlines()
    wrong = ["cells", "config", "fresh", "metrics", "score", "scores"]
    assert len(lines) == len(wrong) + 2 and all(line.startswith("left out: ") for line in lines)
    for line, name in zip(lines, wrong, strict=False):
        assert str(damaged / name) in line
    assert "fresh has no metrics and no scores yet; train it first" in lines[2]
    assert "x-seeds/config.yaml is missing" in lines[-2]
    assert lines[-1] == "left out: no/such: there is no such folder"


def test_nothing_to_read_is_a_mistake(damaged, capsys):
    assert main(["--all", f"{damaged}/fresh", "--out", str(damaged / "x.csv")]) == 2
    err = capsys.readouterr().err
    assert "error: no run to read in " in err and not (damaged / "x.csv").exists()
    assert main([str(damaged / "score"), "--out", "x.csv"]) == 2
    assert "--out is the file of the table of --all" in capsys.readouterr().err


def test_the_file_is_the_table_and_only_such_a_file_is_replaced(runs, tmp_path, capsys):
    table, _ = tidy([str(runs / "x-s1")])
    out = tmp_path / "new" / "all.csv"
    assert main(["--all", str(runs / "x-s0"), "--out", str(out)]) == 0
    assert "numbers of 2 runs" in capsys.readouterr().out
    assert write_tidy(table, out) == out  # its own earlier file
    read = pd.read_csv(out)
    pd.testing.assert_frame_equal(read, table, check_exact=True)
    for text in ("", "step,loss\n1,2\n", "run,recipe,profile,seed,step,metric,value,note\n"):
        (tmp_path / "mine.csv").write_text(text)
        message = refusal(write_tidy, table, tmp_path / "mine.csv")
        assert "is there and is no such table; move it away" in message
        assert (tmp_path / "mine.csv").read_text() == text
    assert "is no such table" in refusal(write_tidy, table, tmp_path)


def test_relative_folders_start_at_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    _, problems = tidy(["no/such", "vtkit"])
    assert problems[0] == "no/such: there is no such folder"
    assert "vtkit/config.yaml is missing" in problems[1]


def test_a_reader_may_stop(runs):
    command = f"{sys.executable} -m vtkit.report --all '{runs}/*' | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == ",".join(COLUMNS) and done.stderr == ""
