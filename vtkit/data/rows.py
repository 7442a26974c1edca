"""The training and benchmark rows of a configuration, whichever replication's data it names.

    rows = load_training_rows(config.to_dict())     # columns of vtkit.data.sat.load_sat
    rows = load_benchmark_rows(config.to_dict())    # columns of vtkit.data.cv_bench.load_cv_bench

Both raise the loaders' UserErrors.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.pictures import encoded_images, replaced
from vtkit.data.replications import load_problems
from vtkit.data.sat import load_sat


def load_training_rows(config: Mapping[str, Any], source: str | Path | None = None) -> Dataset:
    """The training rows: of SAT, or of the ``train_format``'s own file.

    Args:
        source: where ``train_data`` is on this machine, if it was moved.
    """
    source, rows = source or config["train_data"], config["train_rows"] or None
    if config["train_format"] == "sat":
        found = load_sat(
            source, rows=rows, seed=config["seed"],
            subset=config["train_subset"], types=config["train_types"],
            sample=config["train_sample"], max_images=config["max_images"],
        )  # fmt: skip
    else:
        found = load_problems(source, config["train_format"], rows=rows)
    return replaced(found, config["pictures"], config["seed"])


def load_benchmark_rows(config: Mapping[str, Any]) -> Dataset:
    """The rows to score: CV-Bench for SAT, else the format's held-out rows."""
    source, rows = config["benchmark_data"], config["benchmark_rows"] or None
    if config["train_format"] == "sat":
        found = load_cv_bench(source, rows=rows)
    else:
        found = load_problems(source, config["train_format"], split="test", rows=rows)
    return replaced(found, config["pictures"], config["seed"])


def picture_bytes(rows: Dataset) -> list[bytes]:
    """Every picture of training or benchmark rows, encoded as it is stored."""
    return [cell["bytes"] for cells in encoded_images(rows) for cell in cells]
