"""Data of one's own: read back as they were written, each wrong row one line, no file replaced."""

import io
import tracemalloc
from itertools import count

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shared.calls import png, refusal

from vtkit.data import writing
from vtkit.data.cv_bench import CV_BENCH_SCHEMA, load_cv_bench
from vtkit.data.pictures import encoded_images
from vtkit.data.sat import SAT_SCHEMA, load_sat
from vtkit.data.writing import write_cv_bench, write_sat
from vtkit.errors import UserError
from vtkit.judging.verdict import unpayable

PNG = png()
ROW = {"picture": PNG, "question": "What is on it?", "choices": ["a cup", "a lamp"]}
ROW = {**ROW, "answer": "a lamp"}

texts = st.text(min_size=1, max_size=20).filter(str.strip)
names = st.from_regex(r"[a-zäß]{4,9}( [a-z]{4,9})?", fullmatch=True)
choices = st.lists(names, min_size=2, max_size=6, unique=True).filter(
    lambda drawn: not any(unpayable(place, drawn) for place in range(len(drawn)))
)
rows = st.lists(
    st.fixed_dictionaries(
        {"question": texts, "choices": choices, "place": st.integers(0, 5)},
        optional={"type": st.sampled_from(["2D", "3D"]), "task": texts, "source": texts},
    ),
    min_size=1, max_size=8,
)  # fmt: skip
numbers = count()


@pytest.fixture
def few_at_once(monkeypatch):
    """Several row groups even of a few rows."""
    defaults = (3,)
    monkeypatch.setattr(writing.row_writer.__wrapped__, "__defaults__", defaults)


def drawn(rows):
    """Rows with a picture of their own each, and an answer."""
    return [
        {
            **{name: row[name] for name in row if name != "place"},
            "picture": png((28, 28 + number)),
            "answer": row["choices"][row["place"] % len(row["choices"])],
        }
        for number, row in enumerate(rows)
    ]


@settings(max_examples=40, deadline=None)
@given(rows)
def test_what_was_written_to_train_on_is_read_back(tmp_path_factory, rows):
    folder = tmp_path_factory.getbasetemp() / f"sat-{next(numbers)}"
    written = [{k: v for k, v in row.items() if k not in ("task", "source")} for row in drawn(rows)]
    path = write_sat(iter(written), folder, progress=False)
    assert pq.read_schema(path) == SAT_SCHEMA
    found = load_sat(folder, subset="all")
    assert len(found) == len(written)
    pictures = [[cell["bytes"] for cell in cells] for cells in encoded_images(found)]
    for row, read, own in zip(written, found.remove_columns("images"), pictures, strict=True):
        assert sorted(read["choices"]) == sorted(row["choices"]) and read["answer"] == row["answer"]
        assert row["question"] in read["question"] and own == [row["picture"]]
        assert read["task"] == row.get("type", "other")
    first = pq.read_table(path)["answers"].to_pylist()
    assert [answers[0] for answers in first] == [row["answer"] for row in written]  # as in SAT


@settings(max_examples=40, deadline=None)
@given(rows)
def test_what_was_written_to_score_is_read_back(tmp_path_factory, rows):
    folder = tmp_path_factory.getbasetemp() / f"cv-{next(numbers)}"
    written = drawn(rows)
    for path in write_cv_bench(iter(written), folder, progress=False).values():
        assert pq.read_schema(path) == CV_BENCH_SCHEMA
    found = load_cv_bench(folder)
    order = sorted(range(len(rows)), key=lambda number: rows[number].get("type", "2D"))
    assert found["idx"] == order  # 2D first
    pictures = [cell["bytes"] for (cell,) in encoded_images(found)]
    for number, read, own in zip(order, found.remove_columns("image"), pictures, strict=True):
        row = written[number]
        letter = "ABCDEF"[row["choices"].index(row["answer"])]
        lines = [f"({a}) {b}" for a, b in zip("ABCDEF", row["choices"], strict=False)]
        assert own == row["picture"] and read["choices"] == row["choices"]
        assert (read["question"], read["answer"]) == (row["question"], f"({letter})")
        assert read["prompt"] == "\n".join(
            [f"{row['question']} Select from the following choices.", *lines]
        )
        assert read["type"] == row.get("type", "2D") and read["task"] == row.get("task", "Own")
        assert read["source"] == row.get("source", "own") and read["bbox"] is None


def test_columns_of_cv_bench_may_be_given(tmp_path):
    extra = {"filename": "img/1.png", "source_dataset": "mine", "target_size": 3,
             "bbox": [[0.0, 1.0, 2.0, 3.0]]}  # fmt: skip
    write_cv_bench([ROW | extra], tmp_path, progress=False)
    (row,) = load_cv_bench(tmp_path).remove_columns("image")
    assert {name: row[name] for name in extra} == extra
    assert refusal(write_cv_bench, [ROW | {"target_size": "big"}], tmp_path / "2") == (
        "row 0: target_size is 'big'; give int32"
    )


def test_pictures_of_all_kinds(tmp_path, few_at_once):
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    picture = Image.fromarray(noise)
    picture.save(tmp_path / "a.jpg", exif=Image.Exif())
    modes = ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr", "I", "F"]
    given = [tmp_path / "a.jpg", str(tmp_path / "a.jpg"), PNG, bytearray(PNG)]
    given += [picture.convert("L" if mode == "LA" else mode).convert(mode) for mode in modes]
    given.append([PNG, picture])
    write_sat([ROW | {"picture": one} for one in given], tmp_path, progress=False)
    assert pq.ParquetFile(tmp_path / "SAT_train.parquet").num_row_groups == 5
    cells = list(encoded_images(load_sat(tmp_path, max_images=2)))
    jpeg = (tmp_path / "a.jpg").read_bytes()  # as it is
    assert [cell[0]["bytes"] for cell in cells[:4]] == [jpeg, jpeg, PNG, PNG]
    for mode, (cell,) in zip(modes, cells[4:-1], strict=True):
        read = Image.open(io.BytesIO(cell["bytes"]))
        assert read.format == "PNG" and read.size == (40, 30), mode
        if mode in ("RGB", "RGBA"):
            assert np.array_equal(np.asarray(read.convert("RGB")), noise)
    assert len(cells[-1]) == 2


WRONG = [
    ({"answer": "a hat"}, "answer 'a hat' is not among the choices; write one of ['a cup', 'a la"),
    ({"answer": "(A)"}, "answer '(A)' is not among the choices"),
    ({"answer": 2}, "answer is 2; write it as text"),
    ({"choices": "a cup|a lamp"}, "choices is 'a cup|a lamp'; give a list of texts"),
    ({"choices": ["a lamp"]}, "choices has 1; give 2 to 26"),
    ({"choices": [f"{n}" for n in range(27)]}, "choices has 27; give 2 to 26"),
    ({"choices": ["a lamp", "A  LAMP"]}, "choices has 'a lamp' and 'A LAMP'; no judge can tell"),
    ({"choices": ["a lamp", "a lamp"]}, "choices has 'a lamp' and 'a lamp'"),
    ({"choices": ["a lamp", "a lamp."]}, "answer 'a lamp' cannot be told from another choice"),
    ({"choices": ["a lamp", " "]}, "choices is empty; write it, or leave the row out"),
    ({"choices": ["a lamp", 2]}, "choices is 2; write it as text"),
    ({"question": ""}, "question is empty"),
    ({"question": None}, "question is None; write it as text"),
    ({"question": "\ud800"}, "question '\\ud800' is not valid Unicode; read the file as UTF-8"),
    ({"picture": "no/such.png"}, "picture 'no/such.png' cannot be read ([Errno 2] No such file"),
    ({"picture": b"no picture"}, "picture b'no picture' is no PNG, JPEG, WEBP, GIF, BMP or TIFF"),
    ({"picture": None}, "picture None cannot be read (memoryview: a bytes-like object is required"),
    ({"picture": png((6000, 28))}, "is 6000 x 28; one side may be 200 times the other; replace"),
    ({"type": 3}, "type is 3; write it as text"),
    ({"choises": ["a"]}, "there is no field 'choises'; did you mean 'choices'?"),
]


@pytest.mark.parametrize("write", [write_sat, write_cv_bench])
@pytest.mark.parametrize(("changes", "wrong"), WRONG)
def test_a_wrong_row_is_one_line_and_leaves_no_file(write, changes, wrong, tmp_path):
    message = refusal(write, [ROW, ROW, ROW | changes], tmp_path / "x", progress=False)
    assert message.startswith("row 2: ") and wrong in message
    assert list((tmp_path / "x").iterdir()) == []


def test_a_picture_that_is_cut_off_is_found(tmp_path):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(buffer, "JPEG")
    cut = buffer.getvalue()[:-200]
    assert "is truncated" in refusal(write_sat, [ROW | {"picture": cut}], tmp_path, progress=False)


@pytest.mark.parametrize("write", [write_sat, write_cv_bench])
def test_what_is_no_row_is_refused(write, tmp_path):
    table = pd.DataFrame([ROW])
    assert "of a DataFrame, df.to_dict('records')" in refusal(write, table, tmp_path)
    assert "there are no rows to write" in refusal(write, [], tmp_path)
    for name in ROW:
        row = {key: ROW[key] for key in ROW if key != name}
        assert refusal(write, [row], tmp_path) == f"row 0: {name} is missing; every row has one"
    assert list(tmp_path.iterdir()) == []


def test_what_cv_bench_alone_asks(tmp_path):
    assert "type is '4D'; write 2D or 3D" in refusal(
        write_cv_bench, [ROW | {"type": "4D"}], tmp_path
    )
    several = [ROW | {"picture": [PNG]}]
    assert "give a path, a PIL image or" in refusal(write_cv_bench, several, tmp_path)
    assert "no field 'task'" in refusal(write_sat, [ROW | {"task": "x"}], tmp_path)
    assert "is an empty list" in refusal(write_sat, [ROW | {"picture": []}], tmp_path)


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    path = write_sat([ROW], tmp_path, progress=False)
    before = path.read_bytes()
    assert "is there already; move it away" in refusal(write_sat, [ROW], tmp_path)
    write_sat([ROW], tmp_path, split="val", progress=False)
    (tmp_path / "test_3d.parquet").symlink_to("nowhere")
    assert "test_3d.parquet is there already" in refusal(write_cv_bench, [ROW], tmp_path)
    assert path.read_bytes() == before and not (tmp_path / "test_2d.parquet").exists()


def test_pictures_are_written_as_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_BYTES", 2 << 20)

    def source():
        for shade in range(40):
            buffer = io.BytesIO()
            Image.new("RGB", (600, 600), (shade, 0, 0)).save(buffer, "BMP")
            yield ROW | {"picture": buffer.getvalue()}

    tracemalloc.start()
    write_sat(source(), tmp_path, progress=False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(load_sat(tmp_path)) == 40 and most < 10e6  # of 43 MB


def test_large_pictures_fill_a_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_BYTES", 2 * len(PNG))
    write_sat([ROW] * 7, tmp_path, progress=False)
    assert pq.ParquetFile(tmp_path / "SAT_train.parquet").num_row_groups == 3


def test_a_benchmark_without_any_row_is_refused(tmp_path):
    for name in ("test_2d", "test_3d"):
        empty = pq.ParquetWriter(tmp_path / f"{name}.parquet", CV_BENCH_SCHEMA)
        empty.close()
    with pytest.raises(UserError, match="holds no rows; write or download it again"):
        load_cv_bench(tmp_path)
