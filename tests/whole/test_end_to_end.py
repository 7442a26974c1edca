"""The promise of the README: one command runs every notebook and ends in a table and a report."""

import json
from pathlib import Path

import nbformat
import pytest

from vtkit import __main__ as cli
from vtkit.files import read_json
from vtkit.runs.steps import NOTEBOOKS

NAMES = [path.stem for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))]


@pytest.fixture
def folder(whole_run) -> Path:
    return whole_run.folder


@pytest.mark.slow
def test_every_notebook_runs_and_the_results_are_shown(whole_run, folder):
    for name in NAMES:
        assert f"{name}: done in" in whole_run.stdout
    assert "step 4/4, reward" in whole_run.stdout and "CV-Bench at step 4" in whole_run.stdout
    table = whole_run.stdout[whole_run.stdout.index("notebook  ") :]
    for word in ("base", "SFT", "GRPO", "Count", "Relation", "Depth", "Distance"):
        assert word in table, table
    assert f"report: {folder / 'report.html'}" in whole_run.stdout
    assert whole_run.stderr == ""


@pytest.mark.slow
def test_the_run_folder_is_complete(folder):
    summary = read_json(folder / "summary.json")
    assert {"base", "sft", "grpo"} <= set(summary["accuracy"])
    assert all(entry["n"] == 32 for entry in summary["accuracy"].values())
    manifest = read_json(folder / "manifest.json")
    assert manifest["status"] == "finished" and manifest["wall_seconds"] > 0
    for name in ("config.yaml", "metrics.csv", "sft/metrics.csv", "figures/figure_1.png"):
        assert (folder / name).stat().st_size > 0, name
    for run in (folder, folder / "sft"):
        scored = sorted(path.name for path in (run / "evals").glob("*.json"))
        assert scored == ["step-000000.json", "step-000004.json"]
        assert (run / "checkpoints" / "checkpoint-4" / "chat_template.jinja").exists()
    assert len(list((folder / "rollouts").iterdir())) == 4
    assert not list(folder.rglob("*.part"))


@pytest.mark.slow
def test_the_report_is_self_contained(folder):
    text = (folder / "report.html").read_text()
    assert "data:image/" in text and "<table" in text
    assert 'src="http' not in text and 'href="http' not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_executed_notebooks_have_no_error_and_no_noise(name, folder):
    notebook = nbformat.read(folder / "notebooks" / f"{name}.ipynb", 4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    noise = [
        line
        for output in outputs
        if output.output_type == "stream" and output["name"] == "stderr"
        for line in output["text"].splitlines()
    ]
    # transformers says so where checkpoints follow each other within a second, as here
    meant = ("mtime may not be reliable",)
    assert [line for line in noise if not any(text in line for text in meant)] == []
    assert "checked" in json.dumps(notebook)  # its last cell compares what it found


@pytest.mark.slow
def test_the_same_command_again_skips_everything(whole_run, folder, capsys, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in (folder / "rollouts").iterdir()}
    monkeypatch.delenv("VTKIT_HEADLESS", raising=False)
    assert cli.main(whole_run.arguments) == 0
    out, err = capsys.readouterr()
    assert err == "" and "report: " in out
    assert out.count("skipped, done before with the same parameters") == len(NAMES)
    assert {path: path.stat().st_mtime_ns for path in (folder / "rollouts").iterdir()} == before
