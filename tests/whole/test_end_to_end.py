"""The promise of the README: one command runs every notebook and ends in a table and a report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vtkit import __main__ as cli
from vtkit.files import ROOT, read_json
from vtkit.runs.steps import NOTEBOOKS

NAMES = [path.stem for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))]


@pytest.fixture(scope="module")
def command(mini_data, tmp_path_factory):
    """Run the command line on the miniature with few steps and rows."""
    run_dir = tmp_path_factory.mktemp("end-to-end") / "run"
    settings = {
        "train_data": mini_data,
        "train_rows": 48,
        "benchmark_data": mini_data,
        "benchmark_rows": 32,
        "max_steps": 4,
        "sft_steps": 4,
        "prompts_per_step": 4,
        "num_generations": 4,
        "per_device_batch_size": 16,
        "eval_steps": 4,
        "save_steps": 2,
        "samples": 32,
        "lab_steps": 1,
        "pairs": 4,
    }
    pairs = [text for name, value in settings.items() for text in ("-p", name, str(value))]

    def run() -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "vtkit", *run.arguments],
            cwd=ROOT, capture_output=True, text=True,
            env={name: value for name, value in os.environ.items() if name != "VTKIT_HEADLESS"},
        )  # fmt: skip

    run.folder, run.arguments = run_dir, ["--run-dir", str(run_dir), *pairs]
    return run


@pytest.fixture(scope="module")
def first(command) -> subprocess.CompletedProcess:
    result = command()
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


@pytest.fixture(scope="module")
def folder(command, first) -> Path:
    return command.folder


@pytest.mark.slow
def test_every_notebook_runs_and_the_results_are_shown(first, folder):
    for name in NAMES:
        assert f"{name}: done in" in first.stdout
    assert "step 4/4, reward" in first.stdout and "CV-Bench at step 4" in first.stdout
    table = first.stdout[first.stdout.index("notebook  ") :]
    for word in ("base", "SFT", "GRPO", "Count", "Relation", "Depth", "Distance"):
        assert word in table, table
    assert f"report: {folder / 'report.html'}" in first.stdout
    assert first.stderr == ""


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
def test_the_same_command_again_skips_everything(command, folder, capsys, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in (folder / "rollouts").iterdir()}
    monkeypatch.delenv("VTKIT_HEADLESS", raising=False)
    assert cli.main(command.arguments) == 0
    out, err = capsys.readouterr()
    assert err == "" and "report: " in out
    assert out.count("skipped, done before with the same parameters") == len(NAMES)
    assert {path: path.stat().st_mtime_ns for path in (folder / "rollouts").iterdir()} == before
