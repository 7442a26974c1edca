"""Read a run folder back: metrics, scores and judged rows, and how the run is named in figures."""

import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from vtkit.config.run_config import RunConfig, read_config
from vtkit.errors import UserError, printable
from vtkit.runs.columns import ROW_SCHEMA, read_curves, read_parquet
from vtkit.runs.contents import read_scores
from vtkit.runs.replay import replay_of

BENCHMARKS = {
    "sat": "CV-Bench",
    "r1-v": "held-out counting (R1-V)",
    "journey": "held-out geometry (Journey)",
    "open-r1": "held-out maths (open-r1-multimodal)",
    "text": "held-out text problems",
    "countdown": "held-out Countdown",
}
"""What a run is scored on, by its ``train_format``."""


def load_metrics(run_dir: str | Path) -> pd.DataFrame:
    """``metrics.csv``, one row a training step, indexed by ``step`` in ascending order.

    Columns without values are dropped; ``step_time`` has the seconds of ``timings.csv``, if there.

    Raises:
        UserError: a file is missing, damaged, or has no rows.
    """
    path, timings = (Path(run_dir) / name for name in ("metrics.csv", "timings.csv"))
    if not os.path.lexists(path):
        raise UserError(f"{path} is missing; run the training step (notebook 03) first")
    metrics = read_curves(path).dropna(axis="columns", how="all")
    if os.path.lexists(timings):
        metrics["step_time"] = read_curves(timings, "seconds")["seconds"]
    return metrics


def load_metric(run_dir: str | Path, column: str) -> pd.Series:
    """One column of ``metrics.csv``, indexed by ``step``; a UserError if the run has none."""
    metrics = load_metrics(run_dir)
    if column not in metrics:
        path = Path(run_dir) / "metrics.csv"
        raise UserError(f"{path} has no column {column!r}; name the folder of a GRPO run")
    return metrics[column]


def reward_columns(metrics: pd.DataFrame) -> dict[str, str]:
    """The columns of rewards: ``rewards/brevity_reward/mean`` by the name ``brevity``."""
    pattern = re.compile("rewards/(.*)_reward/mean")
    found = {column: pattern.fullmatch(column) for column in metrics.columns}
    return {match[1]: column for column, match in found.items() if match}


def load_evaluations(run_dir: str | Path) -> list[dict[str, Any]]:
    """Load the scores in ``evals/step-*.json``, if any, in order of their steps.

    :func:`vtkit.benchmark.evaluate.score` lists their keys.
    """
    return read_scores(Path(run_dir) / "evals")


def load_evaluated_rows(run_dir: str | Path, step: int) -> pd.DataFrame:
    """The benchmark questions, completions and verdicts of one evaluation."""
    path = Path(run_dir) / "evals" / f"step-{step:06d}.parquet"
    if not os.path.lexists(path):
        raise UserError(f"{path} is missing; run the evaluation (notebook 05) first")
    may_lack = ("style", "found", "choice", "rule", "source", "type", "choices")
    table = read_parquet(path, ROW_SCHEMA, "delete it and evaluate again", may_lack=may_lack)
    return table.to_pandas()


def compared_scores(run_dir: str | Path) -> dict[str, dict[str, Any] | None]:
    """The scores of ``base`` (step 0), ``sft`` and ``grpo`` (last); None for what was not run."""
    _require_baseline(run_dir)
    base = next((score for score in load_evaluations(run_dir) if score["step"] == 0), None)
    scores: dict[str, dict[str, Any] | None] = {"base": base}
    for name, folder in _arms(run_dir).items():
        trained = [one for one in load_evaluations(folder) if one["step"] > 0] if folder else []
        scores[name] = trained[-1] if trained else None
    return scores


def _require_baseline(run_dir: str | Path) -> None:
    """Refuse a folder ``sft`` that is another run's."""
    own = Path(run_dir) / "sft"
    if os.path.lexists(own / "config.yaml") and config_of(run_dir).algorithm == "grpo":
        run, baseline = config_of(run_dir), config_of(own)
        wanted = {"algorithm": "sft", "seed": run.seed, "model": run.model}
        for name, value in wanted.items():
            if (found := getattr(baseline, name)) != value:
                wrong = f"{name}: {found}, and this run's baseline has {value}"
                raise UserError(f"{own / 'config.yaml'}: {wrong}; move the folder away")


def best_scores(run_dir: str | Path) -> dict[str, dict[str, Any] | None]:
    """The scores of ``sft`` and ``grpo`` at the step with the highest accuracy; None if not run.

    They flatter: they were chosen by the questions that they are about.
    """
    return {
        name: best_score(folder / "evals", until=sys.maxsize) if folder else None
        for name, folder in _arms(run_dir).items()
    }


def compared_rows(run_dir: str | Path) -> dict[str, pd.DataFrame]:
    """The judged questions behind :func:`compared_scores`, of those that were run."""
    scores, folders = compared_scores(run_dir), {"base": Path(run_dir), **_arms(run_dir)}
    return {
        name: load_evaluated_rows(folder, score["step"])
        for name, folder in folders.items()
        if folder and (score := scores[name])
    }


def _arms(run_dir: str | Path) -> dict[str, Path | None]:
    """The folders of a GRPO run and its supervised baseline, or of a run of recipe ``sft``."""
    own = Path(run_dir)
    if config_of(own).algorithm == "sft":
        return {"sft": own, "grpo": None}
    return {"sft": own / "sft", "grpo": own}


def chance_levels(run_dir: str | Path) -> dict[str, float]:
    """Compute what guessing scores: ``total``, and each task if there are rows of step 0."""
    results = [result for result in compared_scores(run_dir).values() if result]
    total = {"total": results[0]["chance"]} if results else {}
    if not os.path.lexists(Path(run_dir, "evals", "step-000000.parquet")):
        return total
    rows = load_evaluated_rows(run_dir, 0)
    per_task = (1 / rows["choices"].map(len).replace(0, math.inf)).groupby(rows["task"]).mean()
    return total | per_task.to_dict()


def describe_run(run_dir: str | Path) -> str:
    """Name a run in one line, for figures and tables: recipe, profile, seed, and if it is whole."""
    config = config_of(run_dir)
    cold, missing = config.cold_start, unfinished(run_dir)
    parts = [config.recipe, f"profile {config.profile}", f"seed {config.seed}"]
    parts += [f"after a cold start on {cold} examples"] if cold else []
    parts += [f"unfinished: {missing}"] if missing else []
    parts += ["replay"] if replay_of(run_dir) else []
    return printable(", ".join(parts))


def progress(run_dir: str | Path) -> tuple[int, int]:
    """The training steps that a run has taken, and all that its settings ask for."""
    metrics = metrics_or_none(run_dir)
    return 0 if metrics is None else int(metrics.index[-1]), config_of(run_dir).steps


def unfinished(run_dir: str | Path) -> str:
    """What was begun and not ended, such as "77 of 100 steps", the baseline's included; or ""."""
    parts = []
    for name, folder in reversed(_arms(run_dir).items()):
        if folder and os.path.lexists(folder / "config.yaml"):
            done, planned = progress(folder)
            label = "baseline: " if name == "sft" and folder != Path(run_dir) else ""
            parts += [f"{label}{done} of {planned} steps"] if 0 < done < planned else []
    return ", ".join(parts)


def caveats(run_dir: str | Path) -> list[str]:
    """What has to be said with each result of a run: that it is a replay, or unfinished."""
    original, missing, said = replay_of(run_dir), unfinished(run_dir), []
    if original:
        said.append(
            f"Replay: this is the committed run {original}, not one of yours. "
            "Notebook 03 trains your own."
        )
    if missing:
        said.append(f"Unfinished: {missing}. Run notebook 03 again to resume.")
    return said


def benchmark_name(run_dir: str | Path) -> str:
    """Name what the run was scored on: CV-Bench, or held-out problems of the training data."""
    config = config_of(run_dir)
    name = BENCHMARKS[config.train_format]
    return f"miniature {name}" if config.is_miniature else name


def completions_per_step(run_dir: str | Path) -> int:
    """Count the completions that each row of ``metrics.csv`` averages over."""
    config = config_of(run_dir)
    return (config.prompts_per_step + config.spare_prompts) * config.num_generations


def config_of(run_dir: str | Path) -> RunConfig:
    """The settings of a run folder."""
    return read_config(Path(run_dir) / "config.yaml")


def score_path(evals: Path, step: int) -> Path:
    """The file in which :func:`vtkit.benchmark.evaluate.evaluate` writes the score of a step."""
    return evals / f"step-{step:06d}.json"


def best_score(evals: Path, *, until: int) -> dict[str, Any] | None:
    """The score of highest accuracy after step 0 and up to ``until``; of equals, the first."""
    trained = [score for score in read_scores(evals) if 0 < score["step"] <= until]
    return max(trained, key=lambda score: score["accuracy"]["value"], default=None)


MINIATURE = (
    "This is the miniature: a model of about a million parameters with Qwen2-VL's architecture, "
    "trained on generated scenes. Its base model was given rare self-correcting answers on "
    "purpose. It shows how reinforcement learning amplifies what already pays, and is no evidence "
    "about the 2B model."
)


def metrics_or_none(run_dir: str | Path) -> pd.DataFrame | None:
    """``metrics.csv`` (see :func:`load_metrics`), or None before training."""
    return load_metrics(run_dir) if os.path.lexists(Path(run_dir, "metrics.csv")) else None
