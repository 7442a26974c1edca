"""Countdown: the parser against Python's own arithmetic, what solves a task, TinyZero's reward."""

import ast
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.judging.countdown import Task, published_score, question, read_task, solves
from vtkit.judging.rewards import get_rewards
from vtkit.judging.verdict import judge

TASK = Task(25, (44, 19))
EXPRESSIONS = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("{}{}{}".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("-({})".format, inner),
    ),
    max_leaves=6,
)


def exactly(node):
    """The value of a parsed expression in fractions."""
    if isinstance(node, ast.Constant):
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp):
        return -exactly(node.operand)
    left, right = exactly(node.left), exactly(node.right)
    kinds = {ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.Div: "__truediv__"}
    return getattr(left, kinds[type(node.op)])(right)


@given(EXPRESSIONS)
def test_the_value_is_pythons(text):
    tree = ast.parse(text, mode="eval").body
    numbers = tuple(node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    try:
        value = exactly(tree)
    except ZeroDivisionError:
        value = None
    whole = value is not None and value.denominator == 1
    if whole:
        assert solves(text, Task(int(value), numbers))
        assert not solves(text, Task(int(value) + 1, numbers))
    elif value is not None:
        assert not solves(text, Task(int(value), numbers))
    else:
        assert not solves(text, Task(0, numbers))


@given(st.text(max_size=300))
def test_no_text_is_too_strange(text):
    assert solves(text, TASK) in (True, False)
    assert published_score(text, TASK) in (0.0, 0.1, 1.0)


@pytest.mark.parametrize(
    "text",
    ["44 - 19", "44-19", "(44) − 19.", "$44 - 19$", "44 - 19 = 25", "25 = 44 - 19", "-19 + 44"],
)
def test_what_is_meant_is_read(text):
    assert solves(text, TASK)


@pytest.mark.parametrize(
    "text",
    [
        *("25", "44 - 19 - 0", "44", "44 - 19 = 26", "44 - 19 = 25 = 25", "44 19", "4 4 - 19"),
        *("19 - 44", "44 - 19 +", "(44 - 19", "44 - 19)", "", "__import__('os')", "44 ** 19"),
        *("44 - 019 + 0", "44 // 19", "(" * 500 + "44 - 19" + ")" * 500, "44 / (19 - 19)"),
    ],
)
def test_all_else_is_wrong(text):
    assert not solves(text, TASK)


def test_multiplication_signs_and_exact_fractions():
    assert solves(r"3 \times (1 \div 3)", Task(1, (3, 1, 3)))
    assert solves("8 / (3 - 8 / 3)", Task(24, (8, 3, 8, 3)))


def test_a_task_is_written_and_read():
    assert read_task(str(TASK)) == TASK
    assert read_task("left") is None and read_task("25 from 44") is None
    assert "[44, 19]" in question(TASK) and "equals 25" in question(TASK)


def test_tinyzeros_reward_with_its_quirks():
    right = "<answer>44 - 19</answer>"
    assert published_score(f"So. {right}", TASK) == 1.0
    assert published_score("<answer>44 + 19</answer>", TASK) == 0.1
    assert published_score("44 - 19", TASK) == 0.0
    assert published_score(f"{right}\n", TASK) == 0.0  # only the last line is searched
    assert published_score(f"{right} <answer>?</answer>", TASK) == 0.1  # the last block counts


def test_careful_rules_work_the_answer_out():
    solution = f"<answer>{TASK}</answer>"
    completion = "<think> 44 minus 19. </think> <answer> (44 - 19) </answer>"
    verdict = judge(completion, solution, prefilled=False)
    assert (verdict.correct, verdict.format) == (True, "good")
    assert judge(completion.replace("44 -", "44 +"), solution, prefilled=False).correct is False
    (reward,) = get_rewards(["countdown"], prefilled=False)
    assert reward.__name__ == "countdown_reward"
    assert reward(completions=[completion, "no"], solution=[solution] * 2) == [1.0, 0.0]


def test_rewards_that_cannot_judge_are_refused():
    with pytest.raises(UserError, match="countdown judges train_format countdown only"):
        resolve_config("visualthinker", rewards="countdown")
    with pytest.raises(UserError, match="reward_rules: paper .* cannot judge Countdown"):
        resolve_config("deepseek-r1-zero", "gpu80", reward_rules="paper")
