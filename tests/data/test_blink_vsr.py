"""BLINK and VSR: published schemas in, rows of CV-Bench out; and the command that scores them."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from shared.calls import png, refusal

from vtkit.benchmark import __main__ as scoring
from vtkit.data.blink_vsr import BLINK_SUBSETS, load_blink, load_vsr
from vtkit.data.cv_bench import load_cv_bench
from vtkit.files import read_json, write_json
from vtkit.hub import BLINK_HUB
from vtkit.stats import proportion

READ = ("idx", "task", "source", "type", "question", "choices", "answer", "prompt")
# BLINK as published: an explanation too, pictures that are not there are null.
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PUBLISHED = pa.schema(
    [("idx", pa.string()), ("question", pa.string()), ("sub_task", pa.string())]
    + [(f"image_{n}", PICTURE) for n in range(1, 5)]
    + [("choices", pa.list_(pa.string())), ("answer", pa.string()), ("prompt", pa.string())]
    + [("explanation", pa.string())]
)


def blink_row(subset, number, pictures=1, **changes):
    shown = {f"image_{n}": {"bytes": png((28 * n, 28)), "path": None} for n in range(1, 5)}
    question = "Which point is closer to the camera?"
    return {
        "idx": f"val_{subset}_{number}",
        "question": question,
        "sub_task": subset,
        **{name: cell if int(name[-1]) <= pictures else None for name, cell in shown.items()},
        "choices": ["A is closer", "B is closer"],
        "answer": "(B)",
        "prompt": f"{question}\nSelect from the following choices.\n"
        "(A) A is closer\n(B) B is closer",
        "explanation": "",
        **changes,
    }


def write_blink(folder, split="val", **changes):
    for subset in BLINK_SUBSETS:
        pictures = 2 if subset.startswith("Multi") else 1
        rows = [blink_row(subset, number, pictures) for number in range(3)]
        rows[1] |= changes
        (folder / subset).mkdir(exist_ok=True)
        path = folder / subset / f"{split}-00000-of-00001.parquet"
        pq.write_table(pa.Table.from_pylist(rows, PUBLISHED), path)
    return folder


def vsr_line(number, **changes):
    return {
        "image": f"{number:012}.jpg",
        "image_link": f"http://images.cocodataset.org/train2017/{number:012}.jpg",
        "caption": f"The cup {number} is on top of the {{table}}.",
        "label": number % 2,
        "relation": "on top of",
        "annotator_id": 1,
        "vote_true_validator_id": [1],
        "vote_false_validator_id": [],
        **changes,
    }


def write_vsr(folder, lines=None, pictures=4):
    lines = [vsr_line(number) for number in range(4)] if lines is None else lines
    folder.mkdir(exist_ok=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "images").mkdir(exist_ok=True)
    for number in range(pictures):
        picture = Image.new("RGB", (28 + 28 * (number % 2), 56), "white")
        picture.save(folder / "images" / f"{number:012}.jpg")
    return folder


# ------------------------------------------------------------------------------------- BLINK


def test_blink_has_the_columns_of_cv_bench(tmp_path, mini_data):
    dataset = load_blink(write_blink(tmp_path))
    assert set(READ) <= set(dataset.column_names) & set(load_cv_bench(mini_data).column_names)
    assert dataset["idx"][:] == list(range(9))
    assert list(dict.fromkeys(dataset["task"])) == list(BLINK_SUBSETS)
    first, last = dataset[0], dataset[8]
    assert first["id"] == "val_Relative_Depth_0" and first["type"] == "3D"
    assert (first["answer"], first["choices"][1]) == ("(B)", "B is closer")
    assert first["prompt"].endswith("(B) B is closer") and first["source"] == "BLINK"
    assert [picture.size for picture in first["images"]] == [(28, 28)]
    assert [picture.size for picture in last["images"]] == [(28, 28), (56, 28)]


def test_blink_questions_on_several_pictures_are_dropped_and_counted(tmp_path):
    write_blink(tmp_path)
    dataset = load_blink(tmp_path, multi_image=False)
    assert dataset["idx"][:] == list(range(6))
    assert dataset.info.description == "6 rows of BLINK, 3 multi-image rows dropped"
    assert load_blink(tmp_path).info.description == "9 rows of BLINK, 0 multi-image rows dropped"
    only = dict(subsets=["Multi-view_Reasoning"], multi_image=False)
    assert "all 3 rows have several images" in refusal(load_blink, tmp_path, **only)
    assert load_blink(tmp_path, rows=5)["task"][:].count("Relative_Depth") == 2


def test_hidden_answers_are_refused(tmp_path):
    write_blink(tmp_path, split="test", answer="hidden")
    message = refusal(load_blink, tmp_path, split="test")
    assert "answers of BLINK's test split are hidden" in message and "use val" in message


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"answer": "B"}, "answer"),
        ({"answer": None}, "answer"),
        ({"choices": []}, "choices"),
        ({"image_1": None}, "image_1"),
        ({"prompt": ""}, "prompt"),
    ],
)
def test_a_bad_blink_row_is_named(changes, column, tmp_path):
    message = refusal(load_blink, write_blink(tmp_path, **changes))
    assert "Relative_Depth/val-0" in message and f"'{column}', row 1" in message


def test_blink_mistakes(tmp_path, monkeypatch):
    assert "'Relative' is not one of" in refusal(load_blink, tmp_path, subsets=["Relative"])
    message = refusal(load_blink, tmp_path)
    assert message.endswith("is missing; copy it from the data set BLINK-Benchmark/BLINK")
    assert "no such folder; name BLINK-" in refusal(load_blink, tmp_path / "none")
    write_blink(tmp_path)
    assert "holds 9 rows but 10 are wanted" in refusal(load_blink, tmp_path, rows=10)
    asked = []
    monkeypatch.setattr("vtkit.data.parquet.download", lambda *args: asked.append(args) or tmp_path)
    refusal(load_blink, "BLINK-Benchmark/BLINK")
    name, asked_of, revision = asked[0]
    assert name == "Relative_Depth/val-00000-of-00001.parquet" and asked_of == BLINK_HUB
    assert len(revision) == 40


# --------------------------------------------------------------------------------------- VSR


def test_vsr_asks_in_the_originals_words(tmp_path):
    dataset = load_vsr(write_vsr(tmp_path / "vsr"))
    assert set(READ) <= set(dataset.column_names)
    row = dataset[1]
    assert (
        row["prompt"]
        == row["question"]
        == (
            'Please analyze the provided image. Does the statement "The cup 1 is on top of the '
            '{table}." accurately describes what you see? Choose from (A) True or (B) False.'
        )
    )
    assert row["choices"] == ["True", "False"] and row["images"][0].size == (56, 56)
    assert dataset["answer"][:] == ["(B)", "(A)", "(B)", "(A)"]
    assert set(dataset["task"]) == set(dataset["source"]) == {"VSR"}
    elsewhere = load_vsr(tmp_path / "vsr" / "test.jsonl", images=tmp_path / "vsr" / "images")
    assert elsewhere["prompt"][:] == dataset["prompt"][:]


def test_missing_pictures_are_never_fetched(tmp_path):
    message = refusal(load_vsr, write_vsr(tmp_path / "vsr", pictures=1))
    assert "3 of 4 pictures are missing, the first is 000000000001.jpg (http://images" in message
    assert "download its column image_link" in message


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"label": 2}, "column 'label', row 2 is 2"),
        ({"label": "1"}, "column 'label', row 2 is '1'"),
        ({"label": True}, "column 'label', row 2 is True"),
        ({"caption": ""}, "column 'caption', row 2"),
        ({"image": "../secret.jpg"}, "'../secret.jpg' is not a file name"),
    ],
)
def test_a_bad_vsr_row_is_named(changes, part, tmp_path):
    lines = [vsr_line(number, **(changes if number == 2 else {})) for number in range(4)]
    assert part in refusal(load_vsr, write_vsr(tmp_path / "vsr", lines))


def test_vsr_mistakes(tmp_path):
    assert "test.jsonl is missing; copy it" in refusal(load_vsr, tmp_path)
    for content, part in (
        (b"", "holds no rows"),
        (b"[1]\n", "row 0 has no 'image'"),
        (b'{"image": "a.jpg"}\n', "row 0 has no 'caption'"),
        (b'{"image": ', "cannot be read as lines of JSON"),
        (b"\xff\xfe", "cannot be read as lines of JSON"),
    ):
        (tmp_path / "test.jsonl").write_bytes(content)
        assert part in refusal(load_vsr, tmp_path)


# ----------------------------------------------------------------------------------- command


def score(model, out, benchmark, data, *options):
    places = ["--model", str(model), "--data", str(data), "--out", str(out)]
    return scoring.main(
        [*places, "--benchmark", benchmark, "--max-new-tokens", "6", *map(str, options)]
    )


def test_the_command_scores_all_three(random_base, mini_data, tmp_path, capsys):
    assert score(random_base, tmp_path / "cv", "cv_bench", mini_data, "--rows", 8) == 0
    blink = write_blink(tmp_path)
    assert score(random_base, tmp_path / "blink", "blink", blink, "--batch-size", 2) == 0
    assert "9 rows of BLINK, 0 multi-image rows dropped" in capsys.readouterr().out
    assert score(random_base, tmp_path / "vsr", "vsr", write_vsr(tmp_path / "v")) == 0
    shown = capsys.readouterr().out
    assert "this kit's judge" in shown and "the original's judge" in shown
    assert "VSR: 4 questions" in shown and "always (A) 50.0%" in shown
    result = read_json(tmp_path / "blink" / "step-000000.json")
    assert result["n"] == 9 and set(result["tasks"]) == set(BLINK_SUBSETS)
    assert result["official"] is None and result["paper"]["accuracy"]["n"] == 9
    rows = pq.read_table(tmp_path / "blink" / "step-000000.parquet").to_pylist()
    assert [row["idx"] for row in rows] == list(range(9))


def test_mistakes_in_the_command_are_one_line(random_base, mini_data, tmp_path, capsys):
    (tmp_path / "step-000000.json").write_text("{}")
    for arguments, part in (
        ((random_base, tmp_path, "cv_bench", mini_data), "step-000000.json is there already"),
        ((random_base, tmp_path / "o", "cv_bench", mini_data, "--images", "x"), "is for --bench"),
        ((random_base, tmp_path / "o", "vsr", mini_data), "test.jsonl is missing"),
        ((random_base, tmp_path / "o", "cv_bench", mini_data, "--rows", -1), "from 0 up"),
        ((random_base, tmp_path / "o", "cv_bench", mini_data, "--row", 1), "mean '--rows'"),
        ((tmp_path, tmp_path / "o", "cv_bench", mini_data), "no model there"),
    ):
        assert score(*arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and part in error and error.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_a_checkpoint_is_scored_at_its_step(random_base, mini_data, tmp_path):
    checkpoint = tmp_path / "checkpoint-40"
    checkpoint.symlink_to(random_base, target_is_directory=True)
    assert score(checkpoint, tmp_path / "out", "cv_bench", mini_data, "--rows", 4) == 0
    assert read_json(tmp_path / "out" / "step-000040.json")["step"] == 40


def test_the_best_checkpoint_is_scored_at_the_step_it_is_of(random_base, mini_data, tmp_path):
    best = shutil.copytree(random_base, tmp_path / "checkpoints" / "best")
    write_json(best / "best.json", {"step": 75, "accuracy": proportion(9, 10)})
    assert score(best, tmp_path / "out", "cv_bench", mini_data, "--rows", 4) == 0
    assert read_json(tmp_path / "out" / "step-000075.json")["step"] == 75
