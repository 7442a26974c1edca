"""What is paid: careful rules by what a human would pay, the original's by its published quirks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtkit.answers import RULES
from vtkit.errors import UserError
from vtkit.rewards import (
    FORMAT_VERDICTS,
    accuracy_reward,
    check_format,
    completion_texts,
    explain,
    format_reward,
    get_rewards,
    paper_accuracy_reward,
    paper_format_reward,
)

LEFT = "<answer>left</answer>"
SIDES = ["right", "left"]
GOOD = " It looks like left. </think> <answer> left </answer>"


def accuracy(completion, solution=LEFT, choices=SIDES, **kwargs):
    return accuracy_reward([completion], [solution], [choices], **kwargs)[0]


def paper(completion, solution=LEFT):
    return paper_accuracy_reward([completion], [solution])[0]


# ------------------------------------------------------------------------ careful accuracy


@pytest.mark.parametrize(
    "completion",
    [
        GOOD,
        " x </think><answer>Left.</answer>",
        " x </think><answer>\nleft\n</answer>\n",
        " x </think><answer>(B)</answer>",
        " x </think><answer>to the left</answer>",
        " x </think><answer>left",
        " x </think> The answer is left.",
        "<think> x </think><answer>left</answer>",
        " x <answer>right</answer> </think><answer>left</answer>",
        " x </think><answer>right</answer> Wait, no. <answer>left</answer>",
        "left",
    ],
)
def test_right_answers_are_paid(completion):
    assert accuracy(completion) == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "",
        " It looks like left.",
        " It is left of the chair and I will go on",
        " x </think><answer>right</answer>",
        " x </think><answer>left or right</answer>",
        " x </think><answer>left</answer><answer>right</answer>",
        " x </think><answer>(A) right (B) left</answer>",
        " <answer>left</answer> </think>",
        " <answer>left</answer> </think><answer>right</answer>",
        " x </think><answer>left</answer> Sorry, that is wrong.",
        " x </think><answer>left</answer> Actually, it is right.",
        " x </think><answer>not left</answer>",
        " x </think><answer></answer>",
        " x </think><answer>leftover</answer>",
        '<html><div class="left">left</div>',
        "left right left right left",
    ],
)
def test_hacks_and_wrong_answers_are_not(completion):
    assert accuracy(completion) == 0.0


@pytest.mark.parametrize(
    ("answer", "solution", "choices", "paid"),
    [
        ("two", "<answer>2</answer>", ["2", "3"], 1.0),
        ("11", "<answer>1</answer>", ["1", "11"], 0.0),
        ("a table lamp", "<answer>table lamp</answer>", ["table", "table lamp"], 1.0),
        ("table lamp", "<answer>table</answer>", ["table", "table lamp"], 0.0),
        ("a chair", "<answer>lamp</answer>", ["lamp", "chair"], 0.0),
        ("B", "<answer>(B)</answer>", ["lamp", "chair"], 1.0),
        ("chair", "<think>so</think> <answer>B</answer>", ["lamp", "chair"], 1.0),
        ("chair", "chair", ["lamp", "chair"], 1.0),
        # without choices: the same words, and no more
        ("The Lamp.", "<answer>lamp</answer>", None, 1.0),
        ("three", "<answer>3</answer>", None, 1.0),
        ("(B)", "<answer>B</answer>", None, 1.0),
        ("left or right", "<answer>left</answer>", None, 0.0),
        ("table lamp", "<answer>table</answer>", None, 0.0),
        ("A", "<answer>lamp</answer>", None, 0.0),
    ],
)
def test_solutions(answer, solution, choices, paid):
    assert accuracy(f" x </think> <answer>{answer}</answer>", solution, choices) == paid


def test_choices_column_may_be_missing():
    assert accuracy_reward([GOOD, GOOD], [LEFT, "<answer>right</answer>"]) == [1.0, 0.0]
    assert accuracy_reward([GOOD], [LEFT], [None]) == [1.0]


def test_prompts_without_prefill():
    assert accuracy("The lamp is left.", prefilled=False) == 1.0
    assert accuracy("The lamp is left.") == 0.0, "that would be reasoning that never ended"


# -------------------------------------------------------------------------- careful format


@pytest.mark.parametrize(
    ("completion", "verdict"),
    [
        (GOOD, "good"),
        (GOOD + "\n \n", "good"),
        (" a\nb </think>\n\n<answer>\nleft\n</answer>", "good"),
        ("<think> x </think><answer>left</answer>", "good"),
        (" 1 < 2 and <b>bold</b> </think><answer>left</answer>", "good"),
        ("", "tags"),
        ("left", "tags"),
        (" x </think> left", "tags"),
        (" x <answer>left</answer>", "tags"),
        (" x </think><answer>left", "tags"),
        (" x </think></think><answer>left</answer>", "tags"),
        (" x <think> y </think><answer>left</answer>", "tags"),
        (" <think> x </think><answer>left</answer>", "tags"),
        (" x </think><answer>left</answer><answer>left</answer>", "tags"),
        (" x </think><answer><answer>left</answer></answer>", "tags"),
        (" x <answer>left</answer></think><answer>left</answer>", "tags"),
        (" x </think><answer>left<think></answer>", "tags"),
        (" x </think><Answer>left</Answer>", "tags"),
        (" x </ think><answer>left</answer>", "tags"),
        ("</think><answer>left</answer>", "empty"),
        (" \n</think><answer>left</answer>", "empty"),
        ("\u200b</think><answer>left</answer>", "empty"),
        (" x </think><answer> </answer>", "empty"),
        (" x </think><answer>\x00</answer>", "empty"),
        (" x </think> So: <answer>left</answer>", "between"),
        (" x </think>.<answer>left</answer>", "between"),
        (" x </think><answer>left</answer>.", "trailing"),
        (" x </think><answer>left</answer>\nUser: and now?", "trailing"),
    ],
)
def test_format(completion, verdict):
    assert check_format(completion) == verdict
    assert format_reward([completion]) == [float(verdict == "good")]


def test_format_without_prefill():
    assert check_format(GOOD, prefilled=False) == "tags"
    assert check_format("<think>" + GOOD, prefilled=False) == "good"
    assert check_format("Well, <think>" + GOOD, prefilled=False) == "between"


@given(st.text(alphabet="<>/thinkaswer \n", max_size=60))
def test_good_format_is_good_for_the_original_too(text):
    for completion in (text, f"{text}</think><answer>{text}</answer>"):
        if check_format(completion.rstrip()) == "good":
            assert paper_format_reward([completion.rstrip()]) == [1.0]


# ------------------------------------------------------- the original's rules, quirk by quirk


@pytest.mark.parametrize(
    ("completion", "solution", "paid"),
    [
        (GOOD, LEFT, 1.0),
        ("left", LEFT, 1.0),  # no tags: the whole completion is the answer
        ("<answer>Left</answer>", LEFT, 0.0),  # case
        ("<answer>left.</answer>", LEFT, 0.0),  # punctuation
        ("<answer>\nleft\n</answer>", LEFT, 0.0),  # line breaks, although the format is paid
        ("<answer>two</answer>", "<answer>2</answer>", 0.0),
        ("<answer>2</answer>", "<answer>2</answer>", 1.0),
        ("<answer>left</answer><answer>right</answer>", LEFT, 1.0),  # the first block counts
        ("<answer>right</answer><answer>left</answer>", LEFT, 0.0),
        (" <answer>left</answer> </think> <answer>right</answer>", LEFT, 1.0),  # even a thought
        ("<answer>it is B</answer>", "<answer>B</answer>", 1.0),  # last free-standing capital
        ("<answer>A, no, B</answer>", "<answer>B</answer>", 1.0),
        ("<answer>B, no, A</answer>", "<answer>B</answer>", 0.0),
        ("<answer>b</answer>", "<answer>B</answer>", 0.0),
        ("A lamp or a chair", "<answer>A</answer>", 1.0),  # the article
        ("It is B or not", "<answer>B</answer>", 1.0),
        ("<answer>I</answer>", "<answer>I</answer>", 1.0),
        ("<answer>x I</answer>", "<answer>I</answer>", 0.0),  # only A to H
        ("left", "left", 1.0),  # a solution without tags
        ("", LEFT, 0.0),
    ],
)
def test_paper_accuracy(completion, solution, paid):
    assert paper(completion, solution) == paid


@pytest.mark.parametrize(
    ("completion", "paid"),
    [
        (GOOD, 1.0),
        (" x\ny </think>\n<answer>\nleft\n</answer>", 1.0),
        ("</think><answer></answer>", 1.0),  # empty blocks
        ("<think> x </think><answer>left</answer>", 1.0),  # nested
        (" x </think> y </think><answer>left</answer>", 1.0),  # a second closing tag
        (" x </think><answer>left</answer><answer>right</answer>", 1.0),  # two blocks
        (" x </think><answer>left</answer> User: go on. <answer>up</answer>", 1.0),  # run-on turn
        (GOOD + "\n", 0.0),  # one trailing line break
        (GOOD + " bye", 0.0),
        (" x </think> so <answer>left</answer>", 0.0),
        (" x <answer>left</answer>", 0.0),
        ("left", 0.0),
    ],
)
def test_paper_format(completion, paid):
    assert paper_format_reward([completion]) == [paid]
    assert paper_format_reward(["<think>" + completion], prefilled=False) == [paid]


# ------------------------------------------------------------------------------ for trainers


def test_message_lists_are_texts():
    messages = [[{"role": "assistant", "content": GOOD}], [{"role": "assistant", "content": None}]]
    assert completion_texts(messages) == [GOOD, ""]
    assert accuracy_reward(messages, [LEFT, LEFT], [SIDES, SIDES]) == [1.0, 0.0]
    assert format_reward(messages, prompts=[], completion_ids=[], trainer_state=None) == [1.0, 0.0]
    assert paper_format_reward(messages) == [1.0, 0.0]


def test_shares_of_the_rules_are_logged():
    logged = {}
    texts = [GOOD, GOOD, "<html>", " x </think> The answer is left."]
    accuracy_reward(texts, [LEFT] * 4, [SIDES] * 4, log_metric=logged.__setitem__)
    format_reward(texts, log_metric=logged.__setitem__)
    assert logged["answers/block"] == 0.5
    assert logged["answers/html"] == logged["answers/statement"] == 0.25
    assert logged["answers/hedge"] == 0.0
    assert logged["format/good"] == logged["format/tags"] == 0.5
    assert len(logged) == len(RULES) + len(FORMAT_VERDICTS)


@pytest.mark.parametrize("rules", ["careful", "paper"])
def test_rewards_keep_their_names(rules):
    rewards = get_rewards(["format", "accuracy"], rules)
    assert [reward.__name__ for reward in rewards] == ["format_reward", "accuracy_reward"]
    options = dict(completions=[GOOD], solution=[LEFT], choices=[SIDES], log_metric=lambda *_: None)
    assert [reward(**options) for reward in rewards] == [[1.0], [1.0]]
    shouting = dict(options, completions=[" x </think><answer>LEFT</answer>"])
    assert rewards[1](**shouting) == [1.0 if rules == "careful" else 0.0]
    assert get_rewards(["format"], rules, prefilled=False)[0]([GOOD]) == [0.0]


def test_unknown_rewards_are_refused():
    with pytest.raises(UserError, match="'kindness' is not one of accuracy, format"):
        get_rewards(["accuracy", "kindness"])
    with pytest.raises(UserError, match="'lenient' is not one of careful, paper"):
        get_rewards(["accuracy"], "lenient")


def test_explain():
    told = explain(GOOD, LEFT, SIDES)
    assert told["accuracy"] == told["format"] == 1.0
    assert GOOD[slice(*told["span"])] == told["answer"] == "left"
    assert told["choice"] == 1 and told["rule"] == "block"
    assert told["why"] == "answer 'left' (block); right is 'left'; format: good"
    told = explain("<html>", LEFT, SIDES)
    assert told["why"] == "no answer (html); right is 'left'; format: tags"
