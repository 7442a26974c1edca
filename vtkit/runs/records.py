"""What a run folder holds, read back: metrics, evaluations, configuration, and the windows on them.

Figures, tables and the report all read a run through here, so "start", "end" and "dip" mean the
same everywhere: the first three steps, the last ten, and the lowest point of the moving average
over five steps. Nothing here needs the trainer or torch; a folder that was copied is enough.
"""

import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from vtkit.errors import UserError, first_line
from vtkit.files import read_json

BENCHMARKS = {
    "sat": "CV-Bench",
    "r1-v": "held-out counting (R1-V)",
    "journey": "held-out geometry (Journey)",
    "open-r1": "held-out maths (open-r1-multimodal)",
    "text": "held-out text problems",
    "countdown": "held-out Countdown",
}
"""What a run is scored on, by its ``train_format``."""


def load_config(run_dir: str | Path) -> dict[str, Any]:
    """The run's ``config.yaml`` as written.

    Raises:
        UserError: the file is missing or is not a YAML mapping.
    """
    path = Path(run_dir) / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; name a run folder, or train one first") from None
    except yaml.YAMLError as error:
        raise UserError(
            f"{path} is not YAML ({first_line(error)}); restore it or start a new run"
        ) from None
    if not isinstance(config, dict):
        raise UserError(f"{path} is not a YAML mapping; restore it or start a new run")
    return config


def load_metrics(run_dir: str | Path) -> pd.DataFrame:
    """``metrics.csv``, one row a training step, indexed by ``step`` in ascending order.

    Columns that the run's algorithm does not have are dropped; where there is a ``timings.csv``,
    ``step_time`` holds the seconds of each step.

    Raises:
        UserError: a file is missing, damaged, or has no rows.
    """
    metrics = _load_csv(Path(run_dir) / "metrics.csv").dropna(axis="columns", how="all")
    timings = Path(run_dir) / "timings.csv"
    if timings.exists():
        metrics["step_time"] = _load_csv(timings)["seconds"]
    return metrics


def load_metric(run_dir: str | Path, column: str) -> pd.Series:
    """One column of ``metrics.csv``, indexed by ``step``.

    Raises:
        UserError: the file is missing or the run never logged that column.
    """
    metrics = load_metrics(run_dir)
    if column not in metrics:
        path = Path(run_dir) / "metrics.csv"
        raise UserError(f"{path} has no column {column!r}; name the folder of a GRPO run")
    return metrics[column]


def load_evaluations(run_dir: str | Path) -> list[dict[str, Any]]:
    """The scores in ``evals/step-*.json`` (see :func:`vtkit.benchmark.evaluate.score`), by step; maybe none.

    Raises:
        UserError: a file is damaged.
    """
    paths = Path(run_dir, "evals").glob("step-*.json")
    return sorted((read_json(path) for path in paths), key=lambda result: result["step"])


def load_evaluated_rows(run_dir: str | Path, step: int) -> pd.DataFrame:
    """The benchmark questions, completions and verdicts of one evaluation.

    Raises:
        UserError: the run has no rows for that step, or the file is damaged.
    """
    path = Path(run_dir) / "evals" / f"step-{step:06d}.parquet"
    if not path.exists():
        raise UserError(f"{path} is missing; run the evaluation (notebook 05) first")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is damaged ({first_line(error)}); delete it and evaluate again"
        ) from None


def compared_scores(run_dir: str | Path) -> dict[str, dict[str, Any] | None]:
    """The scores of ``base`` (step 0), ``sft`` and ``grpo`` (last); None for what was not run.

    The supervised baseline of a GRPO run lies in ``<run_dir>/sft``; a run of the recipe ``sft`` is
    its own.

    Raises:
        UserError: there is no configuration, or a file is damaged.
    """
    own = load_evaluations(run_dir)
    base = next((result for result in own if result["step"] == 0), None)
    last = own[-1] if own and own[-1]["step"] > 0 else None
    if load_config(run_dir)["algorithm"] == "sft":
        return {"base": base, "sft": last, "grpo": None}
    sft = [result for result in load_evaluations(Path(run_dir) / "sft") if result["step"] > 0]
    return {"base": base, "sft": sft[-1] if sft else None, "grpo": last}


def best_scores(run_dir: str | Path) -> dict[str, dict[str, Any] | None]:
    """The scores of ``sft`` and ``grpo`` at the step with the highest accuracy; None if not run.

    Beside the last scores they show what a run lost again. They were chosen by the questions that
    they are about, so that they flatter.

    Raises:
        UserError: there is no configuration, or a file is damaged.
    """
    alone = load_config(run_dir)["algorithm"] == "sft"
    folders = {"sft": Path(run_dir), "grpo": None}
    if not alone:
        folders = {"sft": Path(run_dir) / "sft", "grpo": Path(run_dir)}
    return {
        name: folder and best_score(folder / "evals", until=sys.maxsize)
        for name, folder in folders.items()
    }


def compared_rows(run_dir: str | Path) -> dict[str, pd.DataFrame]:
    """The judged questions behind :func:`compared_scores`, of those that were run.

    Raises:
        UserError: there is no configuration, or a file is missing or damaged.
    """
    alone = load_config(run_dir)["algorithm"] == "sft"
    folders = {"sft": Path(run_dir) if alone else Path(run_dir) / "sft"}
    return {
        name: load_evaluated_rows(folders.get(name, run_dir), score["step"])
        for name, score in compared_scores(run_dir).items()
        if score
    }


def chance_levels(run_dir: str | Path) -> dict[str, float]:
    """What guessing scores: ``total``, and each task for which the rows of step 0 are at hand."""
    results = [result for result in compared_scores(run_dir).values() if result]
    total = {"total": results[0]["chance"]} if results else {}
    if not Path(run_dir, "evals", "step-000000.parquet").exists():
        return total
    rows = load_evaluated_rows(run_dir, 0)
    per_task = (1 / rows["choices"].map(len).replace(0, math.inf)).groupby(rows["task"]).mean()
    return total | per_task.to_dict()


def describe_run(run_dir: str | Path) -> str:
    """The line that names a run under every figure and table: recipe, profile and seed."""
    config = load_config(run_dir)
    cold = config.get("cold_start")
    more = f", after a cold start on {cold} examples" if cold else ""
    return f"{config['recipe']}, profile {config['profile']}, seed {config['seed']}{more}"


def benchmark_name(run_dir: str | Path) -> str:
    """CV-Bench, or what the miniature uses in its place; or whose held-out problems were scored."""
    config = load_config(run_dir)
    name = BENCHMARKS[str(config.get("train_format", "sat"))]
    return f"miniature {name}" if str(config["profile"]).startswith("mini") else name


def completions_per_step(run_dir: str | Path) -> int:
    """How many completions each row of ``metrics.csv`` averages over."""
    config = load_config(run_dir)
    prompts = int(config["prompts_per_step"]) + int(config.get("spare_prompts", 0))
    return prompts * int(config["num_generations"])


def _load_csv(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the training step (notebook 03) first") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it and train again") from None
    if "step" not in table or table.empty:
        raise UserError(f"{path} has no rows with a column 'step'; run the training step first")
    return table.set_index("step").sort_index()


def score_path(evals: Path, step: int) -> Path:
    """Where :func:`vtkit.benchmark.evaluate.evaluate` leaves the score of a step."""
    return evals / f"step-{step:06d}.json"


def best_score(evals: Path, *, until: int) -> dict[str, Any] | None:
    """The score with the highest accuracy after step 0 and up to ``until``; of equals, the first.

    Raises:
        UserError: a file of the folder is damaged.
    """
    scores = [read_json(path) for path in sorted(evals.glob("step-*.json"))]
    trained = [score for score in scores if 0 < score["step"] <= until]
    return max(trained, key=lambda score: score["accuracy"]["value"], default=None)


MINIATURE = (
    "This is the miniature: a model of about a million parameters with Qwen2-VL's architecture, "
    "trained on generated scenes. Its base model was given rare self-correcting answers on "
    "purpose. It shows how reinforcement learning amplifies what already pays, and is no evidence "
    "about the 2B model."
)


def metrics_or_none(run_dir: str | Path) -> pd.DataFrame | None:
    """``metrics.csv`` (see :func:`vtkit.runs.records.load_metrics`), or None before training."""
    return load_metrics(run_dir) if Path(run_dir, "metrics.csv").exists() else None
