"""The training and benchmark rows of a configuration, whichever replication's data it names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.pictures import encoded_images, replaced
from vtkit.data.replications import load_problems
from vtkit.data.sat import load_sat


def load_training_rows(config: Mapping[str, Any], source: str | Path | None = None) -> Dataset:
    """Load the training rows, in the columns of :func:`load_sat`, from ``train_data`` or source."""
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
    """Load the rows to score, in CV-Bench's columns: CV-Bench for SAT, else held-out rows."""
    source, rows = config["benchmark_data"], config["benchmark_rows"] or None
    if config["train_format"] == "sat":
        found = load_cv_bench(source, rows=rows)
    else:
        found = load_problems(source, config["train_format"], split="test", rows=rows)
    return replaced(found, config["pictures"], config["seed"])


def picture_bytes(rows: Dataset) -> list[bytes]:
    """Return every picture of training or benchmark rows, encoded as it is stored."""
    return [cell["bytes"] for cells in encoded_images(rows) for cell in cells]
