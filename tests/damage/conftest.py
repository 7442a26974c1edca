"""Counts of trials: with VTKIT_TRIALS=FILE every trial is made, and each test adds a line."""

import os

import pytest


class Trials:
    """Adds what a test tried to the file of VTKIT_TRIALS, for docs/robustness.md."""

    def __init__(self, test: str) -> None:
        self.test, self.path = test, os.environ.get("VTKIT_TRIALS", "")
        self.count_all = bool(self.path)

    def __call__(self, kind: str, tried: int, failed: int) -> None:
        if self.path:
            with open(self.path, "a", encoding="utf-8") as handle:
                handle.write(f"{kind}\t{tried}\t{failed}\t{self.test}\n")


@pytest.fixture
def note_trials(request: pytest.FixtureRequest) -> Trials:
    """``note_trials("class", tried, failed)``."""
    return Trials(request.node.nodeid)
