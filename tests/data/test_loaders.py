"""Loaders: published schemas in, lazily decoded datasets out, one clear line for each mistake."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from shared.calls import png, png_without_pixels, refusal

from vtkit.config.recipes import resolve_config
from vtkit.data.cv_bench import CV_BENCH_SCHEMA, load_cv_bench
from vtkit.data.pictures import encoded_images, replaced
from vtkit.data.rows import load_training_rows
from vtkit.data.sat import SAT_SCHEMA, load_sat
from vtkit.errors import UserError

PNG = png()


def sat_row(number=0, **changes):
    return {
        "image_bytes": [PNG],
        "question": f"Is the cup {number} left of the lamp?",
        "answers": ["right", "left", "far, far away"],
        "question_type": "other",
        "correct_answer": "right",
        **changes,
    }


def cv_row(number=0, task="Count", source="COCO", **changes):
    flat = task in ("Count", "Relation")
    return {
        "idx": number,
        "type": "2D" if flat else "3D",
        "task": task,
        "image": {"bytes": PNG, "path": f"{number}.png"},
        "question": "How many?",
        "choices": ["3", "2"],
        "answer": "(B)",
        "prompt": "How many? Select from the following choices.\n(A) 3\n(B) 2",
        "filename": f"img/{number}.png",
        "source": source,
        "source_dataset": "COCO val2017",
        "source_filename": "1.jpg",
        "target_class": "cup" if flat else None,
        "target_size": 10 if flat else None,
        "bbox": None if flat else [[0.0, 1.0, 2.0, 3.0]],
        **changes,
    }


def write(path, rows, schema):
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=max(len(rows), 1))
    return path


def write_cv(folder, flat=None, deep=None):
    flat = [cv_row(n, "Count") for n in range(4)] if flat is None else flat
    deep = [cv_row(9, "Depth", "Omni3D")] if deep is None else deep
    write(folder / "test_2d.parquet", flat, CV_BENCH_SCHEMA)
    write(folder / "test_3d.parquet", deep, CV_BENCH_SCHEMA)
    return folder


# --------------------------------------------------------------------------------------- SAT


def test_sat_columns_and_wording(tmp_path):
    write(tmp_path / "SAT_train.parquet", [sat_row(n) for n in range(5)], SAT_SCHEMA)
    dataset = load_sat(tmp_path)
    assert dataset.column_names == ["id", "images", "question", "choices", "answer", "task"]
    row = dataset[3]
    assert row["id"] == 3 and row["answer"] == "right" and row["task"] == "other"
    assert sorted(row["choices"]) == ["far, far away", "left", "right"]
    first, second, third = row["choices"]
    assert row["question"] == (
        "Answer in natural language. Is the cup 3 left of the lamp? "
        f"Choose between the following options: {first}, {second} or {third}"
    )
    assert row["images"][0].size == (28, 28)


def test_choices_are_shuffled_by_seed_and_row_alone(tmp_path):
    path = write(tmp_path / "SAT_train.parquet", [sat_row(n) for n in range(40)], SAT_SCHEMA)
    order = [tuple(row) for row in load_sat(path)["choices"]]
    assert len(set(order)) == 6
    assert order == [tuple(row) for row in load_sat(path)["choices"]]
    assert order[:7] == [tuple(row) for row in load_sat(path, rows=7)["choices"]]
    assert order != [tuple(row) for row in load_sat(path, seed=1)["choices"]]


def test_multi_image_rows_are_skipped_and_counted(tmp_path):
    rows = [sat_row(n, image_bytes=[PNG] * (2 if n % 2 else 1)) for n in range(600)]
    path = write(tmp_path / "SAT_train.parquet", rows, SAT_SCHEMA)
    dataset = load_sat(path, rows=200)
    assert dataset["id"][:] == list(range(0, 400, 2))
    assert dataset.info.description == "200 rows of SAT_train.parquet, 199 multi-image rows skipped"


def test_images_stay_encoded_until_used(tmp_path):
    wrong = png_without_pixels()
    path = write(tmp_path / "x.parquet", [sat_row(image_bytes=[wrong])], SAT_SCHEMA)
    dataset = load_sat(path)
    assert dataset.with_format("arrow")[0]["images"][0][0]["bytes"].as_py() == wrong
    with pytest.raises(UserError, match="a picture: cannot be decoded"):
        dataset[0]


def test_other_splits_and_extra_columns(tmp_path):
    table = pa.Table.from_pylist([sat_row()], SAT_SCHEMA).append_column("extra", [[1]])
    pq.write_table(table, tmp_path / "SAT_val.parquet")
    assert len(load_sat(tmp_path, split="val")) == 1


def test_large_types_are_the_same_types(tmp_path):
    large = pa.schema(
        [
            ("correct_answer", pa.large_string()),
            ("image_bytes", pa.large_list(pa.large_binary())),
            ("question", pa.large_string()),
            ("answers", pa.large_list(pa.large_string())),
            ("question_type", pa.large_string()),
        ]
    )
    path = write(tmp_path / "x.parquet", [sat_row()], large)
    assert load_sat(path)[0]["answer"] == "right"


BAD = [
    ({"image_bytes": []}, "image_bytes"),
    ({"image_bytes": None}, "image_bytes"),
    ({"image_bytes": [b""]}, "image_bytes"),
    ({"image_bytes": [None]}, "image_bytes"),
    ({"image_bytes": [b"not an image"]}, "image_bytes"),
    ({"image_bytes": [PNG[:12]]}, "image_bytes"),
    ({"answers": []}, "answers"),
    ({"answers": None}, "answers"),
    ({"answers": ["right", None]}, "answers"),
    ({"question": None}, "question"),
    ({"correct_answer": "Right"}, "correct_answer"),
    ({"correct_answer": None}, "correct_answer"),
]


@pytest.mark.parametrize(("changes", "column"), BAD)
def test_a_bad_sat_row_is_skipped_and_named(tmp_path, changes, column, caplog):
    rows = [sat_row(n) for n in range(300)]
    rows[7] |= changes
    path = write(tmp_path / "SAT_train.parquet", rows, SAT_SCHEMA)
    dataset = load_sat(path)
    assert dataset["id"][:] == [n for n in range(300) if n != 7]
    named = dataset.info.description
    assert f"1 of 300 bad: column '{column}', row 7 " in named
    assert [record.message for record in caplog.records] == [named], "logged once"
    assert "bad" not in load_sat(path, rows=7).info.description, "unread rows are not judged"


@pytest.mark.parametrize("sample", ["first", "random"])
def test_many_bad_rows_are_refused(tmp_path, sample):
    """The first three by name; one in a hundred still passes."""
    rows = [sat_row(n, question="" if n % 50 == 9 else "Where?") for n in range(200)]
    path = write(tmp_path / "SAT_train.parquet", rows, SAT_SCHEMA)
    message = refusal(load_sat, path, rows=180, sample=sample)
    assert "SAT_train.parquet: 4 of " in message and "more than the 1%" in message
    assert "row 9 is empty; " in message and "row 109 is empty; and 1 more" in message
    rows[59]["question"] = rows[159]["question"] = "Where?"
    dataset = load_sat(write(path, rows, SAT_SCHEMA), sample=sample)
    assert len(dataset) == 198 and "2 of 200 bad" in dataset.info.description


# ------------------------------------------------------------------------- which rows of SAT


KINDS = ("other", "goal_aim", "obj_movement")


WIDER = [png((28 + i, 28)) for i in range(3)]


def mixed(path, kinds, pictures):
    """A file of rows of these types with so many pictures each; the pictures' widths tell which."""
    rows = [
        sat_row(n, question_type=kind, image_bytes=WIDER[:count])
        for n, (kind, count) in enumerate(zip(kinds, pictures, strict=True))
    ]
    return write(path, rows, SAT_SCHEMA)


@pytest.fixture
def motley(tmp_path):
    """Rows of each type with 1, 2 and 3 pictures, in turn: the type changes fastest."""
    return mixed(tmp_path / "m.parquet", KINDS * 12, [1 + n // 3 % 3 for n in range(36)])


@pytest.mark.parametrize(
    ("which", "kinds", "pictures"),
    [
        ({}, {"other"}, {1}),
        ({"max_images": 3}, {"other"}, {1, 2, 3}),
        ({"subset": "dynamic"}, {"goal_aim", "obj_movement"}, {1}),
        ({"subset": "dynamic", "max_images": 2}, {"goal_aim", "obj_movement"}, {1, 2}),
        ({"subset": "all", "max_images": 9}, set(KINDS), {1, 2, 3}),
        ({"subset": "all", "types": ["other", "goal_aim"]}, {"other", "goal_aim"}, {1}),
    ],
)
def test_rows_by_type_and_pictures(motley, which, kinds, pictures):
    expected = [n for n in range(36) if KINDS[n % 3] in kinds and 1 + n // 3 % 3 in pictures]
    dataset = load_sat(motley, **which)
    assert dataset["id"][:] == expected
    assert [len(images) for images in dataset["images"]] == [1 + n // 3 % 3 for n in expected]
    half = len(expected) // 2
    assert load_sat(motley, rows=half, **which)["id"][:] == expected[:half]


def test_pictures_keep_their_order(motley):
    dataset = load_sat(motley, max_images=3)
    for row in dataset:
        assert [picture.width for picture in row["images"]] == [28, 29, 30][: len(row["images"])]


@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=600),
    rows=st.integers(1, 600),
    seed=st.integers(0, 99),
)
@settings(max_examples=15, deadline=None)
def test_random_rows(tmp_path_factory, kinds, rows, seed):
    """Those that are wanted, as many as wanted, in file order; a larger sample has them too."""
    path = mixed(tmp_path_factory.mktemp("random") / "r.parquet", kinds, [1] * len(kinds))
    usable = [n for n, kind in enumerate(kinds) if kind == "other"]
    which = {"sample": "random", "seed": seed}
    if not usable or rows > len(usable):
        assert "single-image rows" in refusal(load_sat, path, rows=rows, **which)
        return
    drawn = load_sat(path, rows=rows, **which)
    ids = drawn["id"][:]
    assert len(ids) == rows and ids == sorted(set(ids) & set(usable))
    assert set(load_sat(path, rows=max(1, rows // 2), **which)["id"]) <= set(ids)
    whole = load_sat(path, seed=seed)
    by_id = dict(zip(whole["id"], whole["choices"], strict=True))
    assert drawn["choices"][:] == [by_id[n] for n in ids], "options are shuffled alike"
    assert load_sat(path, **which)["id"][:] == usable


def test_random_rows_depend_on_the_seed(tmp_path):
    path = mixed(tmp_path / "r.parquet", ["other"] * 600, [1] * 600)
    drawn = [load_sat(path, rows=50, sample="random", seed=seed)["id"][:] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][-1] > 300, "not only from the first rows"


def test_selections_that_cannot_be(motley):
    assert "train_types: no row is of type 'goal_aimm'; did you mean 'goal_aim'?" in refusal(
        load_sat, motley, subset="all", types=["goal_aimm"]
    )
    message = refusal(load_sat, motley, rows=9)
    assert "holds 4 single-image rows but 9 are wanted; lower train_rows" in message
    assert "24 multi-image rows skipped, 8 of other types" in message
    message = refusal(load_sat, motley, rows=99, subset="dynamic", max_images=2, types=["goal_aim"])
    assert "holds 8 dynamic rows with up to 2 pictures of type goal_aim but 99" in message
    assert "12 rows of over 2 images skipped, 16 of other types" in message


def test_training_rows_are_those_of_the_configuration(motley):
    config = resolve_config().to_dict()
    config |= {"train_data": str(motley), "train_rows": 0, "seed": 1}
    assert load_training_rows(config)["choices"][:] == load_sat(motley, seed=1)["choices"][:]
    chosen = {"train_subset": "all", "train_types": ["goal_aim"], "max_images": 2}
    named = {"subset": "all", "types": ["goal_aim"], "max_images": 2}
    ids = load_training_rows({**config, **chosen, "train_sample": "random"}, motley)["id"][:]
    assert ids == load_sat(motley, **named)["id"][:]


def test_sat_file_mistakes(tmp_path):
    assert "no such folder" in refusal(load_sat, tmp_path / "nowhere")
    assert "SAT_train.parquet is missing" in refusal(load_sat, tmp_path)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 or so")
    assert "cannot be read as parquet" in refusal(load_sat, broken)
    whole = write(tmp_path / "whole.parquet", [sat_row(n) for n in range(9)], SAT_SCHEMA)
    cut = bytearray(whole.read_bytes())
    cut[4:200] = bytes(196)
    broken.write_bytes(cut)
    assert "broken.parquet cannot be read" in refusal(load_sat, broken)
    assert "no rows" in refusal(load_sat, write(tmp_path / "e.parquet", [], SAT_SCHEMA))
    double = [sat_row(image_bytes=[PNG, PNG])]
    assert "no single-image rows" in refusal(
        load_sat, write(tmp_path / "d.parquet", double, SAT_SCHEMA)
    )
    assert "9 single-image rows but 10" in refusal(load_sat, whole, rows=10)
    assert "-1 rows" in refusal(load_sat, whole, rows=-1)


@pytest.mark.parametrize("name", SAT_SCHEMA.names)
def test_each_sat_column_must_be_there_with_its_type(tmp_path, name):
    table = pa.Table.from_pylist([sat_row()], SAT_SCHEMA)
    pq.write_table(table.drop_columns([name]), tmp_path / "less.parquet")
    message = refusal(load_sat, tmp_path / "less.parquet")
    assert f"'{name}' is missing" in message
    wrong = table.set_column(table.schema.get_field_index(name), name, [[1]])
    pq.write_table(wrong, tmp_path / "wrong.parquet")
    message = refusal(load_sat, tmp_path / "wrong.parquet")
    assert f"'{name}' is int64, expected {SAT_SCHEMA.field(name).type}" in message


def test_a_failed_download_is_one_line(tmp_path, monkeypatch):
    import huggingface_hub

    def fail(*args, **kwargs):
        assert kwargs["revision"] == "bda5dde942d7f7b41bff7935f086ed9a9e348ae3"
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    assert "cannot download SAT_train.parquet of array/SAT: no route;" in refusal(
        load_sat, "array/SAT"
    )


# ---------------------------------------------------------------------------------- CV-Bench


def test_cv_bench_has_its_15_columns(tmp_path):
    dataset = load_cv_bench(write_cv(tmp_path))
    assert dataset.column_names == CV_BENCH_SCHEMA.names
    assert len(dataset) == 5
    assert dataset[0]["image"].size == (28, 28)
    assert dataset[4]["bbox"] == [[0.0, 1.0, 2.0, 3.0]] and dataset[4]["target_class"] is None


def test_cv_bench_types_that_hold_the_same(tmp_path):
    write_cv(tmp_path)
    schema = CV_BENCH_SCHEMA
    for name, kind in {
        "idx": pa.int64(),
        "target_size": pa.float64(),
        "bbox": pa.list_(pa.list_(pa.float64())),
    }.items():
        if name != "target_size":
            schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
    schema = schema.set(schema.get_field_index("target_size"), pa.field("target_size", pa.null()))
    write(tmp_path / "test_3d.parquet", [cv_row(1, "Depth", "Omni3D")], schema)
    assert load_cv_bench(tmp_path)[4]["target_size"] is None


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"answer": "B"}, "answer"),
        ({"answer": "(C)"}, "answer"),
        ({"answer": None}, "answer"),
        ({"choices": []}, "choices"),
        ({"choices": ["1", ""]}, "choices"),
        ({"image": None}, "image"),
        ({"image": {"bytes": None, "path": "x.png"}}, "image"),
        ({"prompt": None}, "prompt"),
        ({"task": ""}, "task"),
        ({"source": None}, "source"),
    ],
)
def test_a_bad_cv_bench_row_is_named(tmp_path, changes, column):
    write_cv(tmp_path, flat=[cv_row(0), cv_row(1, **changes)])
    message = refusal(load_cv_bench, tmp_path)
    assert "test_2d.parquet" in message and f"'{column}'" in message and "row 1" in message


@pytest.mark.parametrize("name", CV_BENCH_SCHEMA.names)
def test_each_cv_bench_column_must_be_there(tmp_path, name):
    write_cv(tmp_path)
    table = pa.Table.from_pylist([cv_row()], CV_BENCH_SCHEMA).drop_columns([name])
    pq.write_table(table, tmp_path / "test_3d.parquet")
    message = refusal(load_cv_bench, tmp_path)
    assert "test_3d.parquet" in message and f"'{name}' is missing" in message


def test_cv_bench_file_mistakes(tmp_path):
    assert "test_2d.parquet" in (message := refusal(load_cv_bench, tmp_path))
    assert "test_3d.parquet are missing; copy them from the data set nyu" in message
    write_cv(tmp_path)
    assert "holds 5 rows but 6" in refusal(load_cv_bench, tmp_path, rows=6)
    (tmp_path / "test_3d.parquet").unlink()
    assert "test_3d.parquet is missing" in refusal(load_cv_bench, tmp_path)


def test_a_sample_is_balanced_seeded_and_nested(tmp_path):
    tasks = ["Count"] * 50 + ["Relation"] * 30
    flat = [cv_row(n, task) for n, task in enumerate(tasks)]
    deep = [cv_row(80 + n, "Depth", "Omni3D") for n in range(5)]
    write_cv(tmp_path, flat, deep)
    sample = load_cv_bench(tmp_path, rows=30, seed=3)
    assert [sample["task"][:].count(task) for task in ("Count", "Relation", "Depth")] == [13, 12, 5]
    assert sample["idx"][:] == sorted(sample["idx"][:])
    assert sample["idx"][:] == load_cv_bench(tmp_path, rows=30, seed=3)["idx"][:]
    assert sample["idx"][:] != load_cv_bench(tmp_path, rows=30, seed=4)["idx"][:]
    assert set(load_cv_bench(tmp_path, rows=9, seed=3)["idx"]) < set(sample["idx"])
    assert len(load_cv_bench(tmp_path, rows=0)) == 85


# ---------------------------------------------------------------------------- other pictures


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


def test_pictures_that_cannot_be_replaced(mini_data):
    with pytest.raises(UserError, match="have none to be blank; set it to original"):
        replaced(Dataset.from_dict({"question": ["?"]}), "blank", 0)
    with pytest.raises(UserError, match="another's picture"):
        replaced(load_sat(mini_data, rows=1), "shuffled", 0)
