"""What a configuration trains on and is scored on, whichever replication's data it names.

rows = load_training(config)       # columns of vtkit.data.load_sat
rows = load_benchmark(config)      # columns that vtkit.cv_bench.evaluate reads
"""

from typing import TYPE_CHECKING

from datasets import Dataset

from vtkit.data import load_cv_bench, load_sat
from vtkit.problems import load_problems

if TYPE_CHECKING:
    from vtkit.recipes import RunConfig


def load_training(config: "RunConfig") -> Dataset:
    """The training rows: of SAT, or of the ``train_format``'s own file.

    Raises:
        UserError: as :func:`vtkit.data.load_sat`.
    """
    rows = config.train_rows or None
    if config.train_format == "sat":
        return load_sat(config.train_data, rows=rows, seed=config.seed)
    return load_problems(config.train_data, config.train_format, rows=rows)


def load_benchmark(config: "RunConfig") -> Dataset:
    """The rows to score: CV-Bench for SAT, else the format's held-out rows.

    Raises:
        UserError: as :func:`vtkit.data.load_cv_bench`.
    """
    rows = config.benchmark_rows or None
    if config.train_format == "sat":
        return load_cv_bench(config.benchmark_data, rows=rows)
    return load_problems(config.benchmark_data, config.train_format, split="test", rows=rows)
