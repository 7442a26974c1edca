"""The miniature of the tests: how many questions it has, and a training of it that is killed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

# The real one has 2,400 rows and 528 questions.
SMALL_SAT = {"train": 60, "val": 20}
SMALL_CV_BENCH = {"Count": 8, "Relation": 8, "Depth": 8, "Distance": 8}


@contextmanager
def killed_at(call: int) -> Iterator[None]:
    """Interrupt training on the miniature's documents in its ``call``-th step."""
    from vtkit.mini import pretraining

    calls, loss_of = 0, pretraining.loss_of

    def killed(model, batch):
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return loss_of(model, batch)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pretraining, "loss_of", killed)
        yield
