"""SAT, the training data, with the questions as the original asks them. Pictures stay encoded.

The file is read in batches: ``datasets.load_dataset`` refuses its one row group of 5 GB.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from datasets import Dataset

from vtkit.data.bad_rows import BadRow, BadRows, text_flaw
from vtkit.data.dataset import memory_mapped, to_dataset, training_columns
from vtkit.data.parquet import find_file, read_batches, readable_rows
from vtkit.data.picture_files import picture_flaw
from vtkit.data.selection import Selection
from vtkit.errors import UserError, quote, suggest
from vtkit.hub import HUB_REVISIONS, SAT_HUB
from vtkit.judging.verdict import unpayable

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
SAT_FEATURES = training_columns("solution")
_TEXT = training_columns("solution", "images").arrow_schema


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
    """Load questions of SAT, memory-mapped; by default the rows that the original takes.

    Columns: ``id`` (row number in the file), ``images`` (list), ``question`` (with its options),
    ``choices`` (in the order shown: shuffled, since the right one always comes first in the file),
    ``answer`` (text of the right choice), ``task`` (question_type). The order of the choices
    depends on ``seed`` and the row number alone. ``dataset.info.description`` counts the rows that
    were left out and names bad ones.

    Args:
        source: folder holding ``SAT_<split>.parquet``, a parquet file, or ``"array/SAT"``.
        rows: how many; ``None`` or 0 for all.
        subset, types, sample, max_images: which ones, see :class:`vtkit.data.selection.Selection`.

    Raises:
        UserError: file missing, damaged, empty or too short; column missing or of another type; no
            such subset, sample or type; more than 1 % of the rows bad.
    """
    selection = Selection(
        subset=subset, types=types, max_images=max_images, sample=sample, rows=rows or 0, seed=seed
    )
    path = find_sat(source, split)
    _check_types(path, types)
    skipped = BadRows(path, max_images)
    select = _first if sample == "first" else _random
    table = memory_mapped(select(path, selection, skipped), SAT_FEATURES.arrow_schema)
    skipped.check()
    if len(table) < (rows or 1):
        raise _too_few(len(table), selection, skipped)
    dataset = to_dataset(table, SAT_FEATURES)
    skipped.describe(dataset)
    return dataset


def _check_types(path: Path, types: Sequence[str]) -> None:
    """Refuse a question_type that the file does not have; no other column is read for this."""
    if not types:
        return
    column = pa.schema([SAT_SCHEMA.field("question_type")])
    batches = (batch for _, batch in read_batches(path, column))
    known = {row["question_type"] for batch in batches for row in readable_rows(batch)}
    for kind in types:
        if kind not in known:
            near = suggest(str(kind), known - {None})
            raise UserError(f"{path}: train_types: no row is of type '{kind}'{near}")


def _first(path: Path, selection: Selection, skipped: BadRows) -> Iterator[pa.RecordBatch]:
    """The first usable rows; reading ends after the last of them."""
    left = selection.rows or None
    for start, batch in read_batches(path, SAT_SCHEMA):
        places = list(islice(usable(batch, start, selection, skipped), left))
        yield as_asked(batch, places, start, selection.seed)
        if left is not None and (left := left - len(places)) == 0:
            return


def _random(path: Path, selection: Selection, skipped: BadRows) -> Iterator[pa.RecordBatch]:
    """Random usable rows, in file order; reads the file twice, first to see what is usable."""
    numbers = [
        start + place
        for start, batch in read_batches(path, SAT_SCHEMA)
        for place in usable(batch, start, selection, skipped)
    ]
    chosen = deque(selection.draw(numbers))
    for start, batch in read_batches(path, SAT_SCHEMA):
        if not chosen:
            return
        places = []
        while chosen and chosen[0] < start + len(batch):
            places.append(chosen.popleft() - start)
        yield as_asked(batch, places, start, selection.seed)


def _too_few(kept: int, selection: Selection, skipped: BadRows) -> UserError:
    found = f"{kept} {selection} but {selection.rows} are wanted; lower train_rows"
    if not kept:
        found = f"no {selection}; name another file as train_data"
    return UserError(
        f"{skipped.path}: holds {found}, or let more in with train_subset, train_types or "
        f"max_images ({skipped.left_out()})"
    )


def usable(
    batch: pa.RecordBatch, start: int, selection: Selection, skipped: BadRows
) -> Iterator[int]:
    """Yield the places in the batch of rows that are wanted and can be used; others are skipped.

    ``start`` is the row number in the file of the batch's first row.
    """
    for place, row in enumerate(readable_rows(batch)):
        if len(row["image_bytes"] or ()) > selection.max_images:
            skipped.many_images += 1
        elif not selection.admits(row["question_type"]):
            skipped.other_types += 1
        else:
            skipped.looked += 1
            if flaw := _flaw(row, start + place, selection.seed):
                skipped.bad.append(BadRow(start + place, *flaw))
            else:
                yield place


def _flaw(row: dict[str, Any], number: int, seed: int) -> tuple[str, str] | None:
    """Column and reason why a row cannot be used; None if it can."""
    if not row["image_bytes"] or not all(row["image_bytes"]):
        return "image_bytes", "is empty"
    if flaw := next(filter(None, map(picture_flaw, row["image_bytes"])), None):
        return "image_bytes", flaw
    if not row["question"]:
        return "question", "is empty"
    if not row["answers"] or not all(row["answers"]):
        return "answers", "has no choices or an empty one"
    if row["correct_answer"] not in row["answers"]:
        return "correct_answer", f"{quote(row['correct_answer'])} is not among the answers"
    if flaw := text_flaw(row["question"], *row["answers"]):
        return "question", f"{flaw} with its answers"
    choices = _shuffled(row["answers"], number, seed)
    if flaw := unpayable(choices.index(row["correct_answer"]), choices):
        return "correct_answer", f"{row['correct_answer']!r:.60} {flaw}"
    return None


def as_asked(batch: pa.RecordBatch, places: Sequence[int], start: int, seed: int) -> pa.RecordBatch:
    """Put rows into the columns of :func:`load_sat`; the pictures' bytes stay untouched.

    ``seed`` and the row number in the file (``start``: the batch's first) order the options.
    """
    chosen = batch.take(pa.array(places, pa.int64()))
    text = readable_rows(chosen.drop_columns(["image_bytes"]))
    rows = [_asked(row, start + place, seed) for place, row in zip(places, text, strict=True)]
    encoded = chosen.column("image_bytes")
    cells = [encoded.values, pa.nulls(len(encoded.values), pa.string())]
    pictures = pa.StructArray.from_arrays(cells, names=["bytes", "path"])
    lists = pa.ListArray.from_arrays(encoded.offsets, pictures)
    return pa.RecordBatch.from_pylist(rows, _TEXT).add_column(1, "images", lists)


def _asked(row: dict[str, Any], number: int, seed: int) -> dict[str, Any]:
    choices = _shuffled(row["answers"], number, seed)
    return {
        "id": number,
        "question": sat_prompt(row["question"], choices),
        "choices": choices,
        "answer": row["correct_answer"],
        "task": row["question_type"],
    }


def _shuffled(answers: Sequence[str], number: int, seed: int) -> list[str]:
    choices = list(answers)
    random.Random(f"{seed}-{number}").shuffle(choices)
    return choices


def sat_prompt(question: str, choices: Sequence[str]) -> str:
    """Return a SAT question with its options, in the original's words (process_dataset.py)."""
    return (
        f"Answer in natural language. {question} "
        f"Choose between the following options: {options_text(choices)}"
    )


def options_text(choices: Sequence[str]) -> str:
    """``["a", "b", "c"]`` as the original writes it into the question: ``"a, b or c"``."""
    if len(choices) < 2:
        return "".join(choices)
    return ", ".join(choices[:-1]) + " or " + choices[-1]


def find_sat(source: str | Path, split: str = "train") -> Path:
    """Return the parquet file of a split; downloads it if ``source`` is ``"array/SAT"``."""
    if Path(source).is_file():
        return Path(source)
    return find_file(source, f"SAT_{split}.parquet", SAT_HUB, HUB_REVISIONS[SAT_HUB])


def read_text(path: Path) -> pd.DataFrame:
    """Read every row of a file of SAT without its pictures; ``pictures`` says how many it has."""
    parts = []
    for _, batch in read_batches(path, SAT_SCHEMA):
        pictures = pc.list_value_length(batch["image_bytes"])
        parts.append(batch.drop_columns(["image_bytes"]).to_pandas().assign(pictures=pictures))
    return pd.concat(parts, ignore_index=True)


def preview_selection(text: pd.DataFrame, **choice: Any) -> dict[str, Any]:
    """Say which rows of :func:`read_text` a :class:`Selection` would take if none were bad."""
    rule = Selection(**choice)
    fits = text["question_type"].map(rule.admits) & (text["pictures"] <= rule.max_images)
    usable = list(text.index[fits])
    chosen = rule.draw(usable) if rule.sample == "random" else usable[: rule.rows or None]
    return {
        "usable rows": len(usable),
        "numbers of those taken": f"{chosen[0]:,} to {chosen[-1]:,}" if chosen else "none",
        "types": ", ".join(sorted(set(text["question_type"][chosen]))),
    }


def write_damaged(path: Path, out: str | Path, *, rows: int, damaged: Sequence[int]) -> None:
    """Copy a file's first rows, again and again up to ``rows``; spoil pictures of the damaged."""
    good = next(read_batches(path, SAT_SCHEMA))[1].to_pylist()
    copied = [dict(good[number % len(good)]) for number in range(rows)]
    for number in damaged:
        copied[number]["image_bytes"] = [b"not a picture"]
    pq.write_table(pa.Table.from_pylist(copied, SAT_SCHEMA), out)
