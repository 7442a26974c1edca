"""A model of random weights of each family, built from its own config class, in seconds."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from vtkit.mini.tokenizer import build_tokenizer
from vtkit.models.families import FAMILIES
from vtkit.models.processors import build_processor
from vtkit.models.prompts import get_template

WIDTH = 64
PIXELS = 64 * 64  # of a picture
# Some families keep line breaks as tokens; vLLM's processor needs them.
_BREAKS = ["\n" * n for n in range(1, 5)]


def _text(tokenizer: Any, **changes: Any) -> dict[str, Any]:
    return dict(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=1024,
    ) | changes  # fmt: skip


def _ids(tokenizer: Any, **tokens: str) -> dict[str, int]:
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}


def _grid(tokenizer: Any, vision: dict[str, Any], **text: Any) -> dict[str, Any]:
    ids = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    ids |= {f"vision_{end}_token_id": f"<|vision_{end}|>" for end in ("start", "end")}
    return {
        "text_config": _text(tokenizer, **text),
        "vision_config": {"depth": 2, "num_heads": 2, "patch_size": 8, **vision},
        **_ids(tokenizer, **ids),
    }


def _rope(section: list[int], **changes: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e4, "mrope_section": section} | changes


def _qwen2_vl(tokenizer: Any) -> dict[str, Any]:
    vision = {"embed_dim": 64, "hidden_size": WIDTH, "mlp_ratio": 2}
    return _grid(tokenizer, vision, rope_parameters=_rope([2, 3, 3]))


_TOWER = {"hidden_size": 64, "intermediate_size": 128, "out_hidden_size": WIDTH}


def _qwen2_5_vl(tokenizer: Any) -> dict[str, Any]:
    vision = _TOWER | {"window_size": 32, "fullatt_block_indexes": [1]}
    return _grid(tokenizer, vision, rope_parameters=_rope([2, 3, 3]))


def _qwen3_vl(tokenizer: Any) -> dict[str, Any]:
    vision = _TOWER | {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    rope = _rope([4, 2, 2], mrope_interleaved=True)
    return _grid(tokenizer, vision, head_dim=16, rope_parameters=rope)


def _qwen3_5(tokenizer: Any) -> dict[str, Any]:
    rope = _rope([2, 1, 1], mrope_interleaved=True, partial_rotary_factor=0.25)
    vision = _TOWER | {"num_position_embeddings": 64}
    return _grid(
        tokenizer, vision, head_dim=32, rope_parameters=rope, linear_key_head_dim=16,
        linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4,
        layer_types=["linear_attention", "full_attention"],
    )  # fmt: skip


_SIGLIP = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "patch_size": 8,
}  # fmt: skip


def _smolvlm(tokenizer: Any) -> dict[str, Any]:
    return {
        "text_config": _text(tokenizer, model_type="llama"),
        "vision_config": _SIGLIP | {"image_size": 32},
        "scale_factor": 2,
        **_ids(tokenizer, image_token_id="<image>"),
    }


def _gemma3(tokenizer: Any) -> dict[str, Any]:
    text = _text(
        tokenizer, head_dim=16, query_pre_attn_scalar=16, sliding_window=48,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    ids = {"boi_token_index": "<start_of_image>", "eoi_token_index": "<end_of_image>"}
    return {
        "text_config": text,
        "vision_config": _SIGLIP | {"image_size": 64, "vision_use_head": False},
        "mm_tokens_per_image": 16,
        **_ids(tokenizer, image_token_index="<image_soft_token>", **ids),
    }


_BUILT: dict[str, Callable[[Any], dict[str, Any]]] = {
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_5": _qwen3_5,
    "smolvlm": _smolvlm,
    "idefics3": _smolvlm,
    "gemma3": _gemma3,
}
SEEING = tuple(_BUILT)
"""The families that read pictures, by ``model_type``."""


_TILES = [f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)]
_MARKS = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>"]
_OWN = {  # special tokens that the miniature's tokenizer lacks
    "smolvlm": [*_MARKS, *_TILES],
    "idefics3": [*_MARKS, *_TILES],
    "gemma3": [
        "<bos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>",
        "<image_soft_token>",
    ],
}  # fmt: skip


@cache
def _tokenizer(kind: str) -> Any:
    """The miniature's tokenizer with the family's special tokens, as AutoTokenizer will make it."""
    found = build_tokenizer(300)
    found.add_special_tokens({"additional_special_tokens": _OWN.get(kind, [])})
    if kind != "gemma3":
        return found
    found.add_tokens(_BREAKS)
    marks = {"boi": "<start_of_image>", "eoi": "<end_of_image>", "image": "<image_soft_token>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=found.backend_tokenizer, eos_token=found.eos_token, bos_token="<bos>",
        pad_token=found.pad_token, padding_side="left", clean_up_tokenization_spaces=False,
        extra_special_tokens={f"{name}_token": token for name, token in marks.items()},
    )  # fmt: skip


def _image_processor(kind: str) -> Any:
    tool = FAMILIES[kind].image_processor_class
    if kind in ("smolvlm", "idefics3"):
        return tool(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    if kind == "gemma3":
        return tool(size={"height": 64, "width": 64})
    return tool(patch_size=8, merge_size=2, size={"shortest_edge": 256, "longest_edge": PIXELS})


def build_tiny(kind: str, *, tied: bool = True, layers: int = 2, blocks: int = 2) -> Any:
    """A tiny model of a family.

    Args:
        tied: the output layer is the embeddings.
        layers, blocks: of the language part and of the vision tower. More layers are of the kind of
            the first one.
    """
    values = _BUILT[kind](_tokenizer(kind))
    text, vision = values["text_config"], values["vision_config"]
    values["tie_word_embeddings"] = text["tie_word_embeddings"] = tied
    text["num_hidden_layers"] = layers
    if "layer_types" in text:
        text["layer_types"] = text["layer_types"][:1] * (layers - 1) + text["layer_types"][1:]
    vision["depth" if "depth" in vision else "num_hidden_layers"] = blocks
    torch.manual_seed(0)
    model = FAMILIES[kind].model_class(FAMILIES[kind].config_class(**values))
    spread(model)
    return model


def write_tiny(folder: Path, kind: str, *, tied: bool = True) -> Path:
    """Write a folder with a tiny model of a family, and its processor."""
    family, tokenizer, model = FAMILIES[kind], _tokenizer(kind), build_tiny(kind, tied=tied)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config.update(**ends)
    model.save_pretrained(folder)
    processor = build_processor(
        family, _image_processor(kind), tokenizer, get_template("base", family), model.config
    )
    processor.save_pretrained(folder)
    return folder


@torch.no_grad()
def spread(model: torch.nn.Module) -> None:
    """Draw weights so wide that no two words are about as likely; norms stay near what they are."""
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        wide = 0.1 if weight.ndim > 1 else 0.02
        weight.add_(torch.randn(weight.shape, generator=generator) * wide)
    model.tie_weights()
