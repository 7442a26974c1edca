"""Rows of SAT: which can be used, and that pictures and options survive being asked."""

import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shared.calls import refusal

from vtkit.data.bad_rows import BadRows
from vtkit.data.sat import (
    SAT_SCHEMA,
    as_asked,
    find_sat,
    load_sat,
    options_text,
    preview_selection,
    read_text,
    usable,
    write_damaged,
)
from vtkit.data.selection import Selection


def encoded(kind: str, side: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side)).save(out, kind)
    return out.getvalue()


PICTURES = [encoded("JPEG", 8), encoded("PNG", 9), encoded("WEBP", 10)]
ROWS = st.fixed_dictionaries(
    {
        "image_bytes": st.lists(st.sampled_from(PICTURES), min_size=1, max_size=3),
        "question": st.text(min_size=1, max_size=9),
        "answers": st.lists(
            st.sampled_from(["left", "3", "a cup", "yes", "further away", "12"]),
            min_size=1,
            max_size=5,
            unique=True,
        ),
        "question_type": st.sampled_from(["other", "goal_aim"]),
    }
).map(lambda row: {**row, "correct_answer": row["answers"][0]})


def batch_of(rows):
    return pa.RecordBatch.from_pylist(rows, SAT_SCHEMA)


@given(st.lists(ROWS, max_size=9), st.integers(0, 10**6), st.integers(0, 9), st.data())
@settings(max_examples=50, deadline=None)
def test_rows_are_asked_with_their_own_pictures_and_options(rows, start, seed, data):
    places = sorted(data.draw(st.sets(st.integers(0, len(rows) - 1)))) if rows else []
    asked = as_asked(batch_of(rows), places, start, seed).to_pylist()
    assert [row["id"] for row in asked] == [start + place for place in places]
    for place, row in zip(places, asked, strict=True):
        published = rows[place]
        assert [picture["bytes"] for picture in row["images"]] == published["image_bytes"]
        assert sorted(row["choices"]) == sorted(published["answers"])
        assert row["answer"] == published["answers"][0]
        assert row["question"].endswith(f"options: {options_text(row['choices'])}")


@given(st.lists(ROWS, max_size=9))
@settings(max_examples=50, deadline=None)
def test_every_row_is_taken_or_counted_once(rows):
    tally = BadRows(Path("x.parquet"))
    places = list(usable(batch_of(rows), 0, Selection(), tally))
    assert places == [
        n
        for n, row in enumerate(rows)
        if row["question_type"] == "other" and len(row["image_bytes"]) == 1
    ]
    assert len(places) + tally.many_images + tally.other_types == len(rows) and not tally.bad


@given(st.sampled_from(PICTURES), st.integers(0, 60), st.binary(max_size=30))
@settings(max_examples=200, deadline=None)
def test_damaged_pictures_end_in_a_count(picture, kept, noise):
    """Never in an error, with any bytes."""
    row = {
        "image_bytes": [picture[:kept] + noise],
        "question": "Where?",
        "answers": ["left", "right"],
        "question_type": "other",
        "correct_answer": "left",
    }
    tally = BadRows(Path("x.parquet"))
    places = list(usable(batch_of([row]), 5, Selection(), tally))
    assert len(places) + len(tally.bad) == 1
    assert not tally.bad or tally.bad[0][:2] == (5, "image_bytes")


def test_text_that_is_not_utf_8_costs_one_row():
    row = {"image_bytes": PICTURES[:1], "question": "Where?", "answers": ["left", "right"]}
    batch = batch_of([{**row, "question_type": "other", "correct_answer": "left"}] * 3)
    texts = pa.array([b"Where?", b"Wh\xff", b"Where?"], pa.binary())
    question = pa.StringArray.from_buffers(3, *texts.buffers()[1:])
    batch = batch.set_column(1, "question", question)
    tally = BadRows(Path("x.parquet"))
    places = list(usable(batch, 5, Selection(), tally))
    assert places == [0, 2] and [(bad.row, bad.column) for bad in tally.bad] == [(6, "question")]
    assert [row["id"] for row in as_asked(batch, places, 5, 0).to_pylist()] == [5, 7]


def test_options_text():
    assert options_text(["a", "b", "c"]) == "a, b or c"
    assert options_text(["a", "b"]) == "a or b"
    assert options_text(["a"]) == "a"


@pytest.mark.parametrize("choice", [{"rows": 12}, {"rows": 12, "sample": "random", "seed": 3}, {}])
def test_the_preview_of_a_selection_is_what_loading_takes(mini_data, choice):
    path = find_sat(mini_data)
    preview = preview_selection(read_text(path), **choice)
    taken = load_sat(path, **choice)
    first, last = min(taken["id"]), max(taken["id"])
    if "sample" not in choice:
        assert preview["numbers of those taken"] == f"{first:,} to {last:,}"
    else:
        assert len(taken) == 12 <= preview["usable rows"]
    assert preview["types"] == ", ".join(sorted(set(taken["task"])))


def test_a_spoilt_file_is_refused_or_its_rows_counted(mini_data, tmp_path):
    path = find_sat(mini_data)
    write_damaged(path, tmp_path / "few.parquet", rows=300, damaged=[7, 20])
    few = load_sat(tmp_path / "few.parquet")
    assert {7, 20}.isdisjoint(few["id"]) and len(few) <= 298
    assert "row 7" in few.info.description
    write_damaged(path, tmp_path / "many.parquet", rows=300, damaged=range(30))
    assert str(tmp_path / "many.parquet") in refusal(load_sat, tmp_path / "many.parquet")
