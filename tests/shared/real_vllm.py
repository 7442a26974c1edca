"""What tests/engines share: skipping without a vLLM for CPUs, runs of their own process, notes.

With ``VTKIT_ENGINES=FILE`` what was measured is added to FILE, a table under a dated heading.
"""

import datetime
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vtkit.files import ROOT

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine in the process that asks it
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; a share of the machine's memory otherwise
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # other tests have cores too
    "VLLM_CPU_CI_ENV": "1",  # no warm-up; with the next two no compilation, which takes minutes
    "VLLM_USE_AOT_COMPILE": "0",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}
PACKAGES = ("vllm-cpu", "trl", "transformers", "torch", "peft")


def require() -> None:
    """Skip the file that is being collected, unless vLLM computes on this CPU."""
    how = "bash tests/engines/setup.sh makes an environment for it"
    if importlib.util.find_spec("vllm") is None:
        pytest.skip(f"no vLLM here; {how}", allow_module_level=True)
    from vllm.platforms import current_platform

    if current_platform.device_type != "cpu":
        pytest.skip(f"this vLLM is not one for CPUs; {how}", allow_module_level=True)


def run(*arguments: object, **environment: str) -> str:
    """What ``python ARGUMENTS`` prints, in a process of its own: vLLM settles its threads."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, text=True, capture_output=True,
        env={**os.environ, **ENVIRONMENT, **environment},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


def ratios(run_dir: Path) -> list[dict[str, float]]:
    """Of each step: the smallest and largest importance ratio, the mean difference of log-probs."""
    (state,) = run_dir.glob("checkpoints/checkpoint-*/trainer_state.json")
    logs = [log for log in json.loads(state.read_text())["log_history"] if "loss" in log]
    names = {
        "least": "sampling/importance_sampling_ratio/min",
        "most": "sampling/importance_sampling_ratio/max",
        "apart": "sampling/sampling_logp_difference/mean",
    }
    return [{name: log[long] for name, long in names.items()} for log in logs]


def note(what: str, found: Any) -> None:
    """Add a line to the file that VTKIT_ENGINES names."""
    if not (name := os.environ.get("VTKIT_ENGINES")):
        return
    path = Path(name)
    heading = f"## {datetime.date.today()}"
    text = path.read_text() if path.is_file() else ""
    if heading not in text:
        versions = ", ".join(f"{one} {importlib.metadata.version(one)}" for one in PACKAGES)
        text += f"\n{heading}\n\n{versions}\n\n| what | found |\n|---|---|\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}| {what} | {found} |\n")
