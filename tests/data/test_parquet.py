"""Damaged cells: a bad text is None and the rest of its row is kept, whatever the bytes are."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from vtkit.data.parquet import is_picture, readable_rows


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


@given(st.binary(max_size=40))
@settings(deadline=None)
def test_noise_is_no_picture(noise):
    assert is_picture(noise) is False
