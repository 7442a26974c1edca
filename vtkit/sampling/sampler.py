"""Choose tokens: greedily, or with random numbers that belong to the row, whatever its batch."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
        numbers: of each completion by its number, one in [0, 1) for each token that it may have.
    """

    def __init__(
        self, numbers: Mapping[int, Any] | Sequence[Sequence[float]],
        temperature: float, top_k: int,
    ):  # fmt: skip
        self.numbers, self.temperature, self.top_k = numbers, temperature, top_k

    def __call__(
        self, logits: torch.Tensor, completions: list[int], written: list[int]
    ) -> torch.Tensor:
        """Tokens (n,) from ``logits`` (n, vocabulary) of completions that have so many."""
        scores = logits / self.temperature
        if 0 < self.top_k < scores.shape[1]:
            least = scores.topk(self.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        reached = scores.softmax(-1, dtype=torch.float64).cumsum(-1)
        drawn = [self.numbers[one][n] for one, n in zip(completions, written, strict=True)]
        number = torch.tensor(drawn).to(reached).unsqueeze(1)
        return torch.searchsorted(reached, number * reached[:, -1:], right=True).squeeze(1)


class RowNumbers(dict[int, np.ndarray]):
    """The random numbers of each row, by its number; made when they are asked for."""

    def __init__(self, sampling: Sampling, n: int):
        super().__init__()
        self._keys, self._n = sampling.keys, n

    def __missing__(self, row: int) -> np.ndarray:
        self[row] = numbers = _uniform(self._keys[row], self._n)
        return numbers


def likeliest(logits: torch.Tensor, completions: list[int], written: list[int]) -> torch.Tensor:
    """Greedy choice; arguments and result as of :class:`InverseCDFSampler`."""
    return logits.argmax(-1)


def _uniform(key: str, n: int) -> np.ndarray:
    """``n`` numbers in [0, 1), the same for a key on every machine."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest))).random(n)
