"""Whether a run that is stopped and started again ends as one that never was, and if not, why.

Weights, optimizer, learning rate, random numbers, data order, metrics and rollouts are restored
everywhere. What remains is whether the same sums come out the same twice.
"""

from typing import Any

from vtkit.config import RunConfig
from vtkit.models import pick_device

SAME = (
    "stopped and started again it ends with the same bytes, given the same versions, threads and "
    "processes"
)
CUDA = (
    "kernels of a GPU add up in varying order, so that last digits differ, and after them the "
    "sampled replies"
)
VLLM = (
    "vLLM samples in batches that depend on its timing, with random numbers that no checkpoint "
    "holds, so that the replies differ"
)


def exactness(config: RunConfig, *, vllm: bool = False) -> dict[str, Any]:
    """``exact`` and the ``reason`` for it, in words.

    Args:
        vllm: replies are sampled by vLLM.
    """
    if config.algorithm == "grpo" and vllm:
        return {"exact": False, "reason": VLLM}
    if pick_device()[0] == "cuda":
        return {"exact": False, "reason": CUDA}
    return {"exact": True, "reason": SAME}


def describe(found: dict[str, Any]) -> str:
    """The line that a training begins with."""
    return f"{'exact resume' if found['exact'] else 'resume is not exact'}: {found['reason']}"
