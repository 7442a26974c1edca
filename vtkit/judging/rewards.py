"""Rule-based rewards: accuracy and format, one point each, and three for experiments.

The careful rules, the default, pay by :func:`vtkit.judging.verdict.judge`.

    trainer = GRPOTrainer(..., reward_funcs=get_rewards(["accuracy", "format"], "careful"))
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from vtkit.errors import UserError, suggest
from vtkit.judging import answers, countdown, published
from vtkit.judging.verdict import FORMAT_VERDICTS, check_format, decide, solution_text

Completions = Sequence[str] | Sequence[Sequence[dict[str, str]]]
Reward = Callable[..., list[float]]
Log = Callable[[str, float], None] | None
"""TRL's ``log_metric``; gets the share of completions by outcome."""


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
    log_metric: Log = None,
    prefilled: bool = True,
    **kwargs: Any,
) -> list[float]:
    """1.0 where the completion's final answer is the right one, else 0.0; logs ``answers/<rule>``.

    ``solution``, ``choices`` and ``prefilled`` are as in :func:`vtkit.judging.verdict.judge`.
    """
    texts = completion_texts(completions)
    options = choices if choices is not None else [None] * len(texts)
    judged = [
        decide(text, right, tuple(option or ()), prefilled)
        for text, right, option in zip(texts, solution, options, strict=True)
    ]
    _log(log_metric, "answers", answers.RULES, [answer.rule for answer, _ in judged])
    return [float(correct is True) for _, correct in judged]


def format_reward(
    completions: Completions, log_metric: Log = None, prefilled: bool = True, **kwargs: Any
) -> list[float]:
    """1.0 for exactly ``<think>…</think> <answer>…</answer>``, else 0.0; logs ``format/<verdict>``.

    See :func:`vtkit.judging.verdict.check_format`.
    """
    verdicts = [check_format(text, prefilled=prefilled) for text in completion_texts(completions)]
    _log(log_metric, "format", FORMAT_VERDICTS, verdicts)
    return [float(verdict == "good") for verdict in verdicts]


def _log(log_metric: Log, group: str, names: Sequence[str], seen: Sequence[str]) -> None:
    if log_metric is None or not seen:
        return
    counts = Counter(seen)
    for name in names:  # zeros too, or the average over steps would be one over the hits
        log_metric(f"{group}/{name}", counts[name] / len(seen))


def length_reward(
    completions: Completions,
    completion_ids: Sequence[Sequence[int]],
    per_token: float = 0.001,
    **kwargs: Any,
) -> list[float]:
    """Pay for each sampled token, the end-of-text token too, with no cap: the original's ablation.

    The original tokenises again, with the instruct model's tokenizer.
    """
    return [per_token * len(ids) for ids in completion_ids]


def random_reward(
    completions: Completions, trainer_state: Any = None, seed: int = 0, **kwargs: Any
) -> list[float]:
    """1.0 or 0.0 by the toss of a coin: a control, since random rewards help some models.

    It depends on seed, step and process alone: a resumed run repeats it. Source: arXiv 2506.10947.
    """
    step = getattr(trainer_state, "global_step", 0)
    coin = random.Random(f"{seed}-{step}-{os.environ.get('RANK', 0)}")
    return [float(coin.random() < 0.5) for _ in completions]


def countdown_reward(
    completions: Completions, solution: Sequence[str], **kwargs: Any
) -> list[float]:
    """TinyZero's only reward, as published: :func:`vtkit.judging.countdown.published_score`."""
    tasks = [countdown.read_task(solution_text(text)) for text in solution]
    texts = completion_texts(completions)
    return [countdown.published_score(*pair) for pair in zip(texts, tasks, strict=True)]


CAREFUL: dict[str, Reward] = {"accuracy": accuracy_reward, "format": format_reward}
OTHERS = {"length": length_reward, "random": random_reward, "countdown": countdown_reward}
RULES = ("careful", *published.RULES)
"""``careful``, or whose rules: see :mod:`vtkit.judging.published`."""


def get_rewards(
    names: Sequence[str], rules: str = "careful", *, prefilled: bool = True, seed: int = 0
) -> list[Reward]:
    """Make the reward functions of a recipe, for TRL; each is called ``<name>_reward``.

    Args:
        names: any of ``accuracy``, ``format``, ``length``, ``random`` and ``countdown``, each once.
        rules: one of ``RULES``, for ``accuracy`` and ``format``; ``seed`` is of ``random``.
        prefilled: the prompt ends in ``<think>`` (:func:`vtkit.models.prompts.is_prefilled`).

    Raises:
        UserError: no such rules or reward, or a reward twice.
    """
    if rules not in RULES:
        raise UserError(f"reward_rules: no {rules!r}{suggest(rules, RULES)}")
    known = (CAREFUL if rules == "careful" else _as_published(rules)) | OTHERS
    for name in names:
        if name not in known:
            raise UserError(f"rewards: no {name!r}{suggest(name, known)}")
    if len(set(names)) < len(names):
        raise UserError(f"rewards: {', '.join(names)} names one twice; leave it out")
    return [_named(known[name], f"{name}_reward", prefilled, seed) for name in names]


def _as_published(rules: str) -> dict[str, Reward]:
    """Somebody else's rules of strings as rewards."""
    theirs = published.RULES[rules]

    def accuracy(completions: Completions, solution: Sequence[str], **kwargs: Any) -> list[float]:
        texts = completion_texts(completions)
        return [float(theirs.accuracy(*pair)) for pair in zip(texts, solution, strict=True)]

    def format(completions: Completions, prefilled: bool = True, **kwargs: Any) -> list[float]:
        opening = "<think>" if prefilled else ""
        return [float(theirs.format(opening + text)) for text in completion_texts(completions)]

    return {"accuracy": accuracy, "format": format}


def _named(function: Reward, name: str, prefilled: bool, seed: int) -> Reward:
    named = wraps(function)(partial(function, prefilled=prefilled, seed=seed))
    named.__name__ = name
    return named
