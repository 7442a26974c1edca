"""Styles, phrases and rates: on clear cases, on the hand-labelled set, and on hostile input."""

import json
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtkit.aha.reflection import by_step, first_reflections, per_100_tokens, rates
from vtkit.errors import UserError
from vtkit.judging.phrases import BROAD, LISTS, NARROW, SOURCES, count_words, find_reflections
from vtkit.judging.styles import STYLES, is_html, is_reflective, shares, style
from vtkit.runs.rollout_store import RolloutWriter

LABELS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "judging" / "corpus" / "styles.jsonl")
    .read_text("ascii")
    .splitlines()
]

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
        ("<li> a </li> " * 50, "html"),
        (" It is left." * 30, "repetition"),
        (HUNCH * 20, "repetition"),
        (" It is left. So" + " so" * 60 + HUNCH, "repetition"),
        ("!" * 400, "repetition"),
        ("ha" * 300, "repetition"),
        ("桌子在左边。" * 30, "repetition"),
        ("The answer is left. " * 3, "untagged"),
        (" ".join(f"Chair {n} is by wall {n}." for n in range(40)) + HUNCH, "steps"),
        (" 灯在左边。所以是左。 </think> <answer>left</answer>", "steps"),
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
    [
        *("waiter, please", "await, now", "they wait there", "the checkered floor", "a household"),
        # a plain use
        *("You have to wait, then cross", "Hold on to the rail", "桌子、椅子、台灯等等。"),
        # negated
        *("no need to double-check", "I did not check again", "It needs no second look"),
        *("without re-examining it", "I don't think I need to count them again"),
        *(
            "A second look is not needed",
            "Rather than rechecking, I go on",
            "not once more or again",
        ),
        # quoted
        *(
            'It says "wait, let me check again".',
            "It says 'Wait! Check again!' there",
            "“Hold on!”",
        ),
        # of others
        *("You may want to recheck it", "The user asked to think again", "Always double-check it"),
        "Correct me if I'm wrong",
    ],
)
def test_plain_negated_and_quoted_uses_are_not_reflection(text):
    assert not is_reflective(text)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("No need to check again. Wait, why?", "Wait"),
        ("It says 'wait', hmm, wait, no", "wait"),
        ('It says "again". Let me count again.', "count again"),
        ("I must not forget to double-check", "double-check"),
        ("I'm not sure, so let me look at it once more", "look at it once more"),
        ('That\'s 5" wide, hold on, 6" wide', "hold on"),
        ("It isn't left. That can’t be right.", "That can’t be right"),
        ("两个。不对，重新数一下", "不对"),
    ],
)
def test_what_is_near_a_negation_or_a_quote_may_be_meant(text, phrase):
    start, end = find_reflections(text)[0]
    assert text[start:end] == phrase


def test_in_a_loop_only_what_stands_outside_it_is_reflection():
    loop = " Wait, let me check again." * 30
    assert not is_reflective(loop)
    assert not is_reflective(" It is left." + loop)
    assert is_reflective(" Two. Hmm, that can't be right, one is a bowl." + " So it is 1." * 40)


def test_the_broad_list_counts_plain_words_and_the_narrow_one_does_not():
    for text in ("However the lamp", "it is possible", "Aha", "I check the lamp", "but the chair"):
        assert is_reflective(text, BROAD) and not is_reflective(text)
    assert not is_reflective("a butter knife on a checkered cloth", BROAD)
    assert set(NARROW) < set(BROAD) and BROAD[: len(NARROW)] == NARROW
    assert set(SOURCES) == set(LISTS) and all(SOURCES.values())


def test_spans_point_at_the_phrases():
    spans = find_reflections(LOOK_AGAIN)
    assert [LOOK_AGAIN[start:end] for start, end in spans] == ["Wait", "check again"]


def test_hand_labels_are_a_fair_set():
    assert len(LABELS) >= 400
    assert len({row["id"] for row in LABELS}) == len({row["completion"] for row in LABELS})
    assert set(Counter(row["style"] for row in LABELS)) == set(STYLES)
    assert {row["source"] for row in LABELS} == {"miniature", "qwen-like"}
    assert all(row["why"] for row in LABELS)
    # what is called reflective by style has to be so by its flag; not the other way round
    assert all(row["reflective"] for row in LABELS if row["style"] == "reflective")


@pytest.mark.parametrize("source", ["miniature", "qwen-like", ""])
def test_reflection_agrees_with_the_hand_labels(source):
    rows = [row for row in LABELS if row["source"].startswith(source)]
    outcomes = Counter((row["reflective"], is_reflective(row["completion"])) for row in rows)
    precision = outcomes[True, True] / (outcomes[True, True] + outcomes[False, True])
    recall = outcomes[True, True] / (outcomes[True, True] + outcomes[True, False])
    assert precision >= 0.95 and recall >= 0.92
    assert 2 * precision * recall / (precision + recall) >= 0.95


@pytest.mark.parametrize("name", STYLES)
def test_each_style_agrees_with_the_hand_labels(name):
    found = [style(row["completion"]) == name for row in LABELS]
    labelled = [row["style"] == name for row in LABELS]
    hits = sum(a and b for a, b in zip(found, labelled, strict=True))
    assert hits / sum(found) >= 0.95 and hits / sum(labelled) >= 0.95


HOSTILE = (
    *(
        "the lamp is at b3 and < function  ",
        "<answer>",
        "\n",
        "wait",
        "wait, ",
        "not wait, ",
        " 'a",
    ),
    *(
        "look ",
        "look a b c ",
        '"wait, ',
        "'wait' ",
        "re-",
        "a",
        "<p",
        "{a:",
        "等等",
        "i have just ",
    ),
    *("no ", "wait    ", "that can't ", "\N{RIGHT SINGLE QUOTATION MARK}", "İ ", "\ud800"),
)


@pytest.mark.parametrize("part", HOSTILE)
def test_long_texts_take_linear_time(part):
    text = part * (200_000 // len(part))
    start = time.process_time()
    shares([text])
    is_reflective(text, BROAD)
    assert time.process_time() - start < 5  # a millisecond per 1,000 characters is usual


def test_a_megabyte_of_space_or_one_word_takes_linear_time():
    for text in ("wait" + " " * 1_000_000, "look " + "a" * 1_000_000, "let me" + " " * 1_000_000):
        start = time.process_time()
        shares([text])
        assert time.process_time() - start < 5


def test_a_step_of_completions_is_fast():
    texts = [row["completion"][:1000] for row in LABELS]
    start = time.process_time()
    shares(texts)
    assert time.process_time() - start < 1


@given(st.lists(st.sampled_from([*HOSTILE, *NARROW, " ", ". ", "<div>", LOOK_AGAIN]) | st.text()))
def test_no_text_is_too_odd(parts):
    text = "".join(parts)
    assert style(text) in STYLES
    for phrases in (NARROW, BROAD):
        spans = find_reflections(text, phrases)
        assert spans == sorted(spans)
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert not is_reflective(text, phrases) or (spans and not is_html(text))
    counted = shares([text, HUNCH])
    assert counted["reflection_rate"] == is_reflective(text) / 2


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
        "repetition": (0, 10),
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


def test_phrases_are_counted_in_100_tokens_of_prose():
    frame = make_frame()
    tokens = sum(range(10, 18))  # the last two are markup
    assert per_100_tokens(frame) == pytest.approx(100 * 6 / tokens)
    assert list(by_step(frame)["phrases_per_100_tokens"]) == [
        pytest.approx(100 * 6 / (10 + 11 + 12 + 13)),
        0,
    ]
    assert pd.isna(per_100_tokens(frame.tail(2)))


def test_word_counts_are_those_of_each_list_meant_or_not():
    texts = [" Wait, let me check again. They wait.", "no need to verify", "a waiter, yet"]
    words = {
        name: [count_words(text, phrases) for text in texts] for name, phrases in LISTS.items()
    }
    assert words["visualthinker_count"] == [3, 1, 1]  # wait, check, wait; verify; yet
    assert sum(words["maye"][:2]) == 4 and words["maye"][2] == 1
    assert sum(words["oat_zero"][:2]) == 1 and words["oat_zero"][2] == 0
    assert sum(words["deepseek_r1"][:2]) == 4 and words["deepseek_r1"][2] == 0
    assert all(words["maye"][:2])  # both completions have one


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
