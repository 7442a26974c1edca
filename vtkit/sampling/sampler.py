"""Choose tokens: greedily, or with random numbers that belong to the row, whatever its batch."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch


class Sampling(NamedTuple):
    """Settings for drawing completions: one random number of the row's stream for each token."""

    temperature: float
    top_k: int  # only the k likeliest tokens; 0 for all
    keys: Sequence[str]  # for each row of the data set, the name of its random stream


class InverseCDFSampler:
    """Draw tokens by inverting the distribution function.

    Source: Devroye, Non-Uniform Random Variate Generation (1986), chapter III.2.

    Args:
        numbers: in [0, 1), (completions, tokens): one for each token that a completion may have.
    """

    def __init__(self, numbers: torch.Tensor, temperature: float, top_k: int):
        self.numbers, self.temperature, self.top_k = numbers, temperature, top_k

    def __call__(self, logits: torch.Tensor, completions: list[int], step: int) -> torch.Tensor:
        """Tokens (n,), from ``logits`` (n, vocabulary) of the completions with these numbers."""
        scores = logits / self.temperature
        if 0 < self.top_k < scores.shape[1]:
            least = scores.topk(self.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        reached = scores.softmax(-1, dtype=torch.float64).cumsum(-1)
        number = self.numbers[completions, step, None].to(reached)
        return torch.searchsorted(reached, number * reached[:, -1:], right=True).squeeze(1)


def likeliest(logits: torch.Tensor, completions: list[int], step: int) -> torch.Tensor:
    """Greedy choice; arguments and result as of :class:`InverseCDFSampler`."""
    return logits.argmax(-1)


def draw_rows(
    sampling: Sampling, rows: Sequence[int], written: Sequence[int], n: int
) -> InverseCDFSampler:
    """The sampler of rows that have ``written`` so many of their ``n`` tokens."""
    numbers = [_uniform(sampling.keys[row], n) for row in rows]
    left = [np.roll(line, -used) for line, used in zip(numbers, written, strict=True)]
    return InverseCDFSampler(torch.from_numpy(np.stack(left)), sampling.temperature, sampling.top_k)


def _uniform(key: str, n: int) -> np.ndarray:
    """``n`` numbers in [0, 1), the same for a key on every machine."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest))).random(n)
