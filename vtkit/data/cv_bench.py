"""CV-Bench, the benchmark."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, Features

from vtkit.data.dataset import sample, to_dataset
from vtkit.data.parquet import IMAGE, check_questions, find_file, read_batches
from vtkit.data.picture_files import Picture
from vtkit.errors import UserError
from vtkit.hub import CV_BENCH_HUB, HUB_REVISIONS

CV_BENCH_SCHEMA = pa.schema(
    [
        ("idx", pa.int32()),
        ("type", pa.string()),
        ("task", pa.string()),
        ("image", IMAGE),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("prompt", pa.string()),
        ("filename", pa.string()),
        ("source", pa.string()),
        ("source_dataset", pa.string()),
        ("source_filename", pa.string()),
        ("target_class", pa.string()),
        ("target_size", pa.int32()),
        ("bbox", pa.list_(pa.list_(pa.float32()))),
    ]
)
"""The 15 columns of nyu-visionx/CV-Bench, in the order of its card."""
CV_BENCH_FILES = ("test_2d.parquet", "test_3d.parquet")
_TEXTS = ("type", "task", "question", "prompt", "source")  # columns that are never empty


def cv_bench_prompt(question: str, choices: Sequence[str]) -> str:
    """CV-Bench's ``prompt`` column: the question, then one lettered choice a line."""
    lines = [f"({chr(ord('A') + place)}) {choice}" for place, choice in enumerate(choices)]
    return "\n".join([f"{question} Select from the following choices.", *lines])


def load_cv_bench(source: str | Path, *, rows: int | None = None, seed: int = 0) -> Dataset:
    """Load CV-Bench with its published columns, 2D rows first, then 3D; or a sample of it.

    One of the two files may have no rows, if :func:`vtkit.data.writing.write_cv_bench` wrote it.

    Args:
        source: folder with ``CV_BENCH_FILES``, or ``"nyu-visionx/CV-Bench"``.
        rows, seed: see :func:`vtkit.data.dataset.sample`.

    Raises:
        UserError: file missing, damaged or empty; column missing or of another type; a row without
            usable picture, question or choices, or whose answer is not the letter of a choice.
    """
    batches = []
    for name in CV_BENCH_FILES:
        path = find_file(source, name, CV_BENCH_HUB, HUB_REVISIONS[CV_BENCH_HUB], of=CV_BENCH_FILES)
        for start, batch in read_batches(path, CV_BENCH_SCHEMA):
            check_questions(batch, start, path, images=["image"], texts=_TEXTS)
            batches.append(batch)
    if not batches:
        raise UserError(f"{source} holds no rows; write or download its files again")
    features = Features.from_arrow_schema(CV_BENCH_SCHEMA)
    features["image"] = Picture()
    return sample(to_dataset(pa.Table.from_batches(batches), features), rows, seed, source)
