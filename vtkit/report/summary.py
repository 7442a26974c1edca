"""Report the result of a run: summary.json, a table for the terminal, and report.html.

Everything is recomputed from the files of the run folder. Steps that were not run are reported as
"not run". A number over completions or questions has a 95 % Wilson interval and its n.

    python -m vtkit.report runs/visualthinker-mini-s0
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vtkit.aha.audit import SECTIONS
from vtkit.aha.reflection import first_reflections
from vtkit.config.run_config import read_config
from vtkit.errors import UserError
from vtkit.files import atomic_write, read_json, write_json
from vtkit.judging.phrases import find_reflections
from vtkit.rendering import align
from vtkit.report import figure_1, plots, viewer
from vtkit.report.page import parts, render
from vtkit.report.tables import (
    benchmark_table,
    effects_table,
    judges_table,
    metrics_table,
    training_table,
)
from vtkit.runs.curves import summarize_length, summarize_share
from vtkit.runs.records import (
    MINIATURE,
    benchmark_name,
    best_scores,
    compared_scores,
    completions_per_step,
    describe_run,
    metrics_or_none,
)
from vtkit.stats import at_step, percent

_FILES = ("config.yaml", "manifest.json", "summary.json", "metrics.csv")
_MOST_BYTES = 4_840_000  # of the report without the viewer's static groups: it stays below 5 MB
_FIGURES: list[tuple[Callable, str]] = [
    (
        figure_1.figure_1,
        "Accuracy and rollout length against steps; below, how many are HTML, how many reflect",
    ),
    (plots.comparison, "Base model, supervised fine-tuning and GRPO on the same questions"),
    (plots.lengths_by_outcome, "Growth in wrong answers alone would be an artefact of the loss"),
    (plots.training_curves, "What the trainer logged: thin as logged, thick averaged over 5 steps"),
]


def summarize(run_dir: str | Path) -> dict[str, Any]:
    """Write ``summary.json``, the headline numbers that other tools read, and return it.

    Returns:
        ``accuracy``, ``accuracy_as_published`` (the same completions under the original's judge)
        and ``format_failures`` are ``{value, low, high, n}`` of the last scored step of ``base``,
        ``sft`` and ``grpo``; ``best`` has ``step`` and ``accuracy`` of the best one
        (:func:`vtkit.runs.records.best_scores`). Of lengths and shares, ``start`` is the mean over
        the first 3 training steps, ``end`` over the last 10, ``dip`` the minimum of the moving
        average over 5 steps. What was not run is None.

    Raises:
        UserError: the folder is not a run, or a file is damaged.
    """
    config = read_config(Path(run_dir) / "config.yaml")
    scores = compared_scores(run_dir)
    manifest_path = Path(run_dir) / "manifest.json"
    manifest = read_json(manifest_path) if manifest_path.exists() else {}
    metrics = metrics_or_none(run_dir)
    per_step = completions_per_step(run_dir)
    summary = {
        "recipe": config.recipe,
        "profile": config.profile,
        "seed": config.seed,
        "accuracy": {name: result and result["accuracy"] for name, result in scores.items()},
        "best": {
            name: best and {key: best[key] for key in ("step", "accuracy")}
            for name, best in best_scores(run_dir).items()
        },
        "accuracy_as_published": {
            name: result and result["paper"]["accuracy"] for name, result in scores.items()
        },
        "mean_length": summarize_length(metrics),
        "html_share": summarize_share(metrics, "html_share", per_step),
        "reflection_rate": summarize_share(metrics, "reflection_rate", per_step),
        "format_failures": {
            name: result and result["format_failures"] for name, result in scores.items()
        },
        "wall_seconds": manifest.get("wall_seconds"),
    }
    write_json(Path(run_dir) / "summary.json", summary)
    return summary


def result_table(run_dir: str | Path) -> str:
    """The benchmark, then start, dip and end of training, as aligned plain text.

    Raises:
        UserError: the folder is not a run, or a file is damaged.
    """
    blocks = [
        f"{describe_run(run_dir)}: {benchmark_name(run_dir)}, greedy; 95% intervals in brackets"
    ]
    for header, rows in (benchmark_table(run_dir), training_table(run_dir)):
        blocks.append(align([header, *rows]))
    return "\n\n".join(blocks)


def write_report(run_dir: str | Path) -> Path:
    """Write ``report.html``: one file that opens from disk, with tables, figures and rollouts.

    Figures are drawn anew. Links lead to the executed notebooks and the files of the run. Only the
    browser of rollouts needs scripts.

    Raises:
        UserError: the folder is not a run, a file is damaged, or the disk is full.
    """
    folder = Path(run_dir)
    summary = summarize(folder)
    values = {
        "title": f"R1-Zero: {describe_run(folder)}",
        "miniature": MINIATURE if str(summary["profile"]).startswith("mini") else None,
        "headline": _headline(folder, summary),
        "benchmark": benchmark_name(folder),
        "scores": benchmark_table(folder),
        "training": training_table(folder),
        "judges": judges_table(folder),
        "audit": _audit(folder),
        "figures": [_figure(folder, draw, caption) for draw, caption in _FIGURES],
        "metrics": metrics_table(folder),
        "reflections": _reflections(folder),
        "notebooks": sorted(
            f"notebooks/{path.name}" for path in (folder / "notebooks").glob("*.ipynb")
        ),
        "files": [name for name in _FILES if (folder / name).exists()],
        "minutes": summary["wall_seconds"] and summary["wall_seconds"] / 60,
    }
    room = _MOST_BYTES - len(render("report.html", rollouts="", **values))
    report = render("report.html", rollouts=_rollouts(folder, room), **values)
    path = folder / "report.html"
    with atomic_write(path) as handle:
        handle.write(report)
    return path


def _audit(folder: Path) -> dict[str, Any] | None:
    """The verdict, each number with a link to its section of notebook 04, and the causal test."""
    if not (folder / "aha.json").exists():
        return None
    audit = read_json(folder / "aha.json")
    notebook = "notebooks/04_aha_moment.ipynb"
    there = (folder / notebook).exists()
    pieces = [
        (words, f"{notebook}{SECTIONS[section]}" if section and there else "")
        for words, section in audit["pieces"]
    ]
    return {"pieces": pieces, "effects": audit["effects"] and effects_table(audit["effects"])}


def _headline(folder: Path, summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The result in four numbers: each with its name and what it is compared with."""
    labels, length = {"base": "base", "sft": "SFT", "grpo": "GRPO"}, summary["mean_length"]
    scores = summary["accuracy"]
    last = "grpo" if scores["grpo"] else "sft"
    compared = ", ".join(
        f"{labels[name]} {percent(scores[name])}" for name in ("base", "sft") if name != last
    )
    compared += f"; best {at_step(summary['best'][last])}"
    items = [(f"{labels[last]}, {benchmark_name(folder)}", percent(scores[last]), compared)]
    if length["start"] is not None:
        shown = " → ".join(f"{length[name]:.1f}" for name in ("start", "dip", "end"))
        items.append(
            ("mean length in tokens", shown, f"start, dip (step {length['dip_step']}), end")
        )
    for name, key in (("HTML", "html_share"), ("reflective", "reflection_rate")):
        ends = summary[key]["intervals"]
        if ends["end"]:
            items.append(
                (name, percent(ends["end"]), f"of rollouts; start {percent(ends['start'])}")
            )
    return items


def _rollouts(folder: Path, budget: int) -> Markup:
    try:
        return viewer.browser(folder, budget=budget)
    except UserError as error:
        return parts.problem(error)


def _figure(folder: Path, draw: Callable, caption: str) -> tuple[str, str, Path, str]:
    """Name, caption and file of a figure that was drawn, and why it was not, if so."""
    name, problem = draw.__name__, ""
    try:
        draw(folder)
    except UserError as error:
        problem = str(error)
    return name, caption, folder / "figures" / f"{name}.png", problem


def _reflections(folder: Path) -> dict[str, Any]:
    """The first reflective rollouts with the ``spans`` of their phrases, or the ``problem``."""
    try:
        rows = first_reflections(folder).to_dict("records")
    except UserError as error:
        return {"rows": [], "problem": str(error)}
    for row in rows:
        row["spans"] = find_reflections(row["completion"])
    return {"rows": rows, "problem": ""}
