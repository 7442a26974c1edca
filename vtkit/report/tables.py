"""Tables of a run as cells of text, for the terminal, report.html and notebooks.

Each number over completions or questions has a 95 % Wilson interval.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from vtkit.aha.reflection import rates
from vtkit.errors import UserError
from vtkit.report.groups import evenly
from vtkit.runs.curves import END_STEPS, LENGTH, START_STEPS, summarize_length, summarize_share
from vtkit.runs.records import (
    best_scores,
    chance_levels,
    compared_scores,
    completions_per_step,
    metrics_or_none,
)
from vtkit.runs.rollouts import load_rollouts
from vtkit.stats import NOT_RUN, at_step, difference, percent, points

Table = tuple[list[str], list[list[str]]]  # header, and rows of as many cells
METRIC_ROWS = 11
_METRICS = {  # of metrics.csv: as TRL names them, as people read them
    "reward": "reward",
    "rewards/accuracy_reward/mean": "accuracy",
    "rewards/format_reward/mean": "format",
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
    scores = compared_scores(run_dir)
    chances = chance_levels(run_dir)
    results = list(scores.values())
    first = next((result for result in results if result), {"tasks": {}, "n": 0})

    def row(name: str, n: int, cells: list[dict | None], chance: float | None) -> list[str]:
        shown = f"{chance:.1%}" if chance is not None else ""
        return [f"{name} (n = {n})", *map(percent, cells), shown]

    rows = [row("all", first["n"], [r and r["accuracy"] for r in results], chances.get("total"))]
    for task in sorted(first["tasks"]):
        cells = [r and r["tasks"].get(task) for r in results]
        rows.append(row(task, first["tasks"][task]["n"], cells, chances.get(task)))
    official = [
        NOT_RUN if not r or r["official"] is None else f"{r['official']:.1%}" for r in results
    ]
    failures = [percent(r and r["format_failures"]) for r in results]
    if any(cell != NOT_RUN for cell in official):  # other benchmarks have none
        rows.append(["CV-Bench's formula", *official, ""])
    published = [percent(r and r["paper"]["accuracy"]) for r in results]
    rows.append(["by the original's judge", *published, ""])
    rows.append(["no answer found", *failures, ""])
    rows.append(["best scored step", "", *map(at_step, best_scores(run_dir).values()), ""])
    gains = [_gain(scores["grpo"], scores[name]) for name in ("base", "sft")]
    rows.append(["GRPO is better by", *gains, "", ""])
    return ["accuracy", "base", "SFT", "GRPO", "chance"], rows


def judges_table(run_dir: str | Path) -> Table:
    """Header and rows: the same completions by our judge and by the original's."""
    scores = [score for score in compared_scores(run_dir).values() if score]
    results = [result for score in scores for result in (score, score["paper"])]
    names = [name for name, score in compared_scores(run_dir).items() if score]
    header = ["accuracy", *(f"{name}, {judge}" for name in names for judge in ("ours", "paper's"))]
    rows = [["all", *(percent(result["accuracy"]) for result in results)]]
    official = [result["official"] for result in results]
    rows.append(["CV-Bench's formula", *(f"{x:.1%}" if x is not None else "" for x in official)])
    for part in ("tasks", "sources"):
        for key in sorted(scores[0][part]) if scores else ():
            rows.append([key, *(percent(result[part].get(key)) for result in results)])
    for name, label in (("always_A", 'always "(A)"'), ("chance", "guessing")):
        rows.append([label, *(f"{score[name]:.1%}" for score in scores for _ in range(2))])
    return header, rows


def _gain(after: dict | None, before: dict | None) -> str:
    if not after or not before:
        return NOT_RUN
    return points(difference(after["accuracy"], before["accuracy"]))


def training_table(run_dir: str | Path) -> Table:
    """Header and rows: length, HTML, reflection and accuracy, at start, dip and end."""
    metrics = metrics_or_none(run_dir)
    per_step = completions_per_step(run_dir)
    header = ["rollouts", f"first {START_STEPS} steps", "dip", f"last {END_STEPS} steps"]
    length = summarize_length(metrics)
    rows = [["mean length (tokens)", NOT_RUN, NOT_RUN, NOT_RUN]]
    if length["start"] is not None:
        dip = f"{length['dip']:.1f} (step {length['dip_step']})"
        rows = [[rows[0][0], f"{length['start']:.1f}", dip, f"{length['end']:.1f}"]]
    for name, column in (("HTML", "html_share"), ("reflective", "reflection_rate")):
        intervals = summarize_share(metrics, column, per_step)["intervals"]
        rows.append([name, percent(intervals["start"]), "", percent(intervals["end"])])
    start, end = _rates_or_none(run_dir, metrics)
    for name, rate in (
        ("right, if reflective", "right_given_reflect"),
        ("right, if not", "right_given_none"),
    ):
        rows.append([name, percent(start and start[rate]), "", percent(end and end[rate])])
    return header, rows


def metrics_table(run_dir: str | Path) -> Table:
    """Header and rows: a few steps of ``metrics.csv``, evenly chosen, both ends included."""
    metrics = metrics_or_none(run_dir)
    if metrics is None:
        return ["step"], []
    shown = metrics[[name for name in _METRICS if name in metrics]]
    shown = shown.iloc[evenly(range(len(shown)), METRIC_ROWS)]
    rows = [[f"{step}", *(f"{value:.3g}" for value in row)] for step, *row in shown.itertuples()]
    return ["step", *(_METRICS[name] for name in shown)], rows


def effects_table(effects: dict[str, dict[str, Any]]) -> Table:
    """Header and rows of the causal test, a row for each arm (see :mod:`vtkit.aha.pairs`)."""
    header = ["put in", "pairs", "right, treated", "right, control", "difference, points"]
    rows = [
        [arm, f"{gap['n']}", f"{gap['treated']:.0%}", f"{gap['control']:.0%}", points(gap)]
        for arm, gap in effects.items()
        if gap["n"]
    ]
    return header, rows


def _rates_or_none(
    run_dir: str | Path, metrics: pd.DataFrame | None
) -> tuple[dict | None, dict | None]:
    """The reflection rates of the first and of the last steps, where rollouts were stored."""
    if metrics is None:
        return None, None
    try:
        start = rates(load_rollouts(run_dir, steps=metrics.index[:START_STEPS]).to_pandas())
        end = rates(load_rollouts(run_dir, steps=metrics.index[-END_STEPS:]).to_pandas())
    except UserError:
        return None, None
    return start, end
