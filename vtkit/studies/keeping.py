"""Keep the records of a finished run under results/."""

import shutil
from pathlib import Path

import yaml

from vtkit.errors import UserError
from vtkit.files import atomic_folder, read_json, shown
from vtkit.report import figure_1, plots
from vtkit.report.summary import summarize
from vtkit.runs import replay
from vtkit.runs.curves import END_STEPS
from vtkit.runs.records import load_config
from vtkit.runs.rollout_store import RolloutWriter
from vtkit.runs.rollouts import load_rollouts

KEPT_FILES = ("manifest.json", "metrics.csv", "timings.csv", "summary.json", "aha.json")
KEPT_FOLDERS = ("interventions",)
KEPT_FIGURES = (figure_1.figure_1, plots.comparison)
MOST_STEPS = 150  # rollouts of a longer run are kept of the first and last ten, and evenly between


def keep(run_dir: str | Path) -> Path:
    """Copy a finished run to ``results/reference``, replacing what was kept of it before.

    Raises:
        UserError: the run is not finished, or a file of it is missing or damaged.
    """
    source, config = Path(run_dir), load_config(run_dir)
    status = read_json(source / "manifest.json")["status"]
    if status != "finished":
        raise UserError(f"{source}/manifest.json says {status}; finish the run before keeping it")
    summarize(source)
    target = replay.REFERENCE / f"{config['recipe']}-{config['profile']}-s{config['seed']}"
    with atomic_folder(target) as draft:
        _copy_records(source, draft, shown(target))
        if (source / "sft").exists():
            _copy_records(source / "sft", draft / "sft", f"{shown(target)}/sft")
        for draw in KEPT_FIGURES:
            draw(draft)
    return target


def _copy_records(source: Path, target: Path, name: str) -> None:
    """Configuration, metrics, all scores, judged rows of the first and last, rollouts."""
    (target / "evals").mkdir(parents=True)
    config = load_config(source) | {"run_dir": name}
    (target / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    for file in KEPT_FILES:
        if (source / file).exists():
            shutil.copy(source / file, target)
    for folder in KEPT_FOLDERS:
        if (source / folder).exists():
            shutil.copytree(source / folder, target / folder)
    for path in (source / "evals").glob("step-*.json"):
        shutil.copy(path, target / "evals")
    judged = sorted((source / "evals").glob("step-*.parquet"))
    for path in {*judged[:1], *judged[-1:]}:
        shutil.copy(path, target / "evals")
    if (source / "rollouts").is_dir():  # a supervised run has none
        _copy_rollouts(source, target)


def _copy_rollouts(source: Path, target: Path) -> None:
    steps, writer = load_rollouts(source).steps, RolloutWriter(target / "rollouts")
    every = -(-len(steps) // MOST_STEPS)
    for step in steps:
        if step <= END_STEPS or step > steps[-1] - END_STEPS or step % every == 0:
            batches = load_rollouts(source, steps=[step]).batches()
            writer.write(step, [row for batch in batches for row in batch.to_pylist()])


KEPT_ROLLOUTS = 32  # of the first and of the last step: four groups of eight each


def keep_entry(run_dir: str | Path, target: Path) -> Path:
    """Copy what tables need from a finished run, replacing what was kept of it before.

    Kept are configuration, manifest (with the wall time), metrics, scores and the first
    ``KEPT_ROLLOUTS`` rollouts of the first and of the last step: some ten KB.

    Raises:
        UserError: a file is missing or damaged, or the folder cannot be written.
    """
    source = Path(run_dir)
    config = load_config(source) | {"run_dir": shown(target)}
    with atomic_folder(target) as draft:
        (draft / "evals").mkdir()
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        (draft / "config.yaml").write_text(text, encoding="utf-8")
        for name in ("manifest.json", "metrics.csv"):
            shutil.copy(source / name, draft)
        for path in (source / "evals").glob("step-*.json"):
            shutil.copy(path, draft / "evals")
        if (source / "rollouts").is_dir():  # a supervised run has none
            _keep_rollouts(source, draft)
    return target


def _keep_rollouts(source: Path, draft: Path) -> None:
    steps, writer = load_rollouts(source).steps, RolloutWriter(draft / "rollouts")
    for step in {steps[0], steps[-1]}:
        rows = [row for batch in load_rollouts(source, steps=[step]).batches()
                for row in batch.to_pylist()]  # fmt: skip
        writer.write(step, rows[:KEPT_ROLLOUTS])
