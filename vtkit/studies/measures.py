"""What one run came to, as a few named numbers, and the two directions of the report's table.

The report that this kit reproduces compares systems by two words: whether an "aha moment" was seen,
and whether completions got longer. The rules that make these words of a run's numbers are the same for
every row. They were written when only the runs of VisualThinker's own row existed:

*Aha*: "yes" if the share of reflective rollouts over the last ten steps lies above that of the
first three, 95 % Wilson intervals apart (the audit's rule, :mod:`vtkit.aha.audit`); "no" otherwise.

*Length*, from its start (first three steps), dip (lowest average over five) and end (last ten):

- "up" if the end is at least 1.15 x the dip, and at least half of what was lost from start to dip
  has been made good;
- else "down" if the end is at most 0.85 x the start;
- else "flat".

Why so: the table has an up arrow for VisualThinker, whose completions first got shorter (HTML went), so
that to compare the end with the start alone would be unfair to it; and a down arrow for
R1-Multimodal-Journey, whose completions rose again from their lowest point (published curve: about 280
tokens, 85 to 225 on the way, 115 at the end), so that to compare with the dip alone would be unfair
there. A fall that is half made good is a dip, any other is a fall. 15 % is what the kit asks of a
dip elsewhere, and more than the noise of five steps. On the curves that were published with numbers
(R1-V about 60 to 20; Journey as above) the rule gives the table's own arrows.
"""

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtkit.errors import UserError, suggest
from vtkit.runs.curves import summarize_length, summarize_share
from vtkit.runs.records import completions_per_step, load_evaluations, metrics_or_none

RISE, FALL, MADE_GOOD = 1.15, 0.85, 0.5
MEASURES = {
    "base": "accuracy before training, per cent",
    "accuracy": "accuracy at the last step, per cent",
    "gain": "accuracy over the base, points",
    "sft": "accuracy of the supervised baseline in the run's own folder, per cent",
    "over_main": "accuracy over that of the main run with the same seed, points",
    "over_sft": "accuracy over that of the main run's supervised baseline, same seed, points",
    "over_chance": "accuracy over guessing, points",
    "no_answer": "questions without an answer at the last step, per cent",
    "length": "direction of the mean rollout length: up, down or flat",
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
"""What :func:`measure` returns."""
_RELATIONS = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne,
    "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip
DIRECTIONS = ("up", "down", "flat")
_WORDS = {"length": DIRECTIONS, "aha": ("yes", "no")}
_EXPECTATION = re.compile(r"(\w+) (<=|>=|!=|<|>|=) (\S+)")


def length_direction(start: float, dip: float, end: float) -> str:
    """``"up"``, ``"down"`` or ``"flat"`` by the rule above; all three in tokens."""
    if end >= RISE * dip and end - dip >= MADE_GOOD * (start - dip):
        return "up"
    return "down" if end <= FALL * start else "flat"


def aha_direction(start: Mapping[str, Any], end: Mapping[str, Any]) -> str:
    """``"yes"`` or ``"no"`` by the rule above, from two proportions with intervals."""
    return "yes" if end["low"] > start["high"] else "no"


def measure(run_dir: str | Path, beside: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Every name of ``MEASURES``; None where the run has no such number.

    Args:
        run_dir: a run folder, or what was kept of one.
        beside: the measures of the main run with the same seed.

    Raises:
        UserError: the folder is not a run, or a file is damaged.
    """
    found = dict.fromkeys(MEASURES) | _scores(run_dir) | _training(run_dir)
    if beside:
        found["over_main"] = _minus(found["accuracy"], beside["accuracy"])
        found["over_sft"] = _minus(found["accuracy"], beside["sft"])
        if found["length_end"] and beside["length_end"]:
            found["length_over_main"] = found["length_end"] / beside["length_end"]
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
    reflection = summarize_share(metrics, "reflection_rate", per_step)
    html = summarize_share(metrics, "html_share", per_step)["end"]
    start, end = reflection["intervals"]["start"], reflection["intervals"]["end"]
    return {
        "length": length_direction(length["start"], length["dip"], length["end"]),
        "growth": length["end"] / length["dip"],
        **{f"length_{name}": length[name] for name in ("start", "dip", "end")},
        "aha": aha_direction(start, end) if start else None,
        "reflection_start": start and 100 * reflection["start"],
        "reflection_end": end and 100 * reflection["end"],
        "html_end": html if html is None else 100 * html,
    }


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


@dataclass(frozen=True)
class Expectation:
    """One thing that a prediction says of a run: ``gain < 10``, ``length = up``."""

    text: str
    name: str
    relation: str
    value: float | str

    def holds(self, found: Mapping[str, Any]) -> bool | None:
        """Whether a run's measures agree; None if it has no such number."""
        value = found[self.name]
        return None if value is None else _RELATIONS[self.relation](value, self.value)


def read_expectation(text: str, where: str) -> Expectation:
    """Parse ``"<measure> <relation> <value>"``.

    Args:
        where: what an error names first.

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
