"""GRPO with a real vLLM: does it sample from the policy that trains, step after step?

The same questions come back each step, at ten times the miniature's learning rate: whatever vLLM
keeps of older weights shows as an importance ratio that leaves 1.
"""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from shared import real_vllm
from shared.problems import write, write_text_base

from vtkit.files import ROOT

real_vllm.require()
pytestmark = pytest.mark.slow

STEPS = 6
SETTINGS = {
    "train_rows": 2, "prompts_per_step": 2, "num_generations": 4, "per_device_batch_size": 8,
    "max_steps": STEPS, "learning_rate": 1e-3, "max_completion_length": 48, "benchmark_rows": 2,
    "eval_steps": STEPS, "eval_max_new_tokens": 8, "save_steps": STEPS,
}  # fmt: skip
ADAPTERS = {"adapter": "lora", "learning_rate": 5e-3}


@pytest.fixture
def train(mini_data, tmp_path):
    """``train(script, changes)``: the settings' run with a real vLLM, and what to note of it."""

    def run(*script, **changes):
        data = {"train_data": mini_data, "benchmark_data": mini_data, "vllm": "colocate"}
        recipe = ["--recipe", changes.pop("recipe")] if "recipe" in changes else []
        settings = {**data, **SETTINGS, **changes}
        pairs = [text for name, value in settings.items() for text in ("-p", f"{name}", value)]
        place = ["--run-dir", tmp_path / "run"]
        real_vllm.run(*(script or ("-m", "vtkit.training")), *place, *recipe, *pairs)
        return real_vllm.ratios(tmp_path / "run")

    return run


def check(what, steps):
    """Hold the ratio within 0.01 of 1 at every step, and note it."""
    least, most = min(step["least"] for step in steps), max(step["most"] for step in steps)
    apart = max(step["apart"] for step in steps)
    real_vllm.note(
        f"ratio over {len(steps)} steps: {what}",
        f"{least:.4f} to {most:.4f}; log-probabilities {apart:.1e} apart in the worst step's mean",
    )
    assert len(steps) == STEPS and 0.99 <= least and most <= 1.01


@pytest.mark.parametrize(
    ("what", "changes"),
    [("all weights train", {}),
     ("two pictures a question", {"train_subset": "dynamic", "max_images": 2}),
     ("LoRA on both parts", ADAPTERS),
     ("LoRA, freeze: vision, pictures kept", {**ADAPTERS, "freeze": "vision"}),
     ("QLoRA", {**ADAPTERS, "adapter": "qlora", "freeze": "vision"})],
)  # fmt: skip
def test_colocated_it_samples_from_the_policy(what, changes, train):
    check(f"colocated, {what}", train(**changes))


def test_a_text_only_model_too(train, tmp_path):
    for split in ("train", "test"):
        write(tmp_path / "data" / f"{split}.parquet", "text", 16, choices=["left", "right"])
    data = {"train_data": tmp_path / "data", "benchmark_data": tmp_path / "data"}
    model = write_text_base(tmp_path / "base", heads=1)  # on a CPU vLLM has none of width 16
    check("colocated, text only", train(recipe="deepseek-r1-zero", model=model, beta=0, **data))


def test_weights_that_are_lost_in_sleep_are_sent_again(train):
    check("colocated, vllm_sleep", train("tests/engines/asleep.py", vllm_sleep="true"))


@contextlib.contextmanager
def served(folder, log):
    """The address of vLLM's own server of a folder, started with the kit's options."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    said = real_vllm.run("-m", "vtkit.sampling", "--out", folder)
    (line,) = (line for line in said.splitlines() if "vllm serve " in line)
    options = shlex.split(line)[3:]
    environment = {**real_vllm.ENVIRONMENT, "VLLM_SERVER_DEV_MODE": "1"}
    del environment["VLLM_ENABLE_V1_MULTIPROCESSING"]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", *options]
    url = f"http://localhost:{port}"
    with open(log, "w") as out:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--enforce-eager"], cwd=ROOT,
            env={**os.environ, **environment}, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        while server.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/health", timeout=5)
                break
            time.sleep(1)
        assert server.poll() is None, log.read_text()[-4000:]
        yield url
    finally:
        server.terminate()
        server.wait()


def test_a_server_samples_from_the_policy(train, tmp_path):
    """vLLM's own server and TRL's own client; weights go over a folder in place of NCCL."""
    sent = tmp_path / "sent"
    sent.mkdir()
    with served(tmp_path / "engine", tmp_path / "log") as url:
        steps = train("tests/engines/over_disk.py", sent, vllm="server", vllm_url=url)
    asked = (tmp_path / "log").read_text()
    assert asked.count("POST /reset_encoder_cache") == STEPS
    assert asked.count("POST /inference/v1/generate") == 2 * STEPS, "each question once a step"
    check("server, weights over a folder", steps)
