"""The decoding loop: one token for each completion at a time, until all have ended.

It reads a prompt once for all of its copies and drops completions that have ended from the batch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from vtkit.errors import UserError
from vtkit.sampling.prefix_cache import PrefixCache

# Completions that have ended leave once they are this share of the batch: each time it is copied.
_ENDED = 1 / 8
Choose = Callable[[torch.Tensor, list[int], int], torch.Tensor]
"""``choose(logits, completions, step)``: float32 logits (n, vocabulary) for token ``step`` of the
completions with these numbers; returns tokens, (n,)."""


class NotFinite(UserError):
    """Numbers of a model are nan or infinite: ``what`` tells which."""

    def __init__(self, what: str, model: Any):
        name = getattr(model, "name_or_path", "") or "the model"
        why = "its weights are damaged, or of a training that diverged; use another checkpoint"
        super().__init__(f"{name}: {what}: {why}")
        self.what = what


def require_finite(model: Any, logits: torch.Tensor) -> None:
    """Refuse logits (n, vocabulary) that are nan or infinite, before a token is drawn by them.

    Raises:
        NotFinite: names the model's folder.
    """
    if not logits.sum(dtype=torch.float32).isfinite():
        raise NotFinite("the logits are nan or infinite", model)


@contextmanager
def finite_logits(model: Any) -> Iterator[None]:
    """Check the last logits of each forward pass of a model in the block: :func:`require_finite`"""

    def check(_module: Any, _inputs: Any, output: Any) -> None:
        require_finite(model, output.logits[:, -1])

    hook = model.register_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()


class Decoded(NamedTuple):
    """tokens: of each completion, with its end-of-text token; ended: False where it was stopped."""

    tokens: list[list[int]]
    ended: list[bool]


@torch.no_grad()
def decode(
    model: Any,
    inputs: dict[str, Any],
    copies: Sequence[int],
    choose: Choose,
    *,
    ends: Sequence[int],
    banned: Sequence[int],
    room: Sequence[int],
    few: int = 0,
) -> Decoded:
    """Complete prompts with a model in evaluation mode.

    Args:
        inputs: distinct prompts, padded left: (prompts, length) as for :class:`PrefixCache`.
        copies, room: for each completion, the number of its prompt, and its most tokens.
        ends, banned: end-of-text tokens, and tokens that are never chosen.
        few: stop when at most so many completions have not ended.
    """
    prefix = PrefixCache(model, inputs)
    device = inputs["input_ids"].device
    rows = torch.tensor(copies, device=device)
    logits, prefix = prefix.logits[rows], prefix.take(rows)
    written: list[list[int]] = [[] for _ in copies]
    ended = [False] * len(written)
    batch = list(range(len(written)))  # completions in the batch, some of which may have ended
    step = 0
    while True:
        logits = logits.float()
        require_finite(model, logits)
        logits[:, list(banned)] = -torch.inf
        tokens = choose(logits, batch, step)
        for number, token in zip(batch, tokens.tolist(), strict=True):
            if not ended[number]:
                written[number].append(token)
                ended[number] = token in ends or len(written[number]) >= room[number]
        step += 1
        active = [place for place, number in enumerate(batch) if not ended[number]]
        if len(active) <= few:
            return Decoded(written, ended)
        if len(active) <= len(batch) * (1 - _ENDED):
            places = torch.tensor(active, device=device)
            prefix, tokens = prefix.take(places), tokens[places]
            batch = [batch[place] for place in active]
        logits = prefix.append(model, tokens)
