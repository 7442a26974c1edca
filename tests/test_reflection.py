"""Styles, phrases and rates, on completions whose label is not in doubt."""

import time

import pandas as pd
import pytest

from vtkit.errors import UserError
from vtkit.reflection import (
    BROAD,
    NARROW,
    STYLES,
    by_step,
    find_reflections,
    first_reflections,
    is_reflective,
    rates,
    shares,
    style,
)
from vtkit.rollouts import RolloutWriter

HUNCH = " It looks like left. </think> <answer> left </answer>"
STEPS = " The lamp is at b3. The chair is at c1. So it is left. </think> <answer> left </answer>"
LOOK_AGAIN = (
    " It looks like left. Wait, let me check again. The lamp is at b3."
    " So it is right. </think> <answer> right </answer>"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HUNCH, "direct"),
        ("<think>" + HUNCH, "direct"),
        (" </think><answer>3</answer>", "direct"),
        ("</think> <ANSWER>left</ANSWER>", "direct"),
        (STEPS, "steps"),
        ("First look\nthen count\n</think><answer>2</answer>", "steps"),
        (" About 3.5 m away. </think> <answer> lamp </answer>", "direct"),
        (" It is a<b and x < 3. </think> <answer> left </answer>", "direct"),
        (" I love it <3. </think> <answer> left </answer>", "direct"),
        (LOOK_AGAIN, "reflective"),
        ("But wait! I can think of something else. </think><answer>A</answer>", "reflective"),
        (" People wait at the stop. </think> <answer> bus </answer>", "direct"),
        (" It looks like left.", "untagged"),
        ("left", "untagged"),
        ("", "untagged"),
        ("Wait, let me check again. The lamp is", "untagged"),
        ("<answer> left", "untagged"),
        ("</answer> left <answer>", "untagged"),
        ('<html><body><div class="main">', "html"),
        ('<div class="a', "html"),
        ("text </div>", "html"),
        ("<!DOCTYPE html>", "html"),
        ("<p>The chair</p>", "html"),
        ("<a href='x'>", "html"),
        ("answer <p", "html"),
        ("<table", "html"),
        ("<script>alert(1)</script>", "html"),
        ("body { color: red; }", "html"),
        ("function add(a, b) { return", "html"),
        ("one&nbsp;two", "html"),
        ("</think> <answer> left </answer></body></html>", "html"),
        ("<div> wait, let me check again </div>", "html"),
    ],
)
def test_style(text, expected):
    assert style(text) == expected
    assert expected in STYLES


@pytest.mark.parametrize(
    "text",
    [
        "Wait, that is wrong",
        "hmm, wait. The",
        "WAIT! no",
        "Wait… is it",
        "Let me check  again",
        "let me re-check this",
        "I recheck",
        "re check it",
        "rechecking",
        "double check",
        "I double-checked",
        "we rethink",
        "Reconsidering,",
        "verify again",
        "On second thoughts",
        "hold on",
        "let me look again",
        "I recount",
    ],
)
def test_narrow_phrases_are_found(text):
    assert is_reflective(text)
    assert is_reflective(text, BROAD)


@pytest.mark.parametrize(
    "text",
    ["waiter, please", "await, now", "they wait there", "the checkered floor", "a household onion"],
)
def test_parts_of_words_and_plain_uses_are_not_reflection(text):
    assert not is_reflective(text)


def test_the_broad_list_counts_plain_words_and_the_narrow_one_does_not():
    for text in ("However the lamp", "it is possible", "Aha", "I check the lamp", "but the chair"):
        assert is_reflective(text, BROAD) and not is_reflective(text)
    assert not is_reflective("a butter knife on a checkered cloth", BROAD)
    assert set(NARROW) < set(BROAD)


def test_spans_point_at_the_phrases():
    spans = find_reflections(LOOK_AGAIN)
    assert [LOOK_AGAIN[start:end] for start, end in spans] == ["Wait", "check again"]


def test_a_step_of_long_texts_is_fast():
    texts = ["the lamp is at b3 and < function  " * 200] * 64 + ["<answer>" * 2000, "\n" * 9000]
    start = time.perf_counter()
    shares(texts)
    assert time.perf_counter() - start < 2


def test_shares():
    numbers = shares([HUNCH, LOOK_AGAIN, "<div>", "Wait, cut off here"])
    assert numbers == {"html_share": 0.25, "reflection_rate": 0.5, "direct_share": 0.25}


def make_frame():
    """Ten completions: of three that reflect two are right, of seven others one is."""
    texts = [LOOK_AGAIN] * 3 + [HUNCH] * 5 + ["<div>"] * 2
    right = [1.0, 1.0, 0.0, 1.0] + [0.0] * 6
    return pd.DataFrame(
        {
            "step": [1] * 4 + [2] * 6,
            "task": ["Count"] * 3 + ["Depth"] * 7,
            "completion": texts,
            "accuracy_reward": right,
            "tokens": range(10, 20),
            "finished": True,
        }
    )


def test_rates_condition_on_the_right_counts():
    numbers = rates(make_frame())
    expected = {
        "reflect": (3 / 10, 10),
        "reflect_given_right": (2 / 3, 3),
        "reflect_given_wrong": (1 / 7, 7),
        "right_given_reflect": (2 / 3, 3),
        "right_given_none": (1 / 7, 7),
        "right": (3 / 10, 10),
        "html": (2 / 10, 10),
        "direct": (5 / 10, 10),
        "untagged": (0, 10),
        "steps": (0, 10),
    }
    assert {name: (p["value"], p["n"]) for name, p in numbers.items()} == expected
    assert all(p["low"] <= p["value"] <= p["high"] for p in numbers.values())


def test_rates_by_task_and_without_data():
    table = rates(make_frame(), by="task")
    assert list(table.columns) == ["task", "rate", "value", "low", "high", "n"]
    found = table.set_index(["task", "rate"])["value"]
    assert found["Count", "right_given_reflect"] == pytest.approx(2 / 3)
    assert pd.isna(found["Depth", "right_given_reflect"])
    assert rates(make_frame().head(0))["reflect"] == {"value": None, "low": 0, "high": 1, "n": 0}


def test_rates_of_an_evaluation_use_its_correct_column():
    frame = make_frame().drop(columns="accuracy_reward").assign(correct=True)
    assert rates(frame)["right"]["value"] == 1
    with pytest.raises(UserError, match="accuracy_reward"):
        rates(frame.drop(columns="correct"))


def test_by_step():
    table = by_step(make_frame())
    assert list(table.index) == [1, 2]
    assert list(table["n"]) == [4, 6]
    assert list(table["reflection_rate"]) == [0.75, 0.0]
    assert table.loc[1, "mean_length_right"] == pytest.approx((10 + 11 + 13) / 3)
    assert pd.isna(table.loc[2, "mean_length_right"])
    assert table.loc[2, "html_share_low"] < 2 / 6 < table.loc[2, "html_share_high"]


def test_first_reflections_are_one_a_step_in_stored_order(tmp_path):
    writer = RolloutWriter(tmp_path / "rollouts")
    for step, texts in enumerate([[HUNCH], [HUNCH, LOOK_AGAIN], [LOOK_AGAIN] * 2, [LOOK_AGAIN]], 1):
        writer.write(step, [_rollout(sample, text) for sample, text in enumerate(texts)])
    first = first_reflections(tmp_path, n=2)
    assert list(first["step"]) == [2, 3]
    assert list(first["sample"]) == [1, 0]
    assert first_reflections(tmp_path, n=9)["step"].tolist() == [2, 3, 4]


def _rollout(sample, text):
    return {
        "prompt_id": 0,
        "group": 0,
        "sample": sample,
        "task": "Count",
        "question": "How many?",
        "choices": ["1", "2"],
        "solution": "<answer>1</answer>",
        "completion": text,
        "tokens": 3,
        "finished": True,
        "reward": 1.0,
        "accuracy_reward": 0.0,
        "format_reward": 1.0,
        "advantage": 0.0,
    }
