"""Report the result of a run: summary.json, a table for the terminal, and report.html.

Everything is recomputed from the files of the run folder; what was not run is reported as such.
"""

import os
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

from vtkit.aha.audit import SECTIONS
from vtkit.aha.reflection import first_reflections
from vtkit.config.run_config import MINIATURES, read_config
from vtkit.config.values import read_record
from vtkit.errors import UserError
from vtkit.files import atomic_write, write_json
from vtkit.rendering import align
from vtkit.report import figure_1, plots, tables, viewer
from vtkit.report.page import parts, render
from vtkit.runs import records
from vtkit.runs.contents import Audit, manifest_or_none
from vtkit.runs.curves import summarize_length, summarize_rewards, summarize_share
from vtkit.runs.folder import headless
from vtkit.runs.replay import replay_of
from vtkit.stats import at_step, percent
from vtkit.training.symptoms import find_symptoms

_FILES = ("config.yaml", "manifest.json", "summary.json", "metrics.csv")
_MOST_BYTES = 4_840_000  # of the report without the viewer's static groups: it stays below 5 MB
_FIGURES: list[tuple[Callable[..., Any], str]] = [
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
        ``steps`` are those taken (``done``) and ``planned``; ``unfinished`` says what is not whole,
        the baseline included, or None; ``replay`` is the kept run that this is a copy of, or None.
        ``accuracy``, ``accuracy_as_published`` (the same completions under the original's judge)
        and ``format_failures`` are ``{value, low, high, n}`` of the last scored step of ``base``,
        ``sft`` and ``grpo``; ``best`` has ``step`` and ``accuracy`` of the best one
        (:func:`vtkit.runs.records.best_scores`). Of lengths and shares, ``start`` is the mean over
        the first 3 training steps, ``end`` over the last 10, ``dip`` the minimum of the moving
        average over 5 steps; ``rewards`` has the mean of each reward; ``symptoms`` has the step
        that showed each first (:mod:`vtkit.training.symptoms`). What was not run is None.

    Raises:
        UserError: the folder is not a run, or a file is damaged.
    """
    config = read_config(Path(run_dir) / "config.yaml")
    scores = records.compared_scores(run_dir)
    manifest = manifest_or_none(run_dir)
    metrics = records.metrics_or_none(run_dir)
    per_step = records.completions_per_step(run_dir)

    def each(read: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        return {name: score and read(score) for name, score in scores.items()}

    summary = {
        "recipe": config.recipe,
        "profile": config.profile,
        "seed": config.seed,
        "steps": dict(zip(("done", "planned"), records.progress(run_dir), strict=True)),
        "unfinished": records.unfinished(run_dir) or None,
        "replay": replay_of(run_dir),
        "accuracy": each(itemgetter("accuracy")),
        "best": {
            name: best and {key: best[key] for key in ("step", "accuracy")}
            for name, best in records.best_scores(run_dir).items()
        },
        "accuracy_as_published": each(lambda score: score["paper"]["accuracy"]),
        "mean_length": summarize_length(metrics),
        "html_share": summarize_share(metrics, "html_share", per_step),
        "reflection_rate": summarize_share(metrics, "reflection_rate", per_step),
        "format_failures": each(itemgetter("format_failures")),
        "rewards": summarize_rewards(metrics),
        "symptoms": {symptom.name: symptom.step for symptom in find_symptoms(run_dir)},
        "wall_seconds": manifest and manifest["wall_seconds"],
    }
    write_json(Path(run_dir) / "summary.json", summary)
    return summary


def result_table(run_dir: str | Path) -> str:
    """The benchmark, then start, dip and end of training, as aligned plain text."""
    run, benchmark = records.describe_run(run_dir), records.benchmark_name(run_dir)
    blocks = (tables.benchmark_table(run_dir), tables.training_table(run_dir))
    shown = (align([header, *rows]) for header, rows in blocks)
    title = f"{run}: {benchmark}, greedy; 95% intervals in brackets"
    notes = [*records.caveats(run_dir), *find_symptoms(run_dir)]
    return "\n\n".join([*map("NOTE: {}".format, notes), title, *shown])


def report(run_dir: str | Path) -> Path:
    """Write ``report.html`` (:func:`write_report`), and return its path.

    ``./run_all.sh`` writes it once, after its last notebook: there a notebook only names it.
    """
    later = headless() and not replay_of(run_dir)
    return Path(run_dir) / "report.html" if later else write_report(run_dir)


def write_report(run_dir: str | Path) -> Path:
    """Write ``report.html``: one file that opens from disk, with tables, new figures and rollouts.

    Links lead to the executed notebooks and the files of the run. Only the browser of rollouts
    needs scripts.

    Raises:
        UserError: the folder is not a run, a file is damaged, or the disk is full.
    """
    folder = Path(run_dir)
    summary, audit = summarize(folder), _audit(folder)
    notebooks = sorted((folder / "notebooks").glob("*.ipynb"))
    figures = [
        (
            draw.__name__,
            caption,
            folder / "figures" / f"{draw.__name__}.png",
            _attempt(draw, folder)[1],
        )
        for draw, caption in _FIGURES
    ]
    values = {
        "title": f"R1-Zero: {records.describe_run(folder)}",
        "caveats": records.caveats(folder),
        "miniature": records.MINIATURE if summary["profile"] in MINIATURES else None,
        "headline": _headline(folder, summary),
        "benchmark": records.benchmark_name(folder),
        "scores": tables.benchmark_table(folder),
        "training": tables.training_table(folder),
        "judges": tables.judges_table(folder),
        "audit": audit,
        "figures": figures,
        "metrics": tables.metrics_table(folder),
        "symptoms": find_symptoms(folder),
        "reflections": _attempt(lambda: first_reflections(folder).to_dict("records")),
        "notebooks": [f"notebooks/{path.name}" for path in notebooks],
        "files": [name for name in _FILES if (folder / name).exists()],
        "minutes": summary["wall_seconds"] and summary["wall_seconds"] / 60,
    }
    room = _MOST_BYTES - len(render("report.html", rollouts="", **values))
    browser, problem = _attempt(lambda: viewer.browser(folder, budget=room))
    report = render("report.html", rollouts=browser or parts.problem(problem), **values)
    with atomic_write(folder / "report.html") as handle:
        handle.write(report)
    return folder / "report.html"


def _attempt(function: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """What the function returns, and why it failed if it did."""
    try:
        return function(*args), ""
    except UserError as error:
        return None, str(error)


def _audit(folder: Path) -> dict[str, Any] | None:
    """The verdict, each number with a link to its section of notebook 04, and the causal test."""
    if not os.path.lexists(folder / "aha.json"):
        return None
    audit = read_record(Audit, folder / "aha.json")
    notebook = "notebooks/04_aha_moment.ipynb"
    there = (folder / notebook).exists()
    pieces = [
        (words, f"{notebook}{SECTIONS[section]}" if section in SECTIONS and there else "")
        for words, section in audit["pieces"]
    ]
    return {
        "pieces": pieces,
        "effects": audit["effects"] and tables.effects_table(audit["effects"]),
    }


def _headline(folder: Path, summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The result in four numbers: each with its name and what it is compared with."""
    labels, length = {"base": "base", "sft": "SFT", "grpo": "GRPO"}, summary["mean_length"]
    scores = {name: percent(score) for name, score in summary["accuracy"].items()}
    last = "grpo" if summary["accuracy"]["grpo"] else "sft"
    before = (f"{labels[name]} {scores[name]}" for name in ("base", "sft") if name != last)
    compared = f"{', '.join(before)}; best {at_step(summary['best'][last])}"
    items = [(f"{labels[last]}, {records.benchmark_name(folder)}", scores[last], compared)]
    if length["start"] is not None:
        shown = " → ".join(f"{length[name]:.1f}" for name in ("start", "dip", "end"))
        where = f"start, dip (step {length['dip_step']}), end"
        items.append(("mean length in tokens", shown, where))
    for name, key in (("HTML", "html_share"), ("reflective", "reflection_rate")):
        start, end = (percent(summary[key]["intervals"][when]) for when in ("start", "end"))
        if summary[key]["intervals"]["end"]:
            items.append((name, end, f"of rollouts; start {start}"))
    return items
