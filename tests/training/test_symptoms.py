"""Symptoms of a training: each provoked by a run of seconds, and each threshold by made-up rows."""

import math
import re

import pytest
from shared.fake_run import write_fake_run

from vtkit.config.recipes import resolve_config
from vtkit.files import ROOT
from vtkit.report.summary import result_table, summarize, write_report
from vtkit.runs.replay import kept_records, unpacked
from vtkit.training.symptoms import RULES, Course, Symptom, find_symptoms
from vtkit.training.train import train

REWARDS = """
def one(completions, **_):
    return [1.0 for _ in completions]

def nothing(completions, **_):
    return [0.0 for _ in completions]

def brevity(completions, **_):
    return [-1000.0 * len(one[0]["content"]) for one in completions]
"""
# What provokes it, and the symptoms that must follow; others may.
RUNS = {
    "all are paid the same, for three tokens": (
        {"rewards": ["mine:one"], "max_completion_length": 3, "max_steps": 5},
        {"all-rewards-equal", "everything-cut-off"},
    ),
    "huge steps, with a KL term": (
        {"learning_rate": 0.1, "beta": 0.04},
        {"kl-exploding", "entropy-collapsed", "length-at-the-cap"},
    ),
    "hot": (
        {"temperature": 3.0, "max_steps": 6},
        {"entropy-too-high", "format-never-met"},
    ),
    "length is paid": (
        {"rewards": ["length"], "learning_rate": 5e-3},
        {"length-at-the-cap", "reward-hacked"},
    ),
    "brevity is paid, in thousands": (
        {"rewards": ["mine:brevity"], "learning_rate": 5e-3},
        {"gradient-exploding", "empty-completions"},
    ),
    "one reward never pays, and a loss of 0": (
        {"rewards": ["accuracy", "mine:nothing"], "loss_type": "grpo", "max_steps": 5},
        {"reward-never-paid", "loss-printed-as-0"},
    ),
    "a coin pays, in large steps": (
        {"rewards": ["random"], "learning_rate": 1e-2},
        {"benchmark-fell"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "expected"), RUNS.values(), ids=RUNS)
def test_a_run_has_them(changes, expected, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VTKIT_HEADLESS", "1")
    (tmp_path / "mine.py").write_text(REWARDS)
    settings = {
        **tiny, "max_steps": 10, "save_steps": 99, "prompts_per_step": 8, "num_generations": 8,
        "per_device_batch_size": 64, "max_completion_length": 12, "benchmark_rows": 0,
        "eval_steps": 10, "eval_batch_size": 32, **changes,
    }  # fmt: skip
    if names := changes.get("rewards"):
        settings["rewards"] = [one.replace("mine", str(tmp_path / "mine.py")) for one in names]
    train(resolve_config(run_dir=tmp_path / "run", **settings))
    found = find_symptoms(tmp_path / "run")
    with capsys.disabled():
        print(found)
    assert expected <= {symptom.name for symptom in found}
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "Cause: " in line] == [str(symptom) for symptom in found]
