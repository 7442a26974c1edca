"""One long table over many runs: a row for each number, for pandas or any other program.

table, problems = tidy(["runs/*"])
table[table.metric == "eval/accuracy"].pivot(index="step", columns="run", values="value").plot()
"""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vtkit.errors import UserError, printable
from vtkit.files import shown, user_path
from vtkit.runs.columns import write_csv
from vtkit.runs.records import config_of, load_evaluations, metrics_or_none

COLUMNS = ["run", "recipe", "profile", "seed", "step", "metric", "value"]
"""``metric`` is a column of metrics.csv, ``step_time`` (seconds), or a score, ``eval/…``."""
_HEADER = ",".join(COLUMNS) + "\n"


def tidy(patterns: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read the metrics and scores of runs and of their supervised baselines, ``<run>/sft``.

    Args:
        patterns: folders, or patterns such as ``runs/*``; relative ones start at the checkout. What
            a pattern finds and is no run, such as the summary of several seeds, is passed over.

    Returns:
        The table, with :data:`COLUMNS`, and a line for each run that cannot be read or has no
        numbers yet; nothing of it is in the table.
    """
    parts: dict[Path, pd.DataFrame] = {}
    problems = []
    for pattern in patterns:
        folders = sorted(map(Path, glob.glob(str(user_path(pattern)))))
        if not folders:
            problems.append(f"{pattern}: there is no such folder")
        for folder in folders:
            for run in (folder, folder / "sft"):
                one_of_many = run != folder or glob.has_magic(pattern)
                if run in parts or (one_of_many and not _is_run(run)):
                    continue
                try:
                    parts[run] = _long(run)
                except UserError as error:
                    problems.append(str(error))
    tables = [parts[run] for run in parts]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(
        columns=COLUMNS
    ), problems


def write_tidy(table: pd.DataFrame, path: str | Path) -> Path:
    """Write the table as CSV; only a table of this kind is ever replaced."""
    path = user_path(path)
    if path.exists() and not _is_ours(path):
        raise UserError(f"{path} is there and is no such table; move it away, or name another file")
    write_csv(path, table)
    return path


def _is_ours(path: Path) -> bool:
    try:
        with open(path, "rb") as handle:
            return handle.readline(len(_HEADER)) == _HEADER.encode()
    except OSError:
        return False


def _is_run(folder: Path) -> bool:
    return any(
        os.path.lexists(folder / name) for name in ("config.yaml", "manifest.json", "metrics.csv")
    )


def _long(run: Path) -> pd.DataFrame:
    """The rows of one run."""
    config, metrics = config_of(run), metrics_or_none(run)
    table = pd.DataFrame(_scores(run), columns=["step", "metric", "value"])
    if metrics is not None:
        logged = metrics.melt(var_name="metric", ignore_index=False).reset_index()
        table = pd.concat([logged, table], ignore_index=True) if len(table) else logged
    table = table.dropna(subset="value")
    if table.empty:
        raise UserError(f"{shown(run)} has no metrics and no scores yet; train it first")
    same = {name: getattr(config, name) for name in ("recipe", "profile", "seed")}
    return table.assign(run=shown(run), **same)[COLUMNS]


def _scores(run: Path) -> Iterator[tuple[int, str, Any]]:
    for found in load_evaluations(run):
        share = found["accuracy"]
        named = {
            "accuracy": share["value"],
            "accuracy_low": share["low"],
            "accuracy_high": share["high"],
            "accuracy_as_published": found["paper"]["accuracy"]["value"],
            "format_failures": found["format_failures"]["value"],
            "mean_tokens": found["mean_tokens"],
            **{f"tasks/{name}": task["value"] for name, task in sorted(found["tasks"].items())},
        }
        yield from (
            (found["step"], f"eval/{printable(name)}", value) for name, value in named.items()
        )
