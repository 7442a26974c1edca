r"""Compare two short mathematical expressions by value: ``\frac{1}{4}`` and ``0.25``.

sympy's tree, from the LaTeX parser of math-verify, is evaluated here in floating point: sympy
itself may compute for hours on a power of powers. Variables get two values each.
"""

import cmath
import math
import operator
import re
from fractions import Fraction
from functools import cache, lru_cache, reduce
from types import ModuleType
from typing import Any

ROUNDED = 5
"""Digits from which a decimal may stand for what it rounds: 3.1416 for pi, but not 3.14."""
_DECIMAL = r"(?:\d+(?:\.\d+)?|\.\d+)"
NUMBER = re.compile(rf"[+-]?\s?{_DECIMAL}")
_FRACTION = re.compile(r"([+-]?)\s?\\frac\{(\d+)\}\{(\d+)\}")
_FACTOR = re.compile(rf"([*/]?)\s*({_DECIMAL})")
_TERM = re.compile(rf"([+-]?)\s*({_DECIMAL}(?:\s*[*/]\s*{_DECIMAL})*)")
_ARITHMETIC = re.compile(rf"{_TERM.pattern}(?:\s*[+-]\s*{_DECIMAL}(?:\s*[*/]\s*{_DECIMAL})*)*")
_EXACT = 1e-9
_LARGEST_FACTORIAL = 170  # beyond it a float is infinite
_VARIABLES = (0.7368421, -1.3333337)  # of "a"; other letters count up from there


@lru_cache(8192)
def same(one: str, other: str) -> bool:
    """Compare two expressions in LaTeX, exactly, or a decimal with what it rounds; never raises."""
    if one == other:
        return True
    decimals = [text for text in (one, other) if NUMBER.fullmatch(text)]
    slack = _slack(decimals[0]) if len(decimals) == 1 else 0.0
    first, second = as_fraction(one), as_fraction(other)
    if first is not None and second is not None:
        return abs(first - second) <= slack
    try:
        pairs = [(_evaluate(_tree(one), at), _evaluate(_tree(other), at)) for at in _VARIABLES]
        far = (abs(a - b) - max(slack, _EXACT * abs(a), _EXACT * abs(b)) for a, b in pairs)
        return all(distance <= 0 for distance in far)  # infinity is nothing's equal
    except (ArithmeticError, ValueError, TypeError, RecursionError):
        return False


def as_fraction(text: str) -> Fraction | None:
    """The value of plain numbers with + - * /, or of ``\\frac``; None of anything else."""
    if found := _FRACTION.fullmatch(text):
        text = f"{found[1]}{found[2]}/{found[3]}"
    if not _ARITHMETIC.fullmatch(text):
        return None
    total = Fraction(0)
    for sign, term in _TERM.findall(text):
        value = Fraction(1)
        for operation, number in _FACTOR.findall(term):
            if operation == "/" and not float(number):
                return None
            value = value / Fraction(number) if operation == "/" else value * Fraction(number)
        total += -value if sign == "-" else value
    return total


def _slack(decimal: str) -> float:
    """How far a decimal may be from what it rounds: half its last place, with digits enough."""
    places = len(decimal.partition(".")[2])
    digits = len(re.sub(r"\D", "", decimal).lstrip("0"))
    return 0.5000001 * 10.0**-places if places and digits >= ROUNDED else 0.0


@cache
def _library() -> ModuleType:
    import latex2sympy2_extended  # here, because sympy takes its time and few answers get this far

    return latex2sympy2_extended


@lru_cache(1024)
def _tree(text: str) -> Any:
    """The parsed expression.

    Raises:
        ValueError: the parser does not read it.
    """
    try:
        return _library().latex2sympy(text.replace("*", r"\cdot "), normalization_config=None)
    except Exception as error:
        raise ValueError(f"cannot read {text!r}") from error


def _evaluate(tree: Any, at: float) -> complex:
    """The value of a tree where its variables are near ``at``."""
    if tree.is_Symbol:
        return complex(at + sum(map(ord, tree.name)) / 97)
    kind = tree.func.__name__
    if not tree.args:
        return complex(tree)
    values = [_evaluate(part, at) for part in tree.args]
    if kind == "Add":
        return sum(values)
    if kind == "Mul":
        return reduce(operator.mul, values)
    if kind == "Pow":
        return values[0] ** values[1]
    if kind == "factorial" and 0 <= values[0].real <= _LARGEST_FACTORIAL and not values[0].imag:
        return complex(math.gamma(values[0].real + 1))
    if kind == "Abs":
        return complex(abs(values[0]))
    if kind in ("exp", "log", "sin", "cos", "tan"):
        return getattr(cmath, kind)(*values)
    raise ValueError(f"no rule for {kind}")
