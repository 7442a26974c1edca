"""Marks of checkpoints, and what becomes of a damaged one."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from shared.records import write_score

from vtkit.errors import UserError
from vtkit.files import read_json, write_json
from vtkit.runs.checkpoints import (
    BEST,
    keep_best,
    keep_last,
    last_checkpoint,
    settle_checkpoints,
    step_of,
)
from vtkit.runs.marks import WHOLE, begin, damage, is_ours, mark_whole, read_mark, unproven

FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "optimizer_0/a.0")


def save(folder: Path, step: int, *, mark: bool = True) -> Path:
    """A checkpoint as a trainer leaves it, of a few bytes."""
    made = folder / "checkpoints" / f"checkpoint-{step}"
    begin(made)
    (made / "optimizer_0").mkdir()
    for name in FILES:
        (made / name).write_text(f"{name} of {step}")
    write_json(made / "trainer_state.json", {"global_step": step})
    (made / "README.md").write_text("a card")
    if mark:
        mark_whole(made)
    return made


def settle(folder: Path) -> None:
    settle_checkpoints(folder / "checkpoints", folder / "evals")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.fixture
def run(tmp_path) -> Path:
    """A run folder with whole checkpoints of steps 2 and 4, the best of them 4."""
    save(tmp_path, 2)
    save(tmp_path, 4)
    write_score(tmp_path / "evals", 4, 50)
    keep_best(tmp_path / "checkpoints", tmp_path / "evals", step=4)
    return tmp_path


def test_a_mark_has_sizes_and_hashes(run):
    kept = run / "checkpoints" / "checkpoint-4"
    mark = read_json(kept / WHOLE)
    assert (mark["format"], mark["checkpoint"]) == (2, "checkpoint-4")
    assert mark["files"].keys() == {*FILES, "trainer_state.json", "README.md"}
    assert mark["files"]["README.md"] is None  # people edit it
    for name in FILES:
        content = (kept / name).read_bytes()
        hash_ = hashlib.sha256(content).hexdigest()
        assert mark["files"][name] == {"bytes": len(content), "sha256": hash_}
    assert damage(kept, read_mark(kept).files) == ""
    assert unproven(kept, 1) == []
    assert unproven(kept, 2) == ["random state"]  # of the second process
    (kept / "README.md").write_text("edited")
    settle(run)
    assert names(run) == [BEST, "checkpoint-2", "checkpoint-4"]


DAMAGE = {
    "cut": ("optimizer.pt", b"opt", "optimizer.pt has 3 bytes instead of 17"),
    "empty": ("scheduler.pt", b"", "scheduler.pt has 0 bytes instead of 17"),
    "changed": ("rng_state.pth", b"rng_state.pth of 3", "rng_state.pth has other contents"),
    "missing": ("model.safetensors", None, "model.safetensors is missing"),
    "in a folder": ("optimizer_0/a.0", None, "optimizer_0/a.0 is missing"),
}


@pytest.mark.parametrize(("name", "content", "said"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_named_kept_and_left_for_an_older_one(
    name, content, said, run, capsys
):
    path = run / "checkpoints" / "checkpoint-4" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    kept = {file: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
    settle(run)
    line = capsys.readouterr().out
    assert line.startswith(f"{run}/checkpoints/checkpoint-4: {said}") and line.count("\n") == 1
    assert "it is checkpoint-4-damaged now, and an older one is used" in line
    assert last_checkpoint(run / "checkpoints").name == "checkpoint-2"
    aside = run / "checkpoints" / "checkpoint-4-damaged"
    for file, bytes_ in kept.items():
        moved = aside / file.relative_to(run / "checkpoints" / "checkpoint-4")
        assert moved.read_bytes() == bytes_
    # The run resumes: it is not one of the two that are kept, and nothing removes it.
    for step in (4, 6):
        save(run, step)
        keep_last(run / "checkpoints", step=step)
    settle(run)
    assert names(run) == [BEST, "checkpoint-4", "checkpoint-4-damaged", "checkpoint-6"]
    assert capsys.readouterr().out == ""


def test_the_best_goes_with_the_checkpoint_that_it_is_linked_to(run, capsys):
    os.truncate(run / "checkpoints" / "checkpoint-4" / "model.safetensors", 3)
    settle(run)
    first, second = capsys.readouterr().out.splitlines()
    assert "checkpoint-4: model.safetensors has 3 bytes" in first
    assert "best: model.safetensors has 3 bytes" in second and "best-damaged now" in second
    save(run, 4)
    settle(run)  # it is made anew from the checkpoint that was written again
    best = run / "checkpoints" / BEST
    assert step_of(best) == 4
    assert (best / "model.safetensors").read_text() == "model.safetensors of 4"


def test_a_checkpoint_of_another_step_is_damaged(run):
    kept = run / "checkpoints"
    shutil.rmtree(kept / "checkpoint-4")
    made = save(run, 4, mark=False)
    write_json(made / "trainer_state.json", {"global_step": 3})
    mark_whole(made)
    assert damage(made, read_mark(made).files) == "trainer_state.json is of step 3"
    settle(run)
    assert last_checkpoint(kept) == kept / "checkpoint-2"


def test_without_an_undamaged_one_nothing_is_moved(run):
    for step in (2, 4):
        (run / "checkpoints" / f"checkpoint-{step}" / "optimizer.pt").unlink()
    before = names(run)
    for _ in range(2):  # not even by who repeats the command
        with pytest.raises(UserError, match="checkpoint-4: optimizer.pt is missing") as caught:
            settle(run)
        assert "train from the start in another folder (run_dir)" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert names(run) == before


@pytest.mark.parametrize("lines", [[], [*FILES, "README.md", "trainer_state.json"]])
def test_marks_of_older_runs_are_taken_and_prove_nothing(lines, run):
    for step in (2, 4):
        kept = run / "checkpoints" / f"checkpoint-{step}"
        (kept / WHOLE).write_text("\n".join([kept.name, *lines, ""]))
    settle(run)
    last = last_checkpoint(run / "checkpoints")
    assert last.name == "checkpoint-4" and is_ours(last)
    parts = ["weights", "optimizer", "scheduler", "trainer state", "random state"]
    assert unproven(last, 1) == parts
    if lines:
        (last / "scheduler.pt").unlink()
        settle(run)
        assert last_checkpoint(run / "checkpoints").name == "checkpoint-2"
    save(run, 6)
    save(run, 8)
    keep_last(run / "checkpoints", step=8)
    assert {"checkpoint-6", "checkpoint-8"} <= {*names(run)}
    assert "checkpoint-2" not in names(run)


MARKS = ["", "{", "[]", "{}", '{"checkpoint": "checkpoint-4", "files": [1]}', "checkpoint-9\n"]


@pytest.mark.parametrize("content", [text.encode() for text in MARKS] + [b"\xff\xfe"])
def test_a_damaged_mark_is_one_line(content, run):
    (run / "checkpoints" / "checkpoint-4" / WHOLE).write_bytes(content)
    with pytest.raises(UserError, match="checkpoint-4 is in the way: this run did not write it"):
        settle(run)
    assert last_checkpoint(run / "checkpoints").name == "checkpoint-2"
    assert (run / "checkpoints" / "checkpoint-4" / "optimizer.pt").exists()


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_is_no_checkpoint(kind, run, tmp_path_factory):
    place = run / "checkpoints" / "checkpoint-4"
    elsewhere = tmp_path_factory.mktemp("other") / "checkpoint-4"
    shutil.move(place, elsewhere)
    place.symlink_to(elsewhere) if kind == "link" else place.write_text("")
    assert last_checkpoint(run / "checkpoints").name == "checkpoint-2"
    with pytest.raises(UserError, match="checkpoint-4 is in the way: .*; move it or rename it"):
        settle(run)
    assert json.loads((elsewhere / WHOLE).read_text())["checkpoint"] == "checkpoint-4"
