"""Committed runs: what is kept, what is replayed when, and that the README quotes them."""

import json
import re

import nbformat
import pandas as pd
import pytest
from shared.fake_run import write_fake_run

from vtkit import files
from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.report.summary import result_table, summarize
from vtkit.runs import replay
from vtkit.runs.rollouts import load_rollouts
from vtkit.runs.steps import NOTEBOOKS
from vtkit.studies import comparison, entries, keeping, readme
from vtkit.studies.__main__ import main
from vtkit.studies.ledger import load_ledger

MARKS = (
    "<!-- table:start --><!-- table:end -->\n<!-- seeds:start -->stale<!-- seeds:end -->"
    "<!-- causal:start --><!-- causal:end -->"
    "<!-- rows:start --><!-- rows:end --><!-- arms:start --><!-- arms:end -->"
    "<!-- published:start --><!-- published:end --><!-- talkative:start --><!-- talkative:end -->"
    "<!-- terse:start --><!-- terse:end -->"
    "<!-- controls:start --><!-- controls:end --><!-- switches:start --><!-- switches:end -->"
)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write_fake_run(tmp_path_factory.mktemp("run"), steps=40)


@pytest.fixture
def kept(run_dir, tmp_path, monkeypatch):
    """The fake run, kept; what it drew for that is drawn once elsewhere."""
    monkeypatch.setattr(replay, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(entries, "RECORDS", tmp_path / "reference" / "studies")
    monkeypatch.setattr(keeping, "KEPT_FIGURES", ())
    monkeypatch.setattr(keeping, "MOST_STEPS", 8)
    return keeping.keep(run_dir)


def test_readme_quotes_the_committed_runs():
    text = readme.README.read_text(encoding="utf-8")
    assert readme.fill(text) == text, "run: python -m vtkit.studies readme"


def test_notebook_06_types_no_result():
    """Its numbers come from files; those in its words are other people's, and in the ledger."""
    cells = nbformat.read(NOTEBOOKS / "06_replications.ipynb", 4).cells
    words = "\n".join(cell.source for cell in cells)
    words = re.sub(r"(?m)^## \d\.\d .*$", "", words)
    typed = set(re.findall(r"\d+\.\d+|\d+(?= ?%)", words)) - {"95"}
    assert typed <= {number["number"] for number in load_ledger()}


def test_readme_links_lead_somewhere():
    text = readme.README.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [target for target in targets if not target.startswith("http")]
    missing = [target for target in local if not (files.ROOT / target).exists()]
    if not any(replay.REFERENCE.glob("*/summary.json")):
        missing = [target for target in missing if not target.startswith("results/")]
    assert len(local) > 5 and not missing


def test_a_kept_run_reports_the_same_numbers(run_dir, kept):
    assert result_table(kept).splitlines()[:12] == result_table(run_dir).splitlines()[:12]
    assert summarize(kept) == summarize(run_dir)
    first, theirs = (load_rollouts(at, steps=[1, 2, 3]).to_pandas() for at in (kept, run_dir))
    assert first.equals(theirs)
    assert load_rollouts(kept).steps == [*range(1, 11), 15, 20, 25, 30, *range(31, 41)]
    assert not (kept / "checkpoints").exists() and str(run_dir) not in (
        (kept / "config.yaml").read_text() + (kept / "sft" / "config.yaml").read_text()
    )


def test_keeping_again_replaces(run_dir, kept):
    (kept / "stale").write_text("")
    assert keeping.keep(run_dir) == kept
    assert not (kept / "stale").exists() and [*kept.parent.iterdir()] == [kept]


def test_keeping_draws_the_figures(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "REFERENCE", tmp_path)
    figures = keeping.keep(run_dir) / "figures"
    assert sorted(path.name for path in figures.iterdir()) == ["comparison.png", "figure_1.png"]


def test_an_unfinished_run_is_not_kept(tmp_path):
    run_dir = write_fake_run(tmp_path, steps=2, sft=False)
    (run_dir / "manifest.json").write_text(json.dumps({"status": "failed"}))
    with pytest.raises(UserError, match="failed; finish the run"):
        keeping.keep(run_dir)


def test_a_run_of_its_own_is_not_replayed(run_dir, kept):
    config = resolve_config(run_dir=run_dir)
    assert replay.find_run(config, "rollouts") == (run_dir, False)


def test_the_nearest_run_is_replayed_from_a_copy(kept, tmp_path):
    for name, seed in (("sft", 3), ("visualthinker", 3)):
        other = tmp_path / "reference" / f"{name}-mini-s3"
        (other / "rollouts").mkdir(parents=True)
        settings = {"profile": "mini", "recipe": name, "seed": seed}
        (other / "config.yaml").write_text(json.dumps(settings))
    config = resolve_config(seed=3, run_dir=tmp_path / "run")
    folder, replayed = replay.find_run(config, "rollouts")
    assert replayed and folder == tmp_path / "run" / "replay"
    assert "visualthinker" in (folder / "config.yaml").read_text()
    # Only kept has metrics, so it is the nearest run that has the part; nothing of before is left.
    folder, _ = replay.find_run(config, "metrics.csv")
    assert pd.read_csv(folder / "metrics.csv").equals(pd.read_csv(kept / "metrics.csv"))
    (folder / "metrics.csv").unlink()
    assert (kept / "metrics.csv").exists()


def test_nothing_to_replay_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "REFERENCE", tmp_path)
    with pytest.raises(UserError, match=r"rollouts is missing.*notebook 03"):
        replay.find_run(resolve_config(run_dir=tmp_path / "run"), "rollouts")


def test_tables_are_filled_in_and_say_what_was_missed(kept):
    filled = readme.fill(MARKS)
    accuracy = json.loads((kept / "summary.json").read_text())["accuracy"]
    for name in ("base", "sft", "grpo"):
        assert f"{accuracy[name]['value']:.1%} [" in filled
    assert "| seed 0, n = 400 |" in filled and "stale" not in filled
    assert "GRPO over SFT" in filled and "**missed**" not in filled
    assert f"| base + GRPO | 59.47 | {100 * accuracy['grpo']['value']:.1f} (1 seed) |" in filled
    assert "| R1-V | ↓ | not run |" in filled and "| R1-V | not run |" in filled
    assert "| one seed |" in filled
    assert readme.fill(filled) == filled

    effect = {"n": 200, "value": -0.4, "low": -0.5, "high": -0.3}
    audit = {"effects": {"force": effect, "words": effect | {"n": 51}}, "verdict": {"kind": "lost"}}
    (kept / "aha.json").write_text(json.dumps(audit))
    filled = readme.fill(MARKS)
    assert "| force | -40.0 | one seed | -40.0 [-50.0, -30.0] |" in filled and "(n = 51)" in filled
    assert "| insert | not run | not run | not run |" in filled and "|  | lost |" in filled

    path = kept / "summary.json"
    summary = json.loads(path.read_text())
    summary["accuracy"]["sft"] = None
    path.write_text(json.dumps(summary))
    assert "| not run, **missed** |" in readme.fill(MARKS)


def test_what_the_readme_counts_in_its_text_is_counted():
    text = readme.README.read_text(encoding="utf-8")
    agree, terse = comparison.rows_that_agree(), comparison.rows_that_agree("terse")
    redone = sum(name in comparison.load_results("terse") for name in _agreeing("rows"))
    assert f"In both words, {agree} of the 5 rows agree" in text
    assert f"the first time {agree - redone + terse} of the 5 agreed" in text
    published = comparison.rows_that_agree("published")
    assert f"With this loss {published} of the 5 rows agree" in text


def _agreeing(study):
    """The rows that agree on three seeds or more."""
    found = comparison.load_results(study)
    return [name for name, one in found.items() if one.count(comparison.agrees(one.entry)) >= 3]


def test_without_a_committed_run_the_readme_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "REFERENCE", tmp_path)
    assert readme.fill(MARKS).count("*Not run yet.*") == 3
    with pytest.raises(UserError, match="one pair of lines"):
        readme.fill(MARKS * 2)


def test_the_command_line_keeps_and_fills(run_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(replay, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(keeping, "KEPT_FIGURES", ())
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text(MARKS)
    assert main(["readme", str(run_dir)]) == 0
    assert "seed 0" in (tmp_path / "README.md").read_text()
    assert main(["readme", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
