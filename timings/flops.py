"""Count the model FLOPs of a GRPO step, and the utilisation of a card (MFU).

Counted as in PaLM (Chowdhery et al. 2022, appendix B): a multiply-add is 2, a forward pass takes 2
FLOPs for each weight of a matrix and token, and 4 x layers x width x length for attention, of which
the causal half is not deducted; a backward pass takes twice as many, half of it for gradients of
weights. What gradient checkpointing computes again does not count.
"""

import re
from dataclasses import dataclass

from vtkit.config.run_config import RunConfig
from vtkit.models.shapes import Part, Shape
from vtkit.planning.memory import Batch

PEAK = {
    "H200": 989e12, "H100": 989e12, "H100 PCIe": 756e12, "A100": 312e12, "L40S": 362e12,
    "L4": 121e12, "A10": 125e12, "RTX 4090": 165e12, "RTX 3090": 71e12, "T4": 65e12,
}  # fmt: skip
"""Dense FLOP/s of tensor cores with 16-bit inputs and 32-bit sums (T4: float16), from NVIDIA's data
sheets and, for the RTX cards, its Ada and Ampere whitepapers."""


def peak(card: str) -> float | None:
    """FLOP/s of a card by the name that CUDA gives it; None if not known."""
    found = [name for name in PEAK if all(re.search(rf"\b{w}\b", card) for w in name.split())]
    return PEAK[max(found, key=len)] if found else None


@dataclass(frozen=True)
class Forward:
    """FLOPs of one forward pass over a batch, by part."""

    vision: float
    language: float


def forward(shape: Shape, batch: Batch) -> Forward:
    """Pictures and sequences of a batch, each read once; only completions are scored."""
    pictures = batch.sequences * batch.patches
    loose = shape.vision.loose
    vision = 2 * pictures * (shape.vision.matrices - loose + loose / shape.merge**2)
    output = 2 * batch.sequences * batch.completion * shape.vocabulary * shape.language.width
    return Forward(
        vision=vision + _attention(shape.vision, pictures, batch.patches),
        language=2 * batch.tokens * shape.language.matrices
        + _attention(shape.language, batch.tokens, batch.length)
        + output,
    )


def _attention(part: Part, tokens: int, length: int) -> float:
    return 4 * part.layers * part.width * tokens * length


def step(shape: Shape, config: RunConfig, batch: Batch, *, engine: bool) -> dict[str, float]:
    """FLOPs of a step by phase: ``rollout`` and ``training``.

    Training is a forward and a backward pass of what trains, a forward pass of the reference, and
    one for the ratio to a vLLM that has sampled. Adapters' own FLOPs (under 2 %) are not counted,
    and the backward pass through their frozen base is once a forward pass, not twice.
    """
    once = forward(shape, batch)
    whole = once.vision + once.language
    passes = (config.beta > 0) + (engine and config.top_k == 0)
    deep = 3 if config.adapter == "none" else 2
    vision = 1 if config.freeze == "vision" else deep
    return {
        "rollout": whole,
        "training": passes * whole + deep * once.language + vision * once.vision,
    }
