"""Killed at random moments a run ends as one that never was, on every path; disk is bounded.

The paths run one after the other in one process that forks (tests/shared/killed.py). Ten kills for
full fine-tuning, fewer for the others, to keep this to a minute or so of one core; VTKIT_KILLS=10
makes it ten for all.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from shared.records import write_score

from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import read_config
from vtkit.errors import UserError
from vtkit.files import ROOT, read_json
from vtkit.planning import disk
from vtkit.runs.checkpoints import (
    BEST,
    BEST_RECORD,
    NOT_MODEL,
    keep_best,
    last_checkpoint,
    remove_halves,
    settle_checkpoints,
    step_of,
)
from vtkit.runs.marks import WHOLE, begin, is_ours, mark_whole, read_mark
from vtkit.runs.records import best_score
from vtkit.training import exact_resume
from vtkit.training.callbacks import Checkpoints

BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None
LORA = {"adapter": "lora", "lora_rank": 4, "lora_alpha": 8, "freeze": "vision"}
LORA |= {"learning_rate": 1e-2, "sft_learning_rate": 1e-2}
PATHS = {  # kills, processes, recipe, settings
    "full": (10, 1, "visualthinker", {}),
    "cold start": (3, 1, "visualthinker", {"cold_start": 4, "max_steps": 2}),
    "sft": (2, 1, "sft", {}),
    "lora": (3, 1, "visualthinker", LORA | {"cold_start": 4}),
    "lora, sft": (1, 1, "sft", LORA),
    "qlora": (2, 1, "visualthinker", LORA | {"adapter": "qlora", "max_steps": 3}),
    "8-bit optimizer": (1, 1, "visualthinker", {"optimizer": "adamw_8bit", "max_steps": 3}),
    "two processes": (3, 2, "visualthinker", {"max_steps": 4}),
    "text": (1, 1, "deepseek-r1-zero", {}),
}
NEED_BITSANDBYTES = {"qlora", "8-bit optimizer"}
# What says when or where it was made; of TRL: names, seconds.
DIFFER = {".lock", "manifest.json", "config.yaml", "timings.csv"}
DIFFER |= {"README.md", "trainer_state.json", "training_args.bin"}


@pytest.fixture(scope="module")
def killed(tiny, text_tiny, tmp_path_factory) -> Path:
    """The folder of both runs of each path."""
    folder = tmp_path_factory.mktemp("killed")
    least = int(os.environ.get("VTKIT_KILLS", 0))
    paths = {}
    for name, (kills, processes, recipe, changes) in PATHS.items():
        if name in NEED_BITSANDBYTES and not BITSANDBYTES:
            continue
        # A step that is scored and not saved; the miniature's rows are 57.
        known = text_tiny if name == "text" else tiny
        settings = {**known, "eval_steps": 3, "benchmark_rows": 4, **changes}
        pairs = [text for key, value in settings.items() for text in ("-p", key, str(value))]
        paths[name] = {
            "kills": max(kills, least), "processes": processes, "seed": name,
            "arguments": ["--recipe", recipe, *pairs],
        }  # fmt: skip
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"folder": str(folder), "paths": paths}))
    command = [sys.executable, str(Path(__file__).parents[1] / "shared" / "killed.py"), str(plan)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            name,
            marks=[pytest.mark.skipif(not BITSANDBYTES, reason="needs bitsandbytes")]
            if name in NEED_BITSANDBYTES
            else [],
        )
        for name in PATHS
    ],
)
def test_a_killed_run_ends_like_an_unbroken_one(path, killed):
    folder = killed / path
    kills = read_json(folder / "kills.json")
    assert len(kills["died"]) >= PATHS[path][0], kills
    broken, unbroken = folder / "broken", folder / "unbroken"
    files, wanted = (
        {
            file.relative_to(run)
            for file in run.rglob("*")
            if file.is_file() and file.parent.name != "tensorboard"  # names have times in them
        }
        for run in (broken, unbroken)
    )
    assert files == wanted
    for file in files:
        if file.name == WHOLE:
            ours, theirs = (read_mark((run / file).parent) for run in (broken, unbroken))
            assert ours.files.keys() == theirs.files.keys()
            same = ours.files.keys() - DIFFER
            assert all(ours.files[name] == theirs.files[name] for name in same), file
        elif file.name not in DIFFER:
            assert (broken / file).read_bytes() == (unbroken / file).read_bytes(), file
    names = {file.name for file in files}
    assert {"metrics.csv", "step-000003.json" if "cold" not in path else "step-000002.json"} < names
    assert "model.safetensors" in names or "adapter_model.safetensors" in names
    assert "not exact" not in (folder / "broken.log").read_text()
    assert read_json(broken / "manifest.json")["resume"]["exact"] is True


@pytest.mark.slow
def test_kills_fall_into_all_parts_of_a_run(killed):
    died = read_json(killed / "full" / "kills.json")["died"]
    for part in ("evals/", "checkpoints/"):
        assert any(part in moment for _, moment in died), died
    assert "resuming from" in (killed / "full" / "broken.log").read_text()


@pytest.mark.slow
def test_adapters_learned_something(killed):
    saved = load_file(killed / "lora/unbroken/checkpoints/checkpoint-6/adapter_model.safetensors")
    assert any(value.any() for name, value in saved.items() if "lora_B" in name)


@pytest.mark.slow
def test_every_run_has_a_card_of_the_kits(killed):
    for run in sorted(killed.glob("*/unbroken")):  # PEFT has a card of its own
        card = last_checkpoint(run / "checkpoints") / "README.md"
        assert "of vtkit, which reproduces" in card.read_text(), card


@pytest.mark.slow
def test_a_headless_run_prints_a_few_tidy_lines(killed):
    run = killed / "full" / "unbroken"
    lines = (killed / "full" / "unbroken.log").read_text().splitlines()
    said = [
        line for line in lines if line.startswith(("step ", "miniature CV-Bench ", "trained: "))
    ]
    assert [line.split(",")[0] for line in said if line.startswith("step")] == [
        "step 1/6",
        "step 6/6",
    ]
    assert sum(line.startswith("miniature CV-Bench at step") for line in said) == 3
    assert said[-1] == f"trained: {run / 'checkpoints' / 'checkpoint-6'}"
    assert not any("\r" in line or "Traceback" in line for line in lines)


@pytest.mark.slow
def test_a_real_run_takes_less_than_its_bound(killed):
    run = killed / "full" / "unbroken"
    said = (killed / "full" / "unbroken.log").read_text()
    assert "disk: at most 0." in said and "exact resume: stopped and started again" in said
    shape = {"total": 1_051_904, "trained": 1_051_904}
    config = read_config(run / "config.yaml")
    assert disk.used(run) < sum(disk.needed(config, **shape).values())
    # KEPT checkpoints and the best are all that is left of the weights.
    assert len(list(run.rglob("model.safetensors"))) == 3


# ------------------------------------------------------------------------------------- the best


def checkpoint(folder: Path, step: int, *, whole: bool = True) -> Path:
    """A checkpoint as the trainer leaves it, of a few bytes."""
    path = folder / f"checkpoint-{step}"
    begin(path)
    for name in ("model.safetensors", "optimizer.pt", "rng_state_0.pth", "README.md"):
        (path / name).write_text(f"{name} of {step}")
    if whole:
        mark_whole(path)
    return path


def score(evals: Path, step: int, value: float) -> None:
    write_score(evals, step, round(100 * value))


@pytest.mark.parametrize(
    ("values", "until", "best"),
    [
        ({0: 0.9}, 10, None),  # the base model is no checkpoint
        ({0: 0.9, 2: 0.4, 4: 0.6, 6: 0.5}, 6, 4),
        ({2: 0.6, 4: 0.6}, 6, 2),  # of equals the first
        ({2: 0.4, 4: 0.6}, 3, 2),
        ({}, 6, None),
    ],
)
def test_the_best_is_the_highest_trained_score(values, until, best, tmp_path):
    for step, value in values.items():
        score(tmp_path / "evals", step, value)
    found = best_score(tmp_path / "evals", until=until)
    assert (found and found["step"]) == best


def test_the_best_stays_when_its_checkpoint_goes(tmp_path):
    evals = tmp_path / "evals"
    for step, value in ((2, 0.5), (4, 0.4), (6, 0.7)):
        score(evals, step, value)
        checkpoint(tmp_path, step)
        keep_best(tmp_path, evals, step=step)
        best = tmp_path / BEST
        assert step_of(best) == (6 if step == 6 else 2)
        shutil.rmtree(tmp_path / "checkpoint-2", ignore_errors=True)
    assert (best / "model.safetensors").read_text() == "model.safetensors of 6"
    assert sorted(path.name for path in best.iterdir()) == [BEST_RECORD, "model.safetensors"]
    assert read_json(best / BEST_RECORD)["accuracy"]["value"] == 0.7
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-6"
    links = (best / "model.safetensors").stat().st_nlink
    assert links == 2  # no room is taken twice


def test_the_best_is_copied_where_the_disk_has_no_links(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    score(tmp_path / "evals", 2, 0.5)
    checkpoint(tmp_path, 2)
    keep_best(tmp_path, tmp_path / "evals", step=2)
    assert (tmp_path / BEST / "model.safetensors").stat().st_nlink == 1


@pytest.mark.parametrize("at", range(8))
def test_a_best_that_was_interrupted_is_made_again(at, tmp_path, monkeypatch):
    """Whichever call it dies in, one of both is there whole, and the next start mends it."""
    evals = tmp_path / "evals"
    score(evals, 2, 0.5)
    checkpoint(tmp_path, 2)
    keep_best(tmp_path, evals, step=2)
    score(evals, 4, 0.6)
    checkpoint(tmp_path, 4)
    calls = []

    def dying(name, function):
        def call(*args, **others):
            calls.append(name)
            if len(calls) == at + 1:
                raise KeyboardInterrupt
            return function(*args, **others)

        return call

    with monkeypatch.context() as patch:
        for name in ("link", "rename", "replace", "mkdir", "makedirs"):
            patch.setattr(os, name, dying(name, getattr(os, name)))
        patch.setattr(shutil, "rmtree", dying("rmtree", shutil.rmtree))
        try:
            keep_best(tmp_path, evals, step=4)
        except KeyboardInterrupt:
            pass
    settle_checkpoints(tmp_path, evals)
    assert step_of(tmp_path / BEST) == 4
    assert (tmp_path / BEST / "model.safetensors").read_text() == "model.safetensors of 4"
    assert not list(tmp_path.glob(".vtkit*"))


def test_a_better_step_is_saved_also_between_saves(tmp_path):
    callback, control = Checkpoints(tmp_path), new_control()
    asked = []
    for step, value in ((2, 0.5), (3, None), (4, 0.5), (6, 0.6)):
        if value:
            score(tmp_path, step, value)
        control.should_save = False
        state = namedtuple("State", "global_step is_world_process_zero")(step, step < 6)
        where = SimpleNamespace(output_dir=tmp_path / "out")
        callback.on_log(where, state, control, logs={"loss": 0.1}, model=torch.nn.Linear(1, 1))
        asked.append(control.should_save)
    assert asked == [True, False, False, True]
    # The process that writes marks it before the trainer does.
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["checkpoint-2"]
    assert is_ours(tmp_path / "out" / "checkpoint-2")


def new_control():
    return type("Control", (), {"should_save": False})()


def test_half_written_checkpoints_are_removed(tmp_path):
    for step, whole in ((20, True), (100, True), (110, False)):
        checkpoint(tmp_path, step, whole=whole)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"
    # Asking does not remove: who writes it may be alive.
    assert (tmp_path / "checkpoint-110").exists()
    remove_halves(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-100", "checkpoint-20"]
    assert last_checkpoint(tmp_path / "none") is None
    assert WHOLE in NOT_MODEL


# ------------------------------------------------------------------------------------- the disk


def test_what_the_paper_takes():
    config = resolve_config(profile="paper")
    parts = disk.needed(config, total=2_208_985_600, trained=2_208_985_600)
    assert parts["checkpoints"] == pytest.approx(3 * 12 * 2_208_985_600, rel=1e-3)
    assert parts["cold start"] == 0.0
    assert "at most 89.1 GB: 3 checkpoints 79.6, best 8.9" in disk.describe_disk(parts)
    cold = disk.needed(config.replace(cold_start=16), total=10**9, trained=10**9)
    assert cold["cold start"] == cold["best"]


def test_adapters_take_little():
    config = resolve_config(profile="gpu24")
    parts = disk.needed(config, total=2_200_000_000, trained=18_464_768)
    assert parts["checkpoints"] < 1e9 and parts["best"] < 0.1e9


def test_a_run_that_cannot_fit_is_refused(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100e9, 50e9, 50e9))
    parts = {"checkpoints": 60e9, "best": 1e9, "cold start": 0.0}
    run_dir = tmp_path / "not" / "there"
    with pytest.raises(UserError, match="has 50.0 GB free and the run needs 61.0 GB") as caught:
        disk.require_space(run_dir, parts)
    assert "--run-dir" in str(caught.value) and "\n" not in str(caught.value)
    disk.require_space(run_dir, {"checkpoints": 49e9})


def test_what_is_there_already_is_not_needed_again(tmp_path):
    evals = tmp_path / "evals"
    score(evals, 2, 0.5)
    made = checkpoint(tmp_path / "checkpoints", 2)
    keep_best(tmp_path / "checkpoints", evals, step=2)
    size = disk.used(tmp_path)
    (tmp_path / "checkpoints" / "copy").mkdir()
    os.link(made / "model.safetensors", tmp_path / "checkpoints" / "copy" / "model.safetensors")
    assert disk.used(tmp_path) - size <= 8192  # a folder, and no second file


# -------------------------------------------------------------------------------- where it holds


@pytest.mark.parametrize(
    ("device", "recipe", "vllm", "said"),
    [
        ("cpu", "visualthinker", False, "exact resume: stopped and started again"),
        ("cuda", "visualthinker", False, "resume is not exact: kernels of a GPU"),
        ("cuda", "sft", True, "resume is not exact: kernels of a GPU"),
        ("cpu", "visualthinker", True, "resume is not exact: vLLM samples"),
        ("cpu", "sft", True, "exact resume"),  # nothing is sampled
    ],
)
def test_it_is_said_where_resume_is_exact(device, recipe, vllm, said, monkeypatch):
    monkeypatch.setattr(exact_resume, "pick_device", lambda: (device, "for this test"))
    found = exact_resume.exactness(resolve_config(recipe), vllm=vllm)
    assert exact_resume.describe_resume(found).startswith(said)
    assert found["exact"] == ("not exact" not in said)
