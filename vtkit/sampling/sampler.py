"""Completions drawn with dice of their own, so that a draw depends on neither batch nor global seed."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch


class Sampling(NamedTuple):
    """How to draw completions instead of taking the likeliest token each time.

    A token needs one random number, and each row has a stream of its own, named by its key. So a
    completion depends neither on the batch it is in nor on torch's random state, and two rows with one
    key are drawn with the same dice.

    temperature: logits are divided by it.
    top_k: only the k likeliest tokens; 0 for all.
    keys: one for each row of the data set.
    """

    temperature: float
    top_k: int
    keys: Sequence[str]


class InverseCDFSampler:
    """Chooses tokens for :func:`vtkit.sampling.decoding.decode` by inverting the distribution function.

    Source of the method: Devroye, Non-Uniform Random Variate Generation (1986), chapter III.2.

    Args:
        numbers: in [0, 1), (completions, tokens): one for each token that a completion may have.
        temperature, top_k: see :class:`Sampling`.
    """

    def __init__(self, numbers: torch.Tensor, temperature: float, top_k: int):
        self.numbers, self.temperature, self.top_k = numbers, temperature, top_k

    def __call__(self, logits: torch.Tensor, completions: list[int], step: int) -> torch.Tensor:
        scores = logits / self.temperature  # (n, vocabulary)
        if 0 < self.top_k < scores.shape[1]:
            least = scores.topk(self.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        reached = scores.softmax(-1, dtype=torch.float64).cumsum(-1)
        number = self.numbers[completions, step, None].to(reached)
        return torch.searchsorted(reached, number * reached[:, -1:], right=True).squeeze(1)


def likeliest(logits: torch.Tensor, completions: list[int], step: int) -> torch.Tensor:
    """Greedy choice for :func:`vtkit.sampling.decoding.decode`."""
    return logits.argmax(-1)


def draw_rows(
    sampling: Sampling, rows: Sequence[int], said: Sequence[int], n: int
) -> InverseCDFSampler:
    """For rows of a data set that have ``said`` so many of their ``n`` tokens."""
    numbers = [_uniform(sampling.keys[row], n) for row in rows]
    left = [np.roll(line, -used) for line, used in zip(numbers, said, strict=True)]
    return InverseCDFSampler(torch.from_numpy(np.stack(left)), sampling.temperature, sampling.top_k)


def _uniform(key: str, n: int) -> np.ndarray:
    """``n`` numbers in [0, 1), the same for a key on every machine."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest))).random(n)
