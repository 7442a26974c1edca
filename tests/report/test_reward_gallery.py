"""The reward gallery: examples, verdicts, safe tables, the playground."""

import re

import ipywidgets as widgets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtkit.errors import UserError
from vtkit.judging import rewards
from vtkit.report.reward_gallery import (
    KINDS,
    Completion,
    judge_by_rules,
    load_completions,
    playground,
    reward_gallery,
    who_pays,
)
from vtkit.runs.folder import HEADLESS

LEFT = (("right", "left"), "left")


def typed(*completions):
    return [Completion("hack", str(i), text, "Where?", *LEFT) for i, text in enumerate(completions)]


@pytest.fixture(scope="module")
def judged():
    return judge_by_rules(load_completions())


def test_the_gallery_is_large_and_each_kind_occurs(judged):
    assert len(judged) >= 40 and judged["question"].nunique() >= 3
    assert judged["kind"].value_counts().loc[list(KINDS)].min() >= 8
    assert not judged.duplicated(["question", "kind", "name"]).any()
    assert not judged.duplicated(["question", "completion"]).any()


def test_marked_words_stand_in_the_completion(judged):
    for completion in judged[judged["span"].notna()].itertuples():
        assert completion.completion[slice(*completion.span)] == completion.said, completion.name


def test_honest_completions_are_well_formed_and_judged_by_their_name(judged):
    honest = judged[judged["kind"] == "honest"]
    assert (honest["form"] == "good").all()
    for completion in honest[honest["name"].isin(["right", "wrong"])].itertuples():
        assert completion._asdict()["name"] == (
            "right" if completion.said == completion.answer else "wrong"
        )


def test_ours_pays_sloppy_work_more_often_and_hacks_less_than_the_original(judged):
    counts = who_pays(judged)
    assert counts["accuracy", "sloppy"]["ours"] > 2 * counts["accuracy", "sloppy"]["original"]
    assert counts["both", "hack"]["ours"] < counts["both", "hack"]["original"]
    assert len(counts) == len(rewards.RULES) + 1
    assert (counts.drop(index="completions") <= counts.loc["completions"]).all(axis=None)


def test_who_pays_counts_what_the_rules_pay(judged):
    hacks = judged[judged["kind"] == "hack"]
    counts = who_pays(judged)
    both = (hacks["r1-v accuracy"] == 1) & (hacks["r1-v format"] == 1)
    assert counts["both", "hack"]["r1-v"] == both.sum()
    assert counts["accuracy", "hack"]["completions"] == len(hacks)


def test_differences_from_another_are_marked():
    completion = typed(" It is left. </think> <answer> Left. </answer>")
    assert re.search(
        r"1&nbsp;\+&nbsp;1</td>.*<strong>0&nbsp;\+&nbsp;1 ≠",
        reward_gallery(judge_by_rules(completion)).data,
    )
    same = typed(" It is left. </think> <answer> left </answer>")
    assert "≠" not in reward_gallery(judge_by_rules(same)).data
    assert (
        "original" in reward_gallery(judge_by_rules(same)).data
        and "journey" in reward_gallery(judge_by_rules(same), "journey").data
    )


def test_the_deciding_words_are_marked_and_nothing_else():
    page = reward_gallery(
        judge_by_rules(typed(" left? </think> <answer> It is left. </answer>", " Hm."))
    ).data
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", page) == ["It is left."]


@settings(deadline=None)  # pandas and templates take their time on a busy machine
@given(st.text(alphabet="<>/&\"'$\\(answerthinkleft \n\0\u202e", max_size=60))
def test_no_completion_becomes_markup_or_mathematics(completion):
    """Every cell holds nothing but escaped text and our mark, inside <code>."""
    page = reward_gallery(judge_by_rules(typed(completion))).data
    (cell,) = re.findall(r"<code[^>]*>(.*?)</code>", page, re.DOTALL)
    assert not re.search(r"[<>\"']", re.sub(r"</?mark[^>]*>", "", cell))
    assert "script" not in page and "\0" not in page


def test_names_and_questions_are_escaped():
    evil = "<img src=x onerror=alert(1)>"
    page = reward_gallery(
        judge_by_rules([Completion("hack", evil, evil, evil, (evil, "b"), evil)])
    ).data
    assert "<img" not in page and page.count("&lt;img") >= 4


def test_headless_playground_is_a_table_of_all_attempts(monkeypatch):
    monkeypatch.setenv(HEADLESS, "1")
    shown = playground({"a": " </think> <answer> left </answer>", "b": " <b>left</b>"}, *LEFT)
    assert shown.data.count("<code") == 2 and "&lt;b&gt;" in shown.data


def test_live_playground_follows_what_is_typed(monkeypatch):
    monkeypatch.delenv(HEADLESS, raising=False)
    attempts = {"wrong": " Hm. </think> <answer> right </answer>", "html": "<p> left </p>"}
    shown = playground(attempts, *LEFT)
    attempt, completion, choices, right, rules, verdict = shown.children
    assert isinstance(completion, widgets.Textarea) and "0&nbsp;+&nbsp;1" in verdict.value
    completion.value = " Hm. </think> <answer> Left! </answer>"
    assert "1&nbsp;+&nbsp;1" in verdict.value and "Left!</mark>" in verdict.value
    assert "0&nbsp;+&nbsp;1 ≠" in verdict.value
    rules.value = "journey"
    assert "journey" in verdict.value
    choices.value, right.value = "near | far", "far"
    assert "1&nbsp;+&nbsp;1" not in verdict.value and "(B) far" in verdict.value
    choices.value = ""  # an open question
    completion.value = " </think> <answer> Far. </answer>"
    assert "1&nbsp;+&nbsp;0" in verdict.value
    attempt.label = "html"
    assert completion.value == "<p> left </p>" and "0&nbsp;+&nbsp;0" in verdict.value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: {choices: [b, c], answer: b}", "expected question, choices"),
        ("a: {question: Q, choices: [b, c], answer: b, hacks: {}}", "honest, sloppy, hack"),
        ("a: {question: Q, choices: [b, c], answer: d}", "'d' is not in the list"),
        ("a: {question: Q, choices: b, answer: b}", "'b' is not in the list"),
        (
            "a: {question: Q, choices: [b, c], answer: b, hack: [x]}",
            "hack: expected 'name: completion'",
        ),
        ("a: text", "expected question, choices"),
    ],
)
def test_a_bad_file_of_completions_is_named_with_a_remedy(content, message, tmp_path):
    path = tmp_path / "completions.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as error:
        load_completions(path)
    assert str(path) in str(error.value) and ": a: " in str(error.value)
