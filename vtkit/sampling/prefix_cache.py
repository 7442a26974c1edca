"""Read each distinct prompt once, and share its keys and values among its completions.

Gradients flow through the keys and values into the one reading, also where the backward pass
computes activations again (gradient checkpointing).

    rows, copies = distinct(inputs, pictures)  # 8 prompts of 64, and which of them each of 64 has
    prefix = PrefixCache(model, rows)
    prefix.follow(model, copies, ids, mask).logits
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.modeling_layers import GradientCheckpointingLayer

from vtkit.models.families import family_of
from vtkit.models.family import without_adapters
from vtkit.models.inputs import PER_TOKEN
from vtkit.sampling.picture_features import join_pictures, pictures_of_rows, same_pictures

# What layers of a cache hold: tensors that grow, and states of linear attention by number.
_KEPT, _STATES = {"keys", "values"}, {"conv_states", "recurrent_states"}


def can_share(model: Any) -> bool:
    """Tell whether prompts can be read apart from what follows them, with gradients."""
    return family_of(model).sharing == "training"


class PrefixCache:
    """Keys and values of prompts that a model has read, of inputs padded left that end in text.

    Args:
        continued: tokens after the prompts are to be chosen. Else the output layer is left out.

    Attributes:
        logits: (rows, vocabulary), of the token after each prompt; None where not ``continued``.
        pairs: of each layer, keys and values, (rows, heads, length, width).
        mask: (rows, length), 0 where there is padding.
        shift: (rows, 1), of positions of tokens that follow.
    """

    def __init__(self, model: Any, inputs: dict[str, Any], *, continued: bool = True):
        self.mask = inputs["attention_mask"]
        positions, self.shift = _positions(model, inputs)
        # Only a cache of its own has places for a model's states other than keys and values.
        stateful = not can_share(model)
        own = DynamicCache(config=model.config.get_text_config()) if stateful else _Reading()
        options = {"position_ids": positions, "past_key_values": own, "use_cache": stateful}
        self.logits: Any = None
        self._checkpointed = _checkpointed(model)
        with _kept_by_checkpointing(self._checkpointed):
            if continued:
                self.logits = model(**inputs, **options, logits_to_keep=1).logits[:, -1]
            else:
                without_adapters(model).model(**inputs, **options)
        self._states = own if stateful else None
        self.pairs: list[tuple[torch.Tensor, torch.Tensor]] = [] if stateful else own.taken()

    def follow(
        self, model: Any, rows: Sequence[int], ids: torch.Tensor, mask: torch.Tensor, **options: Any
    ) -> Any:
        """Run a forward pass over what follows the prompts with these numbers, and keep nothing.

        Only of a model that :func:`can_share`.

        Args:
            rows: one may come several times.
            ids, mask: (rows, tokens), padded right.
        """
        length = self.mask[rows].sum(1, keepdim=True)
        steps = torch.arange(ids.shape[1], device=ids.device)
        with _kept_by_checkpointing(self._checkpointed):
            return model(
                input_ids=ids, attention_mask=torch.cat([self.mask[rows], mask], dim=1),
                position_ids=length + self.shift[rows] + steps,
                past_key_values=_Following(self.pairs, rows), use_cache=False, **options,
            )  # fmt: skip

    def take(self, model: Any, rows: torch.Tensor) -> "GrowingCache":
        """The prompts with these numbers, in this order; one may come several times."""
        if self._states:
            cache = _reordered(self._states, rows)
        else:
            cache = DynamicCache([(keys[rows], values[rows]) for keys, values in self.pairs])
        return GrowingCache(model, cache, self.mask[rows], self.shift[rows])


class GrowingCache:
    """Keys and values of sequences that grow by a token at a time."""

    def __init__(self, model: Any, cache: DynamicCache, mask: torch.Tensor, shift: torch.Tensor):
        self._model, self._cache, self._mask, self._shift = model, cache, mask, shift

    def take(self, rows: torch.Tensor) -> "GrowingCache":
        """The sequences with these numbers, in this order."""
        cache = _reordered(self._cache, rows)
        return GrowingCache(self._model, cache, self._mask[rows], self._shift[rows])

    def join(self, other: "GrowingCache") -> "GrowingCache":
        """These sequences, then others, padded left to one length."""
        masks = self._mask, other._mask
        length = max(int(mask.sum(1).max()) for mask in masks)
        cache = _copied(self._cache)
        for layer, more in zip(cache.layers, other._cache.layers, strict=True):
            for name in _KEPT & {*vars(layer)}:
                both = getattr(layer, name), getattr(more, name)
                setattr(layer, name, torch.cat([_to_length(one, length, -2) for one in both]))
            for name in _STATES & {*vars(layer)}:
                states = getattr(layer, name)
                for number, state in getattr(more, name).items():
                    states[number] = torch.cat([states[number], state])
        mask = torch.cat([_to_length(mask, length, -1) for mask in masks])
        return GrowingCache(self._model, cache, mask, torch.cat([self._shift, other._shift]))

    def append(self, tokens: torch.Tensor) -> torch.Tensor:
        """Append a token to each sequence, (n,), and return logits of the next, (n, vocabulary)."""
        ids = tokens.unsqueeze(1)
        positions = self._mask.sum(1, keepdim=True) + self._shift
        self._mask = torch.cat([self._mask, torch.ones_like(ids)], dim=1)
        return self._model(
            input_ids=ids, attention_mask=self._mask, position_ids=positions,
            past_key_values=self._cache, use_cache=True, logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip


def _to_length(tensor: torch.Tensor, length: int, dim: int) -> torch.Tensor:
    """Pad with zeros, or cut what is padding, at the start of a dimension."""
    missing = length - tensor.shape[dim]
    if missing <= 0:
        return tensor.narrow(dim, -missing, length)
    return pad(tensor, (*(0, 0) * (-1 - dim), missing, 0))


def _reordered(cache: DynamicCache, rows: torch.Tensor) -> DynamicCache:
    """The sequences with these numbers; the cache stays as it is."""
    chosen = _copied(cache)
    chosen.reorder_cache(rows)
    return chosen


def _copied(cache: DynamicCache) -> DynamicCache:
    """A cache of the same tensors, which can be replaced in it."""
    copied = copy.copy(cache)
    copied.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in copied.layers:
        for name in _STATES & {*vars(layer)}:
            setattr(layer, name, copy.copy(getattr(layer, name)))
    return copied


class _Reading(DynamicCache):
    """Keys and values of one forward pass.

    The backward pass repeats a layer that is checkpointed, and finds them taken: what a layer
    repeats must not refer to what depends on it, or the graph would never be freed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] | None = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._pairs is not None:
            self._pairs.append((key_states, value_states))
        return key_states, value_states

    def taken(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        pairs, self._pairs = self._pairs or [], None
        return pairs


class _Following(DynamicCache):
    """Puts rows of prompts' keys and values before a layer's own, as often as it is asked to."""

    def __init__(self, read: list[tuple[torch.Tensor, torch.Tensor]], rows: Sequence[int]):
        super().__init__()
        self._read, self._rows = read, rows

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = self._read[layer_idx]
        return (
            torch.cat([keys[self._rows], key_states], dim=-2),
            torch.cat([values[self._rows], value_states], dim=-2),
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._read[layer_idx][0].shape[-2]

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self.get_seq_length(layer_idx) + query_length, 0


def _checkpointed(model: Any) -> list[Any]:
    """The layers whose activations are computed again in the backward pass."""
    return [
        module for module in model.modules()
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing
    ]  # fmt: skip


@contextmanager
def _kept_by_checkpointing(layers: list[Any]) -> Iterator[None]:
    """Let checkpointed layers have the cache they are given, which they otherwise drop.

    transformers does that since a cache would grow once more when the backward pass repeats a
    layer; the two above do not grow.
    """
    for layer in layers:
        layer._can_checkpoint_with_cache = True
    try:
        yield
    finally:
        for layer in layers:
            del layer._can_checkpoint_with_cache


def distinct(
    inputs: dict[str, Any], pictures: Sequence[int] | None
) -> tuple[dict[str, Any], list[int]]:
    """Drop repeated prompts from a batch (rows, length) of a model's inputs.

    Args:
        pictures: how many each row has.

    Returns:
        The inputs, (distinct prompts, length), and for each row the number of its prompt in them.
    """
    looks = pictures_of_rows(inputs, pictures)
    prompts = zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True)
    found: dict[Any, list[int]] = {}  # rows of other prompts, by their text
    kept: list[int] = []
    copies = []
    for row, (ids, mask) in enumerate(prompts):
        same_text = found.setdefault((*ids, *mask), [])
        same = (number for number in same_text if same_pictures(looks[kept[number]], looks[row]))
        number = next(same, len(kept))
        if number == len(kept):
            kept.append(row)
            same_text.append(number)
        copies.append(number)
    few = {name: inputs[name][kept] for name in PER_TOKEN & {*inputs}}
    return {**few, **join_pictures(inputs, [looks[row] for row in kept])}, copies


def _positions(model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of the prompts' tokens, and the shift (rows, 1) of positions of later tokens.

    Pictures on a grid take up fewer positions than tokens (M-RoPE: Wang et al. 2024, 2.1).
    """
    mask = inputs["attention_mask"]
    if inputs.get("image_grid_thw") is None:
        return (mask.cumsum(1) - 1).clamp(min=0), mask.new_zeros(len(mask), 1)
    base, types = without_adapters(model), family_of(model).seen.types
    return base.model.get_rope_index(
        inputs["input_ids"], inputs[types],
        image_grid_thw=inputs["image_grid_thw"], attention_mask=mask,
    )  # fmt: skip
