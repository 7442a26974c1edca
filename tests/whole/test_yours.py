"""docs/yours.md: its four examples run as they are written, together, and end in a scored run."""

import contextlib
import csv
import json
import re
import shutil

import pytest
from PIL import Image

from vtkit.benchmark import __main__ as benchmark
from vtkit.config import reasons, recipes
from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.sat import load_sat
from vtkit.files import ROOT, read_json
from vtkit.runs.rollouts import load_rollouts
from vtkit.training import __main__ as training

PAGE = (ROOT / "docs" / "yours.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
REWARD, DATA, BENCHMARK = [text for kind, text in BLOCKS if kind == "python"]
(TABLE,) = [text.splitlines() for kind, text in BLOCKS if not kind]
(RECIPE,) = [text for kind, text in BLOCKS if kind == "yaml"]
(QUESTION,) = [text for kind, text in BLOCKS if kind == "json"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the page was followed: photos and rooms with their tables, a reward."""
    folder = tmp_path_factory.mktemp("yours")
    for name in ("photos", "rooms"):
        (folder / name).mkdir()
    header, example = csv.reader(TABLE)
    rows = [[f"{number % 10}.png", *example[1:]] for number in range(20)]
    for number in range(10):
        Image.new("RGB", (64, 48), (20 * number, 90, 90)).save(folder / f"photos/{number}.png")
    with open(folder / "photos" / "questions.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    Image.new("RGB", (64, 48), "brown").save(folder / "rooms/7.jpg")
    other = json.loads(QUESTION) | {"answer": "A", "skill": "naming"}
    (folder / "rooms/questions.jsonl").write_text(QUESTION + json.dumps(other))
    (folder / "my_rewards.py").write_text(REWARD)
    with contextlib.chdir(folder):
        for block in (DATA, BENCHMARK):
            exec(compile(block, "docs/yours.md", "exec"), {})
    return folder


@pytest.fixture
def recipe(place, tmp_path, monkeypatch):
    """The name of the page's recipe, among the kit's own; its paths are those of the folder."""
    configs = tmp_path / "configs"
    shutil.copytree(recipes.CONFIGS, configs)
    text = RECIPE.replace("data/photos", str(place / "data/photos"))
    text = text.replace("my_rewards.py", str(place / "my_rewards.py"))
    (configs / "recipes" / "mine.yaml").write_text(text)
    for module in (recipes, reasons):
        monkeypatch.setattr(module, "CONFIGS", configs)
    return "mine"


def test_all_examples_are_short():
    for block in (REWARD, DATA, RECIPE, BENCHMARK):
        assert len(block.splitlines()) < 30


def test_pictures_and_a_table_become_data(place):
    trained, scored = load_sat(place / "data/photos"), load_cv_bench(place / "data/photos")
    assert (len(trained), len(scored)) == (16, 4)
    assert set(trained["answer"]) == {"a cup"} and set(scored["answer"]) == {"(A)"}
    assert "What is left of the lamp?" in trained[0]["question"]
    seen = {row["images"][0].getpixel((0, 0)) for row in trained}
    assert len(seen) == 8 and not seen & {row["image"].getpixel((0, 0)) for row in scored}


def test_a_table_becomes_a_benchmark(place):
    first, second = load_cv_bench(place / "data/rooms")
    assert (first["task"], first["answer"]) == ("counting", "(B)")
    assert (second["task"], second["answer"]) == ("naming", "(A)")
    assert first["prompt"].startswith("How many chairs are there?") and first["source"] == "rooms"


def test_a_recipe_sets_what_it_says_at_its_scale(recipe, place):
    large, small = (recipes.resolve_config(recipe, profile) for profile in ("gpu24", "mini"))
    assert (large.max_steps, large.learning_rate) == (300, 2e-5)
    parent = recipes.resolve_config("visualthinker", "gpu24")
    assert large.learning_rate == 2 * parent.learning_rate, "as its comment says"
    assert (small.max_steps, small.loss_type) == (100, "dr_grpo"), "as in visualthinker"
    for config in (large, small):
        assert config.train_data == config.benchmark_data == str(place / "data/photos")
        assert config.rewards[-1].endswith("my_rewards.py:brevity")
    assert reasons.find_reasons(recipe, "gpu24")["learning_rate"].startswith("a first guess")


@pytest.mark.slow
def test_a_run_trains_and_is_scored_on_them(place, recipe, tiny, capsys):
    left_to_the_recipe = {"train_data", "train_rows", "benchmark_data", "benchmark_rows"}
    own = {name: value for name, value in tiny.items() if name not in left_to_the_recipe}
    options = [str(text) for pair in {**own, "max_steps": 2}.items() for text in ("-p", *pair)]
    run = ["--recipe", recipe, "--run-dir", str(place / "run")]
    assert training.main([*options, *run]) == 0
    frame = load_rollouts(place / "run").to_pandas()
    assert set(frame["question"].str.contains("left of the lamp")) == {True}
    assert set(frame["brevity_reward"]) == {1.0}, "twenty tokens have fewer than 200 characters"
    header = (place / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "rewards/brevity_reward/mean" in header and header[-1] == "brevity_reward/longest"
    score = read_json(place / "run" / "evals" / "step-000002.json")
    assert score["n"] == 4 and list(score["tasks"]) == ["Own"] and score["official"] is None

    checkpoint = str(place / "run" / "checkpoints" / "checkpoint-2")
    scores = ["--data", str(place / "data/rooms"), "--out", str(place / "scores")]
    capsys.readouterr()
    assert benchmark.main(["--model", checkpoint, *scores, "--max-new-tokens", "20"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^counting +\d", shown, re.MULTILINE) and "guessing scores 33.3%" in shown
    assert read_json(place / "scores" / "step-000002.json")["n"] == 2
