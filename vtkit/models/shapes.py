"""The sizes of a Qwen2-VL or a text-only Qwen2 without its weights, by torch's meta device.

``load_shape("Qwen/Qwen2-VL-2B").total`` is 2,208,985,600.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2VLConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from vtkit.config.recipes import list_profiles, resolve_config
from vtkit.errors import UserError, quote
from vtkit.files import ROOT, read_json
from vtkit.models.loading import MODELS, count_parameters

# config.json of Qwen/Qwen2-VL-2B and -2B-Instruct on the hub; Wang et al. 2024 (arXiv 2409.12191),
# table 1: a vision tower of 675 M (merger included) and a language model of 1.5 B.
QWEN2_VL_2B: dict[str, Any] = {
    "tie_word_embeddings": True,
    "text_config": dict(
        vocab_size=151_936, hidden_size=1536, intermediate_size=8960,
        num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2,
        rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[16, 24, 24]),
    ),
    "vision_config": dict(
        depth=32, embed_dim=1280, hidden_size=1536, mlp_ratio=4, num_heads=16, patch_size=14,
        spatial_merge_size=2,
    ),
}  # fmt: skip
# config.json of Qwen/Qwen2.5-1.5B and -3B; Qwen2.5 report (arXiv 2412.15115), table 1: 28 and 36
# layers, 12 and 16 heads, 2 of keys and values, tied embeddings.
_QWEN2_5: dict[str, Any] = dict(vocab_size=151_936, num_key_value_heads=2, tie_word_embeddings=True)
QWEN2_5_1_5B = _QWEN2_5 | dict(
    hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12
)
QWEN2_5_3B = _QWEN2_5 | dict(
    hidden_size=2048, intermediate_size=11_008, num_hidden_layers=36, num_attention_heads=16
)
PUBLISHED = {
    "Qwen/Qwen2-VL-2B": Qwen2VLConfig(**QWEN2_VL_2B),
    "Qwen/Qwen2-VL-2B-Instruct": Qwen2VLConfig(**QWEN2_VL_2B),
    "Qwen/Qwen2.5-1.5B": Qwen2Config(**QWEN2_5_1_5B),
    "Qwen/Qwen2.5-3B": Qwen2Config(**QWEN2_5_3B),
}


@dataclass(frozen=True)
class Part:
    """The vision tower with its merger, or the language model. A text-only model's vision is 0."""

    layers: int = 0
    width: int = 0  # of the residual stream
    inner: int = 0  # width inside an MLP
    heads: int = 0  # of attention
    parameters: int = 0
    # Of linear layers without the output layer: autocast copies and QLoRA quantizes them.
    matrices: int = 0
    loose: int = 0  # of the matrices, those outside the layers (the merger): never recomputed
    adapter: int = 0  # parameters of adapters of rank 1 on all matrices: inputs + outputs

    @property
    def block(self) -> float:
        """Parameters of one layer's matrices; what a layer has besides is small."""
        return (self.matrices - self.loose) / max(1, self.layers)


@dataclass(frozen=True)
class Shape:
    """Sizes that memory depends on, in elements."""

    language: Part
    vision: Part
    vocabulary: int
    keys_and_values: int  # of one token in one layer
    patch: int = 0  # numbers in a patch of a picture, both of its frames
    patch_pixels: int = 1  # side of a patch
    merge: int = 1  # side, in patches, of the square that becomes one token

    @property
    def total(self) -> int:
        return self.language.parameters + self.vision.parameters

    def patches(self, max_pixels: int) -> int:
        """Patches of the largest picture, in whole squares of merge x merge."""
        if not self.vision.parameters:
            return 0
        return max(1, max_pixels // (self.merge * self.patch_pixels) ** 2) * self.merge**2

    def picture_tokens(self, width: int, height: int, min_pixels: int, max_pixels: int) -> int:
        """Tokens of a picture of width x height pixels after Qwen2-VL's resizing to those limits;
        a ValueError if one side is more than 200 times the other."""
        side = self.merge * self.patch_pixels  # pixels that become one token, 28 in the 2B model
        limits = {"min_pixels": min_pixels, "max_pixels": max_pixels}
        resized = smart_resize(height, width, side, **limits)
        return (resized[0] // side) * (resized[1] // side)


@lru_cache(maxsize=8)
def load_shape(model: str) -> Shape:
    """The shape of a local model folder or a published model; a UserError for others."""
    return shape_of(_config(model))


def count_picture_tokens(
    sizes: Mapping[str, Iterable[tuple[int, int]]],
) -> dict[str, dict[str, Any]]:
    """Count the tokens of pictures under each profile: the largest one, and each group's mean.

    Args:
        sizes: ``(width, height)`` in pixels, by the name of the group.
    """
    costs = {}
    for profile in list_profiles():
        config = resolve_config(profile=profile)
        shape, limits = load_shape(config.model), (config.min_pixels, config.max_pixels)
        most = shape.patches(config.max_pixels) // shape.merge**2
        costs[profile] = {"pixels, most": config.max_pixels, "tokens, most": most}
        for name, found in sizes.items():
            tokens = fmean(shape.picture_tokens(*size, *limits) for size in found)
            costs[profile][f"tokens, {name}"] = round(tokens, 1)
    return costs


def shape_of(config: Qwen2VLConfig | Qwen2Config) -> Shape:
    """The shape of a configuration of transformers."""
    with torch.device("meta"):
        built = MODELS[config.model_type](config)
    text, counts = config.get_text_config(), count_parameters(built)
    head = text.hidden_size // text.num_attention_heads
    language = _part(
        getattr(built.model, "language_model", built.model), counts["total"] - counts["vision"],
        layers=text.num_hidden_layers, width=text.hidden_size, inner=text.intermediate_size,
        heads=text.num_attention_heads,
    )  # fmt: skip
    sizes = (text.vocab_size, 2 * text.num_key_value_heads * head)
    if not counts["vision"]:
        return Shape(language, Part(), *sizes)
    vision = config.vision_config
    tower = _part(
        built.model.visual, counts["vision"], layers=vision.depth, width=vision.embed_dim,
        inner=int(vision.embed_dim * vision.mlp_ratio), heads=vision.num_heads,
    )  # fmt: skip
    patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    return Shape(language, tower, *sizes, patch, vision.patch_size, vision.spatial_merge_size)


def _part(module: torch.nn.Module, parameters: int, **sizes: int) -> Part:
    linear = {n: m for n, m in module.named_modules() if isinstance(m, torch.nn.Linear)}
    loose = sum(m.weight.numel() for n, m in linear.items() if n.startswith("merger."))
    return Part(
        parameters=parameters,
        matrices=sum(m.weight.numel() for m in linear.values()),
        loose=loose,
        adapter=sum(m.in_features + m.out_features for m in linear.values()),
        **sizes,
    )


def _config(model: str) -> Qwen2VLConfig | Qwen2Config:
    if model in PUBLISHED:
        return PUBLISHED[model]
    path = ROOT / model / "config.json"
    if not path.is_file():
        raise UserError(
            f"model: {model} has no config.json here, and its size is not known; download it "
            f"and set `model` to the folder, or to one of {', '.join(PUBLISHED)}"
        )
    values = read_json(path)
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind not in MODELS:
        raise UserError(
            f"{path}: model_type is {quote(kind)}, not 'qwen2_vl' (or 'qwen2', text only); "
            "set `model` to a Qwen2-VL"
        )
    return MODELS[kind].config_class.from_dict(values)
