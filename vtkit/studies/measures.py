"""Measure one run in a few named numbers, and in the two words of the report's table.

The rules for the words were written when only the runs of VisualThinker's own row existed.

    measure(unpacked(RECORDS / "rows" / "r1-v-s0"))["length"]  # "down"
"""

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from vtkit.errors import UserError, suggest
from vtkit.runs.curves import summarize_length, summarize_share
from vtkit.runs.records import completions_per_step, load_evaluations, metrics_or_none

RISE, FALL, MADE_GOOD = 1.15, 0.85, 0.5
MEASURES = {
    "base": "accuracy before training, per cent",
    "accuracy": "accuracy at the last step, per cent",
    "gain": "accuracy over the base, points",
    "sft": "accuracy of the supervised baseline in the run's own folder, per cent",
    "lead": "accuracy over that of the entry named under `against`, same seed, points",
    "over_main": "accuracy over that of the main run with the same seed, points",
    "over_sft": "accuracy over that of the main run's supervised baseline, same seed, points",
    "over_chance": "accuracy over guessing, points",
    "no_answer": "questions without an answer at the last step, per cent",
    "length": "direction of the mean rollout length: up, down or flat",
    "dip": "mean length at the dip / at the start",
    "growth": "mean length at the end / at the dip",
    "length_start": "mean length over the first 3 steps, tokens",
    "length_dip": "lowest mean length over 5 steps, tokens",
    "length_end": "mean length over the last 10 steps, tokens",
    "length_over_main": "mean length at the end / that of the main run with the same seed",
    "aha": "whether reflection rose: yes or no",
    "reflection_start": "reflective rollouts in the first 3 steps, per cent",
    "reflection_end": "reflective rollouts in the last 10 steps, per cent",
    "html_end": "HTML among the rollouts of the last 10 steps, per cent",
}
"""What :func:`measure` returns; ``lead``, which takes two entries, is None there."""
_RELATIONS = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne,
    "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip
Direction = Literal["up", "down", "flat"]
DIRECTIONS = get_args(Direction)
_WORDS = {"length": DIRECTIONS, "aha": ("yes", "no")}
_EXPECTATION = re.compile(r"(\w+) (<=|>=|!=|<|>|=) (\S+)")


def length_direction(start: float, dip: float, end: float) -> str:
    """``"up"``, ``"down"`` or ``"flat"``, from :func:`vtkit.runs.curves.summarize_length`.

    Up: the end is at least 1.15 x the dip, and at least half of the fall from start to dip is made
    good, as in VisualThinker, whose HTML goes first. Else down: the end is at most 0.85 x the
    start, as in R1-Multimodal-Journey (280 tokens, 85 to 225 on the way, 115 at the end). 15 % is
    more than the noise of five steps.
    """
    if end >= RISE * dip and end - dip >= MADE_GOOD * (start - dip):
        return "up"
    return "down" if end <= FALL * start else "flat"


def aha_direction(start: Mapping[str, Any], end: Mapping[str, Any]) -> str:
    """``"yes"`` if a proportion rises and the 95 % intervals are apart, else ``"no"``."""
    return "yes" if end["low"] > start["high"] else "no"


def measure(run_dir: str | Path, main: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Measure every name of ``MEASURES``; None where the run has no such number.

    Args:
        main: the measures of the main run with the same seed.
    """
    found = dict.fromkeys(MEASURES) | _scores(run_dir) | _training(run_dir)
    if main:
        found["over_main"] = minus(found["accuracy"], main["accuracy"])
        found["over_sft"] = minus(found["accuracy"], main["sft"])
        if found["length_end"] and main["length_end"]:
            found["length_over_main"] = found["length_end"] / main["length_end"]
    return found


def _scores(run_dir: str | Path) -> dict[str, Any]:
    scores = load_evaluations(run_dir)
    if not scores or scores[0]["step"] != 0:
        return {}
    base, last = (100 * score["accuracy"]["value"] for score in (scores[0], scores[-1]))
    sft = load_evaluations(Path(run_dir) / "sft")
    return {
        "sft": 100 * sft[-1]["accuracy"]["value"] if sft else None,
        "base": base,
        "accuracy": last,
        "gain": last - base,
        "over_chance": last - 100 * scores[-1]["chance"],
        "no_answer": 100 * scores[-1]["format_failures"]["value"],
    }


def _training(run_dir: str | Path) -> dict[str, Any]:
    metrics = metrics_or_none(run_dir)
    length = summarize_length(metrics)
    if length["start"] is None:
        return {}
    per_step = completions_per_step(run_dir)
    html = summarize_share(metrics, "html_share", per_step)["end"]
    reflection = summarize_share(metrics, "reflection_rate", per_step)
    start, end = (reflection["intervals"][when] for when in ("start", "end"))
    return {
        "length": length_direction(length["start"], length["dip"], length["end"]),
        "dip": length["dip"] / length["start"],
        "growth": length["end"] / length["dip"],
        **{f"length_{name}": length[name] for name in ("start", "dip", "end")},
        "aha": aha_direction(start, end) if start else None,
        "reflection_start": start and 100 * reflection["start"],
        "reflection_end": end and 100 * reflection["end"],
        "html_end": html if html is None else 100 * html,
    }


def minus(value: float | None, other: float | None) -> float | None:
    """Return the difference of two measures; None if one was not measured."""
    return None if value is None or other is None else value - other


@dataclass(frozen=True)
class Expectation:
    """One clause of a prediction: ``gain < 10``, ``length = up``."""

    text: str
    name: str
    relation: str
    value: float | str

    def holds(self, found: Mapping[str, Any]) -> bool | None:
        """Check a run's measures; None if it has no such number."""
        value = found[self.name]
        return None if value is None else _RELATIONS[self.relation](value, self.value)


def read_expectation(text: str, where: str) -> Expectation:
    """Parse ``"<measure> <relation> <value>"``; ``where`` is what an error names first.

    Raises:
        UserError: another form, no such measure, or a value that it cannot have.
    """
    match = _EXPECTATION.fullmatch(text)
    if not match:
        raise UserError(f"{where}: '{text}' is not of the form 'gain < 10' or 'length = up'")
    name, relation, value = match.groups()
    if name not in MEASURES:
        raise UserError(f"{where}: no measure '{name}'{suggest(name, MEASURES)}")
    if name in _WORDS:
        if value not in _WORDS[name] or relation not in ("=", "!="):
            raise UserError(f"{where}: {name} is one of {', '.join(_WORDS[name])}, with = or !=")
        return Expectation(text, name, relation, value)
    try:
        return Expectation(text, name, relation, float(value))
    except ValueError:
        raise UserError(f"{where}: {name} is a number, not '{value}'") from None
