"""Do scorer and rewards agree with careful humans on the labelled corpus (corpus/README.md)?"""

import json
from pathlib import Path

import pytest

from vtkit.judging import accuracy_reward, format_reward, is_correct, published

CORPUS = Path(__file__).parent / "corpus"


def cases(name):
    lines = (CORPUS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def letters(case):
    return [f"({letter})" for letter in "ABCDEFGH"[: len(case["choices"])]]


def scored(case, judge=is_correct):
    """The letters that a judge takes for right, out of all that could be."""
    return [one for one in letters(case) if judge(case["completion"], case["choices"], one)]


def paid(case):
    completion, choices = [case["completion"]], [case["choices"]]
    accuracy = accuracy_reward(completion, [case["solution"]], choices)[0]
    return accuracy, format_reward(completion)[0]


SCORER, REWARDS = cases("scorer"), cases("rewards")


def test_the_corpus_is_what_its_readme_says():
    assert len(SCORER) + len(REWARDS) >= 300
    for case in SCORER + REWARDS:
        assert case["completion"] is not None and case["why"] and case["family"]
    assert len({case["id"] for case in SCORER + REWARDS}) == len(SCORER + REWARDS)
    assert all(case["label"] is None or f"({case['label']})" in letters(case) for case in SCORER)
    answered = sum(case["label"] is not None for case in SCORER) / len(SCORER)
    assert 0.4 < answered < 0.7, "a judge that always or never finds an answer would look good"


def test_the_scorer_agrees_with_humans():
    sure = [case for case in SCORER if case["sure"]]
    wrong = [
        case["id"]
        for case in sure
        if scored(case) != ([f"({case['label']})"] if case["label"] else [])
    ]
    assert len(wrong) <= 0.01 * len(sure), wrong


def test_the_rewards_agree_with_humans():
    sure = [case for case in REWARDS if case["sure"]]
    wrong = [case["id"] for case in sure if paid(case) != (case["accuracy"], case["format"])]
    assert len(wrong) <= 0.01 * len(sure), wrong


@pytest.mark.parametrize(
    "case", [c for c in SCORER if c["hack"] and c["sure"]], ids=lambda c: c["id"]
)
def test_no_hack_is_scored(case):
    assert scored(case) in ([], [f"({case['label']})"])


@pytest.mark.parametrize(
    "case", [c for c in REWARDS if c["hack"] and c["sure"]], ids=lambda c: c["id"]
)
def test_no_hack_is_paid(case):
    accuracy, form = paid(case)
    assert accuracy <= case["accuracy"] and form <= case["format"]


def test_the_original_agrees_less():
    """Else this corpus would show nothing: published rules fail on what it was made of."""
    sure = [case for case in SCORER if case["sure"]][::4]
    right = [scored(c, published.is_correct) == [f"({c['label']})"] for c in sure if c["label"]]
    assert 0.3 < sum(right) / len(right) < 0.95
