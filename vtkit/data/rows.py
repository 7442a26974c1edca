"""What a configuration trains on and is scored on, whichever replication's data it names.

    rows = load_training_rows(config.to_dict())     # columns of vtkit.data.sat.load_sat
    rows = load_benchmark_rows(config.to_dict())    # columns that vtkit.benchmark.evaluate.evaluate reads

Configurations are plain mappings, so that the config.yaml of an older run will do.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.pictures import encoded_images, replaced
from vtkit.data.replications import load_problems
from vtkit.data.sat import load_sat

# Settings that choose among SAT's rows; runs of before have none of them.
_SELECTION = {
    "train_subset": "subset",
    "train_types": "types",
    "train_sample": "sample",
    "max_images": "max_images",
}


def load_training_rows(config: Mapping[str, Any], source: str | Path | None = None) -> Dataset:
    """The training rows: of SAT, or of the ``train_format``'s own file.

    Args:
        source: where ``train_data`` lie on this machine, if elsewhere.

    Raises:
        UserError: as :func:`vtkit.data.sat.load_sat`.
    """
    source, rows = source or config["train_data"], config["train_rows"] or None
    format = config.get("train_format", "sat")
    if format == "sat":
        chosen = {name: config[field] for field, name in _SELECTION.items() if field in config}
        found = load_sat(source, rows=rows, seed=config["seed"], **chosen)
    else:
        found = load_problems(source, format, rows=rows)
    return replaced(found, config.get("pictures", "original"), config["seed"])


def load_benchmark_rows(config: Mapping[str, Any]) -> Dataset:
    """The rows to score: CV-Bench for SAT, else the format's held-out rows.

    Raises:
        UserError: as :func:`vtkit.data.cv_bench.load_cv_bench`.
    """
    source, rows = config["benchmark_data"], config["benchmark_rows"] or None
    format = config.get("train_format", "sat")
    if format == "sat":
        found = load_cv_bench(source, rows=rows)
    else:
        found = load_problems(source, format, split="test", rows=rows)
    return replaced(found, config.get("pictures", "original"), config["seed"])


def picture_bytes(rows: Dataset) -> list[bytes]:
    """Every picture of training or benchmark rows, encoded as it is stored."""
    return [cell["bytes"] for cells in encoded_images(rows) for cell in cells]
