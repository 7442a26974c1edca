"""SAT for training, CV-Bench for measuring: published files in, ``datasets.Dataset`` out.

Unlike ``datasets.load_dataset`` this reads the parquet files batch by batch: SAT_train.parquet is
one row group of 5 GB that ``load_dataset`` refuses. Images stay encoded until a row is used. The
miniature's files have the same schemas, so the same code reads them; schemas are checked by name
and type before anything is read.

    load_sat("data/mini", rows=512)          # or a parquet file, or "array/SAT" from the hub
    load_cv_bench("nyu-visionx/CV-Bench")    # or a folder with test_2d.parquet, test_3d.parquet
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetInfo, Features, Image
from datasets.fingerprint import generate_random_fingerprint
from datasets.table import InMemoryTable

from vtkit.cells import readable_rows
from vtkit.errors import UserError
from vtkit.parquet import find_file, read_batches
from vtkit.sat import SAT_FEATURES, SAT_SCHEMA, as_asked, usable
from vtkit.selection import Selection
from vtkit.spool import spool
from vtkit.tally import Tally
from vtkit.values import suggest

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


def load_sat(
    source: str | Path,
    *,
    split: str = "train",
    rows: int | None = None,
    seed: int = 0,
    subset: str = "static",
    types: Sequence[str] = (),
    sample: str = "first",
    max_images: int = 1,
) -> Dataset:
    """Questions of SAT as the original asks them; by default the rows that it takes, in file order.

    Columns: ``id`` (row number in the file), ``images`` (list), ``question`` (with its options, in
    the original's wording), ``choices`` (as shown: shuffled, since the right one always comes first
    in the file), ``answer`` (text of the right choice), ``task`` (question_type). The order of the
    choices depends on ``seed`` and the row number alone. What was left out, bad rows by name, is in
    ``dataset.info.description``.

    The rows are in a mapped file (:mod:`vtkit.spool`): memory grows with neither the file nor
    ``rows``. A random sample reads the file twice, first to see which rows can be used.

    Args:
        source: folder holding ``SAT_<split>.parquet``, a parquet file, or ``"array/SAT"``.
        rows: how many rows; ``None`` or 0 for all.
        subset, types, sample, max_images: which ones, see :class:`vtkit.selection.Selection`.

    Raises:
        UserError: file missing, unreadable, empty or too short; column missing or of another type;
            no such subset, sample or type; more than 1 % of the rows bad: no picture, question or
            choices, or an answer that is not among its choices.
    """
    selection = Selection(
        subset=subset, types=types, max_images=max_images, sample=sample, rows=rows or 0, seed=seed
    )
    path = Path(source)
    if not path.is_file():
        path = find_file(source, f"SAT_{split}.parquet", SAT_HUB, HUB_REVISIONS[SAT_HUB])
    _check_types(path, types)
    tally = Tally(path, max_images)
    take = _first if sample == "first" else _random
    table = spool(take(path, selection, tally), SAT_FEATURES.arrow_schema)
    tally.check()
    if len(table) < (rows or 1):
        raise _too_few(len(table), selection, tally)
    dataset = _dataset(table, SAT_FEATURES)
    tally.describe(dataset)
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


def _first(path: Path, selection: Selection, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The first usable rows; the file is read no further than that."""
    left = selection.rows or None
    for start, batch in read_batches(path, SAT_SCHEMA):
        places = list(islice(usable(batch, start, selection, tally), left))
        yield as_asked(batch, places, start, selection.seed)
        if left is not None and (left := left - len(places)) == 0:
            return


def _random(path: Path, selection: Selection, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Random ones among all usable rows, in file order."""
    numbers = [
        start + place
        for start, batch in read_batches(path, SAT_SCHEMA)
        for place in usable(batch, start, selection, tally)
    ]
    chosen = deque(selection.draw(numbers))
    for start, batch in read_batches(path, SAT_SCHEMA):
        if not chosen:
            return
        places = []
        while chosen and chosen[0] < start + len(batch):
            places.append(chosen.popleft() - start)
        yield as_asked(batch, places, start, selection.seed)


def _check_types(path: Path, types: Sequence[str]) -> None:
    """Refuse a question_type that the file does not have; the other columns are not read for it."""
    if not types:
        return
    column = pa.schema([SAT_SCHEMA.field("question_type")])
    batches = (batch for _, batch in read_batches(path, column))
    known = {row["question_type"] for batch in batches for row in readable_rows(batch)}
    for kind in types:
        if kind not in known:
            near = suggest(str(kind), known - {None})
            raise UserError(f"{path}: train_types: no row is of type '{kind}'{near}")


def _too_few(kept: int, selection: Selection, tally: Tally) -> UserError:
    found = f"{kept} {selection} but {selection.rows} are wanted; lower train_rows"
    if not kept:
        found = f"no {selection}; name another file as train_data"
    return UserError(
        f"{tally.path}: holds {found}, or let more in with train_subset, train_types or max_images "
        f"({tally.left_out()})"
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
    return _dataset(pa.Table.from_batches(batches), features)


def _dataset(table: pa.Table, features: Features) -> Dataset:
    # Left out, the fingerprint is a hash that pickles all images: 5 x the memory, 2 x the time.
    fingerprint = generate_random_fingerprint()
    return Dataset(InMemoryTable(table), DatasetInfo(features=features), fingerprint=fingerprint)
