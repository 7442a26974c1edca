"""Replies for a whole data set, in batches of prompts that are about equally long.

Differs from a loop over ``model.generate`` in what a benchmark needs: prompts are sorted by their
length in tokens, picture included, so that little is padded; the longest come first, so that a
batch that does not fit fails at once; and the model, its mode and torch's random state are left as
they were, so that evaluating in the middle of a run does not change the run.

With a batch size of 0 a batch that does not fit in memory is halved, and no reply is lost.
:func:`stream` hands replies out batch by batch, to those who keep them (:mod:`vtkit.replies`).

Replies are greedy, or drawn with random numbers that belong to the row (:class:`Sampling`), and may
have to go on from words that are given to them (``beginnings``).
"""

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate.utils.memory import should_reduce_batch_size
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import GenerationConfig, LogitsProcessor

from vtkit.errors import UserError
from vtkit.inputs import batch_inputs, by_length, left_padding, message, tokens_of

# A headless run says how far it is once a minute, and nothing if it is faster than that.
_SECONDS_BETWEEN_LINES = 60
# Where the search for a batch size starts. A CPU gains nothing from more.
_LARGEST = {"cuda": 512, "cpu": 64}


class Reply(NamedTuple):
    """text: without special tokens; tokens: those generated, the end-of-text one included."""

    text: str
    tokens: int


class Sampling(NamedTuple):
    """How to draw replies instead of taking the likeliest token each time.

    A token needs one random number, and each row has a stream of its own, named by its key. So a
    reply depends neither on the batch it is in nor on torch's random state, and two rows with one
    key are drawn with the same dice.

    temperature: logits are divided by it.
    top_k: only the k likeliest tokens; 0 for all.
    keys: one for each row of the data set.
    """

    temperature: float
    top_k: int
    keys: Sequence[str]


def generate(
    model: Any,
    processor: Any,
    dataset: Dataset,
    *,
    batch_size: int,
    max_new_tokens: int,
    beginnings: Sequence[str] | None = None,
    sampling: Sampling | None = None,
    progress: bool = False,
) -> list[Reply]:
    """One reply for each row, in row order; greedy without ``sampling``.

    Args:
        dataset: columns ``image`` (or ``images``) and ``prompt``: the question, or the conversation
            that :func:`vtkit.prompts.to_conversations` makes of it.
        batch_size: rows in a forward pass; 0: as many as fit in memory.
        max_new_tokens: a longer reply is cut.
        beginnings: for each row, the words that its reply has to go on from. They are neither
            repeated in the reply nor counted.
        progress: show a bar, or a line a minute when headless.

    Raises:
        UserError: a batch of ``batch_size`` rows, or a single row, does not fit in memory.
    """
    found: dict[int, Reply] = {}
    for batch in stream(
        model, processor, dataset,
        batch_size=batch_size, max_new_tokens=max_new_tokens, beginnings=beginnings,
        sampling=sampling, progress=progress,
    ):  # fmt: skip
        found |= batch
    return [found[row] for row in range(len(dataset))]


def stream(
    model: Any,
    processor: Any,
    dataset: Dataset,
    *,
    batch_size: int,
    max_new_tokens: int,
    beginnings: Sequence[str] | None = None,
    sampling: Sampling | None = None,
    progress: bool = False,
    done: Collection[int] = (),
) -> Iterator[dict[int, Reply]]:
    """What :func:`generate` returns, batch by batch, as ``{row: reply}``; longest prompts first.

    Args:
        done: rows that need no reply any more.
    """
    begun = tokens_of(processor, beginnings or [""] * len(dataset))
    ready = set(done)
    todo = [row for row in by_length(processor, dataset, begun) if row not in ready]
    config = _greedy(model, processor, max_new_tokens)
    size = batch_size or _LARGEST.get(model.device.type, max(_LARGEST.values()))

    def reply(batch: list[int]) -> list[Reply]:
        messages = [message(dataset[row]) for row in batch]
        inputs = batch_inputs(processor, messages, [begun[row] for row in batch]).to(model.device)
        draw = sampling and _Draw(sampling, batch, inputs["input_ids"].shape[1], max_new_tokens)
        return _replies(model, processor, inputs, config, draw)

    with _progress(len(dataset), len(ready), progress) as advance:
        while todo:
            batch = todo[:size]
            with _inference(model), left_padding(processor):
                replies = _unless_too_large(reply, batch)
            if replies is None:
                size = _smaller(len(batch), batch_size)
                continue
            todo = todo[size:]
            yield dict(zip(batch, replies, strict=True))
            advance(len(batch))


def _unless_too_large(reply: Callable[[list[int]], list[Reply]], batch: list[int]) -> Any:
    """The replies, or None if they did not fit in memory; then what they took up is free again."""
    try:
        return reply(batch)
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
    # Only here, behind the except block, has the traceback let go of the tensors.
    torch.cuda.empty_cache()
    return None


def _smaller(size: int, batch_size: int) -> int:
    """The size to try after ``size`` was too large.

    Raises:
        UserError: the size was asked for, or is 1.
    """
    if batch_size:
        raise UserError(
            f"eval_batch_size: a batch of {size} does not fit in memory; "
            "set a smaller one, or 0 to have the largest one found"
        )
    if size == 1:
        raise UserError(
            "max_pixels, eval_max_new_tokens: not even one question fits in memory; "
            "lower one of them, or free the device"
        )
    print(f"replies: {size} at once do not fit in memory, going on with {size // 2}", flush=True)
    return size // 2


class _Draw(LogitsProcessor):
    """Leaves the next tokens of a batch one choice, drawn by inverting the distribution function.

    Source of the method: Devroye, Non-Uniform Random Variate Generation (1986), chapter III.2.
    """

    def __init__(self, sampling: Sampling, rows: Sequence[int], start: int, n: int):
        numbers = [_uniform(sampling.keys[row], n) for row in rows]
        self.numbers = torch.from_numpy(np.stack(numbers))  # (rows, n), of which column t - start
        self.start = start
        self.temperature, self.top_k = sampling.temperature, sampling.top_k

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores / self.temperature  # (rows, vocabulary)
        if 0 < self.top_k < scores.shape[1]:
            least = scores.topk(self.top_k).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        reached = scores.softmax(-1, dtype=torch.float64).cumsum(-1)
        number = self.numbers[:, input_ids.shape[1] - self.start, None].to(reached)
        token = torch.searchsorted(reached, number * reached[:, -1:], right=True)
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)


def _uniform(key: str, n: int) -> np.ndarray:
    """``n`` numbers in [0, 1), the same for a key on every machine."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest))).random(n)


def _replies(
    model: Any, processor: Any, inputs: Any, config: GenerationConfig, draw: _Draw | None
) -> list[Reply]:
    sequences = model.generate(
        **inputs, generation_config=config, logits_processor=[draw] if draw else None
    )
    new = sequences[:, inputs["input_ids"].shape[1] :].tolist()  # (rows, at most max_new_tokens)
    new = [_until_end(tokens, config.eos_token_id) for tokens in new]
    texts = processor.tokenizer.batch_decode(new, skip_special_tokens=True)
    return [Reply(text, len(tokens)) for text, tokens in zip(texts, new, strict=True)]


def _until_end(tokens: list[int], ends: list[int]) -> list[int]:
    """Up to and with the first end-of-text token: what follows is padding."""
    found = [tokens.index(end) for end in ends if end in tokens]
    return tokens[: min(found) + 1] if found else tokens


def _greedy(model: Any, processor: Any, max_new_tokens: int) -> GenerationConfig:
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = processor.tokenizer.eos_token_id
    # A generated image token has no picture behind it, and the model's forward pass fails on it.
    images = {processor.image_token_id, processor.video_token_id} - {None}
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        suppress_tokens=sorted(images),
        eos_token_id=[ends] if isinstance(ends, int) else list(ends),
        pad_token_id=processor.tokenizer.pad_token_id,
        use_cache=True,
    )


@contextmanager
def _inference(model: Any) -> Iterator[None]:
    """Evaluation mode, without gradients; the mode before is restored."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():  # inference_mode would leave tensors that training cannot use
            yield
    finally:
        model.train(training)


@contextmanager
def _progress(total: int, done: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield what is to be called with the number of rows that have just been done."""
    if shown and not os.environ.get("VTKIT_HEADLESS"):
        with tqdm(total=total, initial=done, desc="replies", unit="row", leave=False) as bar:
            yield bar.update
        return
    began = said = time.monotonic()
    new = 0

    def advance(rows: int) -> None:
        nonlocal new, said
        new += rows
        now = time.monotonic()
        if shown and now - said > _SECONDS_BETWEEN_LINES and done + new < total:
            left = (now - began) / new * (total - done - new) / 60
            print(f"replies: {done + new} of {total}, {left:.1f} min left", flush=True)
            said = now

    yield advance
