"""The decoding loop: one token for each completion at a time, until all have ended.

Differs from ``transformers.generate`` in that a prompt is read once for all of its copies
(:mod:`vtkit.sampling.prefix_cache`), and that a completion that has ended leaves the batch, so that the short ones
don't pay for the long ones. A base model's completions differ by a factor of ten.

How a token is chosen is up to the caller, who is told which completions are still going on.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from vtkit.sampling.prefix_cache import PrefixCache

# Completions that have ended leave once they are this share of the batch: each time it is copied.
_ENDED = 1 / 8
Choose = Callable[[torch.Tensor, list[int], int], torch.Tensor]
"""``choose(logits, completions, step)``: logits (n, vocabulary), float32, of the completions with these
numbers, of which ``step`` tokens are there; returns tokens, (n,)."""


class Decoded(NamedTuple):
    """tokens: of each completion, with its end-of-text token; ended: False for those broken off."""

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
    """Completions to prompts.

    Args:
        model: in evaluation mode.
        inputs: distinct prompts, padded left, see :class:`vtkit.sampling.prefix_cache.PrefixCache`.
        copies: for each completion, the number of its prompt.
        ends: end-of-text tokens.
        banned: tokens that are never chosen.
        room: for each completion, how many tokens it may have; it ends there.
        few: stop when no more completions than these are going on.
    """
    prefix = PrefixCache(model, inputs)
    device = inputs["input_ids"].device
    rows = torch.tensor(copies, device=device)
    logits, prefix = prefix.logits[rows], prefix.take(rows)
    said: list[list[int]] = [[] for _ in copies]
    ended = [False] * len(said)
    batch = list(range(len(said)))  # completions in the batch, some of which may have ended
    step = 0
    while True:
        logits = logits.float()
        logits[:, list(banned)] = -torch.inf
        tokens = choose(logits, batch, step)
        for number, token in zip(batch, tokens.tolist(), strict=True):
            if not ended[number]:
                said[number].append(token)
                ended[number] = token in ends or len(said[number]) >= room[number]
        step += 1
        going = [place for place, number in enumerate(batch) if not ended[number]]
        if len(going) <= few:
            return Decoded(said, ended)
        if len(going) <= len(batch) * (1 - _ENDED):
            places = torch.tensor(going, device=device)
            prefix, tokens = prefix.take(places), tokens[places]
            batch = [batch[place] for place in going]
        tokens = tokens.unsqueeze(1)
        logits = prefix.follow(
            model, tokens, torch.ones_like(tokens), use_cache=True, logits_to_keep=1
        ).logits[:, -1]
