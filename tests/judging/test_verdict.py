"""One verdict for rewards, benchmark and records: does it agree with each of its parts?"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtkit.errors import UserError
from vtkit.judging import (
    STYLES,
    accuracy_reward,
    check_format,
    find_answer,
    format_reward,
    is_correct,
    is_html,
    is_reflective,
    judge,
    style,
)
from vtkit.judging.answers import FOUND_BY, RULES
from vtkit.judging.verdict import FORMAT_VERDICTS, answer_index, right_choice, unpayable

SIDES = ["right", "left"]
GOOD = " It looks like left. </think> <answer> left </answer>"
CORPUS = {
    path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for path in (Path(__file__).parent / "corpus").glob("*.jsonl")
}
PIECES = [*"<>/ \n", "<think>", "</think>", "<answer>", "</answer>", "left", "(B)", "wait, ", "<p>"]


def test_a_verdict_in_full():
    verdict = judge(GOOD, "<answer>left</answer>", SIDES)
    assert GOOD[slice(*verdict.span)] == verdict.answer == "left"
    assert verdict[2:] == ("block", 1, True, "good", "direct", False)
    assert verdict.why == "answer 'left' (block): right; format: good"
    assert judge("<html>", "left", SIDES).why == "no answer (html): wrong; format: tags"
    assert "none of the choices" in judge(GOOD, "up", SIDES).why


def test_solutions_are_texts_tasks_and_positions():
    for solution in ("left", "(B)", "<answer> B </answer>", "The correct answer is left.", 1):
        assert judge(GOOD, solution, SIDES).correct is True
        assert judge(GOOD.replace("<answer> left", "<answer> A"), solution, SIDES).correct is False
    assert judge(GOOD, "up", SIDES).correct is None, "none of the choices"
    assert judge(GOOD, "Left").correct is True and judge(GOOD, "leftmost", None).correct is False
    assert judge(" x </think> <answer>(44 - 19)</answer>", "25 from 44, 19").correct is True
    assert right_choice("left", SIDES) == 1 and right_choice("up", SIDES) is None
    assert answer_index("(A)") == 0 and answer_index("d") == 3


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_the_parts_of_a_verdict_agree_on_the_corpus(name):
    for case in CORPUS[name]:
        text, choices = case["completion"], case.get("choices") or []
        solution = case.get("solution", "left")
        verdict = judge(text, solution, choices)
        answer = find_answer(text, choices)
        found = (verdict.choice, verdict.answer, verdict.span, verdict.rule)
        assert found == answer
        assert accuracy_reward([text], [solution], [choices]) == [float(verdict.correct is True)]
        assert format_reward([text]) == [float(verdict.format == "good")]
        assert verdict.style == style(text) and verdict.reflective == is_reflective(text)
        for letter in "ABCDEFGH"[: len(choices)]:
            right = judge(text, answer_index(letter), choices, prefilled=False).correct
            assert right == is_correct(text, choices, f"({letter})")


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=9), max_size=20).map("".join),
    st.text(max_size=20) | st.integers(0, 3),
    st.lists(st.text(max_size=9), max_size=4) | st.none(),
    st.booleans(),
)
def test_no_completion_is_too_strange(completion, solution, choices, prefilled):
    verdict = judge(completion, solution, choices, prefilled=prefilled)
    assert verdict.correct in (True, False, None)
    assert verdict.rule in RULES and verdict.style in STYLES and verdict.format in FORMAT_VERDICTS
    assert verdict.format == check_format(completion, prefilled=prefilled)
    assert type(verdict.reflective) is bool and not (verdict.reflective and is_html(completion))
    assert (verdict.span is None) == (verdict.answer is None)
    assert not verdict.correct or verdict.rule in FOUND_BY
    if isinstance(solution, str):
        options = {"choices": [choices], "prefilled": prefilled}
        assert accuracy_reward([completion], [solution], **options) == [verdict.correct is True]


def test_html_has_one_definition():
    """Text that the extractor calls html is html to the styles, too."""
    cases = [case for name in CORPUS for case in CORPUS[name]]
    for case in cases:
        verdict = judge(case["completion"], "left", case.get("choices"))
        assert verdict.rule != "html" or is_html(case["completion"])
    labels = {case["completion"]: case["style"] == "html" for case in CORPUS["styles"]}
    wrong = [text for text, label in labels.items() if is_html(text) != label]
    assert len(wrong) <= 0.01 * len(labels), wrong
    assert judge("chair<br>lamp<br/>table", "lamp", ["lamp", "cup"]).rule == "html"
    assert judge("<CONCLUSION>right</CONCLUSION>", "right", SIDES, prefilled=False).correct


def test_choices_may_be_an_array_and_a_wrong_letter_is_named():
    text = "</think> <answer> left </answer>"
    assert is_correct(text, np.array(["left", "right"]), "(A)", prefilled=True)
    for answer in ("left", "", "(AB)", "[B]", "2"):
        with pytest.raises(UserError, match="expected a letter"):
            is_correct(text, ["left", "right"], answer, prefilled=True)


def test_without_a_solution_nothing_is_paid():
    with pytest.raises(TypeError, match="solution: expected text"):
        accuracy_reward(["</think> <answer> left </answer>"], [None])
    assert judge("</think> <answer> left </answer>", 0).correct is False


@pytest.mark.parametrize("blank", ["\u2800", "\u3164", "\u200b", "\xa0", ""])
def test_a_block_with_nothing_to_see_is_empty(blank):
    assert check_format(f"{blank}</think> <answer>left</answer>") == "empty"
    assert check_format(f" x </think> <answer>{blank}</answer>") == "empty"


def test_what_no_honest_answer_could_be_paid_for_is_named():
    assert unpayable("left", SIDES) is unpayable(1, SIDES) is unpayable("7 cm") is None
    assert unpayable("up", SIDES) == "is not among the choices"
    assert unpayable(0, ["2", "3", "2"]).startswith("cannot be told from another choice by the an")
    assert unpayable(0, ["B", "A"]) and not unpayable(0, ["A", "B"])
