"""A run paid by a reward of one's own: shown like the others, stopped in one line, resumed."""

import contextlib
import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from shared.records import write_manifest

from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import save_config
from vtkit.files import read_json
from vtkit.report.groups import Groups
from vtkit.report.summary import summarize
from vtkit.report.tables import metrics_table, training_table
from vtkit.runs.folder import HEADLESS
from vtkit.runs.manifest import changed_rewards, file_hashes, note_rewards
from vtkit.runs.rollouts import load_rollouts
from vtkit.training import __main__ as training
from vtkit.training.exact_resume import exactness
from vtkit.training.model_card import card
from vtkit.training.train import train, train_or_launch

SOUND = """
from vtkit.judging.rewards import completion_texts

def brevity(completions, log_metric, trainer_state, **kwargs):
    texts = completion_texts(completions)
    log_metric("short", sum(len(text) < 40 for text in texts) / len(texts))
    return [None if "</think>" not in text else 1 / (1 + len(text)) for text in texts]
"""
FAILING = SOUND.replace("    return", "    assert trainer_state.global_step < 3, 'no'\n    return")


def rows(run_dir: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run_dir / "metrics.csv").open()))


@pytest.fixture(scope="module")
def own(tiny, tmp_path_factory):
    """``unbroken``; ``broken``: failed in step 4, then resumed with the file corrected."""
    folder = tmp_path_factory.mktemp("own")
    rewards = folder / "mine.py"
    settings = {**tiny, "rewards": f"accuracy,format,{rewards}:brevity", "max_steps": 5}
    options = [str(text) for pair in settings.items() for text in ("-p", *pair)]

    def run(name: str, text: str, log: str) -> int:
        rewards.write_text(text)
        with (
            pytest.MonkeyPatch.context() as patch,
            open(folder / log, "w") as out,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            patch.setenv(HEADLESS, "1")
            return training.main([*options, "--run-dir", str(folder / name)])

    assert run("unbroken", SOUND, "unbroken.log") == 0
    assert run("broken", FAILING, "failed.log") == 2
    shutil.copytree(folder / "broken", folder / "stopped")
    assert run("broken", SOUND, "resumed.log") == 0
    return folder


@pytest.mark.slow
def test_it_is_in_metrics_rollouts_and_tables_like_the_others(own):
    run_dir = own / "unbroken"
    frame = load_rollouts(run_dir).to_pandas()
    without = ~frame["completion"].str.contains("</think>")
    assert frame["brevity_reward"].isna().equals(without) and 0 < without.sum() < len(frame)
    total = frame[["accuracy_reward", "format_reward", "brevity_reward"]].sum(axis=1)
    np.testing.assert_allclose(frame["reward"], total)
    for row in rows(run_dir):
        step = frame[frame["step"] == int(row["step"])]
        mean = step["brevity_reward"].mean()
        assert float(row["rewards/brevity_reward/mean"]) == pytest.approx(mean, rel=1e-5)
        assert float(row["reward"]) == pytest.approx(step["reward"].mean(), rel=1e-5)
        assert 0 <= float(row["brevity_reward/short"]) <= 1
        group = step.groupby("group")["reward"].transform("mean")
        np.testing.assert_allclose(step["advantage"], step["reward"] - group, atol=1e-6)
    assert metrics_table(run_dir)[0][:5] == ["step", "reward", "accuracy", "format", "brevity"]
    assert "brevity reward" in [row[0] for row in training_table(run_dir)[1]]
    summary = summarize(run_dir)["rewards"]["brevity"]
    assert 0 < summary["start"] < 1 and 0 < summary["end"] < 1
    samples = [one for group in Groups(run_dir).read(1) for one in group["samples"]]
    assert any("brevity" in sample["rewards"] for sample in samples)


@pytest.mark.slow
def test_a_failing_reward_is_one_line_and_leaves_whole_steps(own):
    lines = [line for line in (own / "failed.log").read_text().splitlines() if "error" in line]
    assert lines == [
        f"error: rewards: {own / 'mine.py'}:brevity, line 7, at step 4: AssertionError: no; fix "
        f"{own / 'mine.py'} and run again: training resumes from its last checkpoint"
    ]
    assert "Traceback" not in (own / "failed.log").read_text()
    stopped = own / "stopped"
    assert [row["step"] for row in rows(stopped)] == ["1", "2", "3"]
    assert load_rollouts(stopped).steps == [1, 2, 3] and not list(stopped.rglob("*.part"))


@pytest.mark.slow
def test_resumed_with_the_file_corrected_it_ends_the_same_and_says_what_changed(own):
    """The correction changes no value, so everything but the manifest is that of the other."""
    metrics = [(own / name / "metrics.csv").read_bytes() for name in ("unbroken", "broken")]
    assert metrics[0] == metrics[1]
    weights = "checkpoints/checkpoint-5/model.safetensors"
    assert (own / "unbroken" / weights).read_bytes() == (own / "broken" / weights).read_bytes()
    name = str(own / "mine.py")
    said = f"resume is not exact: {name} was changed after step 2: another version paid the steps"
    assert said in (own / "resumed.log").read_text()
    assert "exact resume: " in (own / "unbroken.log").read_text()
    versions = read_json(own / "broken" / "manifest.json")["rewards"][name]
    assert [one["after_step"] for one in versions] == [0, 2]
    (first,) = read_json(own / "unbroken" / "manifest.json")["rewards"][name]
    assert first["sha256"] == versions[1]["sha256"] != versions[0]["sha256"]


@pytest.mark.slow
def test_a_finished_run_stays_and_says_that_the_file_has_changed(own, tiny, capsys):
    path = own / "mine.py"
    settings = {**tiny, "rewards": f"accuracy,format,{path}:brevity", "max_steps": 5}
    config = resolve_config(run_dir=own / "unbroken", **settings)
    before = (own / "unbroken" / "metrics.csv").read_bytes()
    for text, changed in ((SOUND, 0), (SOUND + "\n", 1), ("broken(", 1)):
        path.write_text(text)
        train(config)
        train_or_launch(config)
        said = f"{path} has changed since: this run was paid by the version before"
        assert capsys.readouterr().out.count(said) == 2 * changed
    path.unlink()
    train(config)
    assert "has changed since" in capsys.readouterr().out
    assert (own / "unbroken" / "metrics.csv").read_bytes() == before


# --------------------------------------------------------------------------------------- parts


def test_versions_are_noted_by_the_steps_that_they_paid(tmp_path):
    path = tmp_path / "mine.py"
    config = resolve_config(run_dir=tmp_path / "run", rewards=f"accuracy,{path}:f")
    write_manifest(tmp_path / "run")

    def noted(text, step):
        path.write_text(text)
        return [one["after_step"] for one in note_rewards(config, step)[str(path)]]

    assert noted("a", 0) == [0]
    assert noted("b", 0) == [0]  # nothing was trained with the first
    assert exactness(config, rewards=note_rewards(config, 0))["exact"]
    assert noted("b", 4) == [0]
    assert noted("c", 4) == [0, 4]
    assert noted("b", 4) == [0], "back to what paid the first four"
    assert noted("c", 4) == noted("c", 6) == [0, 4]
    found = exactness(config, rewards=note_rewards(config, 6))
    assert not found["exact"] and "was changed after step 4" in found["reason"]
    assert changed_rewards(config) == [] and noted("c", 8) == [0, 4]
    path.write_text("d")
    assert changed_rewards(config) == [str(path)]
    (hashed,) = [entry for name, entry in file_hashes(config, {}).items() if name == str(path)]
    assert hashed["bytes"] == 1


def test_runs_without_files_have_no_notes(tmp_path):
    config = resolve_config(run_dir=tmp_path)
    assert note_rewards(config, 3) == {} and changed_rewards(config) == []
    assert list(tmp_path.iterdir()) == []


def test_a_model_card_does_not_tell_where_the_file_lies(tmp_path):
    rewards = f"accuracy,{tmp_path}/mine.py:brevity"
    config = resolve_config(run_dir=tmp_path / "run", rewards=rewards)
    save_config(config, tmp_path / "run" / "config.yaml")
    text = card(config)
    assert "- mine.py:brevity" in text and str(tmp_path) not in text
