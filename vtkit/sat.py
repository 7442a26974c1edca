"""Rows of SAT: as they are published, whether they can be used, and as they are asked.

Pictures stay the bytes that they are in the file. The original writes the whole file as CSV, finds
JPEG bytes in the text by a pattern and saves them as PNG; options are shuffled without a seed.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Features, Image, List, Value

from vtkit.cells import is_picture, readable_rows
from vtkit.selection import Selection
from vtkit.tally import BadRow, Tally

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

SAT_FEATURES = Features(
    {
        "id": Value("int64"),
        "images": List(Image()),
        "question": Value("string"),
        "choices": List(Value("string")),
        "answer": Value("string"),
        "task": Value("string"),
    }
)
_TEXT = pa.schema([field for field in SAT_FEATURES.arrow_schema if field.name != "images"])


def usable(batch: pa.RecordBatch, start: int, selection: Selection, tally: Tally) -> Iterator[int]:
    """Places in the batch, in order, of the rows that are wanted and can be used.

    Args:
        start: row number in the file of the batch's first row.
        tally: is told about every other row, as far as the places are asked for.
    """
    for place, row in enumerate(readable_rows(batch)):
        if len(row["image_bytes"] or ()) > selection.max_images:
            tally.many_images += 1
        elif not selection.admits(row["question_type"]):
            tally.other_types += 1
        else:
            tally.looked += 1
            flaw = _flaw(row)
            if flaw is None:
                yield place
            else:
                tally.bad.append(BadRow(start + place, *flaw))


def as_asked(batch: pa.RecordBatch, places: Sequence[int], start: int, seed: int) -> pa.RecordBatch:
    """Those rows in the columns of :func:`vtkit.data.load_sat`, the pictures' bytes untouched.

    Args:
        start: row number in the file of the batch's first row.
        seed: with the row number, decides the order of a row's options.
    """
    chosen = batch.take(pa.array(places, pa.int64()))
    text = readable_rows(chosen.drop_columns(["image_bytes"]))
    rows = [_asked(row, start + place, seed) for place, row in zip(places, text, strict=True)]
    pictures = _picture_lists(chosen.column("image_bytes"))
    return pa.RecordBatch.from_pylist(rows, _TEXT).add_column(1, "images", pictures)


def sat_prompt(question: str, choices: Sequence[str]) -> str:
    """A SAT question with its options, in the original's words (process_dataset.py)."""
    return (
        f"Answer in natural language. {question} "
        f"Choose between the following options: {options_text(choices)}"
    )


def options_text(choices: Sequence[str]) -> str:
    """``["a", "b", "c"]`` as the original writes it into the question: ``"a, b or c"``."""
    if len(choices) < 2:
        return "".join(choices)
    return ", ".join(choices[:-1]) + " or " + choices[-1]


def _asked(row: dict[str, Any], number: int, seed: int) -> dict[str, Any]:
    choices = list(row["answers"])
    random.Random(f"{seed}-{number}").shuffle(choices)
    return {
        "id": number,
        "question": sat_prompt(row["question"], choices),
        "choices": choices,
        "answer": row["correct_answer"],
        "task": row["question_type"],
    }


def _picture_lists(encoded: pa.Array) -> pa.Array:
    """Lists of encoded pictures in the storage of ``List(Image())``."""
    flat = encoded.flatten()
    pictures = pa.StructArray.from_arrays(
        [flat, pa.nulls(len(flat), pa.string())], names=["bytes", "path"]
    )
    ends = accumulate(pc.list_value_length(encoded).to_pylist(), initial=0)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pictures)


def _flaw(row: dict[str, Any]) -> tuple[str, str] | None:
    """Column and reason why a row cannot be used."""
    if not row["image_bytes"] or not all(row["image_bytes"]):
        return "image_bytes", "is empty"
    if not all(map(is_picture, row["image_bytes"])):
        return "image_bytes", "is no picture"
    if not row["question"]:
        return "question", "is empty"
    if not row["answers"] or not all(row["answers"]):
        return "answers", "has no choices or an empty one"
    if row["correct_answer"] not in row["answers"]:
        return "correct_answer", f"{row['correct_answer']!r} is not among the answers"
    return None
