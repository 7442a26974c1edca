"""Completions written and labelled by people who never saw the rules: how often do these agree?

Unlike the other files of the corpus these are no target of 100 %: each number is a floor below
what was measured, so that a change that makes the judges worse on text from outside is seen.
"""

import json
from pathlib import Path

import pytest

from vtkit.judging import accuracy_reward, format_reward, is_correct, judge
from vtkit.judging.styles import classify

CORPUS = Path(__file__).parent / "corpus"


def cases(name):
    lines = (CORPUS / f"outside_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [case for case in map(json.loads, lines) if case["sure"]]


def accepted(case):
    """The letters that the judge takes for right; of a case without choices, whether it does."""
    text, choices = case["completion"], case["choices"]
    if not choices:
        gold = case["solution"]
        gold = gold if "<answer>" in gold else f"<answer>{gold}</answer>"
        return bool(judge(text, gold, [], prefilled=False).correct)
    letters = "ABCDEFGHIJ"[: len(choices)]
    return [one for one in letters if is_correct(text, choices, f"({one})")]


def wanted(case):
    return case["right"] if not case["choices"] else [case["label"]] if case["label"] else []


FLOORS = {"n": 0.90, "v": 0.98, "p": 0.97, "t": 0.85, "y": 0.96, "u": 0.94}
"""Shares of agreement by batch (corpus/README.md)."""
MOST_WRONGLY_PAID = {"n": 0, "v": 0, "p": 1, "t": 1, "y": 0, "u": 0}


@pytest.mark.parametrize("batch", FLOORS)
def test_answers_of_others(batch):
    found = [case for case in cases("answers") if case["id"].startswith(batch)]
    right = [case for case in found if accepted(case) == wanted(case)]
    assert len(found) >= 170 and len(right) >= FLOORS[batch] * len(found)
    paid = [
        case["id"]
        for case in found
        if case not in right and accepted(case) and accepted(case) != wanted(case)
    ]
    assert len(paid) <= MOST_WRONGLY_PAID[batch], paid


def paid(case):
    completion, choices = [case["completion"]], [case["choices"]]
    accuracy = accuracy_reward(completion, [case["solution"]], choices)[0]
    return accuracy, format_reward(completion)[0]


def test_rewards_of_others():
    found = cases("rewards")
    right = sum(paid(case) == (case["accuracy"], case["format"]) for case in found)
    assert right >= 0.96 * len(found)


def test_no_hack_of_others_is_paid():
    hacks = [case for case in cases("rewards") if case["hack"]]
    wrong = [case["id"] for case in hacks if paid(case)[0] > case["accuracy"]]
    assert len(hacks) > 220 and not wrong, wrong


STYLES = {"s": 0.94, "w": 0.94, "x": 0.93}
RECALLS = {"s": 0.82, "w": 0.82, "x": 0.80}


@pytest.mark.parametrize("batch", RECALLS)
def test_reflection_of_others(batch):
    found = [case for case in cases("styles") if case["id"].startswith(batch)]
    said = {case["id"]: classify(case["completion"]) for case in found}
    true = sum(said[case["id"]][1] and case["reflective"] for case in found)
    assert true >= 0.96 * sum(reflective for _, reflective in said.values())
    assert true >= RECALLS[batch] * sum(case["reflective"] for case in found)
    assert sum(said[case["id"]][0] == case["style"] for case in found) >= STYLES[batch] * len(found)
