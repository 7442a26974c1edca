"""Rows of TRL's scored batches: dictionaries of tensors and lists, a row a completion.

``pixel_values`` and ``image_grid_thw`` are stacked end to end, ``num_images`` says how many a row
has; numbers of no dimension are of the whole batch.
"""

from collections.abc import Sequence
from typing import Any

import torch
from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid


def take_rows(batch: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Return these rows of a batch, in this order."""
    total = len(batch["completion_ids"])
    parts = split_pixel_values_by_grid(batch)
    return unsplit_pixel_values_by_grid(
        {name: _take(part, rows, total) for name, part in parts.items()}
    )


def join(batches: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put batches one after the other that were one, such as those of a step."""
    return {name: _join([batch[name] for batch in batches]) for name in batches[0]}


def _take(part: Any, rows: Sequence[int], total: int) -> Any:
    if isinstance(part, list):
        return [part[row] for row in rows]
    whole = part is None or part.ndim == 0 or len(part) != total
    return part if whole else part[rows]


def _join(parts: list[Any]) -> Any:
    if isinstance(parts[0], list):
        return [row for part in parts for row in part]
    return parts[0] if parts[0] is None or parts[0].ndim == 0 else torch.cat(parts)
