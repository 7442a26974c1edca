"""The families of models: one entry a family, all that the rest of the kit asks for.

docs/families.md adds one step by step. Facts are of transformers 5.23, measured by tests/families/.
"""

import math
from dataclasses import replace
from typing import Any

from vtkit.errors import UserError, quote
from vtkit.models.family import Family, Pictures, Turns
from vtkit.models.layouts import Grid, Square, Tiles, Tower

_QWEN_TURNS = Turns(
    picture="<|vision_start|><|image_pad|><|vision_end|>",
    system="<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n",
    user="<|im_start|>user\n",
    close="<|im_end|>\n",
    assistant="<|im_start|>assistant\n",
    helpful="You are a helpful assistant.",
)
# Every linear layer of a part, attention and MLP: adapting attention alone falls behind full
# fine-tuning (Dettmers et al. 2023, section 4). Not lm_head: TRL multiplies by its weight
# directly, so an adapter there would never train; nor the embeddings that it is tied to.
_LAYER = r"layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"


def _grid_tower(config: Any, width: str = "hidden_size", inner: str = "intermediate_size") -> Tower:
    """A tower on a grid: a patch has two frames, and squares of patches become one token."""
    vision = config.vision_config
    patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    return Tower(
        vision.depth, getattr(vision, width), getattr(vision, inner), vision.num_heads, patch,
        vision.patch_size, vision.spatial_merge_size,
    )  # fmt: skip


def _qwen2_vl_tower(config: Any) -> Tower:
    tower = _grid_tower(config, "embed_dim", "mlp_ratio")  # hidden_size is the language part's
    return replace(tower, inner=int(tower.width * tower.inner))


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
    saved="model.",  # transformers 5 writes names as before version 5, vision as visual.
    vision=("model.visual",),
    pictures=Pictures(
        layout=Grid,
        token="<|image_pad|>",
        processor="Qwen2VLProcessor",
        image="Qwen2VLImageProcessor",
        video="Qwen2VLVideoProcessor",
        tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        types="mm_token_type_ids",
        tower=_qwen2_vl_tower,
        kept=(11, 3),
    ),
)
QWEN2_5_VL = replace(
    QWEN2_VL,
    model="Qwen2_5_VLForConditionalGeneration",
    config="Qwen2_5_VLConfig",
    blocks=("Qwen2_5_VLDecoderLayer", "Qwen2_5_VLVisionBlock"),
    adapted={
        "language": rf"model\.language_model\.{_LAYER}",
        "vision": r"model\.visual\.(blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(gate|up|down)_proj)"
        r"|merger\.mlp\.[02])",
    },
    pictures=replace(
        QWEN2_VL.seen, processor="Qwen2_5_VLProcessor", tower=_grid_tower, kept=(13, 4)
    ),
)
QWEN3_VL = replace(
    QWEN2_VL,
    model="Qwen3VLForConditionalGeneration",
    config="Qwen3VLConfig",
    blocks=("Qwen3VLTextDecoderLayer", "Qwen3VLVisionBlock"),
    turns=replace(_QWEN_TURNS, helpful=""),
    adapted={
        "language": rf"model\.language_model\.{_LAYER}",
        "vision": r"model\.visual\.(blocks\.\d+\.(attn\.(qkv|proj)|mlp\.linear_fc[12])"
        r"|(merger|deepstack_merger_list\.\d+)\.linear_fc[12])",
    },
    saved="model.language_model.",
    kept=(7, 6, 4),  # queries and keys are normed too
    pictures=replace(
        QWEN2_VL.seen,
        processor="Qwen3VLProcessor",
        video="Qwen3VLVideoProcessor",
        tokens=QWEN2_VL.seen.tokens
        | {"vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>"},
        tower=_grid_tower,
        kept=(11, 2),
    ),
)
QWEN3_5 = replace(
    QWEN3_VL,
    model="Qwen3_5ForConditionalGeneration",
    config="Qwen3_5Config",
    blocks=("Qwen3_5DecoderLayer", "Qwen3_5VisionBlock"),
    # The model writes its thinking in tags of its own where the prompt does not close them.
    turns=replace(QWEN3_VL.turns, assistant="<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    adapted=QWEN3_VL.adapted
    | {
        "language": r"model\.language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj"
        r"|linear_attn\.(in_proj_(qkv|z|a|b)|out_proj)|mlp\.(gate|up|down)_proj)"
    },
    # As many outputs as heads, which bitsandbytes cannot multiply by on some CPUs.
    whole=("lm_head", "in_proj_a", "in_proj_b"),
    sharing="sampling",  # states of linear attention are overwritten in place
    tokenizer="Qwen3_5Tokenizer",
)


def _tile_tower(config: Any) -> Tower:
    vision = config.vision_config
    return Tower(
        vision.num_hidden_layers, vision.hidden_size, vision.intermediate_size,
        vision.num_attention_heads, vision.num_channels * vision.patch_size**2, vision.patch_size,
        config.scale_factor, vision.image_size,
    )  # fmt: skip


SMOLVLM = Family(
    model="SmolVLMForConditionalGeneration",
    config="SmolVLMConfig",
    blocks=("LlamaDecoderLayer", "SmolVLMEncoderLayer"),  # not the library's own choice
    turns=Turns(
        picture="<image>",
        start="<|im_start|>",
        system="System: {}<end_of_utterance>\nUser:",
        user="User:",
        close="<end_of_utterance>\n",
        assistant="Assistant:",
        end="<end_of_utterance>",
    ),
    adapted={
        "language": rf"model\.text_model\.{_LAYER}",
        "vision": r"model\.(vision_model\.encoder\.layers\.\d+\.(self_attn\.([qkv]|out)_proj"
        r"|mlp\.fc[12])|connector\.modality_projection\.proj)",
    },
    language="model.text_model",
    saved="model.text_model.",
    vision=("model.vision_model", "model.connector"),
    vllm=False,  # not run: a picture has marks between its tiles
    pictures=Pictures(
        layout=Tiles,
        token="<image>",
        processor="SmolVLMProcessor",
        image="SmolVLMImageProcessor",
        video="SmolVLMVideoProcessor",
        tokens={
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "end_of_utterance_token": "<end_of_utterance>",
            "global_image_token": "<global-img>",
            "video_token": "<video>",
        },
        length="image_seq_len",
        tower=_tile_tower,
        kept=(8, 2),
    ),
)


IDEFICS3 = replace(  # SmolVLM's first version is of this type
    SMOLVLM,
    model="Idefics3ForConditionalGeneration",
    config="Idefics3Config",
    blocks=("LlamaDecoderLayer", "Idefics3EncoderLayer"),
    pictures=replace(
        SMOLVLM.seen, processor="Idefics3Processor", image="Idefics3ImageProcessor", video="",
        tokens={},
    ),
)  # fmt: skip


def _square_tower(config: Any) -> Tower:
    vision = config.vision_config
    side = vision.image_size // vision.patch_size
    return Tower(
        vision.num_hidden_layers, vision.hidden_size, vision.intermediate_size,
        vision.num_attention_heads, vision.num_channels * vision.patch_size**2, vision.patch_size,
        side // math.isqrt(config.mm_tokens_per_image), vision.image_size,
    )  # fmt: skip


GEMMA3 = Family(
    model="Gemma3ForConditionalGeneration",
    config="Gemma3Config",
    blocks=("Gemma3DecoderLayer", "SiglipEncoderLayer"),
    turns=Turns(
        picture="<start_of_image>",
        start="<bos>",
        system="<start_of_turn>user\n{}\n\n",
        user="<start_of_turn>user\n",
        close="<end_of_turn>\n",
        assistant="<start_of_turn>model\n",
        end="<end_of_turn>",
    ),
    adapted={
        "language": rf"model\.language_model\.{_LAYER}",
        # What leads into the language part is no linear layer: adapters leave it as it is.
        "vision": r"model\.vision_tower\.encoder\.layers\.\d+\.(self_attn\.([qkv]|out)_proj"
        r"|mlp\.fc[12])",
    },
    language="model.language_model",
    saved="language_model.model.",
    kept=(11, 6, 4),  # four norms, and those of queries and keys
    vision=("model.vision_tower", "model.multi_modal_projector"),
    vllm=False,  # not run
    pictures=Pictures(
        layout=Square,
        token="<image_soft_token>",
        processor="Gemma3Processor",
        image="Gemma3ImageProcessor",
        length="image_seq_length",
        types="token_type_ids",
        tower=_square_tower,
        kept=(8, 2),
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
FAMILIES = {
    "qwen2_vl": QWEN2_VL,
    "qwen2_5_vl": QWEN2_5_VL,
    "qwen3_vl": QWEN3_VL,
    "qwen3_5": QWEN3_5,
    "smolvlm": SMOLVLM,
    "idefics3": IDEFICS3,
    "gemma3": GEMMA3,
    "qwen2": QWEN2,
}
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
