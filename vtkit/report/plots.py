"""Draw the figures of a run from the files of its folder and save them in its ``figures``."""

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import cycle, zip_longest
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from vtkit.aha.reflection import by_step
from vtkit.errors import UserError
from vtkit.report import drawing
from vtkit.report.drawing import (
    BLUE,
    DARK_ORANGE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SMALL,
    STYLE,
    Line,
    save,
)
from vtkit.report.figure_1 import STYLES, figure_1
from vtkit.runs import records
from vtkit.runs.curves import LENGTH
from vtkit.runs.folder import headless
from vtkit.runs.rollouts import load_rollouts

__all__ = [
    "comparison",
    "figure_1",
    "lengths_by_outcome",
    "live",
    "live_plot",
    "save",
    "training_curves",
]
_REWARD = [("reward", "total", BLUE)]  # and each reward of the run
_REWARD_COLOURS = {"accuracy": GREEN, "format": PURPLE}
_MORE_COLOURS = (DARK_ORANGE, RED, GREY, ORANGE)
_LENGTHS = [
    (LENGTH, "mean", DARK_ORANGE),
    ("completions/max_length", "max", ORANGE),
    ("completions/min_length", "min", ORANGE),
]
_OUTCOMES = [("mean_length_right", "right", GREEN), ("mean_length_wrong", "wrong", RED)]
_LIVE_PANELS = {
    "Reward": _REWARD,
    "Mean length (tokens)": [(LENGTH, "mean", DARK_ORANGE)],
    "Share of rollouts": STYLES,
    "Loss": [("loss", "loss", BLUE)],
}
_PANELS = {
    "Reward": _REWARD,
    "Length (tokens)": _LENGTHS,
    "Share of rollouts": STYLES,
    "Share of rollouts cut off": [("completions/clipped_ratio", "cut off", RED)],
    "Share of groups without spread": [("frac_reward_zero_std", "no spread", GREY)],
    "Loss": [("loss", "loss", BLUE)],
    "Entropy, KL (nats)": [("entropy", "entropy", BLUE), ("kl", "KL", ORANGE)],
    "Gradient norm": [("grad_norm", "before clipping", GREY)],
    "Seconds a step": [("step_time", "seconds", GREY)],
}
_METHODS = {
    "base": ("base model", {"color": GREY, "hatch": ".."}),
    "sft": ("SFT", {"color": ORANGE, "hatch": "//"}),
    "grpo": ("GRPO", {"color": BLUE, "hatch": ""}),
}


def live(run_dir: str | Path) -> Figure:
    """Draw reward, length and styles (or the loss) of a run that is training, small enough for a
    cell; UserError before its first step."""
    metrics = records.load_metrics(run_dir)
    panels = _logged(_LIVE_PANELS, metrics)[:3]
    with drawing.canvas(STYLE | SMALL):
        figure, axes = plt.subplots(1, 3, figsize=(12, 3))
        _draw_panels(axes, metrics, panels)
        return save(figure, run_dir, "live", dpi=110)


def live_plot(run_dir: str | Path) -> Callable[[], None] | None:
    """Return what draws the plot of :func:`live` in a notebook, first and anew; None if headless.

    Nothing is shown before the first step.
    """
    if headless():
        return None
    plot = None

    def draw() -> None:
        nonlocal plot
        if plot is not None:
            plot.update(live(run_dir))
        elif os.path.lexists(Path(run_dir, "metrics.csv")):
            plot = display(live(run_dir), display_id=True)

    return draw


def training_curves(run_dir: str | Path) -> Figure:
    """Draw all logged metrics on one page; UserError if there are none."""
    metrics = records.load_metrics(run_dir)
    panels = _logged(_PANELS, metrics)
    rows = -(-len(panels) // 3)
    with drawing.canvas(STYLE | SMALL):
        figure, axes = plt.subplots(rows, 3, figsize=(13, 2.8 * rows), squeeze=False)
        _draw_panels(axes.flat, metrics, panels)
        figure.suptitle(records.describe_run(run_dir), x=0.01, ha="left", weight="bold")
        return save(figure, run_dir, "training_curves", dpi=100)


def _logged(panels: dict[str, list[Line]], metrics: pd.DataFrame) -> list[tuple[str, list[Line]]]:
    """The panels of which something was logged, with their titles."""
    return [
        (title, lines)
        for title, lines in panels.items()
        if any(column in metrics for column, *_ in lines)
    ]


def _draw_panels(
    axes: Iterable[Axes], metrics: pd.DataFrame, panels: list[tuple[str, list[Line]]]
) -> None:
    """Draw panels into as many axes or more; the others are hidden."""
    for axis, panel in zip_longest(axes, panels):
        if panel is None:
            axis.set_visible(False)
        else:
            title, lines = panel
            drawing.draw_panel(axis, metrics, title, _with_rewards(lines, metrics))


def _with_rewards(lines: list[Line], metrics: pd.DataFrame) -> list[Line]:
    """The lines of a panel; that of the total reward also has each reward of the run."""
    if lines is not _REWARD:
        return lines
    more = cycle(_MORE_COLOURS)
    return lines + [
        (column, name, _REWARD_COLOURS.get(name) or next(more))
        for name, column in records.reward_columns(metrics).items()
    ]


def lengths_by_outcome(run_dir: str | Path) -> Figure:
    """Draw the mean length of right and of wrong rollouts against steps.

    Growth in wrong answers only is an artefact of the loss (Dr. GRPO, arXiv 2503.20783). Markup is
    long and always wrong, so wrong answers are also drawn without it.
    """
    table = by_step(load_rollouts(run_dir).to_pandas())
    title = f"Length by outcome: {records.describe_run(run_dir)}"
    with drawing.canvas(STYLE):
        figure, axis = plt.subplots(figsize=(10, 4.6))
        drawing.draw_panel(axis, table, title, _OUTCOMES)
        prose = table["mean_length_wrong_prose"].rolling(5, center=True, min_periods=1).mean()
        axis.plot(prose.index, prose, color=RED, linestyle=":")
        for start in prose.dropna().head(1).items():
            drawing.annotate(axis, "wrong, without HTML", start, (0, -20), color=RED)
        axis.set_ylabel("mean length (tokens)")
        return save(figure, run_dir, "lengths_by_outcome")


def comparison(run_dir: str | Path) -> Figure:
    """Draw benchmark accuracy of base, SFT and GRPO, in total and by task, with chance marked.

    Raises:
        UserError: the run has no evaluation at all.
    """
    scores = records.compared_scores(run_dir)
    first = next((result for result in scores.values() if result), None)
    if first is None:
        raise UserError(f"{run_dir}/evals holds no scores; run the benchmark (notebook 05) first")
    groups = ["total", *sorted(first["tasks"])]
    bars = {
        name: {"total": result["accuracy"], **result["tasks"]} if result else {}
        for name, result in scores.items()
    }
    with drawing.canvas(STYLE):
        figure, axis = plt.subplots(figsize=(11, 5))
        for place, (name, (_, look)) in enumerate(_METHODS.items()):
            xs = [group + 0.27 * (place - 1) for group in range(len(groups))]
            drawing.draw_bars(axis, xs, map(bars[name].get, groups), **look)
        chances = records.chance_levels(run_dir)
        for place, group in enumerate(groups):
            if group in chances:
                axis.hlines(chances[group], place - 0.42, place + 0.42, "black", "--", lw=1.3)
        axis.set_xticks(range(len(groups)), groups)
        axis.grid(axis="x", visible=False)
        axis.set(ylim=(0, 1.04), ylabel="accuracy (greedy, 95% interval)")
        axis.yaxis.set_major_formatter(drawing.PER_CENT)
        _add_method_legend(axis, scores)
        benchmark, run = records.benchmark_name(run_dir), records.describe_run(run_dir)
        axis.set_title(f"{benchmark} (n = {first['n']}): {run}", pad=34)
        return save(figure, run_dir, "comparison")


def _add_method_legend(axis: Axes, scores: Mapping[str, object]) -> None:
    handles: list[Artist] = [
        Rectangle(
            (0, 0), 1, 1, edgecolor="white", lw=0, facecolor=look["color"], hatch=look["hatch"]
        )
        for _, look in _METHODS.values()
    ]
    labels = [f"{_METHODS[name][0]}{'' if scores[name] else ': not run'}" for name in _METHODS]
    handles.append(Line2D([], [], color="black", linestyle="--", lw=1.3))
    axis.legend(handles, [*labels, "chance"], loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
