"""Parquet cells, memory-mapped tables and skipped rows: damage costs a row, never the file."""

import errno
import pickle
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtkit.data.bad_rows import BadRow, BadRows
from vtkit.data.dataset import memory_mapped
from vtkit.data.parquet import readable_rows
from vtkit.errors import UserError

SCHEMA = pa.schema([("bytes", pa.binary())])


# ------------------------------------------------------------------------------------- cells


def unchecked(texts):
    """A column of strings as a file may hold it: nobody looked whether it is UTF-8."""
    column = pa.array(texts, pa.binary())
    validity, offsets, bytes_ = column.buffers()
    return pa.StringArray.from_buffers(len(column), offsets, bytes_, validity)


@given(st.lists(st.none() | st.binary(max_size=6)))
@settings(deadline=None)
def test_rows_are_those_of_arrow_with_bad_text_left_empty(texts):
    column = unchecked(texts)
    lists = pa.ListArray.from_arrays(pa.array(range(len(texts) + 1), pa.int32()), column)
    numbers = pa.array(range(len(texts)), pa.int64())
    batch = pa.RecordBatch.from_arrays([numbers, column, lists], ["n", "text", "texts"])
    for n, (row, text) in enumerate(zip(readable_rows(batch), texts, strict=True)):
        assert row["n"] == n
        try:
            expected = None if text is None else text.decode()
        except UnicodeDecodeError:
            assert row["text"] is row["texts"] is None
        else:
            assert [row["text"]] == row["texts"] == [expected]


# ----------------------------------------------------------------------------- mapped tables


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def batches(n, size=1000):
    for i in range(n):
        yield pa.RecordBatch.from_pydict({"bytes": [bytes([i % 256]) * size]}, SCHEMA)


def test_the_same_rows_and_no_file(folder):
    before = pa.total_allocated_bytes()
    table = memory_mapped(batches(1000, 10_000), SCHEMA)
    assert pa.total_allocated_bytes() - before < 1e6, "10 MB are mapped, not held"
    assert list(folder.iterdir()) == []
    assert table.equals(pa.Table.from_batches(list(batches(1000, 10_000))))
    assert pickle.loads(pickle.dumps(table)).equals(table)


def test_no_rows(folder):
    assert memory_mapped(iter([]), SCHEMA).num_rows == 0


def test_a_full_disk_is_one_line(folder, monkeypatch):
    def full():
        yield from batches(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="No space left on device.*HF_DATASETS_CACHE"):
        memory_mapped(full(), SCHEMA)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", __file__)
    with pytest.raises(UserError, match="test_parquet.py: cannot hold the rows"):
        memory_mapped(batches(1), SCHEMA)


def test_errors_of_the_rows_are_left_alone(folder):
    def refuses():
        yield from batches(1)
        raise UserError("the file's own")

    with pytest.raises(UserError, match="the file's own"):
        memory_mapped(refuses(), SCHEMA)


# ---------------------------------------------------------------------------------- bad rows


def skipped(looked, bad, **counts):
    bad_rows = [BadRow(row, "question", "is empty") for row in range(bad)]
    return BadRows(Path("x.parquet"), looked=looked, bad=bad_rows, **counts)


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_one_bad_row_in_a_hundred_passes(looked, bad):
    rows = skipped(max(looked, bad), bad)
    if bad * 100 <= rows.looked:
        return rows.check()
    with pytest.raises(UserError) as caught:
        rows.check()
    message = str(caught.value)
    assert message.startswith(f"x.parquet: {bad:,} of {rows.looked:,} rows") and "\n" not in message
    assert message.count("column 'question'") == min(bad, 3)
    assert (f"and {bad - 3:,} more" in message) == (bad > 3)


def test_one_phrase_for_everything():
    assert skipped(9, 0, max_images=1).left_out() == "0 multi-image rows skipped"
    assert skipped(9, 1, many_images=2, other_types=3, max_images=2).left_out() == (
        "2 rows of over 2 images skipped, 3 of other types, "
        "1 of 9 bad: column 'question', row 0 is empty"
    )
