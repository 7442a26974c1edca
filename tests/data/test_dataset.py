"""Rows in a mapped file: the same rows, no memory of their own, nothing left behind."""

import errno
import pickle

import datasets
import pyarrow as pa
import pytest

from vtkit.data.dataset import memory_mapped
from vtkit.errors import UserError

SCHEMA = pa.schema([("bytes", pa.binary())])


@pytest.fixture(autouse=True)
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


def test_no_rows():
    assert memory_mapped(iter([]), SCHEMA).num_rows == 0


def test_what_goes_wrong_is_one_line(folder, monkeypatch):
    def full():
        yield from batches(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match="No space left on device.*HF_DATASETS_CACHE"):
        memory_mapped(full(), SCHEMA)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", __file__)
    with pytest.raises(UserError, match="test_dataset.py: cannot hold the rows"):
        memory_mapped(batches(1), SCHEMA)


def test_errors_of_the_rows_are_left_alone():
    def refuses():
        yield from batches(1)
        raise UserError("the file's own")

    with pytest.raises(UserError, match="the file's own"):
        memory_mapped(refuses(), SCHEMA)
