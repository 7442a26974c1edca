"""What the tables of a run folder must hold, CSV and parquet, checked whenever one is read back."""

import csv
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vtkit.errors import UserError, first_line, quote, shorten
from vtkit.files import atomic_write, read_text

_TRAIN_AGAIN = "restore it, or train again (notebook 03) in another folder"
ROW_SCHEMA = pa.schema(
    [
        ("idx", pa.int64()),
        ("task", pa.string()),
        ("source", pa.string()),
        ("type", pa.string()),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("answer", pa.string()),
        ("completion", pa.string()),
        ("tokens", pa.int64()),
        ("found", pa.string()),  # the words that decided
        ("choice", pa.int64()),  # the choice they name
        ("rule", pa.string()),
        ("correct", pa.bool_()),
        ("paper_correct", pa.bool_()),  # by the original's judge
        ("parsed", pa.bool_()),
        ("style", pa.string()),
    ]
)
"""Columns of ``evals/step-*.parquet``: one row a question."""


def write_csv(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table with the words of models and data, whole or not at all.

    A spreadsheet takes text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break for
    a formula (OWASP, "CSV injection"): it gets an apostrophe first, which it shows as text.
    """
    with atomic_write(path) as handle:
        table.map(_no_formula).to_csv(handle, index=False)


def _no_formula(value: Any) -> Any:
    risky = isinstance(value, str) and re.match(r"[=+\-@\t\r\n]", value)
    return f"'{value}" if risky and not re.fullmatch(r"[-+]?\d+(\.\d+)?", value) else value


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read the rows of ``metrics.csv`` or ``timings.csv`` as text; none is fine.

    Raises:
        UserError: missing, not a table of whole rows, or steps that do not rise from 1 on.
    """
    return _rows(path, read_text(path))


def _rows(path: Path, text: str) -> list[dict[str, str]]:
    try:
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise UserError(f"{path} is no table ({error}); {_TRAIN_AGAIN}") from None
    header, *rows = lines or [[]]

    def wrong(place: int, what: str) -> UserError:
        return UserError(f"{path}, line {place}: {what}; {_TRAIN_AGAIN}")

    if "step" not in header or len(set(header)) < len(header):
        raise wrong(1, "expected names of columns, one of them 'step'")
    if not text.endswith("\n"):
        raise wrong(len(lines), "the file breaks off there")
    step, last = header.index("step"), 0
    for place, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise wrong(place, f"{len(row)} cells under {len(header)} columns")
        if not re.fullmatch(r"\d{1,12}", row[step]) or int(row[step]) <= last:
            raise wrong(place, f"step {shorten(row[step])} after step {last}")
        last = int(row[step])
    return [dict(zip(header, row, strict=True)) for row in rows]


SHARES = ("html_share", "reflection_rate", "direct_share")
"""Columns of ``metrics.csv`` that are shares of a step's completions."""


def read_curves(path: Path, *columns: str) -> pd.DataFrame:
    """Read ``metrics.csv`` or ``timings.csv`` as numbers, indexed by step; infinite ones are NaN.

    Args:
        columns: that must be there.

    Raises:
        UserError: as :func:`read_csv`, without rows or a column, or a cell that is no number.
    """
    return _curves(path, read_text(path), columns).copy()


@lru_cache(maxsize=4)  # a report asks for the same curves thirty times
def _curves(path: Path, text: str, columns: tuple[str, ...]) -> pd.DataFrame:
    rows = _rows(path, text)
    if not rows:
        raise UserError(f"{path} has no rows; run the training step first")
    if missing := next((name for name in columns if name not in rows[0]), None):
        raise UserError(f"{path}, line 1: no column {missing!r}; {_TRAIN_AGAIN}")
    numbers_by_name = {}
    for name in rows[0]:
        cells = [row[name] for row in rows]
        numbers_by_name[name] = numbers = pd.to_numeric(pd.Series(cells), errors="coerce")
        odd = numbers.isna() & ~pd.Series(cells).str.fullmatch(r"|[-+]?nan", case=False)
        if name in SHARES:
            odd |= (numbers < 0) | (numbers > 1)
        if odd.any():
            place = int(odd.idxmax())
            found = f"line {place + 2}: {shorten(name)} is {quote(cells[place])}"
            expected = "a number from 0 to 1" if name in SHARES else "a number"
            raise UserError(f"{path}, {found}, expected {expected}; {_TRAIN_AGAIN}")
    table = pd.DataFrame(numbers_by_name).set_index("step")
    return table.replace([float("inf"), -float("inf")], float("nan"))


def read_parquet(
    path: Path, schema: pa.Schema, remedy: str, *, may_lack: Collection[str] = ()
) -> pa.Table:
    """Read a parquet file of a run; see :func:`require_columns` for what it must hold."""
    with readable(path, remedy), pq.ParquetFile(path) as file:
        require_columns(path, file.metadata, schema, remedy, may_lack=may_lack)
        return file.read()


def require_columns(
    path: Path,
    footer: pq.FileMetaData,
    schema: pa.Schema,
    remedy: str,
    *,
    may_lack: Collection[str] = (),
) -> None:
    """Check columns and types by the footer, and that none but ``may_lack`` has empty cells.

    Raises:
        UserError: one is missing, of another type, or has no value in a row.
    """
    found = footer.schema.to_arrow_schema()
    for field in schema:
        here = found.get_field_index(field.name) >= 0 and found.field(field.name).type
        if not here and field.name not in may_lack:
            raise UserError(f"{path}: column {field.name!r} is missing; {remedy}")
        if here and not _holds(here, field.type):
            wrong = f"column {field.name!r} is {shorten(str(here))}, expected {field.type}"
            raise UserError(f"{path}: {wrong}; {remedy}")
    required = {field.name for field in schema}.difference(may_lack)
    for group in range(footer.num_row_groups):
        columns = footer.row_group(group)
        for number in range(columns.num_columns):
            column = columns.column(number)
            empty = column.statistics and column.statistics.null_count
            if empty and column.path_in_schema in required:
                wrong = f"column {column.path_in_schema!r} has rows without a value"
                raise UserError(f"{path}: {wrong}; {remedy}")


def _holds(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether the types are the same, but for the width of offsets, which pandas chooses."""
    lists = (pa.ListType, pa.LargeListType)
    if isinstance(wanted, pa.ListType):
        return isinstance(found, lists) and _holds(found.value_type, wanted.value_type)
    return found == wanted or (wanted == pa.string() and found == pa.large_string())


@contextmanager
def readable(path: Path, remedy: str) -> Iterator[None]:
    """Turn what Arrow says of a damaged file into one line."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {remedy}") from None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise UserError(f"{path} is damaged ({shorten(first_line(error))}); {remedy}") from None
