"""Which rows of SAT are wanted: the rule, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtkit.config.run_config import SUBSETS
from vtkit.data.selection import Selection
from vtkit.errors import UserError

TYPES = ("other", "goal_aim", "action_sequence", "perspective")


def test_published_rows_are_static():
    assert [kind for kind in TYPES if Selection().admits(kind)] == ["other"]
    assert [kind for kind in TYPES if Selection(subset="dynamic").admits(kind)] == list(TYPES[1:])


@given(st.sampled_from(TYPES), st.sets(st.sampled_from(TYPES)))
def test_subsets_and_types_narrow_each_other(kind, types):
    every = Selection(subset="all", types=tuple(types)).admits(kind)
    assert every == (kind in types or not types)
    for subset in SUBSETS:
        if not types or types & set(filter(Selection(subset=subset).admits, TYPES)):
            chosen = Selection(subset=subset, types=tuple(types))
            assert chosen.admits(kind) == (every and Selection(subset=subset).admits(kind))


@given(st.sets(st.integers(0, 999)), st.integers(0, 50), st.integers(0, 9))
def test_a_draw_is_sorted_seeded_and_nested(usable, rows, seed):
    rule = Selection(sample="random", rows=rows, seed=seed)
    drawn = rule.draw(sorted(usable))
    assert drawn == sorted(set(drawn)) and set(drawn) <= usable
    assert len(drawn) == (min(rows, len(usable)) if rows else len(usable))
    more = Selection(sample="random", rows=rows + 5 if rows else 0, seed=seed)
    assert set(drawn) <= set(more.draw(sorted(usable)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"subset": "statics"}, "train_subset: no 'statics'; did you mean 'static'?"),
        ({"sample": "last"}, "train_sample: no 'last'"),
        ({"rows": -1}, "-1 rows"),
        ({"max_images": 0}, "max_images: 0"),
        ({"types": ["goal_aim"]}, "no static question is of type goal_aim; set train_subset"),
        ({"types": ["other"], "subset": "dynamic"}, "no dynamic question is of type other"),
    ],
)
def test_what_cannot_be_selected(wrong, message):
    with pytest.raises(UserError) as caught:
        Selection(**wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({}, "single-image rows"),
        ({"subset": "all", "max_images": 2}, "rows with up to 2 pictures"),
        ({"subset": "dynamic", "types": ["a", "b"]}, "dynamic single-image rows of type a, b"),
    ],
)
def test_its_name_in_errors(rule, name):
    assert str(Selection(**rule)) == name
