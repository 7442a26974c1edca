"""Problems of the other replications, in SAT's columns or, as a benchmark, CV-Bench's."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, List, Value

from vtkit.data import parquet
from vtkit.data.bad_rows import BadRow, BadRows
from vtkit.data.dataset import sample, to_dataset
from vtkit.data.formats import FORMATS, LETTERS, Format, as_problem, flaw
from vtkit.errors import UserError

HELD_OUT = 500  # rows: an interval of 4 points either way


def load_problems(
    source: str | Path, format: str, *, split: str = "train", rows: int | None = None, seed: int = 0
) -> Dataset:
    """Load the first ``rows`` problems in file order, or a benchmark of those held out.

    Columns of ``train``: ``id`` (row number), ``images`` (list of one; absent from text formats),
    ``question``, ``choices`` (those that the question lists, "A. 30°"; or empty), ``answer``
    (text), ``solution`` (as published) and ``task``; of ``test``: see :func:`as_benchmark`. Bad
    rows are skipped and named in ``dataset.info.description``; they do not move the held-out rows.

    Args:
        source: a parquet file, a folder of such files, or the format's hub id.
        format: a name in :data:`vtkit.data.formats.FORMATS`.
        split: ``train`` or ``test``. Without a file for ``test``, the last ``HELD_OUT`` rows of
            ``train`` are the test, and ``train`` ends before them.
        rows, seed: None or 0 for all; a benchmark is sampled (:func:`vtkit.data.dataset.sample`).

    Raises:
        UserError: as :func:`vtkit.data.sat.load_sat`.
    """
    if split == "test":
        return sample(as_benchmark(_load(source, format, split), format), rows, seed, source)
    dataset = _load(source, format, split, rows)
    if rows and len(dataset) < rows:
        wrong = f"holds {len(dataset)} rows to train on but {rows} are wanted"
        raise UserError(f"{source}: {wrong}; lower train_rows")
    return dataset


def as_benchmark(problems: Dataset, format: str) -> Dataset:
    """Put problems into CV-Bench's columns; ``answer`` is the letter of a choice, ``(A)``.

    If problems list no choices and all their answers are numbers, or all are letters, these become
    the choices, so guessing has a score; otherwise ``choices`` is empty and ``answer`` itself.
    """
    listed, answers = problems["choices"][:], problems["answer"][:]
    common = _closed_set([a for a, choices in zip(answers, listed, strict=True) if not choices])
    choices = [choices or common for choices in listed]
    columns = {
        "idx": problems["id"][:],
        "source": [format] * len(problems),
        "type": ["2D" if FORMATS[format].pictured else "text"] * len(problems),
        "choices": choices,
        "answer": [
            f"({LETTERS[options.index(answer)]})" if options else answer
            for answer, options in zip(answers, choices, strict=True)
        ],
        "prompt": problems["question"][:],
    }
    result = problems.remove_columns(["id", "choices", "answer", "solution"])
    for name, values in columns.items():
        kind = {"idx": Value("int64"), "choices": List(Value("string"))}.get(name, Value("string"))
        result = result.add_column(name, values, feature=kind)
    return result


def _closed_set(answers: Sequence[str]) -> list[str]:
    """All possible answers if they are few numbers, or letters from A on; else none."""
    distinct = set(answers)
    if distinct and all(re.fullmatch("[A-Z]", answer) for answer in distinct):
        return list(LETTERS[: LETTERS.index(max(distinct)) + 1])
    few = len(distinct) <= len(LETTERS)
    if few and all(re.fullmatch(r"-?\d{1,9}", answer) for answer in distinct):
        return sorted(distinct, key=int)
    return []


def _load(source: str | Path, format: str, split: str, rows: int | None = None) -> Dataset:
    """The first ``rows`` usable problems of a split; the files are read no further than that."""
    kind = FORMATS[format]
    files, start, stop = _part(source, kind, split)
    skipped = BadRows(files[0] if len(files) == 1 else files[0].parent)
    problems = islice(_usable(_read(files, kind, start, stop), kind, skipped), rows or None)
    parts = iter(lambda: list(islice(problems, parquet.BATCH_ROWS)), [])
    schema = kind.features.arrow_schema
    batches = [pa.RecordBatch.from_pylist(part, schema) for part in parts]
    skipped.check()
    if not batches:
        raise UserError(f"{skipped.path} holds no rows; write or download it again")
    dataset = to_dataset(pa.Table.from_batches(batches), kind.features)
    skipped.describe(dataset)
    return dataset


def _part(source: str | Path, kind: Format, split: str) -> tuple[list[Path], int, int]:
    """Files of a split and its rows in them: number of the first, and one past the last."""
    if Path(source).is_file():
        return [Path(source)], 0, parquet.count_rows(Path(source))
    hub = kind.hub, kind.revision
    files = {name: parquet.find_files(source, name, *hub) for name in ("train", "test")}
    if files[split] and (files["test"] or split == "test"):
        return files[split], 0, sum(map(parquet.count_rows, files[split]))
    if not files["train"]:
        raise UserError(f"{source}: holds no train.parquet; name another folder as train_data")
    total = sum(map(parquet.count_rows, files["train"]))
    if total <= HELD_OUT:
        raise UserError(
            f"{source}: holds {total} rows and no test.parquet; the last {HELD_OUT} would be held "
            "out to score: add a test.parquet"
        )
    seen = total - HELD_OUT
    return files["train"], *((0, seen) if split == "train" else (seen, total))


def _read(
    files: Sequence[Path], kind: Format, start: int, stop: int
) -> Iterator[tuple[Path, int, int, pa.RecordBatch]]:
    """Yield rows ``start`` to ``stop``: file, number of the first in it and over all, batch."""
    before = 0
    for path in files:
        rows = parquet.count_rows(path)
        if before + rows > start:
            there = parquet.column_names(path)
            read = [field for field in kind.optional if field[0] in there]
            for first, batch in parquet.read_batches(path, pa.schema([*kind.schema, *read])):
                low, high = (min(max(n - before - first, 0), len(batch)) for n in (start, stop))
                if low < high:
                    at = first + low
                    yield path, at, before + at, batch.slice(low, high - low)
                if before + first + len(batch) >= stop:
                    return
        before += rows


def _usable(
    found: Iterator[tuple[Path, int, int, pa.RecordBatch]], kind: Format, skipped: BadRows
) -> Iterator[dict[str, Any]]:
    """Yield the problems in what :func:`_read` yields; bad rows go to ``skipped``."""
    for path, first, number, batch in found:
        for place, row in enumerate(parquet.readable_rows(batch)):
            skipped.looked += 1
            if wrong := flaw(row, kind):
                file = "" if path == skipped.path else path.name
                skipped.bad.append(BadRow(first + place, *wrong, file))
            else:
                yield {"id": number + place, **as_problem(row, kind)}
