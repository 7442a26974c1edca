"""Sample completions of the miniature models and measure them, for their cards."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from operator import not_
from statistics import fmean
from typing import Any, NamedTuple

import torch
from PIL import Image

from vtkit.judging import Verdict, judge
from vtkit.judging.styles import STYLES
from vtkit.mini import corpus
from vtkit.mini.replications import chats
from vtkit.mini.scenes import Question
from vtkit.stats import Estimate, proportion, share

MAX_NEW_TOKENS = 128


class PicturedQuestion(NamedTuple):
    """A question of a test file with its picture; ``choices`` is empty for an open one."""

    picture: Image.Image
    question: str
    choices: list[str]
    answer: str


def framed(prompt: str, questions: Iterable[str]) -> list[str]:
    """Put questions into a chat template."""
    before, after = chats.frame(prompt)
    return [before + question + after for question in questions]


@torch.inference_mode()
def sample_completions(
    model: Any,
    processor: Any,
    prompts: Sequence[str],
    pictures: Sequence[Any] | None = None,
    *,
    greedy: bool = False,
    batch: int = 128,
) -> list[str]:
    """Sample completions at temperature 1 over the whole vocabulary, as GRPO does, or greedily."""
    draw: dict[str, Any] = {"do_sample": False}
    if not greedy:
        draw = {"do_sample": True, "temperature": 1.0, "top_k": 0}
    if pictures is not None:
        draw["suppress_tokens"] = [processor.image_token_id]
    completions = []
    for at in range(0, len(prompts), batch):
        part = slice(at, at + batch)
        seen = {} if pictures is None else {"images": list(pictures[part])}
        inputs = processor(text=list(prompts[part]), padding=True, return_tensors="pt", **seen)
        inputs = inputs.to(model.device)
        ids = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, **draw)
        new = ids[:, inputs["input_ids"].shape[1] :]  # (B, completion)
        completions += processor.batch_decode(new, skip_special_tokens=True)
    return completions


def style_table(
    generate: Callable[[Sequence[str]], list[str]],
    prompts: Sequence[str],
    questions: Sequence[Question],
    rng: random.Random,
    opening: str = "",
) -> tuple[list[str], dict[str, dict[str, Estimate]]]:
    """Measure share and accuracy of each style, and the accuracy when a second look is forced.

    Returns the completions, and ``{style: {"share": proportion, "right": proportion}}``; the entry
    ``"second look, forced"`` has ``right`` only. ``opening`` opens the thinking if no prompt does.
    """
    completions = generate(prompts)
    judged = _verdicts(completions, questions, prefilled=not opening)
    table: dict[str, dict[str, Estimate]] = {}
    for name, n in Counter(verdict.style for verdict in judged).most_common():
        right = _share_right([verdict for verdict in judged if verdict.style == name])
        table[name] = {"share": proportion(n, len(prompts)), "right": right}
    forced = [
        prompt + opening + corpus.hunch(question, rng)[0] + corpus.WAITS[0]
        for prompt, question in zip(prompts, questions, strict=True)
    ]
    looked = _verdicts(generate(forced), questions)
    return completions, table | {"second look, forced": {"right": _share_right(looked)}}


def measure_answers(
    model: Any, processor: Any, questions: Sequence[PicturedQuestion], prompt: str, seed: int = 0
) -> dict[str, Any]:
    """Ask all questions under one prompt, sampled and greedy.

    Returns:
        Proportions ``styles``, ``format`` (good) and ``reflective`` of sampled completions; mean
        lengths of all, those in good format (tagged) and the others; accuracy of both kinds.
    """
    torch.manual_seed(seed)
    prompts = framed(prompt, [question.question for question in questions])
    pictures = [question.picture for question in questions]
    sampled, greedy = (
        sample_completions(model, processor, prompts, pictures, greedy=greedy)
        for greedy in (False, True)
    )
    judged = _verdicts(sampled, questions, prefilled=False)
    styles = Counter(verdict.style for verdict in judged)
    good = [verdict.format == "good" for verdict in judged]
    tokenizer = processor.tokenizer
    return {
        "styles": {s: proportion(styles[s], len(questions)) for s in STYLES if styles[s]},
        "format": share(good),
        "reflective": share(verdict.reflective for verdict in judged),
        "tokens": mean_tokens(tokenizer, sampled),
        "tokens_tagged": mean_tokens(tokenizer, compress(sampled, good)),
        "tokens_untagged": mean_tokens(tokenizer, compress(sampled, map(not_, good))),
        "sampled": _share_right(judged),
        "greedy": _share_right(_verdicts(greedy, questions, prefilled=False)),
    }


def mean_tokens(tokenizer: Any, completions: Iterable[str]) -> float | None:
    """Return the mean length in tokens, with the end token; None without completions."""
    lengths = [len(tokenizer(completion)["input_ids"]) + 1 for completion in completions]
    return round(fmean(lengths), 1) if lengths else None


def _verdicts(
    completions: Sequence[str],
    questions: Sequence[Question | PicturedQuestion],
    *,
    prefilled: bool = True,
) -> list[Verdict]:
    return [
        judge(completion, question.answer, question.choices, prefilled=prefilled)
        for completion, question in zip(completions, questions, strict=True)
    ]


def _share_right(judged: Sequence[Verdict]) -> Estimate:
    return share(verdict.correct is True for verdict in judged)
