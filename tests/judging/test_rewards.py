"""What is paid, by what a careful human would pay. Published rules: test_published.py."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtkit.config.run_config import CHOICES
from vtkit.errors import UserError
from vtkit.judging import answers
from vtkit.judging.rewards import (
    RULES,
    accuracy_reward,
    completion_texts,
    format_reward,
    get_rewards,
    length_reward,
    random_reward,
)
from vtkit.judging.verdict import FORMAT_VERDICTS, check_format

LEFT = "<answer>left</answer>"
SIDES = ["right", "left"]
GOOD = " It looks like left. </think> <answer> left </answer>"


def accuracy(completion, solution=LEFT, choices=SIDES, **kwargs):
    return accuracy_reward([completion], [solution], [choices], **kwargs)[0]


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
        ("There are 8 apples on the 2 tables.", "8", None, 1.0),
        ("1 + 2 + 3 = 6 cushions", "6", None, 1.0),
        ("not 8 but 9", "9", None, 1.0),
        ("not 8 but 9", "8", None, 0.0),
        ("6, but it could equally be 7", "6", None, 0.0),
        ("12 if symmetric, else 6", "12", None, 0.0),
        ("4 of the 6, 5 of the 6", "4", None, 0.0),
        ("No, rent takes up only 38 %.", "no", None, 1.0),
        ("yes, false", "yes", None, 0.0),
        ("Ja, no", "no", ["yes", "no"], 0.0),
        ("Yes, there are no people or cars", "yes", ["yes", "no"], 1.0),
        ("(un)true", "true", ["true", "false"], 0.0),
        ("north. No, this is false", "north", ["north", "south"], 0.0),
        ("It's not the cat, so it must be the other one.", "dog", ["cat", "dog"], 1.0),
        ("Not the cat. Not the other one.", "dog", ["cat", "dog"], 0.0),
        ("At first I thought of 4 legs, but it's 6 legs.", "6 legs", ["4 legs", "6 legs"], 1.0),
        ("1.8 m", "180 cm", ["120 cm", "180 cm"], 1.0),
    ],
)
def test_solutions(answer, solution, choices, paid):
    assert accuracy(f" x </think> <answer>{answer}</answer>", solution, choices) == paid


@pytest.mark.parametrize(
    ("completion", "solution"),
    [
        ("<answer>5</answer> Correction: the number is 6.", "6"),
        ("<answer>5</answer> (or 6, if you prefer)", None),
        ("Example question: how many? Example answer: <answer>5</answer>", None),
        ("[answer]5[/answer]", "5"),
        ("The format is <answer> your answer </answer>. <answer>5</answer>", "5"),
        ("So there are 6. (Had one left, the answer would be 5.)", "6"),
        ("<answer>5</answer>\n\n### Next problem\n<answer>6</answer>", "5"),
    ],
)
def test_remarks_after_an_answer(completion, solution):
    paid = [s for s in ("5", "6") if accuracy_reward([f" x </think> {completion}"], [s]) == [1.0]]
    assert paid == [solution] * (solution is not None)


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
    theirs = get_rewards(["format"], "paper")[0]
    for completion in (text, f"{text}</think><answer>{text}</answer>"):
        if check_format(completion.rstrip()) == "good":
            assert theirs([completion.rstrip()]) == [1.0]


# ------------------------------------------------------------------------------ for trainers


def test_message_lists_are_texts():
    messages = [[{"role": "assistant", "content": GOOD}], [{"role": "assistant", "content": None}]]
    assert completion_texts(messages) == [GOOD, ""]
    assert accuracy_reward(messages, [LEFT, LEFT], [SIDES, SIDES]) == [1.0, 0.0]
    assert format_reward(messages, prompts=[], completion_ids=[], trainer_state=None) == [1.0, 0.0]
    for reward in get_rewards(["accuracy", "format"], "paper"):
        assert reward(messages, solution=[LEFT, LEFT]) == [1.0, 0.0]


def test_shares_of_the_rules_are_logged():
    logged = {}
    texts = [GOOD, GOOD, "<html>", " x </think> The answer is left."]
    accuracy_reward(texts, [LEFT] * 4, [SIDES] * 4, log_metric=logged.__setitem__)
    format_reward(texts, log_metric=logged.__setitem__)
    assert logged["answers/block"] == 0.5
    assert logged["answers/html"] == logged["answers/statement"] == 0.25
    assert logged["answers/hedge"] == 0.0
    assert logged["format/good"] == logged["format/tags"] == 0.5
    assert len(logged) == len(answers.RULES) + len(FORMAT_VERDICTS)


def test_length_pays_for_tokens_and_nothing_else():
    assert length_reward([GOOD, "x"], [[1] * 30, []]) == [0.03, 0.0]
    assert length_reward(["same"], [[1] * 30], per_token=1) == [30]
    assert get_rewards(["length"])[0](completions=["x"], completion_ids=[[5, 6]]) == [0.002]


def test_random_is_a_coin_that_a_resumed_run_tosses_again():
    def tosses(step, seed=0, n=400):
        state = SimpleNamespace(global_step=step)
        return random_reward(["any"] * n, trainer_state=state, seed=seed)

    assert tosses(3) == tosses(3) and set(tosses(3)) == {0.0, 1.0}
    assert tosses(3) != tosses(4) and tosses(3) != tosses(3, seed=1)
    assert 0.4 < sum(tosses(3)) / 400 < 0.6
    assert get_rewards(["random"], seed=1)[0](completions=["x"] * 400) == tosses(0, seed=1)


@pytest.mark.parametrize("rules", RULES)
def test_rewards_keep_their_names(rules):
    rewards = get_rewards(["format", "accuracy", "length", "random"], rules)
    names = ["format_reward", "accuracy_reward", "length_reward", "random_reward"]
    assert [reward.__name__ for reward in rewards] == names
    options = dict(solution=[LEFT], choices=[SIDES], log_metric=lambda *_: None)
    completion = " x </think><answer>left</answer>"  # the only form that all of them pay
    assert [reward(completions=[completion], **options) for reward in rewards[:2]] == [[1.0], [1.0]]
    shouting = dict(options, completions=[" x </think><answer>LEFT</answer>"])
    assert rewards[1](**shouting) == [1.0 if rules == "careful" else 0.0]
    assert get_rewards(["format"], rules, prefilled=False)[0]([GOOD]) == [0.0]


def test_recipes_know_the_rules():
    assert CHOICES["reward_rules"] == RULES


def test_unknown_rewards_are_refused():
    with pytest.raises(UserError, match="no 'kindness'; known are accuracy, countdown, format"):
        get_rewards(["accuracy", "kindness"])
    with pytest.raises(UserError, match="no 'acuracy'; did you mean 'accuracy'?"):
        get_rewards(["acuracy"])
    with pytest.raises(UserError, match="reward_rules: no 'lenient'"):
        get_rewards(["accuracy"], "lenient")
    with pytest.raises(UserError, match="names one twice"):
        get_rewards(["format", "format"])
