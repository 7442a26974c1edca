"""Encode each distinct picture of a batch once, and those of a frozen vision tower once a step.

Gradients of all copies flow into the one encoding.

    features = PictureFeatures(frozen=False)
    with features.shared(model):
        model(**inputs)
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch

from vtkit.models.families import family_of
from vtkit.models.family import without_adapters

Pictures = tuple[torch.Tensor, ...]
"""One or several pictures, as :data:`INPUTS` has them: patches, (patches, values), and their grids,
(pictures, 3); squares, (pictures, channels, side, side); or tiles, and which pixels count."""
INPUTS = ("pixel_values", "image_grid_thw", "pixel_attention_mask")
"""A model's inputs of pictures. Those of tiles have a row for each prompt."""
Features = list[torch.Tensor]
"""Of one picture, (tokens, width): the tower's, and what goes into deeper layers in some models."""


class PictureFeatures:
    """What the vision tower makes of pictures, several of which are the same.

    Args:
        frozen: the tower never changes: keep what it makes until :meth:`forget`, and let no
            gradients into it. (Where inputs require gradients, for adapters under gradient
            checkpointing, transformers lets them in.)
    """

    def __init__(self, *, frozen: bool):
        self._frozen = frozen
        self._kept: dict[Any, list[tuple[Pictures, Features]]] = {}  # of each model

    def forget(self) -> None:
        """Drop what was kept: the next pictures are others."""
        self._kept.clear()

    @contextmanager
    def shared(self, model: Any) -> Iterator[None]:
        """Share features in the model's forward passes in the block."""
        pictures, owner = family_of(model).pictures, without_adapters(model).model
        if pictures is None or not pictures.layout.stacked:
            yield
            return
        known = self._kept.setdefault(owner, []) if self._frozen else None
        owner.get_image_features = partial(self._encode, owner.get_image_features, known)
        try:
            yield
        finally:
            del owner.get_image_features

    def _encode(
        self, encode: Any, kept: list[Any] | None, pixel_values: torch.Tensor,
        image_grid_thw: torch.Tensor, **options: Any,
    ) -> SimpleNamespace:  # fmt: skip
        known = [] if kept is None else kept
        seen = [pictures for pictures, _ in known]
        new, numbers = [], []
        for pictures in split_pictures(pixel_values, image_grid_thw, [1] * len(image_grid_thw)):
            number = next(
                (n for n, one in enumerate(seen) if same_pictures(one, pictures)), len(seen)
            )
            if number == len(seen):
                seen.append(pictures)
                new.append(pictures)
            numbers.append(number)
        found = [features for _, features in known]
        if new:
            with torch.no_grad() if self._frozen else nullcontext():
                patches, grids = (torch.cat(parts) for parts in zip(*new, strict=True))
                output = encode(patches, grids, **options)
            layers = [output.pooler_output, *getattr(output, "deepstack_features", [])]
            found += map(list, zip(*layers, strict=True))
            known += zip(new, found[len(known) :], strict=True)
        first, *deeper = map(list, zip(*(found[number] for number in numbers), strict=True))
        return SimpleNamespace(pooler_output=first, deepstack_features=deeper)


def is_frozen(model: Any) -> bool:
    """Tell whether a model has a vision tower of which nothing trains."""
    towers = family_of(model).vision_modules(model)
    weights = [weight for tower in towers for weight in tower.parameters()]
    return bool(weights) and not any(weight.requires_grad for weight in weights)


def pictures_of_rows(
    inputs: Mapping[str, Any], counts: Sequence[int] | None
) -> list[Pictures | None]:
    """The pictures of each row of a model's inputs, which has ``counts`` of them; None for none."""
    found = [inputs[name] for name in INPUTS if inputs.get(name) is not None]
    if not found:
        return [None] * len(inputs["input_ids"])
    if _are_tiles(inputs):
        return list(zip(*found, strict=True))
    assert counts is not None, "how many pictures a row has"
    if inputs.get("image_grid_thw") is not None:
        return [*split_pictures(found[0], found[1], counts)]
    return [(part,) for part in found[0].split(list(counts))]


def join_pictures(inputs: Mapping[str, Any], rows: list[Pictures | None]) -> dict[str, Any]:
    """The inputs of these rows' pictures, which :func:`pictures_of_rows` found in ``inputs``."""
    names = [name for name in INPUTS if inputs.get(name) is not None]
    join = torch.stack if names and _are_tiles(inputs) else torch.cat
    shown = [row for row in rows if row is not None and (join is torch.stack or len(row[-1]))]
    columns = zip(names, zip(*shown, strict=True), strict=True) if shown else ()
    return {name: join(column) for name, column in columns}


def _are_tiles(inputs: Mapping[str, Any]) -> bool:
    return inputs["pixel_values"].ndim == 5


def split_pictures(
    pixel_values: torch.Tensor, grids: torch.Tensor, counts: Sequence[int]
) -> list[Pictures]:
    """Split pictures on grids that are stacked end to end, ``counts`` of them at a time."""
    parts = grids.split(list(counts))
    sizes = [int(part.prod(-1).sum()) for part in parts]
    return list(zip(pixel_values.split(sizes), parts, strict=True))


def same_pictures(one: Pictures | None, other: Pictures | None) -> bool:
    """Tell whether these are the same pictures in the same order, or both none."""
    if one is None or other is None:
        return one is other
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
