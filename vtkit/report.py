"""What a run came to: summary.json for tools, a table for the terminal, report.html for people.

Everything is recomputed from the files of the run folder, so a folder that was copied can be
reported again. What was not run says so. A number over completions or questions carries a 95 %
Wilson interval and its n.

    python -m vtkit.report runs/visualthinker-mini-s0
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from vtkit import page, plots
from vtkit.cli import friendly
from vtkit.errors import UserError
from vtkit.files import atomic_write, read_json, write_json
from vtkit.records import (
    END_STEPS,
    LENGTH,
    START_STEPS,
    benchmark_name,
    chance_levels,
    compared_scores,
    completions_per_step,
    describe,
    find_dip,
    load_config,
    load_metrics,
    pooled_share,
)
from vtkit.reflection import find_reflections, first_reflections, rates
from vtkit.rollouts import load_rollouts
from vtkit.stats import difference

NOT_RUN = "not run"
INDEPENDENT = "rollouts (intervals treat those of one question as independent)"
MINIATURE = (
    "This is the miniature: a model of about a million parameters with Qwen2-VL's architecture, "
    "trained on generated scenes. Its base model was given rare self-correcting answers on "
    "purpose. It shows how reinforcement learning amplifies what already pays, and is no evidence "
    "about the 2B model."
)
_FIGURES: list[tuple[Callable, str]] = [
    (
        plots.figure_1,
        "Accuracy and rollout length against steps; below, how many are HTML, how many reflect",
    ),
    (plots.comparison, "Base model, supervised fine-tuning and GRPO on the same questions"),
    (plots.lengths_by_outcome, "Growth in wrong answers alone would be an artefact of the loss"),
    (plots.training_curves, "What the trainer logged: thin as logged, thick averaged over 5 steps"),
]


def summarize(run_dir: str | Path) -> dict[str, Any]:
    """Write ``summary.json``, the headline numbers that other tools read, and return it.

    ``start`` is the mean over the first 3 training steps, ``end`` over the last 10, ``dip`` the
    minimum of the moving average over 5 steps. ``accuracy`` and ``format_failures`` hold
    ``{value, low, high, n}`` for ``base``, ``sft`` and ``grpo``; the shares' proportions with
    intervals are under ``intervals``. What was not run is null.

    Raises:
        UserError: the folder is not a run, or a file is damaged.
    """
    config = load_config(run_dir)
    scores = compared_scores(run_dir)
    manifest_path = Path(run_dir) / "manifest.json"
    manifest = read_json(manifest_path) if manifest_path.exists() else {}
    metrics = _metrics_or_none(run_dir)
    per_step = completions_per_step(run_dir)
    summary = {
        "recipe": config["recipe"],
        "profile": config["profile"],
        "seed": config["seed"],
        "accuracy": {name: result and result["accuracy"] for name, result in scores.items()},
        "mean_length": _summarize_length(metrics),
        "html_share": _summarize_share(metrics, "html_share", per_step),
        "reflection_rate": _summarize_share(metrics, "reflection_rate", per_step),
        "format_failures": {
            name: result and result["format_failures"] for name, result in scores.items()
        },
        "wall_seconds": manifest.get("wall_seconds"),
    }
    write_json(Path(run_dir) / "summary.json", summary)
    return summary


def result_table(run_dir: str | Path) -> str:
    """The result of a run as aligned plain text: the benchmark, then start, dip and end.

    Raises:
        UserError: the folder is not a run, or a file is damaged.
    """
    blocks = [f"{describe(run_dir)}: {benchmark_name(run_dir)}, greedy; 95% intervals in brackets"]
    for header, rows in (_benchmark_table(run_dir), _training_table(run_dir)):
        blocks.append(_align([header, *rows]))
    return "\n\n".join(blocks)


def write_report(run_dir: str | Path) -> Path:
    """Write ``report.html``: one file that opens from disk, with tables, figures and examples.

    Figures are drawn anew. Links lead to the executed notebooks and the run's files beside it.

    Raises:
        UserError: the folder is not a run, a file is damaged, or the disk is full.
    """
    folder = Path(run_dir)
    summary = summarize(folder)
    parts = [page.paragraph(MINIATURE)] if str(summary["profile"]).startswith("mini") else []
    caption = f"{benchmark_name(folder)}, greedy decoding, accuracy in % [95% interval]"
    parts.append(page.table(caption, *_benchmark_table(folder)))
    parts.append(page.table(f"During training, sampled {INDEPENDENT}", *_training_table(folder)))
    parts += [page.heading("Figures"), *(_figure_part(folder, *each) for each in _FIGURES)]
    parts += [page.heading("The first reflections, unselected"), *_reflection_parts(folder)]
    notebooks = sorted(path.name for path in (folder / "notebooks").glob("*.ipynb"))
    parts.append(page.heading("Executed notebooks"))
    parts.append(
        page.links(f"notebooks/{name}" for name in notebooks)
        if notebooks
        else page.paragraph(NOT_RUN)
    )
    present = [name for name in _FILES if (folder / name).exists()]
    parts += [page.heading("Files of this run"), page.links(present)]
    if summary["wall_seconds"]:
        parts.append(
            page.paragraph(f"{summary['wall_seconds'] / 60:.1f} minutes in all", soft=True)
        )
    path = folder / "report.html"
    with atomic_write(path) as handle:
        handle.write(page.page(f"R1-Zero: {describe(folder)}", parts))
    return path


def percent(proportion: dict[str, Any] | None) -> str:
    """A proportion for people: ``"72% [68, 76]"``."""
    if proportion is None or proportion["value"] is None:
        return NOT_RUN
    value, low, high = (100 * proportion[key] for key in ("value", "low", "high"))
    return f"{value:.1f}% [{low:.1f}, {high:.1f}]"


def points(gap: dict[str, float]) -> str:
    """A difference of two proportions for people: ``"+2.3 [+0.4, +4.1]"``, in points."""
    value, low, high = (100 * gap[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


_FILES = ("config.yaml", "manifest.json", "summary.json", "metrics.csv")


def _benchmark_table(run_dir: str | Path) -> tuple[list[str], list[list[str]]]:
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
    rows.append(["CV-Bench's formula", *official, ""])
    rows.append(["no answer found", *failures, ""])
    gains = [_gain(scores["grpo"], scores[name]) for name in ("base", "sft")]
    rows.append(["GRPO is better by", *gains, "", ""])
    return ["accuracy", "base", "SFT", "GRPO", "chance"], rows


def _gain(after: dict | None, before: dict | None) -> str:
    if not after or not before:
        return NOT_RUN
    return points(difference(after["accuracy"], before["accuracy"]))


def _training_table(run_dir: str | Path) -> tuple[list[str], list[list[str]]]:
    metrics = _metrics_or_none(run_dir)
    per_step = completions_per_step(run_dir)
    header = ["rollouts", f"first {START_STEPS} steps", "dip", f"last {END_STEPS} steps"]
    length = _summarize_length(metrics)
    rows = [["mean length (tokens)", NOT_RUN, NOT_RUN, NOT_RUN]]
    if length["start"] is not None:
        dip = f"{length['dip']:.1f} (step {length['dip_step']})"
        rows = [[rows[0][0], f"{length['start']:.1f}", dip, f"{length['end']:.1f}"]]
    for name, column in (("HTML", "html_share"), ("reflective", "reflection_rate")):
        intervals = _summarize_share(metrics, column, per_step)["intervals"]
        rows.append([name, percent(intervals["start"]), "", percent(intervals["end"])])
    start, end = _rates_or_none(run_dir, metrics)
    for name, rate in (
        ("right, if reflective", "right_given_reflect"),
        ("right, if not", "right_given_none"),
    ):
        rows.append([name, percent(start and start[rate]), "", percent(end and end[rate])])
    return header, rows


def _metrics_or_none(run_dir: str | Path) -> pd.DataFrame | None:
    return load_metrics(run_dir) if Path(run_dir, "metrics.csv").exists() else None


def _summarize_length(metrics: pd.DataFrame | None) -> dict[str, float | int | None]:
    if metrics is None or LENGTH not in metrics:
        return {"start": None, "end": None, "dip": None, "dip_step": None}
    lengths = metrics[LENGTH]
    step, dip = find_dip(lengths)
    start, end = lengths.head(START_STEPS).mean(), lengths.tail(END_STEPS).mean()
    return {"start": float(start), "end": float(end), "dip": dip, "dip_step": step}


def _summarize_share(metrics: pd.DataFrame | None, column: str, per_step: int) -> dict[str, Any]:
    if metrics is None or column not in metrics:
        return {"start": None, "end": None, "intervals": {"start": None, "end": None}}
    shares = metrics[column]
    start = pooled_share(shares.head(START_STEPS), per_step)
    end = pooled_share(shares.tail(END_STEPS), per_step)
    intervals = {"start": start, "end": end}
    return {"start": start["value"], "end": end["value"], "intervals": intervals}


def _rates_or_none(
    run_dir: str | Path, metrics: pd.DataFrame | None
) -> tuple[dict | None, dict | None]:
    """The reflection rates of the first and of the last steps, where rollouts were stored."""
    if metrics is None:
        return None, None
    try:
        start = rates(load_rollouts(run_dir, steps=metrics.index[:START_STEPS]))
        end = rates(load_rollouts(run_dir, steps=metrics.index[-END_STEPS:]))
    except UserError:
        return None, None
    return start, end


def _figure_part(folder: Path, draw: Callable, caption: str) -> str:
    name = draw.__name__
    try:
        draw(folder)
    except UserError as error:
        return page.paragraph(f"{name}: {NOT_RUN} ({error})", soft=True)
    return page.figure(folder / "figures" / f"{name}.png", f"{name}: {caption}", caption)


def _reflection_parts(folder: Path) -> list[str]:
    try:
        rows = first_reflections(folder).to_dict("records")
    except UserError as error:
        return [page.paragraph(f"{NOT_RUN} ({error})", soft=True)]
    if not rows:
        return [page.paragraph("No rollout reflected.")]
    return [
        page.transcript(
            "Step {step}, {task}: {verdict}, reward {reward:.2f}, advantage {advantage:+.2f}, "
            "{tokens} tokens".format(verdict="right" if row["right"] else "wrong", **row),
            f"{row['question']} Solution: {row['solution']}",
            row["completion"],
            find_reflections(row["completion"]),
        )
        for row in rows
    ]


def _align(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv

    def command() -> int:
        for run_dir in arguments:
            print(result_table(run_dir), f"report: {write_report(run_dir)}", sep="\n\n")
        return 0

    return friendly(command)


if __name__ == "__main__":
    sys.exit(main())
