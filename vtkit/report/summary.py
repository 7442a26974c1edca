"""What a run came to: summary.json for tools, a table for the terminal, report.html for people.

Everything is recomputed from the files of the run folder, so a folder that was copied can be
reported again. What was not run says so. A number over completions or questions carries a 95 %
Wilson interval and its n.

    python -m vtkit.report runs/visualthinker-mini-s0
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vtkit.aha.audit import SECTIONS
from vtkit.aha.reflection import first_reflections
from vtkit.config.run_config import read_config
from vtkit.errors import UserError
from vtkit.files import atomic_write, read_json, write_json
from vtkit.judging.phrases import find_reflections
from vtkit.report import figure_1, page, plots, viewer
from vtkit.report.tables import (
    align,
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
from vtkit.stats import NOT_RUN, at_step, percent

INDEPENDENT = "rollouts (intervals treat those of one question as independent)"
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

    ``start`` is the mean over the first 3 training steps, ``end`` over the last 10, ``dip`` the
    minimum of the moving average over 5 steps. ``accuracy``, the same completions under the original's
    judge (``accuracy_as_published``) and ``format_failures`` hold ``{value, low, high, n}`` for
    ``base``, ``sft`` and ``grpo``, the last scored step of each; ``best`` has ``step`` and
    ``accuracy`` of the best one (:func:`vtkit.runs.records.best_scores`). The shares' proportions with
    intervals are under ``intervals``. What was not run is null.

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
    """The result of a run as aligned plain text: the benchmark, then start, dip and end.

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

    Figures are drawn anew. Links lead to the executed notebooks and the run's files beside it. All
    but the browser of rollouts is there without scripts too.

    Raises:
        UserError: the folder is not a run, a file is damaged, or the disk is full.
    """
    folder = Path(run_dir)
    summary = summarize(folder)
    caption = f"{benchmark_name(folder)}, greedy decoding, accuracy in % [95% interval]"
    tables = [
        page.table(caption, *benchmark_table(folder)),
        page.table(f"During training, sampled {INDEPENDENT}", *training_table(folder)),
    ]
    notebooks = sorted(path.name for path in (folder / "notebooks").glob("*.ipynb"))
    present = [name for name in _FILES if (folder / name).exists()]
    sections = {
        "The aha audit": _audit_parts(folder),
        "Figures": [page.columns(_figure_part(folder, *each) for each in _FIGURES)],
        "Metrics": [page.table(_METRICS, *metrics_table(folder))],
        "The first reflections, unselected": _reflection_parts(folder),
        "Executed notebooks": [
            page.links(f"notebooks/{name}" for name in notebooks)
            if notebooks
            else page.paragraph(NOT_RUN)
        ],
        "Files of this run": [page.links(present)],
    }
    room = _MOST_BYTES - sum(len(part) for content in sections.values() for part in content)
    sections = {"Rollouts": [_rollouts_part(folder, room)], **sections}
    parts = [page.navigation(sections)]
    if str(summary["profile"]).startswith("mini"):
        parts.append(page.paragraph(MINIATURE))
    parts += [page.tiles(_tiles(folder, summary)), page.columns(tables)]
    parts.append(page.table(_JUDGES, *judges_table(folder)))
    for title, content in sections.items():
        parts += [page.heading(title), *content]
    if summary["wall_seconds"]:
        parts.append(
            page.paragraph(f"{summary['wall_seconds'] / 60:.1f} minutes in all", soft=True)
        )
    path = folder / "report.html"
    title = f"R1-Zero: {describe_run(folder)}"
    with atomic_write(path) as handle:
        handle.write(page.page(title, parts, styles=[viewer.STYLE], scripts=[viewer.SCRIPT]))
    return path


def _audit_parts(folder: Path) -> list[str]:
    """The verdict, each number linked to its section of notebook 04, and the causal test."""
    if not (folder / "aha.json").exists():
        return [page.paragraph(f"{NOT_RUN} (notebook 04)", soft=True)]
    found = read_json(folder / "aha.json")
    notebook = "notebooks/04_aha_moment.ipynb"
    there = (folder / notebook).exists()
    pieces = [
        (words, f"{notebook}{SECTIONS[section]}" if section and there else "")
        for words, section in found["pieces"]
    ]
    parts = [page.linked(pieces)]
    if found["effects"]:
        parts.append(page.table(_CAUSAL, *effects_table(found["effects"])))
    return parts


_CAUSAL = (
    "The causal test: two completions from one cut, and the difference in accuracy (notebook 04)"
)
_MOST_BYTES = 4_800_000  # of the report, tables and static groups aside: it stays below 5 MB
_METRICS = "metrics.csv, evenly chosen steps: means over the rollouts of a step"
_JUDGES = "The same completions by our judge and by the original's evaluation script"
_FILES = ("config.yaml", "manifest.json", "summary.json", "metrics.csv")


def _tiles(folder: Path, summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What the run came to, in four numbers."""
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


def _rollouts_part(folder: Path, budget: int) -> str:
    try:
        return viewer.browser(folder, budget=budget)
    except UserError as error:
        return page.paragraph(f"{NOT_RUN} ({error})", soft=True)


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
