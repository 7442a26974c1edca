"""The decoding loop: one token for each completion at a time, until all have ended.

It reads a prompt once for all of its copies. Completions that have ended leave the batch, and
others that wait take their places.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch

from vtkit.errors import UserError
from vtkit.sampling.prefix_cache import PrefixCache
from vtkit.sampling.small_decoder import Sequences, SmallDecoder

# Completions that have ended leave once they are this share of the batch: each time it is copied.
_ENDED = 1 / 8
# Others join once this share of the places is free: a prompt alone is dear to read.
_FREE = 1 / 4
Choose = Callable[[torch.Tensor, list[int], list[int]], torch.Tensor]
"""``choose(logits, completions, written)``: float32 logits (n, vocabulary) of the next token of the
completions with these numbers, which have so many; returns tokens, (n,)."""


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


class Prompts(NamedTuple):
    """Prompts for a decoding loop to read.

    inputs: distinct ones, padded left, (prompts, length), as for :class:`PrefixCache`.
    completions: numbers of the completions to write, by which they are known.
    copies: the number of the prompt of each.
    room: the most tokens of each.
    last: no others are waiting.
    """

    inputs: dict[str, Any]
    completions: Sequence[int]
    copies: Sequence[int]
    room: Sequence[int]
    last: bool


class Decoding:
    """Completions by a model in evaluation mode, as many at a time as there are places.

    Args:
        waiting: asked with the number of free places for as many completions, or fewer, to begin.
        places: completions in a forward pass.
        ends, banned: end-of-text tokens, and tokens that are never chosen.

    Attributes:
        written: tokens of each completion that has not left.
        ended: which of them have ended, but not left.
    """

    def __init__(
        self,
        model: Any,
        waiting: Callable[[int], Prompts],
        choose: Choose,
        *,
        places: int,
        ends: Sequence[int],
        banned: Sequence[int],
    ):
        self._model, self._waiting, self._choose = model, waiting, choose
        self._places, self._ends, self._banned = places, set(ends), list(banned)
        self._small = SmallDecoder.of(model)
        self._exhausted = False
        self._batch: list[int] = []
        self._room: dict[int, int] = {}
        self._sequences: Any = None  # Sequences or a GrowingCache
        self._logits: Any = None  # of the next token of each
        self.written: dict[int, list[int]] = {}
        self.ended: set[int] = set()

    @torch.no_grad()
    def advance(self) -> dict[int, list[int]]:
        """Decode until completions leave; returns their tokens by number, none when all have left.

        Raises:
            NotFinite: the model's logits are.
        """
        self._fill()
        while self._batch:
            tokens = self._append()
            active = [place for place, one in enumerate(self._batch) if one not in self.ended]
            most = len(self._batch) * (1 - _ENDED) if self._exhausted else self._enough()
            if len(active) <= most:
                return self._leave(tokens, active)
            self._logits = self._sequences.append(tokens)
        return {}

    def _enough(self) -> float:
        """Completions that let others wait."""
        return self._places * (1 - _FREE)

    def _fill(self) -> None:
        while not self._exhausted and len(self._batch) <= self._enough():
            prompts = self._waiting(self._places - len(self._batch))
            self._exhausted = prompts.last
            self.written |= {number: [] for number in prompts.completions}
            with self._small.reading(self._model) if self._small else nullcontext():
                prefix = PrefixCache(self._model, prompts.inputs)
            rows = torch.tensor(prompts.copies, device=prefix.logits.device)
            small = self._small if self._small and self._small.fits(prefix) else None
            new: Any = (
                Sequences.begin(small, prefix, rows) if small else prefix.take(self._model, rows)
            )
            logits = prefix.logits[rows]
            if self._batch:
                new = self._sequences.join(new)
                logits = torch.cat([self._logits, logits])
            self._sequences, self._logits = new, logits
            self._batch += prompts.completions
            self._room |= zip(prompts.completions, prompts.room, strict=True)

    def _append(self) -> torch.Tensor:
        """Choose the next token of each completion, (n,)."""
        logits = self._logits.float()
        require_finite(self._model, logits)
        logits[:, self._banned] = -torch.inf
        # One that has ended is given a token as well, which counts for nothing.
        lengths = [min(len(self.written[one]), self._room[one] - 1) for one in self._batch]
        tokens = self._choose(logits, self._batch, lengths)
        for number, token in zip(self._batch, tokens.tolist(), strict=True):
            if number not in self.ended:
                written = self.written[number]
                written.append(token)
                if token in self._ends or len(written) >= self._room[number]:
                    self.ended.add(number)
        return tokens

    def _leave(self, tokens: torch.Tensor, active: list[int]) -> dict[int, list[int]]:
        """Continue with the active completions alone; returns the others."""
        if active:
            places = torch.tensor(active, device=tokens.device)
            self._sequences = self._sequences.take(places)
            self._logits = self._sequences.append(tokens[places])
        else:
            self._sequences = self._logits = None
        self._batch = [self._batch[place] for place in active]
        left = {number: self.written.pop(number) for number in sorted(self.ended)}
        self.ended.clear()
        return left


def decode(model: Any, prompts: Prompts, choose: Choose, **options: Any) -> list[list[int]]:
    """Tokens of all completions of the last prompts, in their order; options as of Decoding."""
    decoding = Decoding(
        model, lambda _: prompts, choose, places=len(prompts.completions), **options
    )
    found: dict[int, list[int]] = {}
    while left := decoding.advance():
        found |= left
    return [found[number] for number in prompts.completions]
