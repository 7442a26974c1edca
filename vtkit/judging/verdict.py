"""Judge one completion: its answer, whether it is right, and its format."""

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from vtkit.judging import countdown
from vtkit.judging.answers import Answer, find_answer
from vtkit.judging.matching import match_choice

_SOLUTION = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)
_STATED = re.compile(r"the (?:correct )?(?:answer|option|choice) is:? (\S.*?)\.?", re.IGNORECASE)
_ANY_TAG = re.compile(r"<\s{0,3}/?\s{0,3}(?:think|answer)\b[^<>]{0,20}>", re.IGNORECASE)
_MAX_BRACKETS = 5000  # more is no completion but a page, a loop or an attack; it bounds the time
_TAGS = ["<think>", "</think>", "<answer>", "</answer>"]
FORMAT_VERDICTS = ("good", "tags", "empty", "between", "trailing")


def check_format(completion: str, *, prefilled: bool = True) -> str:
    """``good``, or the first thing that is wrong.

    ``tags``: one is missing, repeated, misspelt or out of order; ``between``: text between the
    blocks or before them; ``empty``: a block without content; ``trailing``: text after the answer.
    """
    text = completion
    if prefilled and not text.startswith("<think>"):
        text = "<think>" + text
    if text.count("<") > _MAX_BRACKETS:
        return "tags"
    tags = list(islice(_ANY_TAG.finditer(text), len(_TAGS) + 1))
    if [tag.group() for tag in tags] != _TAGS:
        return "tags"
    before, thinking, between, answer, after = _ANY_TAG.split(text)
    if before.strip() or between.strip():
        return "between"
    if not _is_visible(thinking) or not _is_visible(answer):
        return "empty"
    return "trailing" if after.strip() else "good"


def _is_visible(text: str) -> bool:
    return any(char.isprintable() and not char.isspace() for char in text)


def is_right(answer: Answer, solution: str, choices: Sequence[str] = ()) -> bool:
    """Whether an answer of :func:`vtkit.judging.answers.find_answer` is the solution.

    It names the same choice; without choices it says the same and nothing more; for a problem of
    :mod:`vtkit.judging.countdown` it is an expression that solves it.
    """
    right = solution_text(solution)
    if task := countdown.read_task(right):
        return answer.text is not None and countdown.solves(answer.text, task)
    if choices:
        return (
            answer.choice is not None
            and answer.choice == match_choice(right, tuple(choices)).choice
        )
    if answer.text is None:
        return False
    naming = match_choice(answer.text, (right,), lettered=False)
    return naming.plain and naming.choice == 0


def solution_text(solution: str) -> str:
    """The answer in a solution: ``<answer>left</answer>`` as the original writes it, or bare.

    A sentence around it is left out: open-r1-multimodal's have "The correct answer is B".
    """
    blocks = _SOLUTION.findall(solution)
    text = blocks[-1] if blocks else solution.strip()
    sentence = _STATED.fullmatch(text)
    return sentence[1] if sentence else text


def explain(
    completion: str,
    solution: str,
    choices: Sequence[str] | None = None,
    *,
    prefilled: bool = True,
) -> dict[str, Any]:
    """Why a completion is paid what it is paid, for people.

    Returns:
        ``answer`` (text), ``choice``, ``span`` and ``rule`` of :func:`vtkit.judging.answers.find_answer`,
        the rewards ``accuracy`` and ``format``, the ``format_verdict`` of :func:`check_format`, and
        ``why``, a sentence.
    """
    answer = find_answer(completion, choices or (), prefilled=prefilled)
    accuracy = float(is_right(answer, solution, choices or ()))
    verdict = check_format(completion, prefilled=prefilled)
    right = solution_text(solution)
    said = f"answer {answer.text!r}" if answer.text else "no answer"
    return {
        "answer": answer.text,
        "choice": answer.choice,
        "span": answer.span,
        "rule": answer.rule,
        "accuracy": accuracy,
        "format": float(verdict == "good"),
        "format_verdict": verdict,
        "why": f"{said} ({answer.rule}); right is {right!r}; format: {verdict}",
    }


class Verdict(NamedTuple):
    """What one completion is worth; stand-in until H1's is merged."""

    answer: str | None
    span: tuple[int, int] | None
    rule: str
    choice: int | None
    correct: bool
    format: str
    style: str
    reflective: bool


def judge(
    completion: str, solution: str, choices: Sequence[str] = (), *, prefilled: bool = True
) -> Verdict:
    """Judge one completion."""
    from vtkit.judging.styles import is_reflective, style

    found = find_answer(completion, choices, prefilled=prefilled)
    return Verdict(
        found.text, found.span, found.rule, found.choice, is_right(found, solution, choices),
        check_format(completion, prefilled=prefilled), style(completion), is_reflective(completion),
    )  # fmt: skip
