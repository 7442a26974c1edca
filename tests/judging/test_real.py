"""Replies with the structure of real models' (corpus/README.md), case by case."""

import json
from pathlib import Path

import pytest

from vtkit.judging import find_answer, is_correct, is_reflective, style

LINES = (Path(__file__).parent / "corpus" / "real.jsonl").read_text(encoding="utf-8").splitlines()
CASES = [json.loads(line) for line in LINES]
ANSWERS = [case for case in CASES if "answer" in case and case["expected"] != "ambiguous"]


def name(case):
    return case["id"]


def test_the_cases_are_many_and_of_both_sorts():
    assert len({case["id"] for case in CASES}) == len(CASES) >= 400
    right = sum(case["expected"] for case in ANSWERS) / len(ANSWERS)
    assert 0.4 < right < 0.7, "a judge that always or never says right would look good"


@pytest.mark.parametrize("case", [case for case in ANSWERS if "open" not in case], ids=name)
def test_a_reply_is_right_if_a_careful_reader_says_so(case):
    assert is_correct(case["completion"], case["choices"], case["answer"]) is case["expected"], (
        find_answer(case["completion"], case["choices"], prefilled=False)
    )


def test_what_is_still_missed_is_never_a_false_positive():
    missed = [case for case in ANSWERS if "open" in case]
    assert missed and all(case["expected"] for case in missed)
    for case in missed:
        assert not is_correct(case["completion"], case["choices"], case["answer"]), case["id"]


@pytest.mark.parametrize("case", [c for c in CASES if c["kind"] == "reflection"], ids=name)
def test_a_second_look_is_the_writer_s_own(case):
    assert is_reflective(case["completion"]) is case["expected"]


@pytest.mark.parametrize("case", [c for c in CASES if c["kind"] == "style"], ids=name)
def test_prose_about_functions_is_no_script(case):
    assert style(case["completion"]) == case["expected"]
