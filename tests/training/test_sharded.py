"""DDP, FSDP 2, ZeRO-2 and two machines, for real on a CPU: one process's numbers, exact resume.

Two processes exchange by gloo. tests/shared/sharded.py forks them with what accelerate tells them
by each launch file. ZeRO-2 needs DeepSpeed: installed, or in the folder that VTKIT_DEEPSPEED names.
"""

import csv
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from shared import completions, sharded
from shared.calls import refusal
from transformers import Qwen2VLForConditionalGeneration

from vtkit.config.recipes import resolve_config
from vtkit.files import ROOT, read_json
from vtkit.planning import disk
from vtkit.runs.checkpoints import last_checkpoint
from vtkit.runs.marks import WHOLE
from vtkit.runs.rollouts import load_rollouts
from vtkit.training.train import make_trainer

ACCELERATE = ("-m", "accelerate.commands.launch", "--config_file")
DEEPSPEED = os.environ.get("VTKIT_DEEPSPEED", "")
BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None
ZERO = [pytest.mark.skipif(
    not DEEPSPEED and importlib.util.find_spec("deepspeed") is None, reason="needs DeepSpeed"
)]  # fmt: skip
FILES = ["fsdp2", pytest.param("zero2", marks=ZERO)]
"""Launch files that split weights or moments; ddp.yaml splits nothing."""
ADAPTERS = ["lora", pytest.param("qlora", marks=pytest.mark.skipif(
    not BITSANDBYTES, reason="needs bitsandbytes"
))]  # fmt: skip
LORA = {"lora_rank": 4, "lora_alpha": 8, "freeze": "vision", "learning_rate": 1e-2, "max_steps": 2}
KILLS = {  # rank, step, and after how many batches of its scoring; 0: when the next step begins
    "fsdp2": [(0, 0, 2), (1, 0, 2), (0, 1, 0), (0, 2, 2), (1, 3, 1), (0, 3, 2)],
    "zero2": [(1, 0, 2), (0, 1, 0), (0, 2, 2)],
}


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory) -> Path:
    """A folder with all runs: by one process, shared out by two, and killed while they were."""
    folder = tmp_path_factory.mktemp("sharded")
    own = {"max_steps": 3, "save_steps": 1, "eval_steps": 2, "eval_batch_size": 4}
    settings = {**tiny, **own, "benchmark_rows": 24, "loss_type": "dapo"}
    plan, sharding = {}, ["fsdp2"]
    if not ZERO[0].args[0]:
        sharding.append("zero2")

    def add(name: str, file: str, kills: list, **changes) -> None:
        pairs = (("-p", key, str(value)) for key, value in (settings | changes).items())
        arguments = [text for pair in pairs for text in pair]
        plan[name] = {"file": file, "kills": kills, "arguments": arguments}

    add("one", "", [])
    add("ddp", "ddp", [])
    for file in sharding:
        add(file, file, [])
        add(f"{file}-killed", file, KILLS[file])
    for kind in ("lora", "qlora")[: 1 + BITSANDBYTES]:
        for file in ("", *sharding):
            add(f"{file or 'one'}-{kind}", file, [], adapter=kind, benchmark_rows=8, **LORA)
    (folder / "plan.json").write_text(json.dumps({"folder": str(folder), "runs": plan}))
    path = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "tests"), DEEPSPEED]))
    done = subprocess.run(
        [sys.executable, sharded.__file__, str(folder / "plan.json")],
        cwd=ROOT, capture_output=True, text=True, timeout=3000,
        env={**os.environ, "PYTHONPATH": path, "VTKIT_HEADLESS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def metrics(run: Path) -> list[dict[str, float]]:
    with open(run / "metrics.csv", newline="") as handle:
        return [{k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(handle)]


def written(run: Path) -> dict[str, bytes]:
    """The scores of a run, which two processes write as one does."""
    return {path.name: path.read_bytes() for path in (run / "evals").iterdir()}


def same_numbers(two: Path, one: Path) -> None:
    steps = metrics(one)
    for ours, theirs in zip(metrics(two), steps, strict=True):
        # TRL averages entropy within each process first; everything else is over all tokens.
        assert ours.pop("entropy") == pytest.approx(theirs.pop("entropy"), rel=0.01)
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6, nan_ok=True)
    assert steps[0]["grad_norm"] > 0 and steps[0]["reward_std"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("file", ["ddp", *FILES])
def test_what_trains_is_what_the_file_asks_for(file, runs):
    kind = {"ddp": "MULTI_CPU", "fsdp2": "FSDP", "zero2": "DEEPSPEED"}[file]
    for name in (file, f"{file}-lora")[: 1 if file == "ddp" else 2]:
        facts = [read_json(runs / f"{name}.{rank}.json") for rank in (0, 1)]
        assert {one["kind"] for one in facts} == {kind}
        if file == "ddp":
            assert all(one["split"] == 0 < one["trained"] for one in facts)
            continue
        if file == "zero2":
            assert [one["stage"] for one in facts] == [2, 2]
            continue
        assert all(one["split"] == one["trained"] > 50 for one in facts)
        assert sum(one["here"] for one in facts) == facts[0]["numbers"]
        assert max(one["here"] for one in facts) < 0.6 * facts[0]["numbers"]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["ddp", *FILES])
def test_two_processes_have_the_numbers_and_the_scores_of_one(file, runs):
    same_numbers(runs / file, runs / "one")
    assert len(metrics(runs / file)) == 3
    assert written(runs / file) == written(runs / "one")
    assert len(written(runs / file)) == 2 * 3  # before, at step 2 and after


@pytest.mark.slow
@pytest.mark.parametrize("file", ["ddp", *FILES])
def test_two_processes_keep_every_completion_once(file, runs):
    two, one = (
        load_rollouts(runs / name)
        .to_pandas()
        .sort_values(["step", "prompt_id", "sample"])
        .drop(columns="group")
        .reset_index(drop=True)
        for name in (file, "one")
    )
    assert len(one) == 3 * 4 * 4  # steps x prompts x group
    pd.testing.assert_frame_equal(two, one, check_exact=True)  # an empty cell equals another


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kind", ADAPTERS)
def test_adapters_have_the_numbers_of_one_process(kind, file, runs):
    one, two = runs / f"one-{kind}", runs / f"{file}-{kind}"
    same_numbers(two, one)
    assert written(two) == written(one)
    ours, theirs = (
        load_file(run / "checkpoints" / "checkpoint-2" / "adapter_model.safetensors")
        for run in (two, one)
    )
    assert ours.keys() == theirs.keys() and any(value.any() for value in ours.values())
    for name, value in ours.items():
        assert value.numpy() == pytest.approx(theirs[name].numpy(), abs=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_killed_while_training_and_scoring_it_ends_with_the_same_bytes(file, runs):
    unbroken, broken = runs / file, runs / f"{file}-killed"
    log = (runs / f"{file}-killed.log").read_text()
    scoring = sum(n > 0 for _, _, n in KILLS[file])
    assert log.count("completions are there already") == scoring
    assert "starting over" not in log and "resuming from" in log
    assert written(broken) == written(unbroken)
    kept = ["metrics.csv", "checkpoints/checkpoint-3/model.safetensors"]
    for name in kept + [path.relative_to(unbroken) for path in unbroken.glob("rollouts/*")]:
        assert (broken / name).read_bytes() == (unbroken / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_a_checkpoint_is_one_of_transformers(file, runs):
    for folder in (last_checkpoint(runs / file / "checkpoints"), runs / file / "checkpoints/best"):
        _, said = Qwen2VLForConditionalGeneration.from_pretrained(folder, output_loading_info=True)
        assert not said["missing_keys"] and not said["unexpected_keys"]
    saved, one = (
        load_file(runs / name / "checkpoints/checkpoint-3/model.safetensors")
        for name in (file, "one")
    )
    assert saved.keys() == one.keys()  # no tied matrix twice
    for name, value in saved.items():
        assert value.numpy() == pytest.approx(one[name].numpy(), abs=1e-4), name
    best = {path.name for path in (runs / file / "checkpoints" / "best").iterdir()}
    assert best == {path.name for path in (runs / "one" / "checkpoints" / "best").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_no_more_is_on_the_disk_than_was_counted(file, runs, tiny, monkeypatch):
    monkeypatch.setattr(disk, "SMALL_FILES", 0.1e6)  # the miniature's
    config = resolve_config(run_dir=runs / file, launcher=file, **{**tiny, "save_steps": 1})
    n = read_json(runs / f"{file}.0.json")["numbers"]
    counted = disk.needed(config, total=n, trained=n)["checkpoints"] / 3
    sizes = (p.stat().st_size for p in (runs / file / "checkpoints/checkpoint-3").rglob("*"))
    assert 0.85 * counted < sum(sizes) < counted


def test_one_process_is_refused_where_weights_are_to_be_split(tiny, tmp_path, monkeypatch):
    for name, value in sharded.environment("fsdp2").items():
        monkeypatch.setenv(name, value)
    said = refusal(make_trainer, resolve_config(run_dir=tmp_path / "run", **tiny))
    assert "asks for FSDP and accelerate would train without it" in said
    assert "pass --num_processes 2 or more" in said


# ---------------------------------------------------------------------------- two machines


@pytest.mark.slow
def test_two_launchers_train_together_and_no_process_outlives_them(
    tiny, train_command, runs, tmp_path
):
    """multi_node.yaml on one machine: what starts one is killed, then both start again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"max_steps": 3, "save_steps": 1, "eval_steps": 2, "eval_batch_size": 4}
    settings = {**tiny, **own, "benchmark_rows": 24, "loss_type": "dapo"}
    python, *command = train_command(tmp_path / "run", settings)

    def start(rank: int) -> subprocess.Popen:
        file = str(ROOT / "configs" / "accelerate" / "multi_node.yaml")
        where = ["--main_process_ip", "127.0.0.1", "--main_process_port", str(port)]
        where += ["--machine_rank", str(rank), "--num_processes", "2"]
        with open(tmp_path / f"{rank}.log", "a") as log:
            return subprocess.Popen(
                [python, *ACCELERATE, file, *where, completions.__file__, *command[2:]],
                cwd=ROOT, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), "VTKIT_HEADLESS": "1"},
            )  # fmt: skip

    def left() -> list[str]:
        shown = subprocess.run(["ps", "-axwwo", "stat=,command="], capture_output=True, text=True)
        lines = shown.stdout.splitlines()
        return [line for line in lines if str(tmp_path) in line and not line.startswith("Z")]

    launchers = [start(rank) for rank in (0, 1)]
    checkpoints, end = tmp_path / "run" / "checkpoints", time.monotonic() + 300
    try:
        while not list(checkpoints.glob(f"checkpoint-*/{WHOLE}")) and time.monotonic() < end:
            time.sleep(0.1)
        assert len(left()) == 4
        os.kill(launchers[0].pid, signal.SIGKILL)
        while left() and time.monotonic() < end:  # the other's process notices, and ends its own
            time.sleep(0.1)
        assert not left()
        launchers = [start(rank) for rank in (0, 1)]
        assert [launcher.wait(300) for launcher in launchers] == [0, 0]
    finally:
        for launcher in launchers:
            launcher.kill()
            launcher.wait()
    log = (tmp_path / "0.log").read_text()
    assert "resuming from" in log and "trained: " in log
    assert "trained: " not in (tmp_path / "1.log").read_text()
    same_numbers(tmp_path / "run", runs / "one")
    assert written(tmp_path / "run") == written(runs / "one")
