"""Pictures taken away: the same rows, other pictures, and the same ones for the same seed."""

import pytest
from datasets import Dataset

from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.pictures import encoded_images, replaced
from vtkit.data.sat import load_sat
from vtkit.errors import UserError


@pytest.fixture(scope="module", params=["sat", "cv_bench"])
def rows(request, mini_data) -> Dataset:
    return {"sat": load_sat, "cv_bench": load_cv_bench}[request.param](mini_data, rows=12)


def cells(dataset):
    return [cell["bytes"] for (cell,) in encoded_images(dataset)]


def without(dataset):
    return dataset.remove_columns([*{"images", "image"} & set(dataset.column_names)]).to_list()


def test_original_pictures_are_left_alone(rows):
    assert replaced(rows, "original", 0) is rows


def test_blank_pictures_are_one_grey_of_the_same_size(rows):
    blank = replaced(rows, "blank", 0)
    column = "images" if "images" in rows.column_names else "image"
    assert blank.features == rows.features and without(blank) == without(rows)
    for old, new in zip(rows[column], blank[column], strict=True):
        old, new = (one[0] if isinstance(one, list) else one for one in (old, new))
        assert new.size == old.size and len(new.convert("RGB").getcolors()) == 1


def test_shuffled_pictures_are_all_elsewhere(rows):
    first, again, other = (replaced(rows, "shuffled", seed) for seed in (0, 0, 1))
    assert sorted(cells(first)) == sorted(cells(rows)) and without(first) == without(rows)
    assert all(new != old for new, old in zip(cells(first), cells(rows), strict=True))
    assert cells(first) == cells(again) != cells(other)


def test_what_cannot_be_done_is_one_line(mini_data):
    with pytest.raises(UserError, match="have none to be blank; set it to original"):
        replaced(Dataset.from_dict({"question": ["?"]}), "blank", 0)
    with pytest.raises(UserError, match="another's picture"):
        replaced(load_sat(mini_data, rows=1), "shuffled", 0)
