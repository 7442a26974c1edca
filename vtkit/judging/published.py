"""Other projects' reward and evaluation rules, as published, quirks included.

Three things differ from the originals: text beyond ``MAX_CHARS`` is not read; where math_verify
(release 0.9.0, theirs was 0.5.2) would raise or takes more than ``SECONDS``, nothing is equal; and
outside a Unix main thread, where it has no timer, LaTeX and powers are never equal.

    RULES["paper"].accuracy("<answer>Left</answer>", "<answer>left</answer>")    # False: the case
    is_correct("<think>a chair is near", ["lamp", "chair"], "(A)")               # True: "a" is (A)
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

MAX_CHARS = 20_000  # about 5,000 tokens; the original's completions end at 700 or 1,024
SECONDS = 3  # math_verify's own limit in release 0.5.2


class Rules(NamedTuple):
    """The two rewards of a publication and the file that they restate.

    ``accuracy(completion, solution)``: the completion as generated, the solution as the data set
    writes it. ``format(completion)``: the whole completion, with a prefilled ``<think>`` put back.
    """

    accuracy: Callable[[str, str], bool]
    format: Callable[[str], bool]
    source: str


def is_correct(completion: str, choices: Sequence[str], answer: str) -> bool:
    """Score a completion as the original's CV-Bench evaluation does.

    It reads the first ``<answer>`` block of one line, or the whole completion if there is none or
    the block is empty. Numbers, LaTeX, the options' texts and the letters A to F in either case
    (the article "a" is option A) count, each between spaces; a full stop, comma or colon may
    follow. One after the word "answer" is preferred, then an option or a letter at the very start,
    then the last one. It is right if it is the option's text or letter, in their or in lower case.

    Args:
        choices: the options' texts.
        answer: as CV-Bench writes it, ``(B)``. Nothing is right for one that names no choice.

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


def _whole(completion: str) -> bool:
    pattern = r"<think>.*?</think>\s*<answer>.*?</answer>"
    return re.fullmatch(pattern, completion[:MAX_CHARS], re.DOTALL) is not None


def _start_of_one_line(completion: str) -> bool:
    return (
        re.match(r"<think>.*?</think>\s*<answer>.*?</answer>", completion[:MAX_CHARS]) is not None
    )


def _one_line_without_gap(completion: str) -> bool:
    return re.match(r"<think>.*?</think><answer>.*?</answer>$", completion[:MAX_CHARS]) is not None


RULES = {
    "paper": Rules(
        _accuracy_or_letter,
        _whole,
        "turningpoint-ai/VisualThinker-R1-Zero cd71978, src/open-r1-multimodal/src/open_r1/grpo.py",
    ),
    "r1-v": Rules(_accuracy, _whole, "Deep-Agent/R1-V bbbbe3d, src/r1-v/src/open_r1/grpo.py"),
    "journey": Rules(
        _accuracy,
        _one_line_without_gap,
        "FanqingM/R1-Multimodal-Journey a635022, src/open_r1/grpo.py",
    ),
    "open-r1-multimodal": Rules(
        _accuracy,
        _start_of_one_line,
        "EvolvingLMMs-Lab/open-r1-multimodal 232b7ba, src/open_r1/grpo.py",
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
    """The last value in a text and how it is written there; empty if there is none.

    Args:
        names: texts that are values too, such as the names of options.
    """
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
