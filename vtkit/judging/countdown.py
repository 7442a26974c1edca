"""Countdown: reach a number from given ones with + - * /, and rules that judge an attempt.

The model's text is parsed, never evaluated. Source: Jiayi-Pan/TinyZero @95df88f,
examples/data_preprocess/countdown.py (wording), verl/utils/reward_score/countdown.py (reward).

    solves("(1 + 2) / 3", Task(1, (1, 2, 3)))      # True
"""

import ast
import operator
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

MAX_CHARS = 200  # of an expression: six numbers with brackets are 60
_TASK = re.compile(r"(-?\d{1,9}) from (\d{1,9}(?:, \d{1,9})+)")
_ARITHMETIC = re.compile(r"[-+*/()\d ]+")
_NUMBER = re.compile(r"\d+")
_OPERATIONS: dict[type[ast.AST], Callable[..., Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})
_LATEX = ((r"\times", "*"), (r"\cdot", "*"), (r"\div", "/"), (r"\(", ""), (r"\)", ""), ("$", ""))


class Task(NamedTuple):
    """The number to reach and those to reach it from, each of them exactly once."""

    target: int
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.target} from {', '.join(map(str, self.numbers))}"


def question(task: Task) -> str:
    """TinyZero's wording without its sentence on tags, which is in the chat template."""
    return (
        f"Using the numbers {list(task.numbers)}, create an equation that equals {task.target}. "
        "You can use basic arithmetic operations (+, -, *, /) "
        "and each number can only be used once."
    )


def read_task(answer: str) -> Task | None:
    """Read ``str(task)``; None for the answer to another kind of problem."""
    match = _TASK.fullmatch(answer)
    return match and Task(int(match[1]), tuple(map(int, match[2].split(", "))))


def solves(text: str, task: Task) -> bool:
    """Tell whether the text is an expression of exactly the task's numbers with its value.

    ``44 - 19 = 25``, ``25 = 44 - 19`` and signs of print and LaTeX (``×``, ``$``) are fine, too.

    >>> solves("(44 - 19) * 2", Task(50, (44, 19, 2)))
    True
    """
    for sign, meant in _LATEX:
        text = text.replace(sign, meant)
    sides = text.translate(_SIGNS).strip().rstrip(".").split("=")
    if len(sides) == 2:
        sides = [side for side in sides if side.strip() != str(task.target)]
    return len(sides) == 1 and _value(sides[0], task.numbers) == task.target


def _value(text: str, numbers: Sequence[int]) -> Fraction | None:
    """The value if the text is an expression of just these numbers, in any order."""
    text = " ".join(text[: MAX_CHARS + 1].split())
    if len(text) > MAX_CHARS or not _ARITHMETIC.fullmatch(text):
        return None
    if sorted(map(int, _NUMBER.findall(text))) != sorted(numbers):
        return None
    text = _NUMBER.sub(lambda number: str(int(number[0])), text)  # Python refuses 019
    try:
        return _work_out(ast.parse(text, mode="eval").body)
    except (SyntaxError, LookupError, ZeroDivisionError):
        return None


def _work_out(node: ast.AST) -> Fraction:
    """The exact value of a parsed expression; LookupError if it is more than arithmetic."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp):
        return _OPERATIONS[type(node.op)](_work_out(node.operand))
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_work_out(node.left), _work_out(node.right))
    raise LookupError(f"no arithmetic: {type(node).__name__}")


def published_score(completion: str, task: Task) -> float:
    """TinyZero's reward: 1.0 right, 0.1 an answer in tags, 0.0 none.

    Only the last block on the last line counts: a line break after the answer voids it.

    >>> task = Task(25, (44, 19))
    >>> published_score("<answer>44 - 19</answer>", task), published_score("25", task)
    (1.0, 0.0)
    """
    blocks = re.findall(r"<answer>(.*?)</answer>", completion.split("\n")[-1])
    if not blocks:
        return 0.0
    return 1.0 if _value(blocks[-1], task.numbers) == task.target else 0.1
