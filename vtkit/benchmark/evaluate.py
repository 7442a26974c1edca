"""Score a model on CV-Bench: ask every question, judge the completions, add up.

Next to each rate is the result of the original's own judge on the same completions
(:func:`vtkit.judging.published.is_correct`).

    rows = load_cv_bench("data/mini")
    result = evaluate(model, processor, rows, run_dir / "evals", step=0, prompt="base", ...)
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from vtkit.config.run_config import RunConfig, read_config
from vtkit.data.rows import load_benchmark_rows
from vtkit.errors import UserError, resumable
from vtkit.files import atomic_path, write_json
from vtkit.judging import judge, published
from vtkit.judging.answers import FOUND_BY
from vtkit.judging.verdict import answer_index, benchmark_solution
from vtkit.models.prompts import check_rendering, get_template, is_prefilled
from vtkit.runs.artifacts import make_missing
from vtkit.runs.checkpoints import last_checkpoint, step_of
from vtkit.runs.columns import ROW_SCHEMA
from vtkit.runs.folder import locked
from vtkit.runs.records import score_path
from vtkit.runs.surroundings import is_main_process
from vtkit.stats import Estimate, share

if TYPE_CHECKING:
    from vtkit.sampling.generation import Completion

_COPIED = ("idx", "task", "source", "type", "question", "choices", "answer")


def evaluate(
    model: Any,
    processor: Any,
    dataset: Dataset,
    out: str | Path,
    *,
    step: int,
    prompt: str,
    batch_size: int,
    max_new_tokens: int,
    progress: bool = True,
) -> dict[str, Any]:
    """Score a model on CV-Bench, greedily, and write both files of the step to ``out``.

    ``step-000000.parquet`` (``ROW_SCHEMA``) is written first and ``step-000000.json`` last: if the
    second exists, the evaluation is complete. Until then ``step-000000.completions.jsonl`` keeps
    the completions: a stopped evaluation resumes with the questions that have none. All processes
    that a launcher started call it together, and share the questions out.

    Args:
        dataset: rows of :mod:`vtkit.data.cv_bench` or :mod:`vtkit.data.blink_vsr`.
        batch_size: questions at once; 0: as many as fit in memory.

    Returns:
        The result of :func:`score`, with ``step``, ``prompt`` and ``mean_tokens``.

    Raises:
        UserError: no such prompt, a template that loses the picture, a full disk, or a file of the
            step that is there already.
    """
    from vtkit.sampling.resumable import generate_resumable

    file = Path(out) / f"step-{step:06d}"
    kept = file.with_suffix(".completions.jsonl")
    for path in (file.with_suffix(".parquet"), file.with_suffix(".json")) * is_main_process():
        if os.path.lexists(path) and not kept.is_file():  # our own are written before it goes
            raise UserError(f"{path} is there already; move it away, or choose another folder")
    get_template(prompt)
    pictures = {"image", "images"} & set(dataset.column_names)
    check_rendering(processor, dataset["prompt"][:1], pictures=len(pictures))
    questions = dataset.select_columns(["idx", "prompt", *pictures])
    limits = {"batch_size": batch_size, "max_new_tokens": max_new_tokens}
    completions = generate_resumable(kept, model, processor, questions, progress=progress, **limits)
    facts = dataset.select_columns(list(_COPIED)).to_list()
    rows = [
        judged_row(fact, completion, prefilled=is_prefilled(prompt))
        for fact, completion in zip(facts, completions, strict=True)
    ]
    result = {
        "step": step,
        "prompt": prompt,
        **score(rows),
        "mean_tokens": sum(row["tokens"] for row in rows) / len(rows),
    }
    if is_main_process():
        with atomic_path(file.with_suffix(".parquet")) as draft:
            pq.write_table(pa.Table.from_pylist(rows, ROW_SCHEMA), draft)
        write_json(file.with_suffix(".json"), result)
        kept.unlink(missing_ok=True)
    return result


@resumable()
def score_missing(config: RunConfig) -> None:
    """Score the base model and the last checkpoint of a run and of its baseline, where missing.

    The miniature's files are made if they are not there.

    Raises:
        UserError: another process uses the run, or as :func:`evaluate`.
    """
    runs, baseline = [config], Path(config.run_dir) / "sft"
    if (baseline / "config.yaml").exists():
        runs.append(read_config(baseline / "config.yaml").replace(run_dir=str(baseline)))
    for run in runs:
        make_missing(run.to_dict())
        with locked(config.run_dir):
            checkpoint = last_checkpoint(Path(run.run_dir) / "checkpoints")
            last = step_of(checkpoint) if checkpoint else 0
            for step, weights in {0: run.model, last: checkpoint or run.model}.items():
                print(f"{run.run_dir}, step {step}: {_score_if_missing(run, step, weights)}")


def _score_if_missing(run: RunConfig, step: int, weights: str | Path) -> str:
    evals = Path(run.run_dir) / "evals"
    if score_path(evals, step).exists():
        return "there"
    from vtkit.models.loading import load  # takes seconds to import: not where all is scored

    evaluate(
        *load(run, weights), load_benchmark_rows(run.to_dict()), evals, step=step,
        prompt=run.prompt, batch_size=run.eval_batch_size, max_new_tokens=run.eval_max_new_tokens,
    )  # fmt: skip
    return f"made now, with {weights}"


def judged_row(row: dict[str, Any], completion: "Completion", *, prefilled: bool) -> dict[str, Any]:
    """A row of ``ROW_SCHEMA``: a question, its completion and the verdicts of both judges."""
    text, choices, answer = completion.text, row["choices"], row["answer"]
    verdict = judge(text, benchmark_solution(choices, answer), choices, prefilled=prefilled)
    if choices:
        paper_correct = published.is_correct(text, choices, answer)
    else:
        paper_correct = published.is_value(text, answer)
    return {
        **{name: row[name] for name in _COPIED},
        "completion": text,
        "tokens": completion.tokens,
        "found": verdict.answer,
        "choice": verdict.choice,
        "rule": verdict.rule,
        "correct": verdict.correct,
        "paper_correct": paper_correct,
        "parsed": verdict.rule in FOUND_BY,
        "style": verdict.style,
    }


def score(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add up judged rows, which need the columns up to ``answer``, both verdicts and ``parsed``.

    Returns:
        ``accuracy``: correct of all, as the paper counts; ``official``: CV-Bench's own formula
        (None if one of its three sources is missing); ``tasks`` and ``sources``: accuracy of each;
        ``paper``: the same four by the original's judge; ``format_failures``: completions that
        commit to no choice; ``chance`` and ``always_A`` (:func:`baselines`); ``n``. The rates are
        proportions with 95 % intervals.
    """
    return {
        **_accuracies(rows, "correct"),
        "paper": _accuracies(rows, "paper_correct"),
        "format_failures": share(not row["parsed"] for row in rows),
        **baselines([row["choices"] for row in rows], [row["answer"] for row in rows]),
        "n": len(rows),
    }


def baselines(choices: Sequence[Sequence[str]], answers: Sequence[str]) -> dict[str, float]:
    """Score ``chance``, a uniform guess, and ``always_A``; 0 for a question without choices."""
    n = max(len(answers), 1)
    guessed = [pair for pair in zip(choices, answers, strict=True) if len(pair[0])]
    return {
        "chance": sum(1 / len(options) for options, _ in guessed) / n,
        "always_A": sum(answer_index(answer) == 0 for _, answer in guessed) / n,
    }


def _accuracies(rows: Sequence[dict[str, Any]], verdict: str) -> dict[str, Any]:
    sources = _by(rows, "source", verdict)
    return {
        "accuracy": share(row[verdict] for row in rows),
        "official": _official(sources),
        "tasks": _by(rows, "task", verdict),
        "sources": sources,
    }


def _official(sources: dict[str, Estimate]) -> float | None:
    """``((ADE20K + COCO) / 2 + Omni3D) / 2``, from the card of nyu-visionx/CV-Bench."""
    found = [sources[name]["value"] for name in ("ADE20K", "COCO", "Omni3D") if name in sources]
    known = [value for value in found if value is not None]
    if len(known) < 3:
        return None
    ade, coco, omni = known
    return ((ade + coco) / 2 + omni) / 2


def _by(rows: Sequence[dict[str, Any]], column: str, verdict: str) -> dict[str, Estimate]:
    groups: dict[str, list[bool]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row[verdict])
    return {name: share(verdicts) for name, verdicts in groups.items()}
