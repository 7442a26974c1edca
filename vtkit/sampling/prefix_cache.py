"""Read each distinct prompt once, and share its keys and values among its completions.

Gradients flow through the keys and values into the one reading.

    rows, copies = distinct(inputs)         # 8 prompts of 64, and which of them each of the 64 has
    prefix = PrefixCache(model, rows).take(copies)
    prefix.follow(model, ids, mask).logits
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

PER_TOKEN = {"input_ids", "attention_mask", "mm_token_type_ids"}
"""A model's inputs with a row for each prompt; those of pictures are stacked end to end."""
_KNOWN = ("qwen2_vl", "qwen2")


def can_share(model: Any) -> bool:
    """Tell whether prompts can be read apart from what follows them."""
    # Not where the backward pass recomputes activations: keys and values are dropped.
    recomputes = any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    kind = getattr(getattr(model, "config", None), "model_type", None)  # None of one in a wrapper
    return kind in _KNOWN and not (recomputes and torch.is_grad_enabled())


class PrefixCache:
    """Keys and values of prompts that a model has read, of inputs padded left that end in text.

    Attributes:
        cache: keys and values, a row for each prompt.
        mask: (rows, length), 0 for padding.
        logits: (rows, vocabulary), of the token after each prompt.
    """

    def __init__(self, model: Any, inputs: dict[str, Any]):
        self.cache, self.mask = DynamicCache(), inputs["attention_mask"]
        positions, self._shift = _positions(model, inputs)
        self.logits = model(
            **inputs, position_ids=positions, past_key_values=self.cache, use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip

    def take(self, rows: torch.Tensor | list[int]) -> "PrefixCache":
        """The prompts with these numbers, in this order; one may come several times."""
        taken = object.__new__(PrefixCache)
        taken.cache = DynamicCache(
            [(layer.keys[rows], layer.values[rows]) for layer in self.cache.layers]
        )
        taken.mask, taken._shift = self.mask[rows], self._shift[rows]
        return taken

    def follow(self, model: Any, ids: torch.Tensor, mask: torch.Tensor, **options: Any) -> Any:
        """Run a forward pass over what follows each prompt, which becomes part of the prefix.

        Args:
            ids, mask: (rows, tokens), padded right.
        """
        self.mask = torch.cat([self.mask, mask], dim=1)
        positions = self.mask.sum(1, keepdim=True) - mask.sum(1, keepdim=True) + self._shift
        steps = torch.arange(ids.shape[1], device=ids.device)
        return model(
            input_ids=ids, attention_mask=self.mask, position_ids=positions + steps,
            past_key_values=self.cache, **options,
        )  # fmt: skip


def distinct(inputs: dict[str, Any], pictures: Sequence[int] | None) -> tuple[dict, list[int]]:
    """Drop repeated prompts from a batch (rows, length) of a model's inputs.

    Args:
        pictures: how many each row has.

    Returns:
        The inputs, (distinct prompts, length), and for each row the number of its prompt in them.
    """
    rows = inputs["input_ids"].shape[0]
    looks = _pictures(inputs, pictures) if inputs.get("pixel_values") is not None else [None] * rows
    prompts = zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True)
    found: dict[Any, list[int]] = {}  # rows of other prompts, by their text
    kept: list[int] = []
    copies = []
    for row, (ids, mask) in enumerate(prompts):
        same_text = found.setdefault((*ids, *mask), [])
        same = (number for number in same_text if _same(looks[kept[number]], looks[row]))
        number = next(same, len(kept))
        if number == len(kept):
            kept.append(row)
            same_text.append(number)
        copies.append(number)
    few = {name: inputs[name][kept] for name in PER_TOKEN & {*inputs}}
    shown = [looks[row] for row in kept if looks[row] is not None and len(looks[row][1])]
    if shown:
        few["pixel_values"] = torch.cat([pixels for pixels, _ in shown])
        few["image_grid_thw"] = torch.cat([grids for _, grids in shown])
    return few, copies


def _pictures(inputs: dict[str, Any], pictures: Sequence[int]) -> list[tuple]:
    """Patches and grids of each row's pictures."""
    grids = inputs["image_grid_thw"].split(list(pictures))
    sizes = [int(grid.prod(-1).sum()) for grid in grids]
    return list(zip(inputs["pixel_values"].split(sizes), grids, strict=True))


def _same(one: tuple | None, other: tuple | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _positions(model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of the prompts' tokens, and the shift (rows, 1) of positions of later tokens.

    Qwen2-VL's pictures take up fewer positions than tokens (M-RoPE: Wang et al. 2024, 2.1).
    """
    mask = inputs["attention_mask"]
    if inputs.get("image_grid_thw") is None:
        return (mask.cumsum(1) - 1).clamp(min=0), mask.new_zeros(len(mask), 1)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base.model.get_rope_index(
        inputs["input_ids"], inputs["mm_token_type_ids"],
        image_grid_thw=inputs["image_grid_thw"], attention_mask=mask,
    )  # fmt: skip
