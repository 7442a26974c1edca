"""Exercises that change settings, or name a function, run as they are written."""

import ast
import contextlib

import nbformat
import pytest
from shared.fake_run import write_fake_run

from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import FIELDS
from vtkit.report import plots
from vtkit.runs.records import load_metrics
from vtkit.runs.steps import discover
from vtkit.studies import reward_hacking
from vtkit.training.train import train

REWARD = """\
def brevity(completions, **kwargs):
    return [1 / (1 + len(completion[0]["content"])) for completion in completions]
"""
ELSEWHERE = {"samples", "train_data"}
"""Settings that need no training, or data of one's own, which docs/yours.md's test writes."""


def exercises() -> list[dict]:
    """The settings that the exercises ask for."""
    found = []
    for step in discover():
        text = nbformat.read(step.path, 4).cells[-1].source.partition("## Exercises")[2]
        for at in range(len(text)):
            with contextlib.suppress(ValueError, SyntaxError):
                if text[at] == "{":
                    found.append(ast.literal_eval(text[at : text.index("}", at) + 1]))
    return [one for one in found if set(one) <= set(FIELDS)]


TRAINED = [one for one in exercises() if not set(one) & ELSEWHERE]


def test_exercises_ask_for_settings_that_exist():
    assert len(exercises()) >= 6 and len(TRAINED) >= 4
    assert all(resolve_config(**one) for one in exercises() if "rewards" not in one)


@pytest.mark.slow
@pytest.mark.parametrize("settings", TRAINED, ids=lambda settings: "-".join(settings))
def test_what_an_exercise_asks_for_trains(settings, tiny, tmp_path):
    if "rewards" in settings:
        (tmp_path / "my_rewards.py").write_text(REWARD)
        names = [name.replace("my_", f"{tmp_path}/my_") for name in settings["rewards"]]
        settings = {"rewards": names}
    if "prompts_per_step" in settings:  # tiny has 4 x 4 completions a step
        assert settings["prompts_per_step"] * settings["num_generations"] == 64
        settings = {"num_generations": 2, "prompts_per_step": 8}
    steps = {"max_steps": 1, "eval_steps": 1, "save_steps": 1, "train_rows": 8, "benchmark_rows": 4}
    config = resolve_config(**tiny | steps | settings, run_dir=tmp_path / "run")
    train(config)
    assert list(load_metrics(config.run_dir).index) == [1]


@pytest.mark.slow
def test_the_length_reward_on_top_of_the_sound_one_can_be_recounted(tiny, tmp_path):
    kept = {name: tiny[name] for name in ("model", "train_data", "benchmark_data")}
    run = resolve_config(run_dir=tmp_path, max_completion_length=12, benchmark_rows=4, **kept)
    small = reward_hacking.hacking_config(run, "both", ["accuracy", "format", "length"], 1)
    train(small)
    assert list(reward_hacking.recount(small.run_dir).index) == [1]


def test_two_runs_are_drawn_in_one_figure_1(tmp_path):
    one, other = (write_fake_run(tmp_path / name, steps=6, sft=False) for name in ("a", "b"))
    assert plots.figure_1(one, others=[other]).axes
