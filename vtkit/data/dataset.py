"""Tables as ``datasets.Dataset``: columns, balanced samples, tables that are larger than memory."""

import random
import tempfile
from collections.abc import Iterable, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path

import datasets
import pyarrow as pa
from datasets import Dataset, DatasetInfo, Features, List, Value
from datasets.fingerprint import generate_random_fingerprint
from datasets.table import InMemoryTable

from vtkit.data.picture_files import Picture
from vtkit.errors import UserError

_COLUMNS = {
    "id": Value("int64"),
    "images": List(Picture()),
    "question": Value("string"),
    "choices": List(Value("string")),
    "answer": Value("string"),
    "solution": Value("string"),
    "task": Value("string"),
}


def training_columns(*without: str) -> Features:
    """Return the columns of training rows, all or ``without`` some."""
    return Features({name: kind for name, kind in _COLUMNS.items() if name not in without})


def to_dataset(table: pa.Table, features: Features) -> Dataset:
    # Left out, the fingerprint is a hash that pickles all images: 5 x the memory, 2 x the time.
    fingerprint = generate_random_fingerprint()
    return Dataset(InMemoryTable(table), DatasetInfo(features=features), fingerprint=fingerprint)


def memory_mapped(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Return the batches as one memory-mapped table, so only rows in use are in memory.

    The file, in ``HF_DATASETS_CACHE``, has no name: the operating system removes it with its last
    reader, even if the process is killed. UserError if it cannot be written.
    """
    folder = Path(datasets.config.HF_DATASETS_CACHE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="rows-", suffix=".arrow") as file:
            with pa.ipc.new_stream(file, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            file.flush()
            batch = None
            pa.default_memory_pool().release_unused()  # 40 MB of the miniature's 2,400 rows
            with pa.memory_map(file.name) as mapped:
                return pa.ipc.open_stream(mapped).read_all()
    except OSError as error:
        raise UserError(
            f"{folder}: cannot hold the rows chosen for training ({error.strerror or error}); free "
            "some space, or set HF_DATASETS_CACHE to a folder on another disk"
        ) from error


def sample(dataset: Dataset, rows: int | None, seed: int, source: str | Path) -> Dataset:
    """Draw ``rows`` (None or 0: all) with equal shares of the tasks, in file order.

    With the same seed a larger sample contains the smaller one. ``source`` becomes its name.
    UserError (about ``source``) if ``rows`` is negative or more than there are.
    """
    dataset.info.dataset_name = str(source)
    if not rows or rows == len(dataset):
        return dataset
    if rows < 0:
        raise UserError(f"cannot read {rows} rows; give a positive number, or 0 for all")
    if rows > (n := len(dataset)):
        raise UserError(f"{source}: holds {n} rows but {rows} are wanted; lower benchmark_rows")
    return dataset.select(_balanced_sample(dataset["task"][:], rows, seed))


def _balanced_sample(tasks: Sequence[str], rows: int, seed: int) -> list[int]:
    """Numbers of ``rows`` rows: one of each task in turn, as long as the task has any left."""
    piles: dict[str, list[int]] = {}
    for row, task in enumerate(tasks):
        piles.setdefault(task, []).append(row)
    for task, pile in piles.items():
        random.Random(f"{seed}-{task}").shuffle(pile)
    turns = chain.from_iterable(zip_longest(*piles.values()))
    return sorted(islice((row for row in turns if row is not None), rows))
