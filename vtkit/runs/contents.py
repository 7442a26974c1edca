"""What the JSON files of a run folder must hold, checked whenever one is read back.

A file may hold more: another version wrote it. One that is damaged, or not what its name says, is
one line with the file, the field and the remedy.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from vtkit.config.values import Record, read_record
from vtkit.errors import UserError

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Proportion(Record):
    """See :func:`vtkit.stats.proportion`."""

    value: Share | None
    low: Share
    high: Share
    n: Count


class Accuracies(Record):
    accuracy: Proportion
    official: Share | None
    tasks: dict[str, Proportion]
    sources: dict[str, Proportion]


class Score(Accuracies):
    """``evals/step-*.json``, see :func:`vtkit.benchmark.evaluate.score`."""

    remedy: ClassVar[str] = "move it away and score again (notebook 05)"
    step: Count
    paper: Accuracies
    format_failures: Proportion
    chance: Share
    always_A: Share
    n: Count
    mean_tokens: Annotated[float, Field(ge=0)]


class _File(Record):
    sha256: str
    bytes: Count
    mtime: float


class _Version(Record):
    after_step: Count
    sha256: str


class Manifest(Record):
    """``manifest.json``, see :mod:`vtkit.runs.manifest`."""

    status: Literal["running", "finished", "stopped", "failed", "incomplete"]
    wall_seconds: Seconds
    files: dict[str, _File]
    rewards: dict[str, Annotated[list[_Version], Field(min_length=1)]] = {}


class _Effect(Record):
    n: Count
    treated: Share | None
    control: Share | None
    value: float | None
    low: float
    high: float


class Audit(Record):
    """``aha.json``: what the report shows of :func:`vtkit.aha.audit.audit`."""

    remedy: ClassVar[str] = "delete it and run notebook 04 again"
    pieces: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    effects: dict[str, _Effect]


class _Length(Record):
    start: float | None
    dip: float | None
    end: float | None


class _Ends(Record):
    start: Proportion | None
    end: Proportion | None


class _Rate(Record):
    intervals: _Ends


class _Arms(Record):
    base: Proportion | None
    sft: Proportion | None
    grpo: Proportion | None


class Summary(Record):
    """``summary.json``: what tables over seeds take from it."""

    remedy: ClassVar[str] = "delete it and run python -m vtkit.report on the run again"
    recipe: str
    profile: str
    seed: Count
    accuracy: _Arms
    mean_length: _Length
    html_share: _Rate
    reflection_rate: _Rate
    wall_seconds: Seconds | None


class Best(Record):
    """``checkpoints/best/best.json``: the score that ``best`` was chosen for, and its files."""

    remedy: ClassVar[str] = "move the folder away"
    step: Count
    accuracy: Proportion
    files: dict[str, Any] | list[str] = []


class Replay(Record):
    """The mark of a folder in which a kept run was unpacked."""

    remedy: ClassVar[str] = "delete the folder"
    run: str
    files: list[str]


class Done(Record):
    """The mark of a notebook that ran to its end, see :class:`vtkit.runs.steps.Step`."""

    remedy: ClassVar[str] = "delete it: the notebook then runs again"
    key: str | None
    sha256: str | None = None


def manifest_or_none(run_dir: str | Path) -> dict[str, Any] | None:
    """As :func:`read_manifest`; None if there is none."""
    return read_manifest(run_dir) if os.path.lexists(Path(run_dir) / "manifest.json") else None


def read_manifest(run_dir: str | Path) -> dict[str, Any]:
    """The manifest of a run; a UserError if it is missing or damaged."""
    return read_record(Manifest, Path(run_dir) / "manifest.json")


def read_scores(evals: Path) -> list[dict[str, Any]]:
    """The scores of a folder in order of their steps, which their names repeat; none is fine."""
    scores = []
    for path in sorted(evals.glob("step-*.json")):
        if named := re.fullmatch(r"step-(\d{6,})\.json", path.name):
            score = read_record(Score, path)
            if score["step"] != int(named[1]):
                wrong = f"is about step {score['step']}, not the one in its name"
                raise UserError(f"{path}: {wrong}; {Score.remedy}")
            scores.append(score)
    return sorted(scores, key=lambda score: score["step"])
