"""Rows of any size as one Arrow table that memory does not have to hold.

What is chosen from a file of 5 GB can be 5 GB. It is written to an unnamed file and mapped, so that
only the rows in use are in memory; the operating system removes the file with the last reader, also
when the process is killed.
"""

import random
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets
import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features
from datasets.fingerprint import generate_random_fingerprint
from datasets.table import InMemoryTable

from vtkit.errors import UserError


def sample(dataset: Dataset, rows: int | None, seed: int, source: str | Path) -> Dataset:
    """``rows`` of a benchmark, as :func:`load_cv_bench` draws them.

    Raises:
        UserError: there are not that many in ``source``.
    """
    wanted = _row_limit(rows)
    if rows and len(dataset) < rows:
        raise UserError(
            f"{source}: holds {len(dataset)} rows but {rows} are wanted; lower benchmark_rows"
        )
    if wanted < len(dataset):
        dataset = dataset.select(_balanced_sample(dataset["task"][:], rows, seed))
    return dataset


def _row_limit(rows: int | None) -> float:
    if rows is not None and rows < 0:
        raise UserError(f"cannot read {rows} rows; give a positive number, or 0 for all")
    return rows or float("inf")


def _balanced_sample(tasks: Sequence[str], rows: int, seed: int) -> list[int]:
    """Row numbers of ``rows`` rows, dealt to the tasks one by one while each has any left."""
    piles: dict[str, list[int]] = {}
    for row, task in enumerate(tasks):
        piles.setdefault(task, []).append(row)
    for task, pile in piles.items():
        random.Random(f"{seed}-{task}").shuffle(pile)
    chosen: list[int] = []
    for turn in range(max(map(len, piles.values()))):
        chosen += [pile[turn] for pile in piles.values() if turn < len(pile)]
    return sorted(chosen[:rows])


def to_dataset(batches: list[pa.RecordBatch], features: Features) -> Dataset:
    return _dataset(pa.Table.from_batches(batches), features)


def _dataset(table: pa.Table, features: Features) -> Dataset:
    # Left out, the fingerprint is a hash that pickles all images: 5 x the memory, 2 x the time.
    fingerprint = generate_random_fingerprint()
    return Dataset(InMemoryTable(table), DatasetInfo(features=features), fingerprint=fingerprint)


def memory_mapped(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """The batches, one after another, as a table in a mapped file.

    The file lies in the cache folder of the library datasets (``HF_DATASETS_CACHE``).

    Raises:
        UserError: the folder cannot be written, or the disk is full.
    """
    folder = Path(datasets.config.HF_DATASETS_CACHE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="rows-", suffix=".arrow") as file:
            with pa.ipc.new_stream(file, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            with pa.memory_map(file.name) as mapped:
                return pa.ipc.open_stream(mapped).read_all()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot hold the rows chosen for training ({error.strerror or error}); free "
            "some space, or set HF_DATASETS_CACHE to a folder on another disk"
        ) from error
