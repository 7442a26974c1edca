"""Other projects' reward and evaluation rules, as published, quirks included.

Three things differ: text beyond ``MAX_CHARS`` is not read; where math_verify (0.9.0, theirs was
0.5.2) would raise or takes more than ``SECONDS``, nothing is equal; nor are LaTeX and powers
outside a Unix main thread, where it has no timer.

    RULES["paper"].accuracy("<answer>Left</answer>", "<answer>left</answer>")    # False: the case
    is_correct("<think>a chair is near", ["lamp", "chair"], "(A)")               # True: "a" is (A)
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from types import ModuleType
from typing import Any, NamedTuple

MAX_CHARS = 20_000  # about 5,000 tokens; the original's completions end at 700 or 1,024
SECONDS = 3  # math_verify's own limit in release 0.5.2


class Rules(NamedTuple):
    """The two rewards of a publication and the file that they restate."""

    accuracy: Callable[[str, str], bool]  # of a completion and a solution as the data set writes it
    format: Callable[[str], bool]  # of a completion with a prefilled ``<think>`` put back
    source: str


def is_correct(completion: str, choices: Sequence[str], answer: str) -> bool:
    """Score a completion as the original's CV-Bench evaluation does; ``answer`` is such as ``(B)``.

    The first filled ``<answer>`` block of one line is read, or else everything. Numbers, LaTeX, the
    options' texts and the letters A to F in either case (the article "a" is option A) count: the
    one after the word "answer", else one at the very start, else the last one.

    Source: turningpoint-ai/VisualThinker-R1-Zero, src/eval/evaluate_Qwen2_VL_CVBench-base.py.
    """
    gold = dict(zip(_IN_BRACKETS, choices, strict=False)).get(answer)
    if gold is None:
        return False
    text = completion[:MAX_CHARS]
    block = next((inside.strip() for inside in _blocks(text) if "\n" not in inside.strip()), "")
    names = (*_LETTERS, *_LETTERS.lower(), *_IN_BRACKETS, *_IN_BRACKETS_LOWER, *choices)
    forms = [gold, answer, answer[1]]
    return _verify([*forms, *(form.lower() for form in forms)], _parse(block or text, names))


def is_value(completion: str, answer: str) -> bool:
    """Apply R1-V's accuracy rule to a benchmark without choices."""
    return _accuracy(completion, f"<answer> {answer} </answer>")


_LETTERS = "ABCDEF"
_IN_BRACKETS = tuple(f"({letter})" for letter in _LETTERS)
_IN_BRACKETS_LOWER = tuple(name.lower() for name in _IN_BRACKETS)


def _blocks(text: str) -> Iterator[str]:
    """The text between each ``<answer>`` and the next ``</answer>``, overlaps too."""
    return (match[1] for match in re.finditer(r"(?=<answer>(.*?)</answer>)", text, re.DOTALL))


def _answer(text: str) -> str:
    """The first block without any line break, or else all of the text."""
    text = text[:MAX_CHARS]
    return next((inside for inside in _blocks(text) if "\n" not in inside), text).strip()


def _accuracy(completion: str, solution: str) -> bool:
    """The same answer character by character, or the same value anywhere in the completion."""
    return _answer(completion) == _answer(solution) or _same_value(completion, solution)


def _accuracy_or_letter(completion: str, solution: str) -> bool:
    """Or else the answer's last capital A to H between spaces or brackets is the solution."""
    letters = re.findall(r"(?:^|[\s\[(])([A-H])(?:[\s\])]|$)", _answer(completion))
    return letters[-1:] == [_answer(solution)] or _accuracy(completion, solution)


def _same_value(completion: str, solution: str) -> bool:
    right = _parse(solution)
    # Nothing parses in "<answer>left</answer>": a value must not touch a tag. So for most of SAT
    # the rule ends here.
    return bool(right) and _verify(_parse(completion), right)


def _begins_with(pattern: str, completion: str) -> bool:
    return re.match(pattern, completion[:MAX_CHARS]) is not None


_ONE_LINE = partial(_begins_with, r"<think>.*?</think>\s*<answer>.*?</answer>")
_NO_GAP = partial(_begins_with, r"<think>.*?</think><answer>.*?</answer>$")
_WHOLE = partial(_begins_with, r"(?s)<think>.*?</think>\s*<answer>.*?</answer>\Z")
_FILE = "src/open_r1/grpo.py"
RULES = {
    "paper": Rules(
        _accuracy_or_letter,
        _WHOLE,
        f"turningpoint-ai/VisualThinker-R1-Zero cd71978, src/open-r1-multimodal/{_FILE}",
    ),
    "r1-v": Rules(_accuracy, _WHOLE, f"Deep-Agent/R1-V bbbbe3d, src/r1-v/{_FILE}"),
    "journey": Rules(_accuracy, _NO_GAP, f"FanqingM/R1-Multimodal-Journey a635022, {_FILE}"),
    "open-r1-multimodal": Rules(
        _accuracy, _ONE_LINE, f"EvolvingLMMs-Lab/open-r1-multimodal 232b7ba, {_FILE}"
    ),
}


@cache
def _library() -> ModuleType:
    import math_verify  # here, because sympy takes its time and few rules get this far

    # It warns with the whole text of the model, and without a timer in any case.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    return math_verify


def _seconds() -> int | None:
    """The time limit, or None where math_verify cannot keep one: its timer is SIGALRM."""
    main = threading.current_thread() is threading.main_thread()
    return SECONDS if main and os.name == "posix" else None


def _parse(text: str, names: Sequence[str] = ()) -> list[Any]:
    """The last value in a text and how it is written there; ``names`` are values too."""
    library, seconds = _library(), _seconds()
    kinds = [library.LatexExtractionConfig()] if seconds else []
    kinds.append(library.ExprExtractionConfig())
    if names:
        kinds.append(library.StringExtractionConfig(strings=tuple(names)))
    try:
        return library.parse(text[:MAX_CHARS], kinds, parsing_timeout=seconds)
    except (Exception, library.errors.TimeoutException):
        return []


def _verify(gold: list[Any], target: list[Any]) -> bool:
    """Tell whether the two lists have a value in common."""
    library, seconds = _library(), _seconds()
    written = [value for value in (*gold, *target) if isinstance(value, str)]
    if seconds is None and any("^" in text or "**" in text for text in written):
        return False
    try:
        return bool(library.verify(gold, target, timeout_seconds=seconds))
    except (Exception, library.errors.TimeoutException):
        return False
