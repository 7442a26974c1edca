"""What was left out: counted, named, refused above one in a hundred."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtkit.data.bad_rows import BadRow, BadRows
from vtkit.errors import UserError


def tally(looked, bad, **counts):
    rows = [BadRow(row, "question", "is empty") for row in range(bad)]
    return BadRows(Path("x.parquet"), looked=looked, bad=rows, **counts)


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_one_bad_row_in_a_hundred_passes(looked, bad):
    made = tally(max(looked, bad), bad)
    if bad * 100 <= made.looked:
        return made.check()
    with pytest.raises(UserError) as caught:
        made.check()
    message = str(caught.value)
    assert message.startswith(f"x.parquet: {bad:,} of {made.looked:,} rows") and "\n" not in message
    assert message.count("column 'question'") == min(bad, 3)
    assert (f"and {bad - 3:,} more" in message) == (bad > 3)


def test_one_phrase_for_everything():
    assert tally(9, 0, max_images=1).left_out() == "0 multi-image rows skipped"
    assert tally(9, 1, many_images=2, other_types=3, max_images=2).left_out() == (
        "2 rows of over 2 images skipped, 3 of other types, "
        "1 of 9 bad: column 'question', row 0 is empty"
    )
