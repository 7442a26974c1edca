"""Symptoms of a training: each provoked by a run of seconds, and each threshold by made-up rows."""

import math
import re
from collections import Counter
from types import SimpleNamespace

import pandas as pd
import pytest
from pyarrow.parquet import read_table
from shared.fake_run import write_fake_run

from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import RunConfig, save_config
from vtkit.files import ROOT
from vtkit.report.summary import result_table, summarize, write_report
from vtkit.runs.replay import kept_records, unpacked
from vtkit.training.callbacks import MetricsLog, Symptoms
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
SCORED = {"benchmark_rows": 0, "eval_batch_size": 32, "eval_max_new_tokens": 16}
RUNS = {
    "all are paid the same, for three tokens": (
        {"rewards": ["mine:one"], "max_completion_length": 3, "max_steps": 5},
        {"all-rewards-equal", "everything-cut-off"},
    ),
    "huge steps, with a KL term": (
        {"learning_rate": 0.1, "beta": 0.04, **SCORED},
        {"kl-exploding", "entropy-collapsed", "length-at-the-cap", "benchmark-fell"},
    ),
    "hot": (
        {"temperature": 3.0, "max_steps": 6},
        {"entropy-too-high", "format-never-met"},
    ),
    "length is paid": (
        {"rewards": ["length"], "learning_rate": 5e-3, **SCORED},
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
}


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "expected"), RUNS.values(), ids=RUNS)
def test_a_run_has_them(changes, expected, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VTKIT_HEADLESS", "1")
    (tmp_path / "mine.py").write_text(REWARDS)
    settings = {
        **tiny, "max_steps": 10, "save_steps": 99, "prompts_per_step": 8, "num_generations": 8,
        "per_device_batch_size": 64, "max_completion_length": 12, "benchmark_rows": 4,
        "eval_steps": 99, "eval_max_new_tokens": 4, **changes,
    }  # fmt: skip
    if names := changes.get("rewards"):
        settings["rewards"] = [one.replace("mine", str(tmp_path / "mine.py")) for one in names]
    train(resolve_config(run_dir=tmp_path / "run", **settings))
    found = find_symptoms(tmp_path / "run")
    assert expected <= {symptom.name for symptom in found}
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "Cause: " in line] == [str(symptom) for symptom in found]


# --------------------------------------------------------------------------- thresholds

HEALTHY = {
    "reward": 1.0, "reward_std": 0.5, "rewards/accuracy_reward/mean": 0.4,
    "rewards/format_reward/mean": 0.6, "completions/mean_length": 30.0,
    "completions/clipped_ratio": 0.01, "entropy": 0.5, "kl": 0.1, "frac_reward_zero_std": 0.5,
    "loss": 0.004, "grad_norm": 0.06,
}  # fmt: skip
ACCURACY, FORMAT = "rewards/accuracy_reward/mean", "rewards/format_reward/mean"
CUT, LENGTH = "completions/clipped_ratio", "completions/mean_length"
# The rows that just have a symptom, and some that just have not: a number for each of five steps
# or more, or one for all.
LIMITS = {
    "all-rewards-equal": (
        {"frac_reward_zero_std": 1},
        [{"frac_reward_zero_std": [1, 1, 0.875, 1, 1]}, {"frac_reward_zero_std": [1] * 4}],
    ),
    "everything-cut-off": ({CUT: 0.9}, [{CUT: [0.89] + [1] * 4}, {CUT: [1, 1, 0.89, 1, 1]}]),
    "length-at-the-cap": (
        {CUT: [0.1] * 5 + [0.5] * 5},
        [{CUT: [0.1] * 5 + [0.49] * 5}, {CUT: [0.17] + [0.35] * 9}, {CUT: [0] + [1] * 5}],
    ),
    "format-never-met": ({FORMAT: 0}, [{FORMAT: [0.015625, 0, 0, 0, 0]}, {FORMAT: [0] * 4}]),
    "reward-never-paid": (
        {ACCURACY: 0},
        [{ACCURACY: [0, 0, 0, 0, 0.015625]}, {ACCURACY: 0, "reward": 0}],
    ),
    "kl-exploding": ({"kl": 1.01}, [{"kl": [50, 50, 1, 50, 50]}]),
    "entropy-collapsed": ({"entropy": 0.0099}, [{"entropy": [0.0, 0.0, 0.0, 0.0, 0.05]}]),
    "entropy-too-high": (
        {"entropy": [0.5] * 2 + [1.5] * 5},
        [{"entropy": [0.5] * 2 + [1.49] * 5}, {"entropy": [1.2] * 2 + [3.5] * 5}],
    ),
    "gradient-exploding": ({"grad_norm": [1, 101, 101, 101, 1]}, [{"grad_norm": 100}]),
    "empty-completions": ({LENGTH: 1.5}, [{LENGTH: [1, 1, 1, 1, 1.51]}]),
    "loss-printed-as-0": (
        {"loss": [4.9e-4, -4.9e-4, 0, 0, 0]},
        [
            {"loss": [0, 0, 0, 0, 5e-4]},
            {"loss": 0, "grad_norm": 0},
            {"loss": 0, "frac_reward_zero_std": [0.5, 0.5, 1, 0.5, 0.5]},
        ],
    ),
}


def score(step: int, value: float, margin: float = 0.05) -> dict:
    return {
        "step": step,
        "accuracy": {"value": value, "low": value - margin, "high": value + margin},
    }


def follow(changes: dict, scores=(), **settings) -> list[Symptom]:
    """The symptoms of a healthy run of eight groups of eight with other numbers."""
    sizes = {"prompts_per_step": 8, "num_generations": 8, "max_grad_norm": 1.0}
    course = Course(resolve_config(**sizes | settings))
    lists = {name: cells for name, cells in changes.items() if isinstance(cells, list)}
    for place in range(max(map(len, lists.values()), default=5)):
        row = HEALTHY | changes | {name: cells[place] for name, cells in lists.items()}
        course.add({"step": place + 1, **row}, scores)
    return list(course.found.values())


def names(symptoms: list[Symptom]) -> set[str]:
    return {symptom.name for symptom in symptoms}


def test_a_healthy_run_has_none():
    assert follow({}) == [] == follow({"kl": "", "reward": 1.0, "loss": math.nan})
    only = {"loss": [0.0] * 9, **{name: "" for name in HEALTHY if name != "loss"}}
    assert follow(only) == []  # a supervised run
    assert follow({"reward": 1e308, "kl": math.inf}) == []


@pytest.mark.parametrize("name", LIMITS)
def test_each_has_its_limit(name):
    having, others = LIMITS[name]
    found = {symptom.name: symptom for symptom in follow(having)}
    steps = max((len(cells) for cells in having.values() if isinstance(cells, list)), default=5)
    assert found[name].step == steps
    for other in others:
        assert name not in names(follow(other)), other


@pytest.mark.parametrize(
    ("rewards", "last", "expected"),
    [
        ([1.0] * 5 + [1.16] * 5, 0.39, {"reward-hacked"}),
        ([1.0] * 5 + [1.15] * 5, 0.39, {"benchmark-fell"}),  # below four standard errors
        ([1.0] * 10, 0.39, {"benchmark-fell"}),
        ([1.0] * 5 + [1.5] * 5, 0.4, set()),  # the intervals meet
        ([1.0] * 9, 0.2, set()),  # not scored yet
    ],
)
def test_pay_and_benchmark_are_compared_where_it_is_scored(rewards, last, expected):
    assert names(follow({"reward": rewards}, [score(0, 0.5), score(10, last)])) == expected


def test_what_is_not_paid_is_not_missed():
    assert not follow({FORMAT: 0}, rewards=["accuracy"])
    assert names(follow({ACCURACY: 0, FORMAT: 0})) == {"format-never-met", "reward-never-paid"}
    assert not follow({"grad_norm": 1e6}, max_grad_norm=0.0)


def test_small_steps_wait_for_as_many_groups_and_completions():
    few = {"prompts_per_step": 2, "num_generations": 4, "per_device_batch_size": 8}
    equal, untagged = [1.0] * 20, [0.0] * 38
    (symptom,) = follow({"frac_reward_zero_std": equal}, **few)
    assert (symptom.step, symptom.seen) == (20, "in all groups of 20 steps, mean reward 1.00")
    assert not follow({"frac_reward_zero_std": equal[1:]}, **few)
    (symptom,) = follow({FORMAT: untagged}, **few)
    assert (symptom.step, symptom.seen) == (38, "format_reward is 0 in 304 completions")
    assert not follow({FORMAT: untagged[1:]}, **few)


def test_each_is_said_once_with_numbers_cause_remedy_and_link():
    (symptom,) = follow({"frac_reward_zero_std": 1, "reward": 0.0, "loss": 0.1})
    _, cause, remedy = RULES["all-rewards-equal"]
    assert str(symptom) == (
        "step 5, all rewards equal: in all groups of 5 steps, mean reward 0.00. "
        f"Cause: {cause}. Remedy: {remedy}. See docs/faq.md#all-rewards-equal"
    )


# --------------------------------------------------------------------------- where they are told


FAQ = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")


def test_the_faq_explains_each():
    titles = re.findall(r"(?m)^### (.+)$", FAQ)
    assert [title.lower().replace(" ", "-") for title in titles] == list(RULES)
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in RULES)


def kept_symptoms() -> tuple[int, dict[str, Counter]]:
    """How many runs are kept, and how many of each entry have a symptom, by its name."""
    found, runs = {name: Counter() for name in RULES}, 0
    for path in sorted(ROOT.glob("results/**/runs.json")):
        table = read_table(path.with_name("metrics.parquet")).to_pylist()
        records = kept_records(path.parent)
        for run, files in records.items():
            evals = [files[name] for name in sorted(files) if name.startswith("evals/step-")]
            scores = [record for record in evals if "accuracy" in record]
            course = Course(RunConfig(**files["config.yaml"]))
            for row in table:
                if (row["run"], row["file"]) == (run, "metrics.csv"):
                    cells = {k: v or "" for k, v in row.items() if k not in ("run", "file")}
                    course.add(cells, scores)
            for name in course.found:
                found[name][f"{path.parent.name}/{run.rpartition('-')[0]}"] += 1
        runs += len(records)
    return runs, found


def test_the_faq_tells_which_kept_runs_have_any():
    runs, found = kept_symptoms()
    assert f"the {runs} runs in `results/`" in FAQ
    rows = [
        f"| {name.replace('-', ' ')} | {entries.total()} | "
        f"{', '.join(f'{entry} {n}' for entry, n in entries.items())} |"
        for name, entries in found.items()
        if entries
    ]
    assert rows == [line for line in FAQ.splitlines() if re.match(r"\| [a-z].* \| \d+ \|", line)]
    assert not any(
        entry.startswith("reference/") for entries in found.values() for entry in entries
    )


def test_the_main_run_read_as_a_folder_has_none():
    assert (
        find_symptoms(unpacked(ROOT / "results/reference/visualthinker-mini-s0", rows=False)) == []
    )


def test_reports_repeat_them(tmp_path, monkeypatch):
    monkeypatch.setattr("vtkit.report.summary._FIGURES", [])
    run_dir = write_fake_run(tmp_path, steps=12)
    assert summarize(run_dir)["symptoms"] == {} and "Cause: " not in result_table(run_dir)
    none = write_report(run_dir).read_text()
    assert "<li>none of those that docs/faq.md explains</li>" in none
    metrics = pd.read_csv(run_dir / "metrics.csv").assign(frac_reward_zero_std=1.0)
    metrics.to_csv(run_dir / "metrics.csv", index=False)
    (symptom,) = find_symptoms(run_dir)
    assert summarize(run_dir)["symptoms"] == {"all-rewards-equal": 5}
    assert f"NOTE: {symptom}\n" in result_table(run_dir)
    assert f"<li>{symptom}</li>" in write_report(run_dir).read_text()


def test_a_folder_that_was_not_trained_has_none(tmp_path):
    save_config(resolve_config(), tmp_path / "config.yaml")
    assert find_symptoms(tmp_path) == []


def test_resumed_it_does_not_repeat_itself(tmp_path, capsys):
    """Of rows read back, symptoms are known; a later one is printed."""
    config = resolve_config(prompts_per_step=8, num_generations=8)
    log, state = MetricsLog(tmp_path), SimpleNamespace(global_step=6, is_world_process_zero=True)
    log.rows = [{"step": str(step), "kl": "9.0", "entropy": "0.5"} for step in range(1, 7)]
    watch = Symptoms(config, log, tmp_path / "evals")
    watch.on_train_begin(None, state, None)
    for step in range(7, 12):
        state.global_step = step
        log.rows.append({"step": str(step), "kl": "9.0", "entropy": "0.0"})
        watch.on_log(None, state, None, logs={"loss": 0.1})
    watch.on_log(None, state, None, logs={"train_runtime": 3.0})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("step 11, entropy collapsed: entropy 0.0000 nats a token, 0.50 at the")
