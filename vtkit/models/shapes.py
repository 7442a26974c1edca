"""The sizes of a model without its weights, by torch's meta device.

``load_shape("Qwen/Qwen2-VL-2B").total`` is 2,208,985,600.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Any

import torch

from vtkit.config.recipes import list_profiles, resolve_config
from vtkit.errors import UserError
from vtkit.files import ROOT, read_json
from vtkit.models.families import family_of, require_family
from vtkit.models.family import Family
from vtkit.models.layouts import Grid, Square, Tiles, Tower
from vtkit.models.loading import count_parameters
from vtkit.models.published import list_published, published_config


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
    # What a layer keeps of a token or patch for its backward pass: widths in float32, and widths
    # and inner widths in the precision of a forward pass.
    kept: tuple[float, float, float] = (0, 0, 0)

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
    keys_and_values: float  # of one token in one layer, on average
    family: Family
    tower: Tower | None = None  # of a model that sees

    @property
    def total(self) -> int:
        return self.language.parameters + self.vision.parameters

    @property
    def patch(self) -> int:
        """Numbers in a patch of a picture; 0 in a model that reads text only."""
        return self.tower.patch if self.tower else 0

    @property
    def merge(self) -> int:
        """Side, in patches, of the square that becomes one token."""
        return self.tower.merge if self.tower else 1

    @property
    def token_pixels(self) -> int:
        """Side, in pixels, of that square."""
        return self.merge * self.tower.patch_pixels if self.tower else 1

    def patches(self, max_pixels: int) -> int:
        """Patches of the largest picture, in whole squares of merge x merge."""
        if self.tower is None:
            return 0
        return self._layout(self.tower, 1, max_pixels).largest * self.merge**2

    def picture_tokens(self, width: int, height: int, min_pixels: int, max_pixels: int) -> int:
        """Tokens of a picture of width x height pixels after resizing to those limits; a ValueError
        of a grid if one side is more than 200 times the other."""
        assert self.tower is not None, "the model reads text only"
        return self._layout(self.tower, min_pixels, max_pixels).tokens(height, width)

    def _layout(self, tower: Tower, least: int, most: int) -> Grid | Tiles | Square:
        return self.family.seen.layout.within(tower, least, most)


@lru_cache(maxsize=8)
def load_shape(model: str) -> Shape:
    """The shape of a local model folder or a published model; a UserError for others."""
    return shape_of(config_of(model))


def count_picture_tokens(
    sizes: Mapping[str, Iterable[tuple[int, int]]],
) -> dict[str, dict[str, Any]]:
    """Count the tokens of pictures under each profile: the largest one, and each group's mean.

    Args:
        sizes: ``(width, height)`` in pixels, by the name of the group.
    """
    costs: dict[str, dict[str, Any]] = {}
    for profile in list_profiles():
        config = resolve_config(profile=profile)
        shape, limits = load_shape(config.model), (config.min_pixels, config.max_pixels)
        most = shape.patches(config.max_pixels) // shape.merge**2
        costs[profile] = {"pixels, most": config.max_pixels, "tokens, most": most}
        for name, found in sizes.items():
            tokens = fmean(shape.picture_tokens(*size, *limits) for size in found)
            costs[profile][f"tokens, {name}"] = round(tokens, 1)
    return costs


def shape_of(config: Any) -> Shape:
    """The shape of a configuration of transformers."""
    family = family_of(config)
    with torch.device("meta"):
        built = family.model_class(config)
    text, counts = config.get_text_config(), count_parameters(built)
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    language = _part(
        [built.get_submodule(family.language)], counts["total"] - counts["vision"],
        layers=text.num_hidden_layers, width=text.hidden_size, inner=text.intermediate_size,
        heads=text.num_attention_heads, kept=family.kept,
    )  # fmt: skip
    kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
    attending = 1 - kinds.count("linear_attention") / len(kinds)
    sizes = (text.vocab_size, 2 * text.num_key_value_heads * head * attending)
    if family.pictures is None:
        return Shape(language, Part(), *sizes, family)
    tower = family.pictures.tower(config)
    vision = _part(
        family.vision_modules(built), counts["vision"], layers=tower.layers, width=tower.width,
        inner=tower.inner, heads=tower.heads, kept=(0, *family.pictures.kept),
    )  # fmt: skip
    return Shape(language, vision, *sizes, family, tower)


_IN_A_LAYER = re.compile(r"(^|\.)(blocks|layers)\.\d+\.")


def _part(modules: list[torch.nn.Module], parameters: int, **sizes: Any) -> Part:
    named = (pair for module in modules for pair in module.named_modules())
    linear = [(name, one) for name, one in named if isinstance(one, torch.nn.Linear)]
    outside = [one for name, one in linear if not _IN_A_LAYER.search(name)]
    return Part(
        parameters=parameters,
        matrices=sum(one.weight.numel() for _, one in linear),
        loose=sum(one.weight.numel() for one in outside),
        adapter=sum(one.in_features + one.out_features for _, one in linear),
        **sizes,
    )


def config_of(model: str) -> Any:
    """The configuration of a local model folder or a published model; a UserError for others."""
    if known := published_config(model):
        return require_family(known.pop("model_type"), model).config_class(**known)
    path = ROOT / model / "config.json"
    if not path.is_file():
        raise UserError(
            f"model: {model} has no config.json here, and its size is not known; download it "
            f"and set `model` to the folder, or to one of {', '.join(list_published())}"
        )
    values = read_json(path)
    kind = values.get("model_type") if isinstance(values, dict) else None
    return require_family(kind, path).config_class.from_dict(values)
