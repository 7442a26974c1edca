"""Read a run's curves: averages at its start and end, the dip of its length, its phases.

"Start" is the first three steps, "end" the last ten, "dip" the lowest point of the moving average.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from vtkit.runs.records import completions_per_step, load_metric, reward_columns
from vtkit.stats import Estimate, proportion

START_STEPS = 3
END_STEPS = 10
AVERAGE_STEPS = 5
LENGTH = "completions/mean_length"


def moving_average(values: pd.Series) -> pd.Series:
    """The centred mean over five steps (all, if there are fewer); NaN at the ends."""
    window = min(AVERAGE_STEPS, len(values))
    return values.rolling(window, center=True).mean()


def find_dip(lengths: pd.Series) -> tuple[int, float]:
    """The ``(step, tokens)`` at which the moving average of the mean length is lowest."""
    smooth = moving_average(lengths)
    step = smooth.idxmin()
    return int(step), float(smooth[step])


def find_onset(run_dir: str | Path) -> int | None:
    """Find the step from which reflection stays above its start by 95 % intervals, or None."""
    shares, per_step = load_metric(run_dir, "reflection_rate"), completions_per_step(run_dir)
    before = pooled_share(shares.head(START_STEPS), per_step)
    return since(moving_share(shares, per_step)["low"] > before["high"])


def find_phases(run_dir: str | Path) -> dict[str, tuple[int, int]]:
    """Find the first and last step of each phase that the run had: HTML, format, growth.

    HTML lasts until its share has halved, format until completions are shortest, growth to the end.
    """
    html = load_metric(run_dir, "html_share")
    dip, _ = find_dip(load_metric(run_dir, LENGTH))
    first, last = int(html.index[0]), int(html.index[-1])
    smooth = html.rolling(AVERAGE_STEPS, min_periods=1, center=True).mean()
    start = html.head(START_STEPS).mean()
    halved = since(smooth < start / 2) if start >= 0.05 else first
    bounds = [first, min(halved or last, dip), dip, last]
    spans = zip(("HTML", "format", "growth"), pairwise(bounds), strict=True)
    return {name: (begin, end) for name, (begin, end) in spans if begin < end}


def since(flags: pd.Series) -> int | None:
    """The step from which a flag holds to the end, or None."""
    held = flags[::-1].cummin()
    return int(held.index[held][-1]) if held.iloc[0] else None


def pooled_share(shares: pd.Series, per_step: int) -> Estimate:
    """The proportion over all completions of some steps, from each step's share.

    Completions of one question are not independent, so the interval is somewhat too narrow.
    """
    return proportion(round(float(shares.sum()) * per_step), len(shares) * per_step)


def moving_share(shares: pd.Series, per_step: int) -> pd.DataFrame:
    """:func:`pooled_share` over a centred window of five steps (fewer at the ends), by step."""
    half = AVERAGE_STEPS // 2
    windows = (shares.iloc[max(0, i - half) : i + half + 1] for i in range(len(shares)))
    return pd.DataFrame([pooled_share(part, per_step) for part in windows], index=shares.index)


def summarize_length(metrics: pd.DataFrame | None) -> dict[str, Any]:
    """Mean length in tokens: ``start``, ``end``, ``dip`` and ``dip_step``."""
    if metrics is None or LENGTH not in metrics:
        return {"start": None, "end": None, "dip": None, "dip_step": None}
    lengths = metrics[LENGTH]
    step, dip = find_dip(lengths)
    start, end = lengths.head(START_STEPS).mean(), lengths.tail(END_STEPS).mean()
    return {"start": float(start), "end": float(end), "dip": dip, "dip_step": step}


def summarize_share(metrics: pd.DataFrame | None, column: str, per_step: int) -> dict[str, Any]:
    """A share of rollouts: ``start`` and ``end``, and both with ``intervals``."""
    if metrics is None or column not in metrics:
        return {"start": None, "end": None, "intervals": {"start": None, "end": None}}
    shares = metrics[column]
    parts = {"start": shares.head(START_STEPS), "end": shares.tail(END_STEPS)}
    intervals = {name: pooled_share(part, per_step) for name, part in parts.items()}
    return {name: each["value"] for name, each in intervals.items()} | {"intervals": intervals}


def summarize_rewards(metrics: pd.DataFrame | None) -> dict[str, dict[str, float | None]]:
    """The mean of each reward by its name, ``start`` and ``end``; None where it did not apply."""
    if metrics is None:
        return {}
    parts = {
        name: {"start": metrics[column].head(START_STEPS), "end": metrics[column].tail(END_STEPS)}
        for name, column in reward_columns(metrics).items()
    }
    return {
        name: {
            when: float(part.mean()) if part.notna().any() else None for when, part in both.items()
        }
        for name, both in parts.items()
    }
