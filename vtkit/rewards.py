"""Rule-based rewards: accuracy and format, one point each, and nothing else.

The textbook rewards of R1-Zero are two regular expressions. The original's pay "left" but not
"Left" or "left.", an empty think block, and an answer that only stands in the reasoning. The
careful rules, the default, ask the extractor that also scores the benchmark
(:mod:`vtkit.answers`) what the reply finally commits to; ``rules="paper"`` are the original's own,
quirks included, for runs *as published*.

    trainer = GRPOTrainer(..., reward_funcs=get_rewards(["accuracy", "format"], "careful"))
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from vtkit.answers import RULES, Answer, find_answer
from vtkit.errors import UserError
from vtkit.naming import resolve
from vtkit.words import same_text

Completions = Sequence[str] | Sequence[Sequence[dict[str, str]]]
Reward = Callable[..., list[float]]

_SOLUTION = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)
_ANY_TAG = re.compile(r"<\s{0,3}/?\s{0,3}(?:think|answer)\b[^<>]{0,20}>", re.IGNORECASE)
_TAGS = ["<think>", "</think>", "<answer>", "</answer>"]
FORMAT_VERDICTS = ("good", "tags", "empty", "between", "trailing")


def completion_texts(completions: Completions) -> list[str]:
    """The texts of TRL's completions, be they strings or one-message lists."""
    return [
        completion if isinstance(completion, str) else str(completion[0]["content"] or "")
        for completion in completions
    ]


def accuracy_reward(
    completions: Completions,
    solution: Sequence[str],
    choices: Sequence[Sequence[str] | None] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
    prefilled: bool = True,
    **kwargs: Any,
) -> list[float]:
    """1.0 where the reply's final answer is the right one, else 0.0.

    Args:
        solution: as the original writes it, ``<answer>left</answer>``; a bare text passes too.
        choices: the options of each question. Without them the answer must be the solution's text
            (case, articles, punctuation and number words aside).
        log_metric: TRL's; gets ``answers/<rule>``, the share of replies answered (or not) so.
        prefilled: the prompt ended in ``<think>``.
    """
    texts = completion_texts(completions)
    options = choices if choices is not None else [None] * len(texts)
    found = [
        find_answer(text, option or (), prefilled=prefilled)
        for text, option in zip(texts, options, strict=True)
    ]
    _log(log_metric, "answers", RULES, [answer.rule for answer in found])
    return [
        float(_is_right(answer, right, option or ()))
        for answer, right, option in zip(found, solution, options, strict=True)
    ]


def format_reward(
    completions: Completions,
    log_metric: Callable[[str, float], None] | None = None,
    prefilled: bool = True,
    **kwargs: Any,
) -> list[float]:
    """1.0 for exactly ``<think>…</think> <answer>…</answer>``, else 0.0.

    One think block, white space, one answer block, neither of them empty, no tag a second time;
    white space may follow. The prompt's ``<think>`` is put back first.

    Args:
        log_metric: TRL's; gets ``format/<verdict>``, the share of replies with that verdict.
        prefilled: the prompt ended in ``<think>``; a reply that repeats it passes as well.
    """
    verdicts = [check_format(text, prefilled=prefilled) for text in completion_texts(completions)]
    _log(log_metric, "format", FORMAT_VERDICTS, verdicts)
    return [float(verdict == "good") for verdict in verdicts]


def check_format(completion: str, *, prefilled: bool = True) -> str:
    """``good``, or the first thing that is wrong.

    ``tags``: one is missing, repeated, misspelt or out of order; ``between``: text between the
    blocks or before them; ``empty``: a block without content; ``trailing``: text after the answer.
    """
    text = completion
    if prefilled and not text.startswith("<think>"):
        text = "<think>" + text
    tags = list(_ANY_TAG.finditer(text))
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


def _is_right(answer: Answer, solution: str, choices: Sequence[str]) -> bool:
    right = _solution_text(solution)
    if not choices:
        return answer.text is not None and same_text(answer.text, right)
    if answer.choice is None:
        return False
    return answer.choice == resolve(right, tuple(choices)).choice


def _solution_text(solution: str) -> str:
    blocks = _SOLUTION.findall(solution)
    return blocks[-1] if blocks else solution.strip()


def _log(
    log_metric: Callable[[str, float], None] | None,
    group: str,
    names: Sequence[str],
    seen: Sequence[str],
) -> None:
    if log_metric is None or not seen:
        return
    counts = Counter(seen)
    for name in names:  # zeros too, or the average over steps would be one over the hits
        log_metric(f"{group}/{name}", counts[name] / len(seen))


def paper_accuracy_reward(
    completions: Completions, solution: Sequence[str], **kwargs: Any
) -> list[float]:
    """The original's accuracy reward (grpo.py of VisualThinker-R1-Zero), as published.

    The first one-line ``<answer>`` block, or else the whole completion, must equal the solution
    character by character; or its last free-standing capital A to H must.

    The original first compares both with math_verify. That branch is dead for every SAT solution
    that is a bare word, number or letter (a text that hugs its tags parses to nothing), so it is
    left out; it only ever pays for solutions that are phrases with a number inside.
    """
    return [
        float(_paper_is_right(text, right))
        for text, right in zip(completion_texts(completions), solution, strict=True)
    ]


def _paper_is_right(completion: str, solution: str) -> bool:
    right = _paper_block(solution)
    given = _paper_block(completion)
    letters = re.findall(r"\b[A-H]\b", given)
    return given == right or (bool(letters) and letters[-1] == right)


def _paper_block(text: str) -> str:
    block = re.search(r"<answer>(.*?)</answer>", text)  # no DOTALL: a quirk
    return block[1].strip() if block else text.strip()


def paper_format_reward(
    completions: Completions, prefilled: bool = True, **kwargs: Any
) -> list[float]:
    """The original's format reward: full match of a think and an answer block, as published.

    Empty, nested and repeated blocks pass; a line break at the end does not.
    """
    opening = "<think>" if prefilled else ""
    pattern = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)
    return [
        float(pattern.fullmatch(opening + text) is not None)
        for text in completion_texts(completions)
    ]


_REWARDS: dict[str, dict[str, Reward]] = {
    "careful": {"accuracy": accuracy_reward, "format": format_reward},
    "paper": {"accuracy": paper_accuracy_reward, "format": paper_format_reward},
}


def get_rewards(
    names: Sequence[str], rules: str = "careful", *, prefilled: bool = True
) -> list[Reward]:
    """The reward functions of a recipe, for TRL.

    Whatever the rules, they are called ``<name>_reward``, so that TRL's columns do not change.

    Args:
        names: ``accuracy`` and ``format``, or one of them.
        rules: ``careful`` or ``paper``.
        prefilled: the prompt ends in ``<think>`` (:func:`vtkit.prompts.is_prefilled`).

    Raises:
        UserError: no such rules or reward.
    """
    if rules not in _REWARDS:
        raise UserError(f"reward_rules: {rules!r} is not one of {', '.join(_REWARDS)}")
    known = _REWARDS[rules]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"rewards: {unknown[0]!r} is not one of {', '.join(known)}")
    return [_named(known[name], f"{name}_reward", prefilled) for name in names]


def _named(function: Reward, name: str, prefilled: bool) -> Reward:
    named = wraps(function)(partial(function, prefilled=prefilled))
    named.__name__ = name
    return named


def explain(
    completion: str,
    solution: str,
    choices: Sequence[str] | None = None,
    *,
    prefilled: bool = True,
) -> dict[str, Any]:
    """Why a completion is paid what it is paid, for people.

    Returns:
        ``answer`` (text), ``choice``, ``span`` and ``rule`` of :func:`vtkit.answers.find_answer`,
        the rewards ``accuracy`` and ``format``, and ``why``, a sentence.
    """
    answer = find_answer(completion, choices or (), prefilled=prefilled)
    accuracy = float(_is_right(answer, solution, choices or ()))
    verdict = check_format(completion, prefilled=prefilled)
    right = _solution_text(solution)
    said = f"answer {answer.text!r}" if answer.text else "no answer"
    return {
        "answer": answer.text,
        "choice": answer.choice,
        "span": answer.span,
        "rule": answer.rule,
        "accuracy": accuracy,
        "format": float(verdict == "good"),
        "why": f"{said} ({answer.rule}); right is {right!r}; format: {verdict}",
    }
