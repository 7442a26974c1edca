"""Does a manifest know the files that a run was trained with, and refuse others in their place?"""

import os

import pytest
from shared.calls import refusal
from shared.records import write_manifest

from vtkit.config.recipes import resolve_config
from vtkit.runs import manifest
from vtkit.runs.contents import read_manifest


@pytest.fixture
def run(tmp_path):
    """A run whose data are one file, and its model another."""
    places = {name: tmp_path / name for name in ("train_data", "benchmark_data", "model", "run")}
    for place in places.values():
        place.mkdir()
    (places["train_data"] / "SAT_train.parquet").write_bytes(b"rows")
    (places["model"] / "model.safetensors").write_bytes(b"weights")
    write_manifest(places["run"])
    names = {name: str(place) for name, place in places.items() if name != "run"}
    return resolve_config(run_dir=places["run"], **names)


def test_a_resumed_run_must_read_the_same_files(run, tmp_path):
    manifest.require_same_files(run, resumed=False)
    noted = read_manifest(run.run_dir)["files"]
    assert {os.path.basename(path): entry["bytes"] for path, entry in noted.items()} == {
        "SAT_train.parquet": 4,
        "model.safetensors": 7,
    }
    manifest.require_same_files(run, resumed=True)

    data = tmp_path / "train_data" / "SAT_train.parquet"
    data.write_bytes(b"other rows")
    message = refusal(manifest.require_same_files, run, resumed=True)
    assert message.startswith(f"{data} is not the file that {run.run_dir} was trained with so far")
    assert "restore it, or train in another folder (run_dir)" in message
    assert read_manifest(run.run_dir)["files"] == noted, "nothing is noted of what was refused"
    manifest.require_same_files(run, resumed=False)  # it starts again
    assert read_manifest(run.run_dir)["files"] != noted


def test_a_file_that_was_only_touched_is_the_same(run, tmp_path):
    manifest.require_same_files(run, resumed=False)
    os.utime(tmp_path / "model" / "model.safetensors", (1, 1))
    manifest.require_same_files(run, resumed=True)


def test_a_checkout_without_git_has_no_revision(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    assert manifest.git_revision() is None
