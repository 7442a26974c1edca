"""docs/yours.md: both examples run as they are written, together, and end in a scored run."""

import contextlib
import csv
import re

import pytest
from PIL import Image

from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.sat import load_sat
from vtkit.files import ROOT, read_json
from vtkit.runs.rollouts import load_rollouts
from vtkit.training import __main__ as training

PAGE = (ROOT / "docs" / "yours.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
REWARD, DATA = [text for kind, text in BLOCKS if kind == "python"]
(TABLE,) = [text.splitlines() for kind, text in BLOCKS if not kind]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the page was followed: photos, a table of the page's columns, a reward."""
    folder = tmp_path_factory.mktemp("yours")
    (folder / "photos").mkdir()
    header, example = csv.reader(TABLE)
    rows = [[f"{number % 10}.png", *example[1:]] for number in range(20)]
    for number in range(10):
        Image.new("RGB", (64, 48), (20 * number, 90, 90)).save(folder / f"photos/{number}.png")
    with open(folder / "photos" / "questions.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    (folder / "my_rewards.py").write_text(REWARD)
    with contextlib.chdir(folder):
        exec(compile(DATA, "docs/yours.md", "exec"), {})
    return folder


def test_both_examples_are_short():
    for block in (REWARD, DATA):
        assert len(block.splitlines()) < 30


def test_pictures_and_a_table_become_data(place):
    trained, scored = load_sat(place / "data/photos"), load_cv_bench(place / "data/photos")
    assert (len(trained), len(scored)) == (16, 4)
    assert set(trained["answer"]) == {"a cup"} and set(scored["answer"]) == {"(A)"}
    assert "What is left of the lamp?" in trained[0]["question"]
    seen = {row["images"][0].getpixel((0, 0)) for row in trained}
    assert len(seen) == 8 and not seen & {row["image"].getpixel((0, 0)) for row in scored}


@pytest.mark.slow
def test_a_run_trains_and_is_scored_on_them(place, tiny):
    own = {"train_data": place / "data/photos", "benchmark_data": place / "data/photos"}
    own |= {"rewards": f"accuracy,format,{place / 'my_rewards.py'}:brevity"}
    own |= {"train_rows": 0, "benchmark_rows": 0, "max_steps": 2}
    options = [str(text) for pair in {**tiny, **own}.items() for text in ("-p", *pair)]
    assert training.main([*options, "--run-dir", str(place / "run")]) == 0
    frame = load_rollouts(place / "run").to_pandas()
    assert set(frame["question"].str.contains("left of the lamp")) == {True}
    assert set(frame["brevity_reward"]) == {1.0}, "twenty tokens have fewer than 200 characters"
    header = (place / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "rewards/brevity_reward/mean" in header and header[-1] == "brevity_reward/longest"
    score = read_json(place / "run" / "evals" / "step-000002.json")
    assert score["n"] == 4 and list(score["tasks"]) == ["Own"] and score["official"] is None
