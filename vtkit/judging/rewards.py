"""Rule-based rewards: accuracy and format, one point each, three for experiments, and your own.

The careful rules, the default, pay by :func:`vtkit.judging.verdict.judge`.

    trainer = GRPOTrainer(..., reward_funcs=get_rewards(["accuracy", "format"], "careful"))
"""

import contextlib
import copy
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from functools import wraps
from itertools import islice
from typing import Any

from vtkit.config.reward_names import check_names, from_file, reward_column
from vtkit.errors import UserError, first_line, quote, suggest
from vtkit.files import user_path
from vtkit.judging import answers, countdown, published
from vtkit.judging.reward_files import line_in, load_function
from vtkit.judging.verdict import FORMAT_VERDICTS, check_format, decide, solution_text

Completions = Sequence[str] | Sequence[Sequence[dict[str, str]]]
Reward = Callable[..., Sequence[float | None]]
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

    >>> accuracy_reward(["<answer> 3 </answer>", "It is 4."], solution=["3", "3"])
    [1.0, 0.0]
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

    >>> format_reward([" Two. </think> <answer> 2 </answer>", "2"])
    [1.0, 0.0]
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

    >>> length_reward(["It is 4."], completion_ids=[[8, 3, 5, 1]])
    [0.004]
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
    pairs = zip(completion_texts(completions), map(_task_of, solution), strict=True)
    return [countdown.published_score(text, task) for text, task in pairs]


def _task_of(solution: str) -> countdown.Task:
    task = countdown.read_task(solution_text(solution))
    if task is None:
        wrong = f"{quote(solution)} is no task of countdown"
        raise UserError(
            f"rewards: countdown: {wrong}; take it out of rewards, or train on such data"
        )
    return task


CAREFUL: dict[str, Reward] = {"accuracy": accuracy_reward, "format": format_reward}
OTHERS: dict[str, Reward] = {
    "length": length_reward,
    "random": random_reward,
    "countdown": countdown_reward,
}
RULES = ("careful", *published.RULES)
"""``careful``, or whose rules: see :mod:`vtkit.judging.published`."""


_LARGEST = 1e18
"""TRL squares rewards in float32: beyond it a whole group would learn nothing."""


def get_rewards(
    names: Sequence[str], rules: str = "careful", *, prefilled: bool = True, seed: int = 0
) -> list[Reward]:
    """Make the reward functions of a recipe, for TRL; each is called ``<name>_reward``.

    They return a number for each completion, or None where they do not apply. Anything else, and
    whatever they raise, is a UserError with the reward's name and the step: TRL would take an
    infinite reward without a word and teach nothing from that group.

    Args:
        names: built-in rewards and functions from files (:mod:`vtkit.config.reward_names`).
        rules: one of ``RULES``, for ``accuracy`` and ``format``; ``seed`` is of ``random``.
        prefilled: the prompt ends in ``<think>`` (:func:`vtkit.models.prompts.is_prefilled`).

    Raises:
        UserError: no such rules or reward, a reward twice, or a file that cannot be used.
    """
    if rules not in RULES:
        raise UserError(f"reward_rules: no {rules!r}{suggest(rules, RULES)}")
    try:
        check_names(list(names))
    except ValueError as error:
        raise UserError(f"rewards: {error}") from None
    known = (CAREFUL if rules == "careful" else _as_published(rules)) | OTHERS
    functions: dict[str, Reward] = {
        name: load_function(name) if from_file(name) else known[name] for name in names
    }
    return [
        _guarded(name, function, prefilled=prefilled, seed=seed)
        for name, function in functions.items()
    ]


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


def _guarded(name: str, function: Reward, **settings: Any) -> Reward:
    """A reward that returns numbers TRL can use, or ends the run in one line."""
    own, column = from_file(name), reward_column(name)

    @wraps(function)
    def reward(
        completions: Completions, log_metric: Log = None, **given: Any
    ) -> list[float | None]:
        log = log_metric if log_metric is None or own is None else _under(column, log_metric)
        n = len(completions)
        if own:  # what it changes stays its own
            completions, given = copy.deepcopy(completions), _copied(given)
        try:
            with contextlib.chdir("."):
                paid = function(completions=completions, log_metric=log, **given, **settings)
            return _numbers(paid, n)
        except (Exception, SystemExit, GeneratorExit) as error:
            if own is None and isinstance(error, UserError):
                raise
            state, line = given.get("trainer_state"), own and line_in(user_path(own.file), error)
            step = f", at step {state.global_step + 1}" if state else ""
            wrong = "" if isinstance(error, _Wrong) else f"{type(error).__name__}: "
            remedy = f"fix {own.file}" if own else f"take {name} out of rewards"
            raise UserError(
                f"rewards: {name}{line or ''}{step}: {wrong}{first_line(error)}; {remedy} and run "
                "again: training resumes from its last checkpoint"
            ) from error

    reward.__name__ = column
    return reward


def _copied(given: dict[str, Any]) -> dict[str, Any]:
    """What a function from a file is given, as copies: lists of text and numbers, and the state."""
    plain = (list, dict, str, int, float, bool, type(None))
    return {
        name: copy.deepcopy(value)
        if isinstance(value, list) and all(isinstance(one, plain) for one in value)
        else copy.copy(value)
        for name, value in given.items()
    }


class _Wrong(Exception):
    """What is wrong with the values that a reward returned."""


def _under(column: str, log: Callable[[str, float], None]) -> Callable[[str, float], None]:
    """``log_metric`` of a reward from a file: what it logs is called ``brevity_reward/<name>``."""
    return lambda name, value: log(f"{column}/{name}", _number(value, f"logged as {name!r}"))


def _numbers(values: Any, wanted: int) -> list[float | None]:
    """The values as plain numbers; None stays, as "does not apply"."""
    if values is None or isinstance(values, str | bytes | Mapping | Set):
        raise _Wrong(f"returned {quote(values)}, expected a list of {wanted} numbers")
    values = list(islice(values, wanted + 1))  # an iterator may have no end
    if len(values) != wanted:
        n = len(values) if len(values) < wanted else "more"
        raise _Wrong(f"returned {n} values for {wanted} completions")
    return [value if value is None else _number(value) for value in values]


def _number(value: Any, what: str = "returned") -> float:
    try:
        number = float("no" if isinstance(value, str | bytes) else value)
    except Exception:  # tensors have errors of their own
        shown = " ".join(repr(value).split())
        raise _Wrong(f"{what} {shown:.60}, expected a number") from None
    if not abs(number) <= _LARGEST:
        raise _Wrong(f"{what} {number}, expected a finite number below {_LARGEST:g}")
    return number
