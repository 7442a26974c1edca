"""Pictures and texts that the processor would refuse are found by every loader, before a run."""

import io
import json

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image
from shared import problems
from shared.calls import png, png_without_pixels, refusal

from vtkit.data.blink_vsr import BLINK_SCHEMA, load_blink, load_vsr
from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.picture_files import FORMATS, MOST_PIXELS, decoded, picture_flaw
from vtkit.data.pictures import encoded_images, naming_rows, replaced
from vtkit.data.replications import load_problems
from vtkit.data.sat import load_sat
from vtkit.data.writing import write_cv_bench, write_sat
from vtkit.errors import UserError
from vtkit.models.inputs import batch_inputs, message
from vtkit.models.loading import load_processor

NOISE = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)


def encoded(kind, picture=None, **options):
    out = io.BytesIO()
    (picture or Image.fromarray(NOISE)).save(out, kind, **options)
    return out.getvalue()


def spoilt(data, place):
    return data[:place] + bytes([data[place] ^ 0xFF] * 40) + data[place + 40 :]


WHOLE = {kind: encoded(kind) for kind in FORMATS}
BAD = {
    **{f"half a {kind}": (data[: len(data) // 2], "is a dama") for kind, data in WHOLE.items()},
    "broken body": (spoilt(WHOLE["PNG"], 5000), "is a damaged picture"),
    "no IDAT": (WHOLE["PNG"][:33] + WHOLE["PNG"][-12:], "is a damaged picture"),
    "cut progressive": (encoded("JPEG", progressive=True)[:-30], "is a damaged picture"),
    "no end": (WHOLE["JPEG"][:-2], "is a damaged picture"),
    "too long": (png((201, 1)), "is 201 x 1; one side may be 200 times the other"),
    "too large": (
        png_without_pixels((8193, 8192)),
        "is 8193 x 8192, more than 67,108,8",
    ),
    "bomb": (png_without_pixels((20_000, 20_000)), "has more than 67,108,864 pixels"),
    "text": (b"<svg></svg>", "is no PNG, JPEG, WEBP, GIF, BMP or TIFF picture"),
    "eps": (encoded("EPS"), "is no PNG, "),
    "ico": (encoded("ICO"), "is no PNG, "),
}
TOO_LONG = "x" * 8001


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_picture(name, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", pytest.fail)  # would start a program
    data, wrong = BAD[name]
    assert picture_flaw(data).startswith(wrong)
    assert picture_flaw(data, thorough=True) == picture_flaw(data)


@given(st.binary(max_size=40))
@settings(deadline=None)
def test_noise_is_no_picture(noise):
    assert picture_flaw(noise)


def test_pictures_of_all_formats_and_modes_reach_the_model(random_base):
    processor = load_processor(random_base, prompt="base")
    rgb = Image.fromarray(NOISE)
    modes = ("1", "L", "LA", "P", "RGBA", "I;16")
    found = [*WHOLE.values(), *(encoded("PNG", Image.new(mode, (30, 40))) for mode in modes)]
    found += [encoded("JPEG", rgb.convert("CMYK")), encoded("TIFF", Image.new("F", (9, 9)))]
    found += [png((200, 1)), png((1, 1)), encoded("MPO")]
    found += [WHOLE["JPEG"] + b"\n", WHOLE["PNG"] + b"\n"]
    found += [encoded("GIF", save_all=True, append_images=[rgb.rotate(90)])]
    assert [picture_flaw(data) for data in found] == [None] * len(found)
    for data in found:
        picture = decoded({"bytes": data, "path": None})
        turn = message({"prompt": "Where?", "image": picture})
        assert len(batch_inputs(processor, [turn], [[]])["pixel_values"]) > 0


def test_more_than_8_bits_are_scaled_and_not_clipped():
    def shades(values, kind="TIFF", mode=None):
        data = encoded(kind, Image.fromarray(np.array([values]), mode))
        picture = decoded({"bytes": data, "path": None})
        assert picture.mode == "L"
        return np.asarray(picture)[0].tolist()

    deep = np.array([0, 257, 32896, 65535], np.uint16)
    assert shades(deep, "PNG") == shades(deep) == [0, 1, 128, 255]
    assert shades(np.array([0, 0.5, 1, 0.25], np.float32)) == [0, 128, 255, 64]
    assert shades(np.array([0.5, 0.5], np.float32)) == [128, 128]
    assert shades(np.array([-2, 0, 2, np.nan, np.inf], np.float32)) == [0, 128, 255, 0, 255]
    assert shades(np.array([100_000, 200_000, 300_000], np.int32)) == [0, 128, 255]
    assert shades(np.array([5, 5], np.int32)) == [0, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pictures_are_on_white(mode):
    """As transformers 5.23 and vLLM have it; transformers 5.17 would leave black."""
    clear = Image.new("RGBA", (4, 2), (200, 200, 200, 255))
    clear.putpixel((1, 0), (0, 0, 0, 0))
    if mode == "P":
        clear = clear.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
        data = encoded("PNG", clear, transparency=clear.getpixel((1, 0)))
    else:
        data = encoded("PNG", clear.convert(mode))
    picture = decoded({"bytes": data, "path": None})
    assert picture.mode == "RGB"
    assert picture.getpixel((1, 0)) == (255, 255, 255)
    assert picture.getpixel((0, 0)) == (200, 200, 200)


def test_ordinary_pictures_are_decoded_as_the_library_does():
    upside_down = Image.Exif()
    upside_down[0x0112] = 6
    for data in [*WHOLE.values(), encoded("JPEG", exif=upside_down), encoded("JPEG", quality=20)]:
        theirs = datasets.Image().decode_example({"bytes": data, "path": None})
        ours = decoded({"bytes": data, "path": None})
        assert (ours.mode, ours.size, ours.tobytes()) == (
            theirs.mode, theirs.size, theirs.tobytes()
        )  # fmt: skip


# ------------------------------------------------------------------------------------ loaders


def row_of(picture, **changes):
    return {
        "picture": picture,
        "question": "Where?",
        "choices": ["left", "right"],
        "answer": "left",
        **changes,
    }


def changed(path, row, column, value):
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[row][column] = value
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    return path


def training_file(folder, format, row, column, value):
    """120 rows of which one is changed, and what loads them."""
    if format == "sat":
        path = write_sat([row_of(png())] * 120, folder, progress=False)
        return changed(path, row, column, value), load_sat
    path = problems.write(folder / "train.parquet", format, 120, damage={row: {column: value}})
    return path, lambda path: load_problems(path, format)


@pytest.mark.parametrize("name", BAD)
def test_training_skips_counts_and_names(name, tmp_path):
    data, wrong = BAD[name]
    for format, column, value in (
        ("sat", "image_bytes", [data]),
        ("r1-v", "image", {"bytes": data, "path": "a.eps"}),
    ):
        path, load = training_file(tmp_path, format, 7, column, value)
        found = load(path)
        assert found["id"][:] == [n for n in range(120) if n != 7]
        assert f"1 of 120 bad: column '{column}', row 7 {wrong}" in found.info.description


@pytest.mark.parametrize(
    ("format", "column", "value"),
    [
        ("sat", "question", TOO_LONG),
        ("sat", "answers", ["left", TOO_LONG]),
        ("open-r1", "problem", TOO_LONG),
        ("open-r1", "solution", f"<answer>{TOO_LONG}</answer>"),
        ("text", "choices", ["right", TOO_LONG]),
        ("countdown", "nums", [1] * 8001),
    ],
)
def test_long_texts_are_bad_rows(format, column, value, tmp_path):
    path, load = training_file(tmp_path, format, 7, column, value)
    found = load(path)
    assert len(found) == 119
    assert " characters, more than 8,000" in found.info.description


def benchmark(folder, which):
    """A benchmark of three rows, as loaded by the function that is returned with it."""
    folder.mkdir(exist_ok=True)
    if which == "vsr":
        line = {"caption": "It is left.", "label": 1, "relation": "left"}
        lines = [json.dumps({"image": f"{n}.jpg", **line}) for n in range(3)]
        (folder / "test.jsonl").write_text("\n".join(lines))
        (folder / "images").mkdir()
        for n in range(3):
            (folder / "images" / f"{n}.jpg").write_bytes(WHOLE["JPEG"])
        return load_vsr
    if which == "cv_bench":
        write_cv_bench([row_of(png())] * 3, folder, progress=False)
        return load_cv_bench
    cell = {"bytes": png(), "path": None}
    texts = ("idx", "question", "sub_task", "prompt")
    row = {**dict.fromkeys(texts, "x"), "choices": ["a", "b"], "answer": "(A)"}
    rows = [{**row, "image_1": cell, "image_2": cell}] * 3
    (folder / "Relative_Depth").mkdir()
    path = folder / "Relative_Depth" / "val-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(rows, BLINK_SCHEMA), path)
    return lambda folder: load_blink(folder, subsets=["Relative_Depth"])


@pytest.mark.parametrize("name", BAD)
def test_a_benchmark_stops_with_file_and_row(name, tmp_path):
    data, wrong = BAD[name]
    cell = {"bytes": data, "path": "a.eps"}
    load = benchmark(tmp_path / "cv", "cv_bench")
    path = changed(tmp_path / "cv" / "test_2d.parquet", 1, "image", cell)
    assert refusal(load, tmp_path / "cv").startswith(f"{path}: column 'image', row 1 {wrong}")
    load = benchmark(tmp_path / "blink", "blink")
    (path,) = (tmp_path / "blink").rglob("*.parquet")
    changed(path, 2, "image_2", cell)
    assert f"{path}: column 'image_2', row 2 {wrong}" in refusal(load, tmp_path / "blink")
    load = benchmark(tmp_path / "vsr", "vsr")
    path = tmp_path / "vsr" / "images" / "2.jpg"
    path.write_bytes(data)
    assert refusal(load, tmp_path / "vsr").startswith(f"{path} {wrong}")


@pytest.mark.parametrize("column", ["prompt", "question", "choices"])
def test_long_texts_stop_a_benchmark(column, tmp_path):
    load = benchmark(tmp_path / "cv", "cv_bench")
    value = ["left", TOO_LONG] if column == "choices" else TOO_LONG
    changed(tmp_path / "cv" / "test_2d.parquet", 1, column, value)
    said = refusal(load, tmp_path / "cv")
    assert f"column '{column}', row 1 has 8,0" in said and "more than 8,000" in said


def test_own_data_are_checked_alike(tmp_path):
    for name, (data, wrong) in BAD.items():
        said = refusal(write_sat, [row_of(data)], tmp_path, progress=False)
        assert said.startswith("row 0: picture ") and wrong in said, name
    said = refusal(write_sat, [row_of(png(), question=TOO_LONG)], tmp_path, progress=False)
    assert said == (
        "row 0: question has 8,010 characters, more than 8,000 with its choices; shorten it"
    )


# ------------------------------------------------------------------------------ when it is used


def broken_later(folder):
    """Rows of a file whose third one no structure gives away, and its name."""
    path = write_sat([row_of(png())] * 5, folder, progress=False)
    return load_sat(changed(path, 2, "image_bytes", [png_without_pixels()])), path


def test_a_picture_that_fails_when_used_is_one_line(tmp_path):
    rows, path = broken_later(tmp_path)
    with pytest.raises(UserError, match=f"{path}: id 2: its picture cannot be decoded"):
        with naming_rows(rows):
            list(rows.select([4, 2]))
    folder = tmp_path / "vsr"
    rows = benchmark(folder, "vsr")(folder)
    (folder / "images" / "1.jpg").unlink()
    with naming_rows(rows):
        assert rows[2]["images"][0].size == (80, 60)
    with pytest.raises(UserError) as caught, naming_rows(rows):
        rows[1]
    said = str(caught.value)
    assert said.startswith(f"{folder / 'test.jsonl'}: idx 1: {folder / 'images' / '1.jpg'} cannot")
    assert "No such file" in said and "restore the file" in said


def test_a_file_that_was_replaced_by_another_format_is_not_opened(tmp_path):
    rows = benchmark(tmp_path / "vsr", "vsr")(tmp_path / "vsr")
    (tmp_path / "vsr" / "images" / "1.jpg").write_bytes(encoded("EPS"))
    with pytest.raises(UserError, match="cannot identify image file"):
        rows[1]


def test_no_step_loses_the_way_of_decoding(tmp_path):
    """Whatever becomes of a dataset, its pictures are decoded by this kit."""
    deep = encoded("PNG", Image.fromarray(np.full((28, 28), 32896, np.uint16)))
    write_sat([row_of(deep)] * 6, tmp_path, progress=False)
    write_cv_bench([row_of(deep)] * 6, tmp_path, progress=False)
    for rows in (load_sat(tmp_path), load_cv_bench(tmp_path, rows=4)):
        rows = replaced(rows, "shuffled", 0)
        rows = rows.add_column("more", list(range(len(rows)))).select([1, 2]).remove_columns("more")
        name = "images" if "images" in rows.column_names else "image"
        rows = rows.select_columns([name])
        assert [len(cells) for cells in encoded_images(rows)] == [1, 1]
        (picture,) = rows[0]["images"] if name == "images" else [rows[0]["image"]]
        assert np.asarray(picture).tolist() == [[128] * 28] * 28


def test_limits_are_as_stated():
    assert picture_flaw(png_without_pixels((8192, 8192))) is None
    assert MOST_PIXELS == 8192 * 8192
