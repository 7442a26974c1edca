"""What a configuration trains on and is scored on, whichever replication's data it names.

    rows = load_training_rows(config.to_dict())     # columns of vtkit.data.load_sat
    rows = load_benchmark_rows(config.to_dict())    # columns that vtkit.cv_bench.evaluate reads

Configurations are plain mappings, so that the config.yaml of an older run will do.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from datasets import Dataset

from vtkit.data import load_cv_bench, load_sat
from vtkit.problems import load_problems

# What writes what a run of profile mini reads: module, function, its folder.
_PROBLEMS = ("vtkit.mini.problem_files", "ensure_problems", "data/mini")
_MAKERS = {
    "data/mini": ("vtkit.mini.dataset", "ensure_dataset", "data/mini"),
    "data/mini/r1-v": _PROBLEMS,
    "data/mini/journey": _PROBLEMS,
    "data/mini/open-r1-multimodal": _PROBLEMS,
    "data/mini/text": ("vtkit.mini.text", "ensure_files", "data/mini/text"),
    "models/mini-instruct": ("vtkit.mini.instruct", "ensure_instruct", "models/mini-instruct"),
    "models/mini-text": ("vtkit.mini.text_base", "ensure_text_base", "models/mini-text"),
}


def ensure_miniature(config: Mapping[str, Any]) -> list[str]:
    """Write the miniature's data and models that a configuration names and that are missing.

    Whatever else it names is left alone.

    Returns:
        The places that were written.
    """
    made = []
    for name in ("train_data", "benchmark_data", "model"):
        if maker := _MAKERS.get(config[name]):
            module, function, folder = maker
            if getattr(import_module(module), function)(folder):
                made.append(config[name])
    return made


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
        UserError: as :func:`vtkit.data.load_sat`.
    """
    source, rows = source or config["train_data"], config["train_rows"] or None
    format = config.get("train_format", "sat")
    if format == "sat":
        chosen = {name: config[field] for field, name in _SELECTION.items() if field in config}
        return load_sat(source, rows=rows, seed=config["seed"], **chosen)
    return load_problems(source, format, rows=rows)


def load_benchmark_rows(config: Mapping[str, Any]) -> Dataset:
    """The rows to score: CV-Bench for SAT, else the format's held-out rows.

    Raises:
        UserError: as :func:`vtkit.data.load_cv_bench`.
    """
    source, rows = config["benchmark_data"], config["benchmark_rows"] or None
    format = config.get("train_format", "sat")
    if format == "sat":
        return load_cv_bench(source, rows=rows)
    return load_problems(source, format, split="test", rows=rows)
