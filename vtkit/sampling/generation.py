"""Completions for a whole data set, in batches of prompts that are about equally long.

Differs from a loop over ``model.generate`` in what a benchmark needs: prompts are sorted by their
length in tokens, picture included, so that little is padded; the longest come first, so that a
batch that does not fit fails at once; and the model, its mode and torch's random state are left as
they were, so that evaluating in the middle of a run does not change the run.

A batch waits for its longest completion, and a base model's completions differ by a factor of ten. So once
half of a batch has ended, the others are set aside, and go on together, from what they have said,
as soon as there are enough of them. A prompt is read again for that, but since each batch finishes
half of its rows, all of them together are read at most twice.

With a batch size of 0 a batch that does not fit in memory is halved, and no completion is lost.
:func:`stream` hands completions out batch by batch, to those who keep them (:mod:`vtkit.sampling.resumable`).

Completions are greedy, or drawn with random numbers that belong to the row (:class:`Sampling`), and may
have to go on from words that are given to them (``beginnings``).
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from accelerate.utils.memory import should_reduce_batch_size
from datasets import Dataset
from tqdm.auto import tqdm

from vtkit.errors import UserError
from vtkit.models.inputs import (
    batch_inputs,
    by_length,
    left_padding,
    message,
    tokenizer_of,
    tokens_of,
)
from vtkit.runs.folder import headless
from vtkit.sampling.decoding import decode
from vtkit.sampling.sampler import Sampling, draw_rows, likeliest

# A headless run says how far it is once a minute, and nothing if it is faster than that.
_SECONDS_BETWEEN_LINES = 60
# Where the search for a batch size starts. A CPU gains nothing from more.
_LARGEST = {"cuda": 512, "cpu": 64}
_SET_ASIDE = 1 / 2  # of a batch, at most


class Completion(NamedTuple):
    """text: without special tokens; tokens: those generated, the end-of-text one included."""

    text: str
    tokens: int


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
) -> list[Completion]:
    """One completion for each row, in row order; greedy without ``sampling``.

    Args:
        dataset: columns ``image`` (or ``images``) and ``prompt``: the question, or the conversation
            that :func:`vtkit.models.prompts.to_conversations` makes of it.
        batch_size: rows in a forward pass; 0: as many as fit in memory.
        max_new_tokens: a longer completion is cut.
        beginnings: for each row, the words that its completion has to go on from. They are neither
            repeated in the completion nor counted.
        progress: show a bar, or a line a minute when headless.

    Raises:
        UserError: a batch of ``batch_size`` rows, or a single row, does not fit in memory.
    """
    found: dict[int, Completion] = {}
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
) -> Iterator[dict[int, Completion]]:
    """What :func:`generate` returns, as ``{row: completion}`` whenever a batch ends.

    Args:
        done: rows that need no completion any more.
    """
    begun = tokens_of(processor, beginnings or [""] * len(dataset))
    ready = set(done)
    todo = [row for row in by_length(processor, dataset, begun) if row not in ready]
    aside: list[int] = []  # rows that were set aside
    said: dict[int, list[int]] = {row: [] for row in todo}
    size = batch_size or _LARGEST.get(model.device.type, max(_LARGEST.values()))

    def go_on(batch: list[int], alone: bool) -> list[bool]:
        """Extend what the rows have said; whether each has ended."""
        messages = [message(dataset[row]) for row in batch]
        before = [begun[row] + said[row] for row in batch]
        inputs = batch_inputs(processor, messages, before).to(model.device)
        used = [len(said[row]) for row in batch]
        decoded = decode(
            model, dict(inputs), range(len(batch)),
            draw_rows(sampling, batch, used, max_new_tokens) if sampling else likeliest,
            ends=ends_of(model, processor), banned=banned_of(processor),
            room=[max_new_tokens - n for n in used],
            few=0 if alone else int(len(batch) * _SET_ASIDE),
        )  # fmt: skip
        for row, tokens in zip(batch, decoded.tokens, strict=True):
            said[row] = said[row] + tokens
        return decoded.ended

    with progress_bar(len(dataset), len(ready), progress) as advance:
        while todo or aside:
            pool = aside if len(aside) >= size or not todo else todo
            batch = pool[:size]
            with _inference(model), left_padding(processor):
                ended = _unless_too_large(go_on, batch, len(batch) == len(todo) + len(aside))
            if ended is None:
                size = _smaller(len(batch), batch_size)
                continue
            del pool[: len(batch)]
            finished = [row for row, end in zip(batch, ended, strict=True) if end]
            aside += [row for row, end in zip(batch, ended, strict=True) if not end]
            yield to_completions(processor, {row: said.pop(row) for row in finished})
            advance(len(finished))


def _unless_too_large(work: Callable[..., list[bool]], *arguments: Any) -> list[bool] | None:
    """What ``work`` returns, or None if it did not fit in memory, which is free again then."""
    try:
        return work(*arguments)
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
    print(
        f"completions: {size} at once do not fit in memory, going on with {size // 2}", flush=True
    )
    return size // 2


def to_completions(processor: Any, said: dict[int, list[int]]) -> dict[int, Completion]:
    """Completions of ``{row: tokens}``, whoever made them."""
    texts = tokenizer_of(processor).batch_decode(list(said.values()), skip_special_tokens=True)
    rows = zip(said.items(), texts, strict=True)
    return {row: Completion(text, len(tokens)) for (row, tokens), text in rows}


def ends_of(model: Any, processor: Any) -> list[int]:
    """Tokens that end a completion."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer_of(processor).eos_token_id
    return [ends] if isinstance(ends, int) else list(ends)


def banned_of(processor: Any) -> list[int]:
    """Tokens that no completion may have: a picture's, as a forward pass fails on one without one."""
    kinds = {getattr(processor, f"{kind}_token_id", None) for kind in ("image", "video")}
    return sorted(kinds - {None})


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
def progress_bar(total: int, done: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield what is to be called with the number of rows that have just been done."""
    if shown and not headless():
        with tqdm(total=total, initial=done, desc="completions", unit="row", leave=False) as bar:
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
            print(f"completions: {done + new} of {total}, {left:.1f} min left", flush=True)
            said = now

    yield advance
