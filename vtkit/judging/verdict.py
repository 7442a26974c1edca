"""Judge one completion: its answer, whether that is right, its format and its style.

judge(" Hm. </think> <answer> left </answer>", "<answer>left</answer>", ["right", "left"])
# Verdict(answer="left", span=(23, 27), rule="block", choice=1, correct=True, format="good",
#         style="direct", reflective=False)
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from vtkit.errors import UserError
from vtkit.judging import countdown, free
from vtkit.judging.answers import Answer, find_answer
from vtkit.judging.matching import match_choice
from vtkit.judging.styles import classify

_SOLUTION = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)
_STATED = re.compile(r"the (?:correct )?(?:answer|option|choice) is:? (\S.*?)\.?", re.IGNORECASE)
_ANY_TAG = re.compile(r"<\s{0,3}/?\s{0,3}(?:think|answer)\b[^<>]{0,20}>", re.IGNORECASE)
_MAX_BRACKETS = 5000  # more is no completion but a page, a loop or an attack; it bounds the time
_TAGS = ["<think>", "</think>", "<answer>", "</answer>"]
FORMAT_VERDICTS = ("good", "tags", "empty", "between", "trailing")


def check_format(completion: str, *, prefilled: bool = True) -> str:
    """Find the first thing that is wrong with a completion's format; ``good`` if nothing is.

    ``tags``: one is missing, repeated, misspelt or out of order; ``between``: text between the
    blocks or before them; ``empty``: a block without content; ``trailing``: text after the answer.

    >>> check_format(" I see two. </think> <answer> 2 </answer>")
    'good'
    >>> check_format(" I see two. </think> <answer> 2 </answer> Bye.")
    'trailing'
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
    blank = "\u2800\u3164\u115f\u1160\uffa0"  # printable, and yet nothing to see
    return any(char.isprintable() and not char.isspace() and char not in blank for char in text)


class Verdict(NamedTuple):
    """The answer of a completion, and its form."""

    answer: str | None  # the words that decided, as written
    span: tuple[int, int] | None  # their (start, end)
    rule: str  # one of :data:`vtkit.judging.answers.RULES`
    choice: int | None  # position of the choice that it names
    correct: bool | None  # None where the solution names none of the choices
    format: str  # one of ``FORMAT_VERDICTS``
    style: str  # one of :data:`vtkit.judging.styles.STYLES`
    reflective: bool  # it takes a second look (:func:`vtkit.judging.styles.is_reflective`)

    @property
    def why(self) -> str:
        """The verdict in words: "answer 'left' (block): right; format: good"."""
        answer = f"answer {self.answer!r}" if self.answer else "no answer"
        result = {True: "right", False: "wrong", None: "the solution is none of the choices"}
        return f"{answer} ({self.rule}): {result[self.correct]}; format: {self.format}"


def judge(
    completion: str,
    solution: str | int,
    choices: Sequence[str] | None = (),
    *,
    prefilled: bool = True,
) -> Verdict:
    """Judge a completion by this kit's rules, whatever a run pays for; no text raises.

    Args:
        solution: as the data write it (:func:`solution_text`), a task of
            :mod:`vtkit.judging.countdown`, or the position of the right choice.
        choices: their texts. Without any, the answer must be the solution's text and nothing more
            (case, articles, punctuation and number words aside).
        prefilled: the prompt ended in ``<think>``, so the completion starts inside the thinking.

    >>> verdict = judge(" Hm. </think> <answer> left </answer>", "left", ["right", "left"])
    >>> verdict.correct, verdict.choice, verdict.rule, verdict.format
    (True, 1, 'block', 'good')
    >>> judge("It could be left or right.", "left", ["right", "left"]).correct
    False
    """
    choices = () if choices is None else tuple(choices)
    (choice, text, span, rule), correct = decide(completion, solution, choices, prefilled)
    form = check_format(completion, prefilled=prefilled)
    return Verdict(text, span, rule, choice, correct, form, *classify(completion))


@lru_cache(4096)  # the rewards and the record of a step ask about the same completions
def decide(
    completion: str, solution: str | int, choices: tuple[str, ...], prefilled: bool
) -> tuple[Answer, bool | None]:
    """The part of :func:`judge` that accuracy needs: the answer, and whether it is right."""
    answer = find_answer(completion, choices, prefilled=prefilled)
    return answer, is_right(answer, solution, choices)


def is_right(answer: Answer, solution: str | int, choices: Sequence[str] = ()) -> bool | None:
    """Compare an answer with the solution; None where the solution names none of the choices.

    The answer of a :mod:`vtkit.judging.countdown` task is right if it is an expression that solves
    it; without choices, if its words are the solution's.
    """
    if not isinstance(solution, str | int):
        raise TypeError(f"solution: expected text, or a position among choices, got {solution!r}")
    place = solution if isinstance(solution, int) else right_choice(solution, choices)
    if choices and place is None:
        return None
    if isinstance(solution, str):
        text = solution_text(solution)
        if task := countdown.read_task(text):
            return answer.text is not None and countdown.solves(answer.text, task)
        if not choices:
            return answer.text is not None and free.says(answer.text, text)
    return place is not None and answer.choice == place


def is_correct(
    completion: str, choices: Sequence[str], answer: str, *, prefilled: bool = False
) -> bool:
    """Score a completion as the benchmark does; ``answer`` is such as ``"(B)"``."""
    choices = tuple(choices)
    found = find_answer(completion, choices, prefilled=prefilled)
    return is_right(found, benchmark_solution(choices, answer), choices) is True


def benchmark_solution(choices: Sequence[str], answer: str) -> str | int:
    """A benchmark's answer as :func:`judge` takes it: the position of ``"(B)"`` is 1."""
    return answer_index(answer) if len(choices) else answer


def answer_index(answer: str) -> int:
    """``"(A)"`` is 0.

    >>> answer_index("(C)")
    2
    """
    letter = answer.strip("() ").upper()
    if len(letter) != 1 or not "A" <= letter <= "Z":
        raise UserError(f"answer: expected a letter in brackets such as (B), got {answer!r}")
    return ord(letter) - ord("A")


def unpayable(solution: str | int, choices: Sequence[str] = ()) -> str | None:
    """Say which honest answer to a question would not be paid; None if all are.

    They are the right choice's text, its letter, and both; without choices, the solution itself.

    >>> unpayable("up", ["left", "right"])
    'is not among the choices'
    """
    place = solution if isinstance(solution, int) else right_choice(solution, choices)
    if choices and place is None:
        return "is not among the choices"
    if not choices or place is None:
        texts = [solution_text(str(solution))]
    else:
        letter = chr(ord("A") + place)
        texts = [choices[place], letter, f"{letter}. {choices[place]}"]
    for text in texts:
        answer = find_answer(f"</think><answer>{text}</answer>", tuple(choices))
        if not is_right(answer, solution, choices):
            return f"cannot be told from another choice by the answer {text:.60}"
    return None


def right_choice(solution: str, choices: Sequence[str]) -> int | None:
    """The position of the choice that a solution names."""
    return match_choice(solution_text(solution), tuple(choices)).choice if len(choices) else None


def solution_text(solution: str) -> str:
    """The answer in a solution: ``<answer>left</answer>`` as the original writes it, or bare.

    Or in a sentence, as open-r1-multimodal's: "The correct answer is B".

    >>> solution_text("<answer>left</answer>"), solution_text("The correct answer is B.")
    ('left', 'B')
    """
    blocks = _SOLUTION.findall(solution)
    text = blocks[-1] if blocks else solution.strip()
    sentence = _STATED.fullmatch(text)
    return sentence[1] if sentence else text
