"""Parquet files read in small batches, their columns checked by name and type first.

Unlike ``pyarrow.parquet.read_table`` memory does not grow with the file, also when it is a single
row group of 5 GB; and whatever is wrong is one line that names the file and the column.

    for start, batch in read_batches(path, schema): ...    # start: row number of batch[0]
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from vtkit.errors import UserError

# 256 full-size photographs stay under 100 MB; reading more at once is not faster.
_BATCH_ROWS = 256
# Without a buffer size pyarrow loads a whole column of the row group before the first row.
_BUFFER_BYTES = 1 << 20
_PATIENCE = 3  # seconds before reading is worth a progress bar


def find_file(
    source: str | Path, name: str, hub_id: str, revision: str, *, miniature: bool = True
) -> Path:
    """Path of file ``name`` in folder ``source``, or of the hub's copy if ``source == hub_id``.

    Args:
        miniature: the miniature has such a file too, which notebook 01 writes.

    Raises:
        UserError: no such folder, no such file in it, or the download failed.
    """
    folder = Path(source)
    other = "run notebook 01 to write the miniature's files, or " if miniature else ""
    if folder.is_dir():
        if not (folder / name).is_file():
            raise UserError(
                f"{folder / name} is missing; {other}copy it from the data set {hub_id}"
            )
        return folder / name
    if str(source) != hub_id:
        raise UserError(f"{source}: no such folder; {other}name {hub_id} to download it")
    return _download(name, hub_id, revision)


def _download(name: str, hub_id: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(hub_id, name, repo_type="dataset", revision=revision))
    except Exception as error:  # requests, httpx, hub and disk errors have no common ancestor
        raise _no_download(f"{name} of {hub_id}", error) from error


def _no_download(what: str, error: Exception) -> UserError:
    return UserError(
        f"cannot download {what}: {_first_line(error)}; "
        "check the network, or fetch the file yourself and name its folder"
    )


def find_files(source: str | Path, split: str, hub_id: str, revision: str) -> list[Path]:
    """``<split>.parquet``, or the hub's ``<split>-00000-of-00003.parquet`` and so on, in order.

    Args:
        source: a folder, files in it or in its folder ``data``; or ``hub_id``, if there is one.

    Returns:
        The files; none if the folder has none of the split.

    Raises:
        UserError: no such folder, or the download failed.
    """
    folder = Path(source)
    if not folder.is_dir():
        if not hub_id or str(source) != hub_id:
            remedy = f"or name {hub_id} to download it" if hub_id else "which no hub has"
            raise UserError(f"{source}: no such folder; put the parquet files there, {remedy}")
        folder = _download_all(hub_id, revision)
    places = (folder, folder / "data")
    return sorted(
        path
        for place in places
        for pattern in (f"{split}.parquet", f"{split}-*.parquet")
        for path in place.glob(pattern)
    )


@cache
def _download_all(hub_id: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                hub_id, repo_type="dataset", revision=revision, allow_patterns="*.parquet"
            )
        )
    except Exception as error:  # see _download
        raise _no_download(f"the parquet files of {hub_id}", error) from error


def column_names(path: Path) -> list[str]:
    """Names of a file's columns.

    Raises:
        UserError: not a parquet file, or damaged.
    """
    with _readable(path), pq.ParquetFile(path) as file:
        return file.schema_arrow.names


def count_rows(path: Path) -> int:
    """Rows of a file, as its footer says.

    Raises:
        UserError: not a parquet file, or damaged.
    """
    with _readable(path), pq.ParquetFile(path) as file:
        return file.metadata.num_rows


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{path} cannot be read as parquet: {_first_line(error)}; "
            "delete it and write or download it again"
        ) from error


def read_batches(path: Path, schema: pa.Schema) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield ``(number of the first row, batch)`` with exactly the columns and types of ``schema``.

    Other columns are not read. Types that hold the same values pass and are cast: any width of
    integer or float, "large" strings and lists, an all-null column.

    Raises:
        UserError: not a parquet file, damaged, without rows; a column missing or of another type.
    """
    with (
        _readable(path),
        pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file,
    ):
        _check_schema(file.schema_arrow, schema, path)
        start, rows = 0, file.metadata.num_rows
        bar = tqdm(total=rows, desc=f"reading {path.name}", unit="row", delay=_PATIENCE)
        with bar:
            for batch in file.iter_batches(_BATCH_ROWS, columns=schema.names):
                yield start, batch.select(schema.names).cast(schema)
                start += len(batch)
                bar.update(len(batch))
    if start == 0:
        raise UserError(f"{path} holds no rows; write or download it again")


def _check_schema(found: pa.Schema, wanted: pa.Schema, path: Path) -> None:
    for field in wanted:
        if field.name not in found.names:
            raise UserError(
                f"{path}: column {field.name!r} is missing (found: {', '.join(found.names)}); "
                "is this the right file?"
            )
        kind = found.field(field.name).type
        if not _holds_same(kind, field.type):
            raise UserError(
                f"{path}: column {field.name!r} is {kind}, expected {field.type}; "
                "is this the right file?"
            )


def _holds_same(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column of type ``found`` can be cast to ``wanted`` without changing a value."""
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


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
