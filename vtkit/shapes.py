"""The shape of a Qwen2-VL and its numbers of parameters, without its weights.

A model is built on torch's meta device, which has sizes and no memory, from a local config.json or,
for the published 2B models, from their architecture as it is written down here. Peers multiply "2B"
by some bytes; half of what decides the memory is not in that number (vocabulary, vision tower,
key-value heads).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from vtkit.errors import UserError
from vtkit.files import read_json
from vtkit.models import count_parameters
from vtkit.values import ROOT

# config.json of Qwen/Qwen2-VL-2B and -2B-Instruct on the hub; Wang et al. 2024 (arXiv 2409.12191),
# table 1: a vision tower of 675 M (merger included) and a language model of 1.5 B.
QWEN2_VL_2B: dict[str, Any] = {
    "tie_word_embeddings": True,
    "text_config": {
        "vocab_size": 151_936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [16, 24, 24],
        },
    },
    "vision_config": {
        "depth": 32,
        "embed_dim": 1280,
        "hidden_size": 1536,
        "mlp_ratio": 4,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
    },
}
PUBLISHED = {"Qwen/Qwen2-VL-2B": QWEN2_VL_2B, "Qwen/Qwen2-VL-2B-Instruct": QWEN2_VL_2B}


@dataclass(frozen=True)
class Part:
    """The vision tower with its merger, or the language model.

    Attributes:
        width, inner: of the residual stream and inside an MLP.
        parameters: all of them; ``matrices``: those of linear layers without the output layer,
            which autocast copies, adapters adapt and QLoRA quantizes.
        loose: of the matrices, those outside the layers (the merger): never recomputed.
        adapter: parameters of adapters of rank 1 on all matrices, the sum of inputs and outputs.
    """

    layers: int
    width: int
    inner: int
    parameters: int
    matrices: int
    loose: int
    adapter: int


@dataclass(frozen=True)
class Shape:
    """What memory depends on; all sizes in elements."""

    language: Part
    vision: Part
    vocabulary: int
    keys_and_values: int  # of one token in one layer
    patch: int  # numbers in a patch of a picture, both of its frames
    patch_pixels: int  # side
    merge: int  # side, in patches, of what becomes one token

    @property
    def total(self) -> int:
        return self.language.parameters + self.vision.parameters

    def patches(self, max_pixels: int) -> int:
        """Patches of the largest picture: whole squares of merge x merge."""
        return max(1, max_pixels // (self.merge * self.patch_pixels) ** 2) * self.merge**2

    def picture_tokens(self, width: int, height: int, min_pixels: int, max_pixels: int) -> int:
        """Tokens of a picture of width x height pixels after Qwen2-VL's resizing to those limits.

        Raises:
            ValueError: one side is more than 200 times the other.
        """
        side = self.merge * self.patch_pixels  # pixels that become one token, 28 in the 2B model
        limits = {"min_pixels": min_pixels, "max_pixels": max_pixels}
        resized = smart_resize(height, width, side, **limits)
        return (resized[0] // side) * (resized[1] // side)


@lru_cache(maxsize=8)
def load_shape(model: str) -> Shape:
    """The shape of a local model folder or a published model.

    Raises:
        UserError: no config.json there, another kind of model, or a hub id that is not known here.
    """
    return shape_of(_config(model))


def shape_of(config: Qwen2VLConfig) -> Shape:
    """The shape of a configuration of transformers."""
    with torch.device("meta"):
        built = Qwen2VLForConditionalGeneration(config)
    text, vision, counts = config.text_config, config.vision_config, count_parameters(built)
    head = text.hidden_size // text.num_attention_heads
    return Shape(
        language=_part(
            built.model.language_model, counts["total"] - counts["vision"],
            layers=text.num_hidden_layers, width=text.hidden_size, inner=text.intermediate_size,
        ),
        vision=_part(
            built.model.visual, counts["vision"], layers=vision.depth, width=vision.embed_dim,
            inner=int(vision.embed_dim * vision.mlp_ratio),
        ),
        vocabulary=text.vocab_size,
        keys_and_values=2 * text.num_key_value_heads * head,
        patch=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
        patch_pixels=vision.patch_size,
        merge=vision.spatial_merge_size,
    )  # fmt: skip


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


def _config(model: str) -> Qwen2VLConfig:
    if model in PUBLISHED:
        return Qwen2VLConfig(**PUBLISHED[model])
    path = ROOT / model / "config.json"
    if not path.is_file():
        raise UserError(
            f"model: {model} has no config.json here, so that its size is not known; download it "
            f"and set `model` to the folder, or to one of {', '.join(PUBLISHED)}"
        )
    values = read_json(path)
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind != "qwen2_vl":
        raise UserError(
            f"{path}: model_type is {kind!r}, not 'qwen2_vl'; set `model` to a Qwen2-VL"
        )
    return Qwen2VLConfig.from_dict(values)
