"""Put several seeds of one setting together: each seed, the mean and the spread.

aggregate(["runs/x-s0", "runs/x-s1"], "runs/x-seeds")
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vtkit.config.run_config import MINIATURES, read_config
from vtkit.errors import UserError
from vtkit.files import atomic_write, write_json
from vtkit.report import drawing
from vtkit.report.drawing import BLUE, DARK_ORANGE, GREEN, PER_CENT
from vtkit.report.figure_1 import load_accuracy
from vtkit.report.page import render
from vtkit.report.summary import summarize
from vtkit.report.tables import Table
from vtkit.runs.curves import LENGTH, moving_average
from vtkit.runs.places import require_seeds_place
from vtkit.runs.records import MINIATURE, benchmark_name, load_metric
from vtkit.stats import NOT_RUN, difference, percent, points, spread


@dataclass(frozen=True)
class Cell:
    """The result of one seed in one row: a number, its text, and whether it meets the target."""

    value: float | None
    text: str
    met: bool = True


@dataclass(frozen=True)
class Row:
    """One number of a run's summary, its target (set before any run), and the format of a mean."""

    name: str
    asked: str
    form: str
    cell: Callable[[dict[str, Any]], Cell]


def table(summaries: Sequence[dict[str, Any]], *, plain: bool = False) -> Table:
    """Header and rows: the target, mean and spread, and the result of each seed.

    Args:
        summaries: of :func:`vtkit.report.summary.summarize`, one for each seed.
        plain: numbers without intervals, for the width of a terminal.
    """
    missed = " (missed)" if plain else ", **missed**"
    rows = []
    for row in ROWS:
        cells = [row.cell(summary) for summary in summaries]
        together = mean_and_spread([cell.value for cell in cells], row.form)
        results = [
            f"{cell.value:{row.form}}" if plain and cell.value is not None else cell.text
            for cell in cells
        ]
        results = [
            text + missed * (not cell.met) for text, cell in zip(results, cells, strict=True)
        ]
        rows.append([row.name, row.asked, *together, *results])
    return ["", "asked", "mean", "spread", *(f"seed {one['seed']}" for one in summaries)], rows


def aggregate(run_dirs: Sequence[str | Path], out: str | Path) -> Path:
    """Write ``summary.json``, ``figures/bands.png`` and ``report.html`` of several seeds.

    Raises:
        UserError: a folder is not a run, has other settings than the first, or lacks its metrics;
            or ``out`` has other files.
    """
    require_seeds_place(out)
    _check_alike(run_dirs)
    summaries, out = [summarize(run) for run in run_dirs], Path(out)
    measures = {}
    for row in ROWS:
        values = [row.cell(summary).value for summary in summaries]
        measures[row.name] = {**spread(values), "values": values}
    recipe, profile = summaries[0]["recipe"], summaries[0]["profile"]
    seeds = [summary["seed"] for summary in summaries]
    bands(run_dirs, out)
    same = {"recipe": recipe, "profile": profile, "seeds": seeds}
    write_json(out / "summary.json", {**same, "measures": measures})
    page = render(
        "seeds.html",
        title=f"R1-Zero: {recipe}, profile {profile}, {len(seeds)} seeds",
        miniature=MINIATURE if profile in MINIATURES else None,
        results=table(summaries),
        bands=out / "figures" / "bands.png",
    )
    with atomic_write(out / "report.html") as handle:
        handle.write(page)
    return out


def bands(run_dirs: Sequence[str | Path], out: str | Path) -> Figure:
    """Draw accuracy, length and reflection against steps: seeds thin, mean thick, range as a band.

    Saved as ``<out>/figures/bands.png``.

    Raises:
        UserError: metrics or scores are missing.
    """
    panels = (
        ("Accuracy", lambda run: load_accuracy(run)["value"], BLUE),
        ("Mean rollout length (tokens)", lambda run: moving_average(load_metric(run, LENGTH)),
         DARK_ORANGE),
        ("Reflective rollouts", lambda run: moving_average(load_metric(run, "reflection_rate")),
         GREEN),
    )  # fmt: skip
    with drawing.canvas(drawing.STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(14, 4.4))
        # The headline apart from the panels' titles.
        figure.set_layout_engine("constrained", h_pad=0.1)
        for axis, (title, read, colour) in zip(axes, panels, strict=True):
            _draw_band(axis, [read(run).dropna() for run in run_dirs], colour)
            axis.set(title=title, xlabel="training step", ylim=(0, None))
        for axis in (axes[0], axes[2]):
            axis.set_ylim(0, 1)
            axis.yaxis.set_major_formatter(PER_CENT)
        configs = [read_config(Path(run) / "config.yaml") for run in run_dirs]
        seeds = ", ".join(str(config.seed) for config in configs)
        figure.suptitle(
            f"{configs[0].recipe}, profile {configs[0].profile}, scored on "
            f"{benchmark_name(run_dirs[0])}, seeds {seeds}: "
            "thin each seed, thick their mean, band least to greatest",
            x=0.01, ha="left", fontsize=11,
        )  # fmt: skip
        return drawing.save(figure, out, "bands", dpi=110)


def _draw_band(axis: Axes, lines: list[pd.Series], colour: str) -> None:
    together = pd.concat(lines, axis=1, join="inner")
    axis.plot(together.index, together, color=colour, lw=0.8, alpha=0.55)
    band = {
        "value": together.mean(axis=1),
        "low": together.min(axis=1),
        "high": together.max(axis=1),
    }
    drawing.draw_share(axis, pd.DataFrame(band), colour, clip_on=False, zorder=3)  # 0 is a result


def _check_alike(run_dirs: Sequence[str | Path]) -> None:
    configs = [read_config(Path(run) / "config.yaml").to_dict() for run in run_dirs]
    for run, config in zip(run_dirs, configs, strict=True):
        names = [name for name in config if name not in ("seed", "run_dir")]
        other = [name for name in names if config[name] != configs[0][name]]
        if other:
            raise UserError(f"{run} differs from {run_dirs[0]} in {', '.join(other)}, not in seed")


def mean_and_spread(values: Sequence[float | None], form: str) -> list[str]:
    """Two cells: the mean, and least and greatest with the sample's standard deviation.

    Args:
        form: how a number is written, as in ``format(value, form)``.
    """
    found = spread(values)
    if found["mean"] is None:
        return [NOT_RUN, NOT_RUN]
    mean, low, high = (format(found[name], form) for name in ("mean", "min", "max"))
    if found["sd"] is None:
        return [mean, "one seed"]
    deviation = format(found["sd"], form.removeprefix("+"))  # it has no sign
    return [mean, f"{low} to {high}, sd {deviation}"]


def _proportion(share: dict[str, Any] | None, met: bool = True) -> Cell:
    return Cell(share["value"] if share else None, percent(share), met)


def _score(name: str) -> Callable[[dict[str, Any]], Cell]:
    return lambda summary: _proportion(summary["accuracy"][name])


_MISSED = Cell(None, NOT_RUN, met=False)


def _gain(over: str, asked: float) -> Callable[[dict[str, Any]], Cell]:
    def cell(summary: dict[str, Any]) -> Cell:
        after, before = (summary["accuracy"][name] for name in ("grpo", over))
        if not after or not before:
            return _MISSED
        gap = difference(after, before)
        return Cell(100 * gap["value"], points(gap), gap["value"] >= asked)

    return cell


def _dip(summary: dict[str, Any]) -> Cell:
    start, dip = (summary["mean_length"][name] for name in ("start", "dip"))
    if start is None:
        return _MISSED
    change = dip / start - 1
    return Cell(change, f"{start:.1f}, {dip:.1f} ({change:+.0%})", dip <= 0.85 * start)


def _growth(summary: dict[str, Any]) -> Cell:
    dip, end = (summary["mean_length"][name] for name in ("dip", "end"))
    if dip is None:
        return _MISSED
    return Cell(end / dip, f"{dip:.1f}, {end:.1f} ({end / dip:.2f} times)", end >= 1.6 * dip)


def _html(summary: dict[str, Any]) -> Cell:
    end = summary["html_share"]["intervals"]["end"]
    return _proportion(end, bool(end) and end["value"] < 0.02)


def _reflection_start(summary: dict[str, Any]) -> Cell:
    return _proportion(summary["reflection_rate"]["intervals"]["start"])


def _reflection_end(summary: dict[str, Any]) -> Cell:
    start, end = (summary["reflection_rate"]["intervals"][name] for name in ("start", "end"))
    return _proportion(end, bool(end) and end["low"] > start["high"])


def _minutes(summary: dict[str, Any]) -> Cell:
    seconds = summary["wall_seconds"]
    return Cell(seconds / 60, f"{seconds / 60:.1f}") if seconds else Cell(None, NOT_RUN)


ROWS = (
    Row("accuracy, base model", "", ".1%", _score("base")),
    Row("accuracy, SFT", "", ".1%", _score("sft")),
    Row("accuracy, GRPO", "", ".1%", _score("grpo")),
    Row("GRPO over base, points", "at least +30", "+.1f", _gain("base", 0.30)),
    Row("GRPO over SFT, points", "at least +2", "+.1f", _gain("sft", 0.02)),
    Row("mean rollout length, start, dip", "15 % shorter or more", "+.0%", _dip),
    Row("mean rollout length, dip, end", "1.6 times or more", ".2f", _growth),
    Row("HTML at the end", "below 2 %", ".1%", _html),
    Row("reflection, start", "", ".1%", _reflection_start),
    Row("reflection, end", "intervals apart", ".1%", _reflection_end),
    Row("minutes in all", "", ".1f", _minutes),
)
"""The phenomena of the original, with the README's targets."""
