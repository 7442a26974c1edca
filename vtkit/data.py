"""SAT for training, CV-Bench for measuring: published files in, ``datasets.Dataset`` out.

Unlike ``datasets.load_dataset`` this reads the parquet files batch by batch: SAT_train.parquet is
one row group of 5 GB that ``load_dataset`` refuses. Images stay encoded until a row is used. The
miniature's files have the same schemas, so the same code reads them; schemas are checked by name
and type before anything is read.

    load_sat("data/mini", rows=512)          # or a parquet file, or "array/SAT" from the hub
    load_cv_bench("nyu-visionx/CV-Bench")    # or a folder with test_2d.parquet, test_3d.parquet
"""

import logging
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetInfo, Features, Image, List, Value
from datasets.fingerprint import generate_random_fingerprint
from datasets.table import InMemoryTable

from vtkit.errors import UserError
from vtkit.parquet import find_file, read_batches

logger = logging.getLogger(__name__)

SAT_SCHEMA = pa.schema(
    [
        ("image_bytes", pa.list_(pa.binary())),
        ("question", pa.string()),
        ("answers", pa.list_(pa.string())),
        ("question_type", pa.string()),
        ("correct_answer", pa.string()),
    ]
)
"""Columns of array/SAT as published (SAT repository, upload_data_hf.py)."""

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

CV_BENCH_SCHEMA = pa.schema(
    [
        ("idx", pa.int32()),
        ("type", pa.string()),
        ("task", pa.string()),
        ("image", _IMAGE),
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

SAT_HUB = "array/SAT"
CV_BENCH_HUB = "nyu-visionx/CV-Bench"
# Pinned, so that the same recipe reads the same rows next year.
HUB_REVISIONS = {
    SAT_HUB: "bda5dde942d7f7b41bff7935f086ed9a9e348ae3",
    CV_BENCH_HUB: "bc284db50d036958861cb60cdd7b77612052ce0d",
}
CV_BENCH_FILES = ("test_2d.parquet", "test_3d.parquet")

_SAT_FEATURES = Features(
    {
        "id": Value("int64"),
        "images": List(Image()),
        "question": Value("string"),
        "choices": List(Value("string")),
        "answer": Value("string"),
        "task": Value("string"),
    }
)
_SAT_TEXT = pa.schema([field for field in _SAT_FEATURES.arrow_schema if field.name != "images"])


def load_sat(
    source: str | Path, *, split: str = "train", rows: int | None = None, seed: int = 0
) -> Dataset:
    """The first ``rows`` single-image questions of SAT, in file order, as the original asks them.

    Columns: ``id`` (row number in the file), ``images`` (list of one image), ``question`` (with its
    options, in the original's wording), ``choices`` (as shown: shuffled, since the right one always
    comes first in the file), ``answer`` (text of the right choice), ``task`` (question_type). The
    order of the choices depends on ``seed`` and the row number alone.

    Args:
        source: folder holding ``SAT_<split>.parquet``, a parquet file, or ``"array/SAT"``.
        rows: how many rows; ``None`` or 0 for all.

    Raises:
        UserError: file missing, unreadable, empty or too short; column missing or of another type;
            a row without image, question or choices, or whose answer is not among its choices.
    """
    path = Path(source)
    if not path.is_file():
        path = find_file(source, f"SAT_{split}.parquet", SAT_HUB, HUB_REVISIONS[SAT_HUB])
    wanted = _row_limit(rows)
    batches: list[pa.RecordBatch] = []
    kept = skipped = 0
    for start, batch in read_batches(path, SAT_SCHEMA):
        batch_kept, batch_skipped = _sat_batch(batch, start, path, seed, wanted - kept)
        kept, skipped = kept + len(batch_kept), skipped + batch_skipped
        batches.append(batch_kept)
        if kept >= wanted:
            break
    if rows and kept < rows:
        raise UserError(
            f"{path}: holds {kept} single-image rows but {rows} are wanted; lower train_rows"
        )
    if not kept:
        raise UserError(f"{path}: holds no single-image rows; name another file as train_data")
    dataset = to_dataset(batches, _SAT_FEATURES)
    dataset.info.description = f"{kept} rows of {path.name}, {skipped} multi-image rows skipped"
    logger.info(dataset.info.description)
    return dataset


def load_cv_bench(source: str | Path, *, rows: int | None = None, seed: int = 0) -> Dataset:
    """CV-Bench with its 15 published columns; 2D rows first, then 3D.

    Args:
        source: folder with ``test_2d.parquet`` and ``test_3d.parquet``, or
            ``"nyu-visionx/CV-Bench"``.
        rows: size of a sample with equal shares of the tasks, in file order; a larger sample with
            the same seed contains the smaller one. ``None`` or 0 for all rows.

    Raises:
        UserError: as :func:`load_sat`; also an ``answer`` that is not the letter of a choice.
    """
    batches = []
    for name in CV_BENCH_FILES:
        path = find_file(source, name, CV_BENCH_HUB, HUB_REVISIONS[CV_BENCH_HUB])
        for start, batch in read_batches(path, CV_BENCH_SCHEMA):
            _check_cv_bench(batch, start, path)
            batches.append(batch)
    features = Features.from_arrow_schema(CV_BENCH_SCHEMA)
    features["image"] = Image()
    return sample(to_dataset(batches, features), rows, seed, source)


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


def options_text(choices: Sequence[str]) -> str:
    """``["a", "b", "c"]`` as the original writes it into the question: ``"a, b or c"``."""
    if len(choices) < 2:
        return "".join(choices)
    return ", ".join(choices[:-1]) + " or " + choices[-1]


def _sat_batch(
    batch: pa.RecordBatch, start: int, path: Path, seed: int, limit: float
) -> tuple[pa.RecordBatch, int]:
    """At most ``limit`` single-image rows in the columns of :func:`load_sat`; rows skipped."""
    images = batch.column("image_bytes")
    counts = images.value_lengths().fill_null(0).to_pylist()
    positions: list[int] = []
    skipped = 0
    for position, count in enumerate(counts):
        if len(positions) >= limit:
            break
        if count == 0:
            raise row_error(path, "image_bytes", start + position, "is empty")
        if count == 1:
            positions.append(position)
        else:
            skipped += 1
    chosen = pa.array(positions, pa.int64())
    encoded = images.take(chosen).flatten()
    numbers = [start + position for position in positions]
    check_filled(encoded, path, "image_bytes", numbers)
    text = batch.drop_columns(["image_bytes"]).take(chosen).to_pylist()
    rows = [_sat_row(row, path, n, seed) for n, row in zip(numbers, text, strict=True)]
    table = pa.RecordBatch.from_pylist(rows, _SAT_TEXT)
    return table.add_column(1, "images", _one_image_lists(encoded)), skipped


def _one_image_lists(encoded: pa.Array) -> pa.Array:
    """Encoded images as a column of one-image lists in the storage of ``List(Image())``."""
    paths = pa.nulls(len(encoded), pa.string())
    pictures = pa.StructArray.from_arrays([encoded, paths], fields=list(_IMAGE))
    return pa.ListArray.from_arrays(pa.array(range(len(encoded) + 1), pa.int32()), pictures)


def sat_prompt(question: str, choices: Sequence[str]) -> str:
    """A SAT question with its options, in the original's words (process_dataset.py)."""
    return (
        f"Answer in natural language. {question} "
        f"Choose between the following options: {options_text(choices)}"
    )


def _sat_row(row: dict, path: Path, number: int, seed: int) -> dict:
    _check_sat_row(row, path, number)
    choices = list(row["answers"])
    random.Random(f"{seed}-{number}").shuffle(choices)
    question = sat_prompt(row["question"], choices)
    return {
        "id": number,
        "question": question,
        "choices": choices,
        "answer": row["correct_answer"],
        "task": row["question_type"],
    }


def _check_sat_row(row: dict, path: Path, number: int) -> None:
    if not row["question"]:
        raise row_error(path, "question", number, "is empty")
    if not row["answers"] or not all(row["answers"]):
        raise row_error(path, "answers", number, "has no choices or an empty one")
    if row["correct_answer"] not in row["answers"]:
        raise row_error(
            path, "correct_answer", number, f"{row['correct_answer']!r} is not among the answers"
        )


def _check_cv_bench(batch: pa.RecordBatch, start: int, path: Path) -> None:
    numbers = range(start, start + len(batch))
    check_filled(batch.column("image").field("bytes"), path, "image", numbers)
    for name in ("type", "task", "question", "prompt", "source"):
        check_filled(batch.column(name), path, name, numbers)
    check_answers(batch, start, path)


def check_answers(batch: pa.RecordBatch, start: int, path: Path) -> None:
    """Columns ``choices`` and ``answer``: filled, and the answer the letter of a choice, "(A)"."""
    pairs = batch.select(["choices", "answer"]).to_pylist()
    for number, row in enumerate(pairs, start):
        if not row["choices"] or not all(row["choices"]):
            raise row_error(path, "choices", number, "has no choices or an empty one")
        letters = [f"({chr(ord('A') + place)})" for place in range(len(row["choices"]))]
        if row["answer"] not in letters:
            wrong = f"{row['answer']!r} is not one of {', '.join(letters)}"
            raise row_error(path, "answer", number, wrong)


def check_filled(column: pa.Array, path: Path, name: str, numbers: Sequence[int]) -> None:
    lengths = pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    if not lengths.all():
        raise row_error(path, name, numbers[int(np.argmin(lengths))], "is empty")


def row_error(path: Path, column: str, row: int, what: str) -> UserError:
    return UserError(f"{path}: column {column!r}, row {row} {what}; mend the row or fetch it again")


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
    table = InMemoryTable(pa.Table.from_batches(batches))
    # Left out, the fingerprint is a hash that pickles all images: 5 x the memory, 2 x the time.
    return Dataset(table, DatasetInfo(features=features), fingerprint=generate_random_fingerprint())
