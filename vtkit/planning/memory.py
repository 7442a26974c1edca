"""Estimate the GPU memory of a training, part by part, from the shape of the model.

timings/plan.csv compares each part with tensors counted on a CPU: what is held is exact, peaks of
activations are within a few percent. Nothing was measured on a GPU, nor with adapters.
"""

from dataclasses import dataclass

from vtkit.config.run_config import RunConfig
from vtkit.models.shapes import Part, Shape
from vtkit.sampling.vllm_engine import ENGINE_TOKENS

GB = 1e9  # bytes; a card sold as 80 GB has a little more
FULL = 4  # bytes of a float32
RESERVE = 0.08  # of a card: CUDA context, fragmentation. Assumed, not measured.
# Bits of a NormalFloat4 weight with doubly quantized scales: Dettmers et al. 2023, section 3.
NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
# trl.kernels.chunked_logprob: a tile is at most so many tokens, and always so many words wide.
TILE_TOKENS, TILE_WORDS = 4096, 32_768
ENGINE_OWN = 2e9  # bytes of vLLM next to tensors: CUDA graphs, workspaces. Assumed, not measured.
_TILE_COPIES = 7  # float32 temporaries of a tile where there is no Triton kernel, as on a CPU
_SAMPLING_COPIES = 6  # of one step's logits, float32: scores, sorted scores, probabilities


@dataclass(frozen=True)
class Batch:
    """Sequences that go through the model at once: a picture, a prompt and a completion each."""

    sequences: int
    prompt: int  # tokens, those of the picture included
    completion: int  # tokens
    patches: int  # of the picture of one sequence

    @property
    def tokens(self) -> int:
        return self.sequences * self.length

    @property
    def length(self) -> int:
        return self.prompt + self.completion


def half(config: RunConfig) -> int:
    """Bytes of a number in a forward pass."""
    return 4 if config.dtype == "float32" else 2


def trained(shape: Shape, config: RunConfig) -> int:
    """Numbers of parameters that train: all, or adapters of every linear layer."""
    parts = {"language": shape.language, "vision": shape.vision}
    kept = [part for name, part in parts.items() if name != config.freeze]
    if config.adapter == "none":
        return sum(part.parameters for part in kept)
    return config.lora_rank * sum(part.adapter for part in kept)


def held(shape: Shape, config: RunConfig, *, processes: int = 1) -> dict[str, float]:
    """Bytes that stay: ``weights``, ``gradients``, ``optimizer``, ``reference``.

    What trains is float32: 16-bit weights would lose updates at a rate of 1e-6. Adapters are
    switched off for the reference, which then costs nothing.
    """
    adapter, n = config.adapter, trained(shape, config)
    matrices, vision = shape.language.matrices, shape.vision.parameters
    rest = shape.total - matrices - vision
    base = {
        "none": FULL * shape.total,
        "lora": half(config) * shape.total + FULL * n,
        "qlora": NF4_BITS / 8 * matrices + half(config) * vision + FULL * (rest + n),
    }
    reference = config.algorithm == "grpo" and config.beta > 0 and adapter == "none"
    return {
        "weights": base[adapter],
        "gradients": FULL * n * (2 if processes > 1 else 1),  # once in buckets that are sent
        "optimizer": 2 * FULL * n,
        "reference": FULL * shape.total if reference else 0,
    }


def pictures(shape: Shape, batch: Batch) -> float:
    """Pixels of all pictures of a step, float32: TRL keeps them until the step is over."""
    return FULL * shape.patch * batch.sequences * batch.patches


def language_layer(part: Part, config: RunConfig, length: int) -> float:
    """Bytes that one decoder layer keeps of one token for its backward pass.

    Norms: 4 widths in float32. Inputs of matrices, attention and its output: 6 widths (in 16 bits
    9: both norms' outputs are copied). The MLP: 4 inner widths (gate, its activation, up, their
    product). The mask of a padded batch: one number for each other token.
    """
    c = half(config)
    adapters = 0 if config.adapter == "none" else 3  # each its own input
    compute = (6 if c == FULL else 9) + adapters
    return FULL * 4 * part.width + c * (compute * part.width + 4 * part.inner + length)


def vision_layer(part: Part, config: RunConfig) -> float:
    """Bytes that one vision block keeps of one patch: 11 widths and 3 inner widths.

    Norms' inputs and outputs 4, the fused query, key and value 3, rotated queries and keys 2,
    attention's output 2; the MLP's hidden layer, its sigmoid and their product.
    """
    return half(config) * (11 * part.width + 3 * part.inner)


def copies(shape: Shape, config: RunConfig) -> float:
    """Bytes of the 16-bit copies that autocast makes of float32 matrices, and keeps in a pass."""
    if config.dtype == "float32" or config.adapter != "none":
        return 0
    return 2 * (shape.language.matrices + shape.vision.matrices)


def training(shape: Shape, config: RunConfig, batch: Batch, *, triton: bool) -> float:
    """Bytes of activations of one forward and backward pass, at their peak.

    With gradient checkpointing each layer's input is kept; one layer at a time is computed again,
    next to the gradients of its two widest tensors.

    Args:
        triton: with the fused kernel of a GPU, which scores completions only, in place.
    """
    c, language, vision = half(config), shape.language, shape.vision
    patches = batch.sequences * batch.patches
    vision_trains = config.freeze != "vision"
    token, patch = language_layer(language, config, batch.length), vision_layer(vision, config)
    outside = batch.tokens * 3 * FULL * language.width
    if vision_trains:
        outside += patches * c * (4 * vision.width + shape.patch)  # embedding and merger
    head, tied = _head(shape, config, batch, triton=triton)
    twins = copies(shape, config)
    if not config.gradient_checkpointing:
        kept = batch.tokens * language.layers * token
        kept += patches * vision.layers * patch * vision_trains
        return outside + kept + twins + head + tied
    kept = FULL * batch.tokens * language.layers * language.width
    kept += c * patches * vision.layers * vision.width * vision_trains
    again = max(
        batch.tokens * (token + 2 * c * language.inner),
        patches * (patch + 2 * c * vision.inner) * vision_trains,
    )
    loose = 2 * shape.vision.loose if twins else 0
    return outside + kept + max(twins + head, loose + head + tied, loose + tied + again)


def _head(shape: Shape, config: RunConfig, batch: Batch, *, triton: bool) -> tuple[float, float]:
    """Bytes for scoring tokens: the tile with its surroundings (TRL 1.16 never has all logits), and
    the tied matrix's gradient, which is alive for the whole backward pass."""
    rows = batch.sequences * (batch.completion if triton else batch.length - 1)
    tile = min(rows, TILE_TOKENS)
    bytes_ = half(config) * tile * TILE_WORDS + FULL * rows * shape.language.width
    if not triton:
        bytes_ += _TILE_COPIES * FULL * tile * min(shape.vocabulary, TILE_WORDS)
    trains = config.adapter == "none" and config.freeze != "language"
    return bytes_, FULL * shape.vocabulary * shape.language.width * trains


def cache(shape: Shape, config: RunConfig, batch: Batch) -> float:
    """Bytes of the KV cache when the longest completion ends: float32, with LoRA config.dtype."""
    size = half(config) if config.adapter == "lora" else FULL
    return size * batch.tokens * shape.language.layers * shape.keys_and_values


def engine(shape: Shape, config: RunConfig, batch: Batch, memory: float | None) -> float:
    """Bytes that a colocated vLLM takes, and keeps: 0 without one.

    Either ``config.vllm_memory`` of the card, or what a step needs: weights and the KV cache in
    config.dtype, the peak of reading as many tokens as TRL lets it at once, and :data:`ENGINE_OWN`.

    Args:
        batch: completions that one process samples in a step.
        memory: bytes that the card has, if known.
    """
    if config.vllm not in ("auto", "colocate") or config.algorithm != "grpo":
        return 0
    if config.vllm_memory and memory:
        return config.vllm_memory * memory
    language, vision = shape.language, shape.vision
    keys_and_values = batch.tokens * language.layers * shape.keys_and_values
    reading = ENGINE_TOKENS * max(
        3 * language.inner + 4 * language.width,
        shape.merge**2 * (3 * vision.inner + 4 * vision.width),
    )
    return half(config) * (shape.total + keys_and_values + reading) + ENGINE_OWN


def resting(config: RunConfig, engine: float) -> float:
    """Bytes of ``engine`` that a colocated vLLM keeps while it does not sample.

    In sleep mode weights and cache are given back, CUDA graphs and workspaces are not.
    """
    return min(engine, ENGINE_OWN) if config.vllm_sleep else engine


def generation(shape: Shape, config: RunConfig, batch: Batch) -> float:
    """Bytes on top of the full KV cache at the peak of generating.

    Either reading the prompts takes most, or the last token does: a layer's cache is copied to
    grow, and logits are sorted.
    """
    # TRL generates with adapters without autocast: QLoRA's float32 parts make all float32.
    c = FULL if config.adapter == "qlora" else half(config)
    language, vision = shape.language, shape.vision
    full = cache(shape, config, batch)
    prompts = batch.sequences * batch.prompt
    reading = max(
        prompts * (3 * c * language.inner + 4 * FULL * language.width)
        + full * batch.prompt / batch.length,
        batch.sequences * batch.patches * c * (3 * vision.inner + 4 * vision.width),
    )
    logits = _SAMPLING_COPIES * FULL * batch.sequences * shape.vocabulary
    last = full + full / language.layers + logits
    return copies(shape, config) + max(reading, last) - full
