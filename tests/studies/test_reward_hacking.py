"""Small runs that farm a reward: their settings, recounts, verdicts, and the figure."""

import json
from pathlib import Path

import pytest
from PIL import Image
from shared.fake_run import cut_short
from shared.records import write_manifest, write_score

from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import save_config
from vtkit.judging.rewards import get_rewards
from vtkit.runs.records import load_evaluations
from vtkit.runs.replay import replay, replay_of
from vtkit.runs.rollout_store import RolloutWriter
from vtkit.studies import reward_hacking

RIGHT, WRONG = (f" Hm. </think> <answer> {word} </answer>" for word in ("left", "right"))


def write_run(config, share_right, paid, tokens, steps=12):
    """A run folder with rollouts of which ``share_right(step)`` are right."""
    n = config.prompts_per_step * config.num_generations
    writer = RolloutWriter(f"{config.run_dir}/rollouts")
    for step in range(1, steps + 1):
        right = round(share_right(step) * n)
        rows = [
            {
                "prompt_id": 0, "group": i // 8, "sample": i % 8, "task": "other", "question": "?",
                "choices": ["right", "left"], "solution": "<answer>left</answer>",
                "completion": RIGHT if i < right else WRONG, "tokens": tokens(step),
                "finished": tokens(step) < config.max_completion_length,
                "reward": paid(step), "advantage": 0.0,
            }
            for i in range(n)
        ]  # fmt: skip
        writer.write(step, rows)
    save_config(config, f"{config.run_dir}/config.yaml")
    for step, right in ((0, 30), (steps, round(100 * share_right(steps)))):
        write_score(f"{config.run_dir}/evals", step, right)
    with open(f"{config.run_dir}/metrics.csv", "w") as handle:
        handle.write(f"step,loss\n{steps},0.1\n")
    return config.run_dir


@pytest.fixture
def run(tmp_path):
    return resolve_config("visualthinker", "mini", run_dir=tmp_path, lab_steps=0)


@pytest.fixture
def folders(run):
    """A sound run that learns, and one that is paid for length and unlearns."""
    sound, length = (
        reward_hacking.hacking_config(run, name, reward_hacking.REWARDS_TO_HACK[name], 12)
        for name in ("sound", "length")
    )
    write_run(
        sound, lambda step: 0.9 if step > 3 else 0.4, lambda step: 0.5 + step / 12, lambda _: 20
    )
    write_run(
        length,
        lambda step: 0.4 if step < 3 else 0,
        lambda step: 0.01 * step,
        lambda step: 10 * step + 8,
    )
    return reward_hacking.trained(run)


def test_the_small_runs_are_the_miniature_whatever_the_run_is(tmp_path):
    big = resolve_config("visualthinker", "gpu80", seed=3, run_dir=tmp_path)
    small = reward_hacking.hacking_config(big, "length", ["length"], 7)
    assert (small.profile, small.model, small.seed) == ("mini", "models/mini-base", 3)
    assert (small.rewards, small.max_steps, small.eval_steps) == (["length"], 7, 7)
    assert small.run_dir == f"{tmp_path}/laboratory/length-7"


def test_other_steps_have_other_folders(folders, run):
    assert all(folder.endswith("-12") for folder in folders.values())
    assert reward_hacking.trained(run.replace(lab_steps=12)) == folders
    assert reward_hacking.trained(run.replace(lab_steps=20)) == {}


def test_a_miniature_run_lends_its_files_and_limits(tmp_path):
    mine = {
        "train_data": "x",
        "benchmark_data": "y",
        "max_completion_length": 20,
        "benchmark_rows": 8,
    }
    run = resolve_config("visualthinker", "mini", run_dir=tmp_path, max_steps=3, **mine)
    small = reward_hacking.hacking_config(run, "sound", reward_hacking.REWARDS_TO_HACK["sound"], 5)
    assert {name: getattr(small, name) for name in mine} == mine
    assert small.max_steps == 5


def test_every_farm_has_known_rewards_and_a_look():
    for name, rewards in reward_hacking.REWARDS_TO_HACK.items():
        config = resolve_config("visualthinker", "mini", rewards=rewards)
        get_rewards(config.rewards, config.reward_rules)
        assert name in reward_hacking._LOOKS


def test_a_run_is_judged_again_whatever_it_was_paid_for(folders):
    table = reward_hacking.recount(folders["length"])
    assert list(table.index) == list(range(1, 13))
    assert table["accuracy"].iloc[0] == pytest.approx(0.4, abs=0.02)
    assert table["accuracy"].iloc[-1] == 0 and (table["guessing"] == 0.5).all()
    assert table["paid"].iloc[-1] == pytest.approx(0.12 / 0.128)
    assert table["cut"].iloc[-1] == 1 and table["cut"].iloc[0] == 0
    assert reward_hacking.recount(folders["sound"])["paid"].iloc[-1] == pytest.approx(1.5 / 2)


def test_verdicts_are_read_off_the_numbers(folders):
    table = reward_hacking.results(folders)
    assert table.loc["sound", "verdict"] == "pay rose; better than guessing"
    assert table.loc["length", "verdict"] == "pay rose; worse than guessing"
    assert table.loc["length", "cut off"] == "0% → 10%"
    assert table.loc["sound", "benchmark"] == "30% → 90% [83, 94]"
    assert json.dumps(table.to_dict())  # plain text, for a notebook


def test_a_run_that_does_nothing_is_called_so(run):
    idle = reward_hacking.hacking_config(run, "format", ["format"], 2)
    write_run(idle, lambda _: 0.5, lambda _: 1.0, lambda _: 20, steps=2)
    table = reward_hacking.results(reward_hacking.trained(run))
    assert list(table["verdict"]) == ["pay did not rise; no better than guessing"]


def test_a_run_that_was_stopped_is_not_scored(run):
    stopped = reward_hacking.hacking_config(
        run, "sound", reward_hacking.REWARDS_TO_HACK["sound"], 3
    )
    folder = write_run(stopped, lambda _: 0.5, lambda _: 1.0, lambda _: 20, steps=3)
    (Path(folder) / "evals" / "step-000003.json").unlink()
    assert list(reward_hacking.results(reward_hacking.trained(run))["verdict"]) == [
        "pay did not rise; not scored"
    ]


def test_the_figure_is_saved_and_names_its_lines(folders, run):
    figure = reward_hacking.figure(run.run_dir, folders)
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert words.count("sound") == words.count("length") == 3
    assert "guessing" in words and "limit" in words
    with Image.open(f"{run.run_dir}/figures/laboratory.png") as image:
        assert min(image.size) > 300


def test_a_run_of_one_step_can_be_drawn(run):
    one = reward_hacking.hacking_config(run, "sound", reward_hacking.REWARDS_TO_HACK["sound"], 1)
    write_run(one, lambda _: 0.5, lambda _: 1.0, lambda _: 20, steps=1)
    assert reward_hacking.figure(run.run_dir, reward_hacking.trained(run)).axes


@pytest.fixture
def said(monkeypatch):
    """The banners that are shown."""
    texts = []
    monkeypatch.setattr(reward_hacking, "banner", lambda text, alarm: texts.append(text))
    return texts


def test_own_runs_are_shown_and_an_unfinished_one_is_named(folders, run, said):
    cut_short(Path(folders["length"]), planned=40)
    Path(folders["length"], "metrics.csv").write_text("step,loss\n12,0.1\n")
    assert reward_hacking.open_runs(run) == folders
    assert len(said) == 1 and said[0].startswith("Unfinished: length has 12 of 40 steps")


def test_where_none_was_trained_kept_ones_are_replayed_under_a_banner(run, said):
    folders = reward_hacking.open_runs(run)
    assert set(folders) == set(reward_hacking.REWARDS_TO_HACK)
    assert "Replay: results/laboratory has committed runs of 40 steps" in said[0]
    for folder in folders.values():
        assert len(reward_hacking.recount(folder)) == reward_hacking.KEPT_STEPS
        assert replay_of(folder).startswith("results/laboratory/")
    assert reward_hacking.figure(run.run_dir, folders).axes
    verdicts = reward_hacking.results(folders)["verdict"]
    assert verdicts["sound"] == "pay rose; better than guessing"
    assert all(text.startswith("pay rose") for text in verdicts)
    assert reward_hacking.open_runs(run) == folders  # a replay is no run of one's own


def test_small_runs_are_kept_with_all_that_is_shown_of_them(folders, run, tmp_path, monkeypatch):
    for folder in folders.values():
        write_manifest(folder)
        Path(folder, "metrics.csv").write_text("step,loss\n12,0.1\n")
    monkeypatch.setattr(reward_hacking, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(reward_hacking, "resolve_config", lambda **_: run)
    monkeypatch.setattr(reward_hacking, "train_missing", lambda *_: None)
    for kept in reward_hacking.keep_runs():
        again, own = replay(kept, tmp_path / "again" / kept.name), folders[kept.name[:-3]]
        assert reward_hacking.recount(again).equals(reward_hacking.recount(own))
        assert load_evaluations(again) == load_evaluations(own)
