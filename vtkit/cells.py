"""Cells of a damaged file: text that is not UTF-8, bytes that are no picture.

A parquet file holds both without complaint, and Python's own conversion stops at the first.
"""

import io
from typing import Any

import pyarrow as pa
from PIL import Image


def readable_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as dictionaries; a cell with text that is not UTF-8 is None, as if it were empty."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError:  # names neither row nor column
        columns = [[_value(cell) for cell in column] for column in batch.columns]
        names = batch.schema.names
        return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        return None


def is_picture(encoded: bytes) -> bool:
    """Whether there is a header that Pillow reads; decoding everything would take 100 x as long."""
    try:
        with Image.open(io.BytesIO(encoded)):
            return True
    except Exception:  # damaged headers end in errors of all kinds
        return False
