"""The families of models: one entry a family, all that the rest of the kit asks for.

docs/families.md adds one step by step. Facts are of transformers 5.23, measured by tests/families/.
"""

from typing import Any

from vtkit.errors import UserError, quote
from vtkit.models.family import Family, Pictures, Turns
from vtkit.models.layouts import Grid, Tower

_QWEN_TURNS = Turns(
    picture="<|vision_start|><|image_pad|><|vision_end|>",
    system="<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n",
    user="<|im_start|>user\n",
    close="<|im_end|>\n",
    assistant="<|im_start|>assistant\n",
    helpful="You are a helpful assistant.",
)
_QWEN_TOKENS = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
# Every linear layer of a part, attention and MLP: adapting attention alone falls behind full
# fine-tuning (Dettmers et al. 2023, section 4). Not lm_head: TRL multiplies by its weight
# directly, so an adapter there would never train; nor the embeddings that it is tied to.
_LAYER = r"layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"


def _qwen2_vl_tower(config: Any) -> Tower:
    vision = config.vision_config
    return Tower(
        vision.depth, vision.embed_dim, int(vision.embed_dim * vision.mlp_ratio), vision.num_heads,
        vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
        vision.patch_size, vision.spatial_merge_size,
    )  # fmt: skip


QWEN2_VL = Family(
    model="Qwen2VLForConditionalGeneration",
    config="Qwen2VLConfig",
    blocks=("Qwen2VLDecoderLayer", "Qwen2VLVisionBlock"),
    turns=_QWEN_TURNS,
    adapted={
        "language": rf"model\.language_model\.{_LAYER}",
        "vision": r"model\.visual\.(blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])|merger\.mlp\.[02])",
    },
    language="model.language_model",
    saved="model.",  # transformers 5 writes the old names
    vision=("model.visual",),
    pictures=Pictures(
        layout=Grid,
        token="<|image_pad|>",
        processor="Qwen2VLProcessor",
        image="Qwen2VLImageProcessor",
        video="Qwen2VLVideoProcessor",
        tokens=_QWEN_TOKENS,
        types="mm_token_type_ids",
        tower=_qwen2_vl_tower,
        kept=(11, 3),
    ),
)
QWEN2 = Family(
    model="Qwen2ForCausalLM",
    config="Qwen2Config",
    blocks=("Qwen2DecoderLayer",),
    turns=_QWEN_TURNS,
    adapted={"language": rf"model\.{_LAYER}"},
    language="model",
    saved="model.",
    tokenizer="Qwen2Tokenizer",
)
FAMILIES = {"qwen2_vl": QWEN2_VL, "qwen2": QWEN2}
"""By the ``model_type`` of a model's config.json."""
ORIGINAL = QWEN2_VL
"""The family of VisualThinker-R1-Zero, and of the miniature."""
TEXT_ONLY = QWEN2
"""That of DeepSeek-R1-Zero's replication, and of the text-only miniature."""
WORKED_EXAMPLE = "docs/families.md"


def family_of(model: Any) -> Family:
    """The family of a model of transformers, with adapters or without, or of its configuration."""
    return FAMILIES[getattr(model, "config", model).model_type]


def require_family(kind: Any, where: Any) -> Family:
    """The family of a ``model_type``.

    Args:
        where: file or setting that has it, which the error names.

    Raises:
        UserError: there is none; it names those there are, and where adding one is shown.
    """
    if isinstance(kind, str) and kind in FAMILIES:
        return FAMILIES[kind]
    raise UserError(
        f"{where}: model_type is {quote(kind)}, none of {', '.join(FAMILIES)}; choose a model of "
        f"one of these families, restore its config.json, or add a family ({WORKED_EXAMPLE})"
    )
