"""Encode each distinct picture of a batch once, and those of a frozen vision tower once a step.

Gradients of all copies flow into the one encoding.

    features = PictureFeatures(frozen=False)
    with features.shared(model):
        model(**inputs)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

Pictures = tuple[torch.Tensor, torch.Tensor]
"""Patches of one or several pictures, (patches, values), and their grids, (pictures, 3)."""


class PictureFeatures:
    """What the vision tower makes of pictures, several of which are the same.

    Args:
        frozen: the tower never changes: keep what it makes until :meth:`forget`, and let no
            gradients into it. (Where inputs require gradients, for adapters under gradient
            checkpointing, transformers lets them in.)
    """

    def __init__(self, *, frozen: bool):
        self._frozen = frozen
        self._kept: dict[Any, list[tuple[Pictures, torch.Tensor]]] = {}  # of each model

    def forget(self) -> None:
        """Drop what was kept: the next pictures are others."""
        self._kept.clear()

    @contextmanager
    def shared(self, model: Any) -> Iterator[None]:
        """Share features in the model's forward passes in the block."""
        owner = _base(model).model
        if not hasattr(owner, "get_image_features"):  # it reads text only
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
    ) -> BaseModelOutputWithPooling:  # fmt: skip
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
                found += encode(patches, grids, **options).pooler_output
            known += zip(new, found[len(known) :], strict=True)
        return BaseModelOutputWithPooling(pooler_output=[found[number] for number in numbers])


def is_frozen(model: Any) -> bool:
    """Tell whether a model has a vision tower of which nothing trains."""
    tower = getattr(_base(model).model, "visual", None)
    return tower is not None and not any(weight.requires_grad for weight in tower.parameters())


def split_pictures(
    pixel_values: torch.Tensor, grids: torch.Tensor, counts: Sequence[int]
) -> list[Pictures]:
    """Split pictures that are stacked end to end, ``counts`` of them at a time."""
    parts = grids.split(list(counts))
    sizes = [int(part.prod(-1).sum()) for part in parts]
    return list(zip(pixel_values.split(sizes), parts, strict=True))


def same_pictures(one: Pictures | None, other: Pictures | None) -> bool:
    """Tell whether these are the same pictures in the same order, or both none."""
    if one is None or other is None:
        return one is other
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
