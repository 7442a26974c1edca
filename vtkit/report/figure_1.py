"""Redraw Figure 1 of the original from a run's files, with the styles of completions below it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vtkit.errors import UserError
from vtkit.report import drawing
from vtkit.report.drawing import BLUE, DARK_ORANGE, GREEN, ORANGE, PER_CENT, RED
from vtkit.runs import curves, records

STYLES = [("reflection_rate", "reflective", GREEN), ("html_share", "HTML", RED)]
_PHASES = {"HTML": "#F6E3D6", "format": "#F3F0E2", "growth": "#E4F1EC"}  # backgrounds


def figure_1(run_dir: str | Path, others: Sequence[str | Path] = ()) -> Figure:
    """Draw accuracy and length against training steps, and the styles of completions below them.

    Top: greedy accuracy on the benchmark with Wilson bands, and the mean rollout length in tokens,
    raw (thin) and averaged over five steps, with the lowest point marked. Below: the shares of
    rollouts that are HTML and that reflect, pooled over five steps, with intervals. The background
    shows the phases, a line the onset of reflection (see :mod:`vtkit.runs.curves`).

    Args:
        others: run folders of further seeds, drawn as thin lines.

    Raises:
        UserError: metrics or evaluations are missing.
    """
    with drawing.canvas(drawing.STYLE):
        size: dict[str, Any] = {"figsize": (10, 7.4), "height_ratios": (3, 2)}
        figure, (top, bottom) = plt.subplots(2, 1, sharex=True, **size)
        length_axis = _twin(top)
        for run, thin in [*((other, True) for other in others), (run_dir, False)]:
            scores = load_accuracy(run)
            drawing.draw_share(top, scores, BLUE, thin=thin, marker="o", markersize=6)
            _draw_lengths(length_axis, run, thin)
            _draw_styles(bottom, run, thin)
        _draw_phases(top, bottom, run_dir)
        _finish_accuracy_axis(top, run_dir)
        more = f" (thin: {len(others)} more)" if others else ""
        top.set_title(f"Accuracy and length: {records.describe_run(run_dir)}{more}")
        bottom.set(title="What the rollouts looked like", ylim=(0, 1))
        bottom.set_ylabel("share of rollouts\n(5 steps, 95% band)")
        bottom.yaxis.set_major_formatter(PER_CENT)
        per_step = records.completions_per_step(run_dir)
        bottom.set_xlabel(f"training step ({per_step} rollouts each)")
        return drawing.save(figure, run_dir, "figure_1")


def load_accuracy(run_dir: str | Path) -> pd.DataFrame:
    """Load the benchmark accuracy, ``value``, ``low``, ``high`` and ``n``, by training step.

    Raises:
        UserError: the run was never scored.
    """
    scores = records.load_evaluations(run_dir)
    if not scores:
        raise UserError(f"{run_dir}/evals holds no scores; run the training step (notebook 03)")
    return pd.DataFrame([one["accuracy"] for one in scores], index=[one["step"] for one in scores])


def _draw_phases(top: Axes, bottom: Axes, run_dir: str | Path) -> None:
    phases = curves.find_phases(run_dir)
    total = sum(last - first for first, last in phases.values())
    for row, (name, (first, last)) in enumerate(phases.items()):
        for axis in (top, bottom):
            axis.axvspan(first, last, color=_PHASES[name], lw=0, zorder=-2)
        narrow = last - first < 0.12 * total  # its name is wider; rows keep names apart
        place, align = (first, "left") if narrow else ((first + last) / 2, "center")
        style = {"xycoords": ("data", "axes fraction"), "ha": align, "color": "#555555"}
        drawing.annotate(top, name, (place, 1), (0, -14 - 16 * row * narrow), **style)
    onset = curves.find_onset(run_dir)
    if onset is None:
        return
    for axis in (top, bottom):
        axis.axvline(onset, color=GREEN, lw=1.4, linestyle=":", zorder=1)
    label = f"dotted: reflection above its start, step {onset}"
    bottom.set_title(label, loc="right", color=GREEN, fontsize="medium")


def _draw_lengths(axis: Axes, run_dir: str | Path, thin: bool) -> None:
    lengths = records.load_metric(run_dir, curves.LENGTH)
    smooth = curves.moving_average(lengths)
    if thin:
        axis.plot(smooth.index, smooth, color=DARK_ORANGE, linestyle="--", lw=0.9, alpha=0.5)
        return
    axis.plot(lengths.index, lengths, color=ORANGE, lw=0.8, alpha=0.7)
    axis.plot(smooth.index, smooth, color=DARK_ORANGE, linestyle="--")
    axis.set_ylim(0, max(axis.get_ylim()[1], 1.05 * lengths.max()))
    step, dip = curves.find_dip(lengths)
    axis.plot([step], [dip], marker="v", markersize=9, color=DARK_ORANGE, zorder=5)
    below = dip >= 0.12 * axis.get_ylim()[1]
    align = "center" if step > 0.15 * lengths.index[-1] else "left"
    label = f"dip: {dip:.0f} tokens, step {step}"
    style = {"ha": align, "color": DARK_ORANGE, "weight": "bold"}
    drawing.annotate(axis, label, (step, dip), (0, -22 if below else 12), **style)


def _draw_styles(axis: Axes, run_dir: str | Path, thin: bool) -> None:
    per_step = records.completions_per_step(run_dir)
    ends = []
    for (column, label, colour), dashes in zip(STYLES, drawing.DASHES, strict=False):
        share = curves.moving_share(records.load_metric(run_dir, column), per_step)
        drawing.draw_share(axis, share, colour, thin=thin, linestyle=dashes)
        ends.append((label, share["value"].iloc[-1], colour))
    if not thin:
        axis.set_ylim(0, 1)
        drawing.label_ends(axis, ends)


def _twin(axis: Axes) -> Axes:
    twin = axis.twinx()
    twin.spines["right"].set_visible(True)
    twin.grid(visible=False)
    twin.set_ylabel("mean rollout length (tokens)", color=DARK_ORANGE, weight="bold")
    twin.tick_params(axis="y", colors=DARK_ORANGE)
    return twin


def _finish_accuracy_axis(axis: Axes, run_dir: str | Path) -> None:
    result = records.load_evaluations(run_dir)[-1]
    chance = result["chance"]
    axis.axhline(chance, color="black", lw=1.2, linestyle="-.")
    style = {"xycoords": ("axes fraction", "data"), "ha": "right"}
    drawing.annotate(axis, f"chance {chance:.0%}", (1, chance), (-4, 4), **style)
    axis.set_ylim(0, 1)
    axis.yaxis.set_major_formatter(PER_CENT)
    benchmark = records.benchmark_name(run_dir)
    name = f"accuracy, {benchmark}\n(greedy, n = {result['n']}, 95% band)"
    axis.set_ylabel(name, color=BLUE, weight="bold")
    axis.tick_params(axis="y", colors=BLUE)
