"""Parquet files read in small batches, their columns checked by name and type first.

Memory does not grow with the file, even if it is a single row group of 5 GB.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from vtkit.data.bad_rows import text_flaw
from vtkit.data.picture_files import picture_flaw
from vtkit.errors import UserError, first_line, quote
from vtkit.hub import download, download_all, say_local
from vtkit.judging.verdict import unpayable

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""A picture as the library datasets stores it."""
BATCH_ROWS = 256  # full-size photographs stay under 100 MB; reading more at once is not faster
NO_ROWS = b"vtkit: no rows"
"""Metadata of a file that is meant to have none: data of one's own of one kind only."""
_PATIENCE = 3  # seconds before reading is worth a progress bar
# Without a buffer size pyarrow loads a whole column of the row group before the first row.
_BUFFER_BYTES = 1 << 20


def find_file(
    source: str | Path,
    name: str,
    hub_id: str,
    revision: str,
    *,
    miniature: bool = True,
    of: Sequence[str] = (),
) -> Path:
    """Find file ``name`` in folder ``source``, or download it if ``source == hub_id``.

    Args:
        miniature: errors name notebook 01, which writes a file of that name.
        of: all files that are read; an error names those that are missing.

    Raises:
        UserError: no such folder, no such file in it, or the download failed.
    """
    folder = Path(source)
    if folder.is_dir():
        missing = [one for one in of or (name,) if not (folder / one).is_file()]
        if missing:
            which = " and ".join(str(folder / one) for one in missing)
            verb, them = ("are", "them") if len(missing) > 1 else ("is", "it")
            other = ", or use data/mini, which notebook 01 writes" if miniature else ""
            raise UserError(
                f"{which} {verb} missing; copy {them} from the data set {hub_id}{other}"
            )
        if str(source) == hub_id:
            say_local(hub_id)
        return folder / name
    if str(source) != hub_id:
        other = "run notebook 01 to write the miniature's files, or " if miniature else ""
        raise UserError(f"{source}: no such folder; {other}name {hub_id} to download it")
    return download(name, hub_id, revision)


def find_files(source: str | Path, split: str, hub_id: str, revision: str) -> list[Path]:
    """Find ``<split>.parquet``, or ``<split>-00000-of-00003.parquet`` and so on, if there are any.

    They are in the folder ``source`` or its folder ``data``, or on the hub if ``source == hub_id``;
    UserError if there is no such folder, or the download failed.
    """
    folder = Path(source)
    if not folder.is_dir():
        if not hub_id or str(source) != hub_id:
            remedy = f"or name {hub_id} to download it" if hub_id else "which no hub has"
            raise UserError(f"{source}: no such folder; put the parquet files there, {remedy}")
        folder = download_all(hub_id, revision)
    elif str(source) == hub_id:
        say_local(hub_id)
    patterns = (f"{split}.parquet", f"{split}-*.parquet")
    places = [place.glob(name) for place in (folder, folder / "data") for name in patterns]
    return sorted(chain.from_iterable(places))


def column_names(path: Path) -> list[str]:
    """Return the names of a file's columns; UserError if it is damaged or not parquet."""
    with _readable(path):
        return pq.read_schema(path).names


def count_rows(path: Path) -> int:
    """Return the number of rows by the file's footer; raises as :func:`column_names`."""
    with _readable(path):
        return pq.read_metadata(path).num_rows


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        remedy = "delete it and write or download it again"
        wrong = f"cannot be read as parquet: {first_line(error)}"
        raise UserError(f"{path} {wrong}; {remedy}") from error


def read_batches(path: Path, schema: pa.Schema) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield ``(number of the first row, batch)`` with exactly the columns and types of ``schema``.

    Types that hold the same values are cast: any width of integer or float, "large" strings and
    lists, an all-null column.

    Raises:
        UserError: not a parquet file, damaged; without rows, unless its metadata has
            :data:`NO_ROWS`; a column missing or of another type.
    """
    with _readable(path), pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
        _check_schema(file.schema_arrow, schema, path)
        start, rows = 0, file.metadata.num_rows
        meant = NO_ROWS in (file.metadata.metadata or {})
        with tqdm(total=rows, desc=f"reading {path.name}", unit="row", delay=_PATIENCE) as bar:
            for batch in file.iter_batches(BATCH_ROWS, columns=schema.names):
                yield start, batch.select(schema.names).cast(schema)
                start += len(batch)
                bar.update(len(batch))
    if start == 0 and not meant:
        raise UserError(f"{path} holds no rows; write or download it again")


def _check_schema(found: pa.Schema, wanted: pa.Schema, path: Path) -> None:
    for field in wanted:
        wrong = ""
        if field.name not in found.names:
            wrong = f"missing (found: {', '.join(found.names)})"
        elif not _holds_same(kind := found.field(field.name).type, field.type):
            wrong = f"{kind}, expected {field.type}"
        if wrong:
            raise UserError(f"{path}: column {field.name!r} is {wrong}; is this the right file?")


def _holds_same(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Tell whether casting a column from ``found`` to ``wanted`` keeps all values."""
    types = pa.types
    if types.is_null(found):
        return True
    if types.is_list(wanted):
        listed = types.is_list(found) or types.is_large_list(found)
        return listed and _holds_same(found.value_type, wanted.value_type)
    if types.is_struct(wanted):
        return types.is_struct(found) and all(
            found.get_field_index(child.name) >= 0
            and _holds_same(found.field(child.name).type, child.type)
            for child in wanted
        )
    for same in (types.is_integer, types.is_floating):
        if same(wanted):
            return same(found)
    large = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    return found in (wanted, large.get(wanted))


def readable_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows as dictionaries; text that is not UTF-8 becomes None, as if it were empty."""
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


def check_questions(
    batch: pa.RecordBatch, start: int, path: Path, *, images: Sequence[str], texts: Sequence[str]
) -> None:
    """Require choices, an answer that is the letter of one, "(A)", and texts that are not too long.

    The answer's text, its letter and both together must mean that choice and no other.

    The first column of ``images`` is filled, and every picture in them can be used. ``start`` is
    the row number in the file of the batch's first row.
    """
    _check_filled(batch.column(images[0]).field("bytes"), path, images[0], start)
    for name in images:
        for number, encoded in enumerate(batch.column(name).field("bytes").to_pylist(), start):
            if encoded and (flaw := picture_flaw(encoded)):
                raise row_error(path, name, number, flaw)
    for name in texts:
        _check_filled(batch.column(name), path, name, start)
    for number, row in enumerate(batch.select(["choices", "answer", *texts]).to_pylist(), start):
        for name in texts:
            if flaw := text_flaw(row[name]):
                raise row_error(path, name, number, flaw)
        if not row["choices"] or not all(row["choices"]):
            raise row_error(path, "choices", number, "has no choices or an empty one")
        if flaw := text_flaw(*row["choices"]):
            raise row_error(path, "choices", number, flaw)
        letters = [f"({chr(ord('A') + place)})" for place in range(len(row["choices"]))]
        if row["answer"] not in letters:
            wrong = f"{quote(row['answer'])} is not one of {', '.join(letters)}"
            raise row_error(path, "answer", number, wrong)
        if flaw := unpayable(letters.index(row["answer"]), row["choices"]):
            raise row_error(path, "answer", number, flaw)


def _check_filled(column: pa.Array, path: Path, name: str, start: int) -> None:
    lengths = pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    if not lengths.all():
        raise row_error(path, name, start + int(np.argmin(lengths)), "is empty")


def row_error(path: Path, column: str, row: int, what: str) -> UserError:
    return UserError(f"{path}: column {column!r}, row {row} {what}; fix the row or fetch it again")
