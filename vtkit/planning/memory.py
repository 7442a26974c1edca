"""Estimate the GPU memory of a training, part by part, from the shape of the model.

timings/plan.csv compares each part with tensors counted on a CPU: what is held is exact, peaks of
activations are within 9 %; timings/shape_2b.csv does so with adapters at the widths of
the original. Nothing was measured on a GPU.
"""

from dataclasses import dataclass

from vtkit.config.run_config import RunConfig
from vtkit.models.shapes import Part, Shape
from vtkit.planning.division import ALONE, BUCKET, Division
from vtkit.sampling.vllm_engine import ENGINE_TOKENS

GB = 1e9  # bytes; a card sold as 80 GB has a little more
FULL = 4  # bytes of a float32
RESERVE = 0.08  # of a card: CUDA context, fragmentation. Assumed, not measured.
# Bits of a NormalFloat4 weight with doubly quantized scales: Dettmers et al. 2023, section 3.
NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
# trl.kernels.chunked_logprob: a tile is at most so many tokens long and so many words wide.
TILE_TOKENS, TILE_WORDS = 4096, 32_768
ENGINE_OWN = 2e9  # bytes of vLLM next to tensors: CUDA graphs, workspaces. Assumed, not measured.
# Float32 temporaries of a tile where there is no Triton kernel, as on a CPU, and a mask in bytes.
_TILE_COPIES = 7 + 1 / 4
_SAMPLING_COPIES = 6  # of one step's logits, float32: scores, sorted scores, probabilities


@dataclass(frozen=True)
class Batch:
    """Sequences that go through the model at once: a picture, a prompt and a completion each."""

    sequences: int
    prompt: int  # tokens, those of the picture included
    completion: int  # tokens
    patches: int  # of the picture of one sequence
    distinct: int = 0  # prompts, each read once for all of its completions; 0: none is shared

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
    if config.adapter == "none":
        return sum(part.parameters for part in _kept(shape, config))
    return config.lora_rank * sum(part.adapter for part in _kept(shape, config))


def _kept(shape: Shape, config: RunConfig) -> list[Part]:
    """The parts of a model that are not frozen."""
    parts = {"language": shape.language, "vision": shape.vision}
    return [part for name, part in parts.items() if name != config.freeze]


def moments(shape: Shape, config: RunConfig) -> float:
    """Bytes of Adam's two moments: float32, or 8 bits with a float32 scale for every 256.

    The 8-bit optimizer keeps embeddings, by transformers' choice, and tensors of less than 4,096
    numbers in float32.
    """
    n = trained(shape, config)
    if config.optimizer == "adamw":
        return 2 * FULL * n
    few = n  # in 8 bits
    if config.adapter == "none":
        few = sum(part.matrices for part in _kept(shape, config))
        few += shape.patch * shape.vision.width * (config.freeze != "vision")  # reads patches
    return 2 * (FULL * (n - few) + (1 + FULL / 256) * few)


def held(shape: Shape, config: RunConfig, division: Division = ALONE) -> dict[str, float]:
    """Bytes that stay in one process: ``weights``, ``gradients``, ``optimizer``, ``reference``.

    What trains is float32: 16-bit weights would lose updates at a rate of 1e-6. ZeRO-2 makes all
    weights 16-bit and has float32 ones with the optimizer. Adapters are switched off for the
    reference, which then costs nothing.
    """
    n, c = trained(shape, config), half(config)
    matrices, vision = shape.language.matrices, shape.vision.parameters
    rest = shape.total - matrices - vision
    own = c if division.zero else FULL  # of a number of what trains, and of QLoRA's embeddings
    packed = NF4_BITS / 8 * matrices
    base = {
        "none": own * shape.total,
        "lora": c * shape.total + own * n,
        "qlora": packed + c * vision + own * (rest + n),
    }
    weights, each = base[config.adapter], division.processes
    reference = config.algorithm == "grpo" and config.beta > 0 and config.adapter == "none"
    found = {
        "weights": weights,
        "gradients": FULL * n * (2 if each > 1 else 1),  # once in buckets that are sent
        "optimizer": moments(shape, config),
        "reference": own * shape.total * reference,
    }
    if division.zero:
        found["gradients"] = c * (n / each + BUCKET)
        found["optimizer"] = (FULL * n + found["optimizer"]) / each
    if division.fsdp:
        whole = packed if config.adapter == "qlora" else 0.0  # 4-bit weights are not split
        found["weights"] = whole + (weights - whole) / each
        found["gradients"] = FULL * n / each
        found["optimizer"] /= each
        found["reference"] /= each
    return found


def gathered(shape: Shape, config: RunConfig, division: Division) -> dict[str, float]:
    """Bytes of weights that FSDP 2 holds whole for a while, by moment; 0 without FSDP.

    Training: embeddings with the tied head, the vision tower outside of its blocks, and two blocks
    (one at work, the next on its way). TRL's reference is one unit, whole while it computes; so is
    the model while the benchmark is scored.
    """
    c = half(config) * division.fsdp
    vision, matrices = shape.vision, shape.language.matrices
    packed = matrices if config.adapter == "qlora" else 0
    blocks = (part.block for part in (shape.language, vision) if part is vision or not packed)
    outside = vision.parameters - (vision.matrices - vision.loose)
    some = c * (shape.vocabulary * shape.language.width + outside + 2 * max(blocks))
    whole = c * (shape.total - packed)
    reference = config.beta > 0 and config.adapter == "none"
    return {"training": some, "generating": whole if reference else some, "scoring": whole}


def pictures(shape: Shape, batch: Batch) -> float:
    """Pixels of all pictures of a step, float32: TRL keeps them until the step is over."""
    return FULL * shape.patch * batch.sequences * batch.patches


def stream(config: RunConfig, division: Division = ALONE) -> int:
    """Bytes of a number of the residual stream: of what the embeddings are stored in, or read as.

    LoRA's base is stored in config.dtype, ZeRO-2's and FSDP 2's weights are that when they compute.
    """
    return half(config) if config.adapter == "lora" or division.casts else FULL


def scores(part: Part, config: RunConfig, length: int) -> float:
    """Bytes of one token's attention to ``length`` others that ``eager`` writes out and keeps.

    Probabilities of each head in float32, and in 16 bits once more; keys and values of every head.
    """
    if config.attn_implementation != "eager":
        return 0
    c = half(config)
    each = FULL if c == FULL else FULL + c
    return each * part.heads * length + 2 * c * part.width


def language_layer(part: Part, config: RunConfig, length: int) -> float:
    """Bytes that one decoder layer keeps of one token for its backward pass.

    In the original's family norms have 4 widths in float32; inputs of matrices, attention and its
    output 6 (in 16 bits 9: both norms' outputs are copied); the MLP 4 inner widths (gate, its
    activation, up, their product). The mask of a padded batch: one number for each other token.
    """
    c = half(config)
    floats, widths, inners = part.kept
    widths += 3 * (c != FULL)
    widths += 3 * (config.adapter != "none")  # each its own input
    kept = FULL * floats * part.width + c * (widths * part.width + inners * part.inner + length)
    return kept + scores(part, config, length)


def vision_layer(part: Part, config: RunConfig, patches: int) -> float:
    """Bytes that one vision block keeps of one patch of ``patches``.

    In the original's family 11 widths: norms' inputs and outputs 4, the fused query, key and value
    3, rotated queries and keys 2, attention's output 2; and 3 inner widths: the MLP's hidden layer,
    its sigmoid and their product.
    """
    _, widths, inners = part.kept
    kept = half(config) * (widths * part.width + inners * part.inner)
    return kept + scores(part, config, patches)


def copies(
    shape: Shape, config: RunConfig, division: Division = ALONE, *, vision: bool = False
) -> float:
    """Bytes of the 16-bit copies that autocast makes of float32 matrices, and keeps in a pass.

    Args:
        vision: of those that are there while pictures are read.
    """
    if config.dtype == "float32" or division.casts:
        return 0
    if config.adapter != "none":
        adapted = [part for part in _kept(shape, config) if part is shape.vision or not vision]
        return 2 * config.lora_rank * sum(part.adapter for part in adapted)
    return 2 * (shape.vision.matrices + (0 if vision else shape.language.matrices))


def training(
    shape: Shape, config: RunConfig, batch: Batch, division: Division = ALONE, *, triton: bool
) -> float:
    """Bytes of activations of one forward and backward pass, at their peak.

    The backward pass of a layer has gradients of its four widest tensors; of two with gradient
    checkpointing, where each layer's input is kept, and one layer at a time is computed again.
    Where prompts are shared, each is read once; gradients of their keys and values add up until
    all that follows has gone back.

    Args:
        triton: with the fused kernel of a GPU, which scores completions in place.
    """
    c, language, vision = half(config), shape.language, shape.vision
    read, shared = batch.distinct or batch.sequences, bool(batch.distinct)
    patches, prompts = read * batch.patches, read * batch.prompt
    follow = batch.sequences * batch.completion
    tokens = prompts + follow
    vision_trains = config.freeze != "vision"
    token = language_layer(language, config, batch.length)
    patch = vision_layer(vision, config, batch.patches)
    # Keys and values of a prompt, repeated for all heads, before those of each of its completions.
    before = shared * batch.sequences * batch.prompt * 2 * c * language.width
    wide = stream(config, division)
    outside = tokens * 3 * wide * language.width
    if vision_trains or not shared:  # a frozen tower whose pictures are shared reads them earlier
        outside += patches * c * 4 * vision.width  # of embedding, last block and merger
    if vision_trains:
        outside += patches * c * shape.patch
    score, back, tied = _head(shape, config, batch, division, triton=triton)
    twins = copies(shape, config, division)
    if not config.gradient_checkpointing:
        kept = (tokens * token + before) * language.layers
        kept += patches * vision.layers * patch * vision_trains
        at_once = max(follow, prompts) if shared else tokens
        layer = 4 * c * max(at_once * language.inner, patches * vision.inner * vision_trains)
        return outside + kept + twins + max(score, back, layer) + tied
    kept = wide * tokens * language.layers * language.width
    pairs = shared * prompts * language.layers * c * shape.keys_and_values  # for what follows
    kept += pairs + c * patches * vision.layers * vision.width * vision_trains
    again = max(
        (follow if shared else tokens) * (token + 2 * c * language.inner) + before,
        pairs + prompts * (token + 2 * c * language.inner),  # their gradients
        patches * (patch + 2 * c * vision.inner) * vision_trains,
    )
    loose = 2 * shape.vision.loose if twins and config.adapter == "none" else 0
    return outside + kept + max(twins + score, loose + tied + max(back, again))


def _head(
    shape: Shape, config: RunConfig, batch: Batch, division: Division, *, triton: bool
) -> tuple[float, float, float]:
    """Bytes for scoring tokens, and for going back: the tile with its surroundings (TRL 1.16 never
    has all logits); and the tied matrix's gradient, which is alive for the whole backward pass."""
    rows, width = batch.sequences * batch.completion, shape.language.width
    tile, words = min(rows, TILE_TOKENS), min(shape.vocabulary, TILE_WORDS)
    score: float = half(config) * tile * words + FULL * rows * width
    if stream(config, division) != half(config):  # the tile's words, in 16 bits
        score += half(config) * words * width
    back = score
    if not triton:  # and its words in float32, to multiply the gradient by
        temporaries = _TILE_COPIES * FULL * tile * words
        score += temporaries
        back += max(temporaries, FULL * words * width * (half(config) != FULL))
    trains = config.adapter == "none" and config.freeze != "language"
    return score, back, FULL * shape.vocabulary * width * trains


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


def generation(
    shape: Shape, config: RunConfig, batch: Batch, division: Division = ALONE, *, prompts: int = 0
) -> float:
    """Bytes on top of the full KV cache at the peak of generating.

    Either reading the prompts takes most, in the vision tower's attention or in an MLP, or the last
    token does: a layer's cache is copied to grow, a head stored in float32 is copied to 16 bits,
    and logits are sorted.

    Args:
        prompts: that are read at once; 0: one for each sequence.
    """
    c, language, vision = half(config), shape.language, shape.vision
    wide = stream(config, division)
    full = cache(shape, config, batch)
    read = prompts or batch.sequences
    tokens, patches = read * batch.prompt, read * batch.patches
    inner = 3 if config.adapter == "none" else 4  # an adapter's result besides the matrix's
    # Pixels once more in what the model computes in, and those of distinct prompts apart.
    pixels = patches * shape.patch * ((c if c != FULL else 0) + FULL * (prompts > 0))
    # Scores written out: of all prompts at once, and of one picture after another.
    written = scores(language, config, batch.prompt), scores(vision, config, batch.patches)
    language_read = (
        tokens * (inner * c * language.inner + (FULL + 4 * wide) * language.width + written[0])
        + patches * FULL * shape.patch * (prompts > 0)
        + full * batch.prompt / batch.length * read / batch.sequences
    )
    vision_read = pixels + max(
        patches * c * (3 * vision.inner + 4 * vision.width),
        patches * (6 * FULL + 5 * c) * vision.width + batch.patches * written[1],
    )
    logits = _SAMPLING_COPIES * FULL * batch.sequences * shape.vocabulary
    if c != wide:  # autocast copies the tied head for each token
        logits += c * shape.vocabulary * language.width
    last = full + full / language.layers + logits
    seen = copies(shape, config, division, vision=True) + vision_read
    return max(seen, copies(shape, config, division) + max(language_read, last)) - full
