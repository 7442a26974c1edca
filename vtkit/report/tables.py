"""Tables of a run as cells of text, for the terminal, report.html and notebooks.

Each number over completions or questions has a 95 % Wilson interval.
"""

import os
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from vtkit.aha.reflection import rates
from vtkit.report.groups import evenly
from vtkit.runs import records
from vtkit.runs.curves import (
    END_STEPS,
    LENGTH,
    START_STEPS,
    summarize_length,
    summarize_rewards,
    summarize_share,
)
from vtkit.runs.rollouts import load_rollouts
from vtkit.stats import NOT_RUN, at_step, difference, percent, points

Table = tuple[list[str], list[list[str]]]  # header, and rows of as many cells
_Read = Callable[[dict[str, Any]], Any]
METRIC_ROWS = 11
_METRICS = {  # of metrics.csv: as TRL names them, as people read them
    "reward": "reward",  # and each reward of the run
    LENGTH: "tokens",
    "completions/clipped_ratio": "cut off",
    "html_share": "HTML",
    "reflection_rate": "reflective",
    "frac_reward_zero_std": "no spread",
    "entropy": "entropy",
    "loss": "loss",
    "grad_norm": "gradient",
    "step_time": "seconds",
}


def benchmark_table(run_dir: str | Path) -> Table:
    """Header and rows: accuracy of base, SFT and GRPO, in total and by task, and chance."""
    scores, chances = records.compared_scores(run_dir), records.chance_levels(run_dir)
    results = list(scores.values())
    first: dict[str, Any] = next(filter(None, results), {"tasks": {}, "n": 0})

    def row(name: str, read: _Read, chance: float | None = None) -> list[str]:
        shown = "" if chance is None else f"{chance:.1%}"
        return [name, *(percent(result and read(result)) for result in results), shown]

    rows = [row(f"all (n = {first['n']})", itemgetter("accuracy"), chances.get("total"))]
    for task, share in sorted(first["tasks"].items()):
        name = f"{task} (n = {share['n']})"
        rows.append(row(name, partial(_of_task, task), chances.get(task)))
    official = [
        NOT_RUN if not r or r["official"] is None else f"{r['official']:.1%}" for r in results
    ]
    if any(cell != NOT_RUN for cell in official):  # other benchmarks have none
        rows.append(["CV-Bench's formula", *official, ""])
    best = records.best_scores(run_dir).values()
    gains = (_gain(scores["grpo"], scores[name]) for name in ("base", "sft"))
    rows += [
        row("by the original's judge", lambda one: one["paper"]["accuracy"]),
        row("no answer found", itemgetter("format_failures")),
        ["best scored step", "", *map(at_step, best), ""],
        ["GRPO is better by", *gains, "", ""],
    ]
    return ["accuracy", "base", "SFT", "GRPO", "chance"], rows


def judges_table(run_dir: str | Path) -> Table:
    """Header and rows: the same completions by our judge and by the original's."""
    scores = {name: score for name, score in records.compared_scores(run_dir).items() if score}
    results = [result for score in scores.values() for result in (score, score["paper"])]
    header = ["accuracy", *(f"{name}, {judge}" for name in scores for judge in ("ours", "paper's"))]
    rows = [["all", *(percent(result["accuracy"]) for result in results)]]
    official = [result["official"] for result in results]
    rows.append(["CV-Bench's formula", *(f"{x:.1%}" if x is not None else "" for x in official)])
    for part in ("tasks", "sources"):
        for key in sorted(results[0][part]) if results else ():
            rows.append([key, *(percent(result[part].get(key)) for result in results)])
    for name, label in (("always_A", 'always "(A)"'), ("chance", "guessing")):
        rows.append([label, *(f"{one[name]:.1%}" for one in scores.values() for _ in range(2))])
    return header, rows


def _of_task(task: str, score: dict[str, Any]) -> Any:
    return score["tasks"].get(task)


def _gain(after: dict[str, Any] | None, before: dict[str, Any] | None) -> str:
    if not after or not before:
        return NOT_RUN
    return points(difference(after["accuracy"], before["accuracy"]))


def training_table(run_dir: str | Path) -> Table:
    """Header and rows: length, HTML, reflection and accuracy, at start, dip and end."""
    metrics = records.metrics_or_none(run_dir)
    length, cells = summarize_length(metrics), [NOT_RUN] * 3
    if length["start"] is not None:
        cells = [f"{length[name]:.1f}" for name in ("start", "dip", "end")]
        cells[1] += f" (step {length['dip_step']})"
    rows = [["mean length (tokens)", *cells]]
    for name, mean in summarize_rewards(metrics).items():
        start, end = ("" if mean[at] is None else f"{mean[at]:.3g}" for at in ("start", "end"))
        rows += [[f"{name} reward", start, "", end]] if name not in ("accuracy", "format") else []
    for name, column in (("HTML", "html_share"), ("reflective", "reflection_rate")):
        share = summarize_share(metrics, column, records.completions_per_step(run_dir))
        start, end = (percent(share["intervals"][when]) for when in ("start", "end"))
        rows.append([name, start, "", end])
    found: list[Any] = [{}, {}]
    if metrics is not None:
        windows = (metrics.index[:START_STEPS], metrics.index[-END_STEPS:])
        if os.path.lexists(Path(run_dir) / "rollouts"):
            found = [rates(load_rollouts(run_dir, steps=when).to_pandas()) for when in windows]
    for name, rate in (("reflective", "right_given_reflect"), ("not", "right_given_none")):
        start, end = (percent(one.get(rate)) for one in found)
        rows.append([f"right, if {name}", start, "", end])
    return ["rollouts", f"first {START_STEPS} steps", "dip", f"last {END_STEPS} steps"], rows


def metrics_table(run_dir: str | Path) -> Table:
    """Header and rows: a few steps of ``metrics.csv``, evenly chosen, both ends included."""
    metrics = records.metrics_or_none(run_dir)
    if metrics is None:
        return ["step"], []
    rewards = {column: name for name, column in records.reward_columns(metrics).items()}
    labels = {"reward": _METRICS["reward"]} | rewards | _METRICS
    shown = metrics[[name for name in labels if name in metrics]]
    shown = shown.iloc[evenly(range(len(shown)), METRIC_ROWS)]
    rows = [[f"{step}", *(f"{value:.3g}" for value in row)] for step, *row in shown.itertuples()]
    return ["step", *(labels[name] for name in shown)], rows


def effects_table(effects: dict[str, dict[str, Any]]) -> Table:
    """Header and rows of the causal test, a row for each arm (see :mod:`vtkit.aha.pairs`)."""
    header = ["put in", "pairs", "right, treated", "right, control", "difference, points"]
    rows = [
        [arm, f"{gap['n']}", f"{gap['treated']:.0%}", f"{gap['control']:.0%}", points(gap)]
        for arm, gap in effects.items()
        if gap["n"]
    ]
    return header, rows
