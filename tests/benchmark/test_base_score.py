"""The base model's score, taken over from a run that asked the same model the same questions."""

import os

import pytest

from vtkit.benchmark import base_score
from vtkit.benchmark.base_score import share_base_score
from vtkit.config.recipes import resolve_config
from vtkit.runs import manifest
from vtkit.runs.folder import start_run
from vtkit.runs.manifest import file_hashes, update_manifest


@pytest.fixture
def run(tmp_path, monkeypatch):
    for module in (manifest, base_score):  # whatever state this checkout is in
        monkeypatch.setattr(module, "git_revision", lambda: "commit")
    for name in ("model/model.safetensors", "data/test_2d.parquet"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    places = {"model": tmp_path / "model", "train_data": tmp_path / "data"}
    places |= {"benchmark_data": tmp_path / "data", "run_dir": tmp_path / "run"}
    config = resolve_config(**{name: str(place) for name, place in places.items()})
    update_manifest(start_run(config), files=file_hashes(config, {}))
    (tmp_path / "run" / "evals").mkdir()
    for ending in ("json", "parquet"):
        (tmp_path / "run" / "evals" / f"step-000000.{ending}").write_text(ending)
    return config


def another(run, **changes):
    folder = f"{run.run_dir}/sft"
    return run.replace(**{"run_dir": folder, "algorithm": "sft", **changes})


def test_the_score_and_the_answers_are_copied_once(run, tmp_path):
    other, evals = another(run, learning_rate=1.0), tmp_path / "run" / "sft" / "evals"
    assert share_base_score(run, other)
    found = {path.name: path.read_text() for path in evals.iterdir()}
    assert found == {"step-000000.json": "json", "step-000000.parquet": "parquet"}
    assert not share_base_score(run, other), "it has one"
    assert not share_base_score(run, run)


@pytest.mark.parametrize(
    "changes",
    [{"prompt": "instruct"}, {"benchmark_rows": 8}, {"eval_max_new_tokens": 9}, {"seed": 1}],
)
def test_other_questions_are_asked(run, tmp_path, changes):
    assert not share_base_score(run, another(run, **changes))
    assert not (tmp_path / "run" / "sft").exists()


@pytest.mark.parametrize("name", ["model/model.safetensors", "data/test_2d.parquet"])
def test_a_file_has_changed_since(run, tmp_path, name):
    (tmp_path / name).write_text("another")
    assert not share_base_score(run, another(run))


@pytest.mark.parametrize("changes", [{"cold_start": 8}, {"adapter": "lora"}])
def test_what_is_trained_at_step_0_may_not_be_the_base_model(run, changes):
    assert not share_base_score(run.replace(**changes), another(run, **changes))


@pytest.mark.parametrize("commit", ["another", "commit+changes", None])
def test_other_code_scores_anew(run, monkeypatch, commit):
    monkeypatch.setattr(base_score, "git_revision", lambda: commit)
    assert not share_base_score(run, another(run))


def test_other_packages_score_anew(run, monkeypatch):
    monkeypatch.setattr(base_score, "package_versions", lambda: {"torch": "0"})
    assert not share_base_score(run, another(run))


def test_a_model_whose_prompt_changed_since_is_scored_anew(run, tmp_path):
    (tmp_path / "model" / "chat_template.jinja").write_text("another")
    later = (tmp_path / "run" / "evals" / "step-000000.json").stat().st_mtime + 1
    os.utime(tmp_path / "model" / "chat_template.jinja", (later, later))
    assert not share_base_score(run, another(run))
