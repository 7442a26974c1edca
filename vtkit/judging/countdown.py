"""Countdown: reach a number from given ones with + - * /, and rules that judge an attempt.

The task that affordable R1-Zero reruns use in place of DeepSeek's private problems. Many
expressions are right, so an answer is worked out rather than compared. Peers hand the model's text
to ``eval``; here a parser reads numbers, four operators and brackets, exactly (fractions), in
linear time, and nothing else.

    solves("(1 + 2) / 3", Task(1, (1, 2, 3)))      # True

Source: Jiayi-Pan/TinyZero @95df88f, examples/data_preprocess/countdown.py (the wording) and
verl/utils/reward_score/countdown.py (the reward).
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

MAX_CHARS = 200  # of an expression: six numbers with brackets are 60
MAX_DEPTH = 20
_TASK = re.compile(r"(-?\d{1,9}) from (\d{1,9}(?:, \d{1,9})+)")
_TOKEN = re.compile(r"\s*(\d{1,9}(?!\d)|[-+*/()])")
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})
_LATEX = ((r"\times", "*"), (r"\cdot", "*"), (r"\div", "/"), (r"\(", ""), (r"\)", ""), ("$", ""))


class Task(NamedTuple):
    """The number to reach and those to reach it from, each of them exactly once."""

    target: int
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.target} from {', '.join(map(str, self.numbers))}"


def question(task: Task) -> str:
    """TinyZero's wording without its sentence on tags, which the chat template says."""
    return (
        f"Using the numbers {list(task.numbers)}, create an equation that equals {task.target}. "
        "You can use basic arithmetic operations (+, -, *, /) "
        "and each number can only be used once."
    )


def read_task(answer: str) -> Task | None:
    """What ``str(task)`` wrote; None for the answer to another kind of problem."""
    found = _TASK.fullmatch(answer)
    return found and Task(int(found[1]), tuple(map(int, found[2].split(", "))))


def solves(text: str, task: Task) -> bool:
    """Whether the text is an expression of exactly the task's numbers with its value.

    A right-hand side may follow (``44 - 19 = 25``) if it is the target, or be first. Signs of
    print and LaTeX (``×``, ``\\times``, ``$``) are read as meant.
    """
    for sign, meant in _LATEX:
        text = text.replace(sign, meant)
    sides = text.translate(_SIGNS).strip().rstrip(".").split("=")
    if len(sides) > 2:
        return False
    if len(sides) == 2:
        plain = [side for side in sides if side.strip() != str(task.target)]
        if len(plain) != 1:
            return False
        sides = plain
    return _value(sides[0], task.numbers) == task.target


def _value(text: str, numbers: Sequence[int]) -> Fraction | None:
    """The value if the text is an expression of just these numbers, in any order."""
    tokens = _tokens(text)
    used = sorted(int(token) for token in tokens or () if token.isdecimal())
    if not tokens or used != sorted(numbers):
        return None
    try:
        return _Parser(tokens).parse()
    except (ValueError, ZeroDivisionError):
        return None


def _tokens(text: str) -> list[str] | None:
    """Numbers, operators and brackets; None if there is anything else."""
    text = text[: MAX_CHARS + 1].rstrip()
    if len(text) > MAX_CHARS:
        return None
    tokens, position = [], 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            return None
        tokens.append(found[1])
        position = found.end()
    return tokens


class _Parser:
    """sum = product (("+" | "-") product)*;  product = item (("*" | "/") item)*;
    item = number | "-" item | "(" sum ")"."""

    def __init__(self, tokens: list[str]):
        self.tokens, self.at, self.depth = tokens, 0, 0

    def parse(self) -> Fraction:
        """The value.

        Raises:
            ValueError: not an expression, or nested too deeply.
            ZeroDivisionError: it divides by zero.
        """
        value = self._sum()
        if self._next():
            raise ValueError("something follows the expression")
        return value

    def _sum(self) -> Fraction:
        value = self._product()
        while self._next() in ("+", "-"):
            value = value + self._product() if self._take() == "+" else value - self._product()
        return value

    def _product(self) -> Fraction:
        value = self._item()
        while self._next() in ("*", "/"):
            value = value * self._item() if self._take() == "*" else value / self._item()
        return value

    def _item(self) -> Fraction:
        token = self._take()
        if token.isdecimal():
            return Fraction(int(token))
        self.depth += 1
        if token not in ("-", "(") or self.depth > MAX_DEPTH:
            raise ValueError(f"unexpected {token!r}")
        value = -self._item() if token == "-" else self._sum()
        if token == "(" and self._take() != ")":
            raise ValueError("a bracket is not closed")
        self.depth -= 1
        return value

    def _next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ""


def published_score(completion: str, task: Task) -> float:
    """TinyZero's reward: 1.0 right, 0.1 an answer in tags, 0.0 none.

    Its quirks: only the last line is searched, and the last block on it counts; so an answer
    followed by a line break is worth nothing. Thinking is not asked for.
    """
    blocks = re.findall(r"<answer>(.*?)</answer>", completion.split("\n")[-1])
    if not blocks:
        return 0.0
    return 1.0 if _value(blocks[-1], task.numbers) == task.target else 0.1
