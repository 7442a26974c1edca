"""Generate completions for a whole data set, in batches of prompts of about equal length.

Completions that have ended make room for others, so that none waits for the longest. The model's
mode and torch's random state are left as they were: evaluating during a run does not change it.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from accelerate.utils.memory import should_reduce_batch_size
from datasets import Dataset
from tqdm.auto import tqdm

from vtkit.data.pictures import naming_rows
from vtkit.errors import UserError, resumable
from vtkit.models.devices import is_out_of_memory, return_freed_memory
from vtkit.models.inputs import (
    batch_inputs,
    by_length,
    left_padding,
    message,
    tokenizer_of,
    tokens_of,
)
from vtkit.runs.folder import headless
from vtkit.sampling.decoding import Choose, Decoding, Prompts
from vtkit.sampling.sampler import InverseCDFSampler, RowNumbers, Sampling, likeliest

# A headless run prints its progress once a minute.
_SECONDS_BETWEEN_LINES = 60
# Where the search for a batch size starts. A CPU gains nothing from more.
_LARGEST = {"cuda": 512, "cpu": 64}
_Written = dict[int, list[int]]


class Completion(NamedTuple):
    """text: without special tokens; tokens: those generated, the end-of-text one included."""

    text: str
    tokens: int


def generate(model: Any, processor: Any, dataset: Dataset, **options: Any) -> list[Completion]:
    """One completion for each row, in row order; arguments and errors as for :func:`stream`."""
    found: dict[int, Completion] = {}
    for batch in stream(model, processor, dataset, **options):
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
    """Yield ``{row: completion}`` whenever some completions have ended.

    Args:
        dataset: columns ``image`` (or ``images``) and ``prompt``: the question, or the conversation
            that :func:`vtkit.models.prompts.to_conversations` makes of it.
        batch_size: rows in a forward pass; 0: as many as fit in memory.
        beginnings: for each row, the words that its completion continues, not repeated in it.
        sampling: how tokens are drawn; greedy without.
        progress: show a bar, or a line a minute when headless.
        done: rows that need no completion any more.

    Raises:
        UserError: a batch of ``batch_size`` rows, or a single row, does not fit in memory; a
            picture cannot be decoded.
    """
    begun = tokens_of(processor, beginnings or [""] * len(dataset))
    ready = set(done)
    with naming_rows(dataset):
        todo = [row for row in by_length(processor, dataset, begun) if row not in ready]
    written: _Written = {row: [] for row in todo}
    size = batch_size or _LARGEST.get(model.device.type, max(_LARGEST.values()))
    draw: Choose = likeliest
    if sampling:
        numbers = RowNumbers(sampling, max_new_tokens)
        draw = InverseCDFSampler(numbers, sampling.temperature, sampling.top_k)

    def choose(logits: torch.Tensor, rows: list[int], new: list[int]) -> torch.Tensor:
        return draw(logits, rows, [len(written[row]) + n for row, n in zip(rows, new, strict=True)])

    def waiting(places: int) -> Prompts:
        rows = todo[:places]
        before = [begun[row] + written[row] for row in rows]
        room = [max_new_tokens - len(written[row]) for row in rows]
        with naming_rows(dataset):
            messages = [message(row) for row in _rows_of(dataset, rows)]
            inputs = batch_inputs(processor, messages, before)
        del todo[:places]
        return Prompts(dict(inputs.to(model.device)), rows, range(len(rows)), room, last=not todo)

    def begin() -> Decoding:
        ends, banned = ends_of(model, processor), banned_of(processor)
        return Decoding(model, waiting, choose, places=size, ends=ends, banned=banned)

    with progress_bar(len(dataset), len(ready), progress) as advance:
        decoding = begin()
        while todo or decoding.written:
            with _inference(model), left_padding(processor):
                left = _unless_too_large(decoding.advance)
            if left is None:
                size = _smaller(min(size, len(written)), batch_size)
                left = {row: decoding.written.pop(row) for row in decoding.ended}
                for row, tokens in decoding.written.items():
                    written[row] += tokens  # read anew with the prompt
                todo[:0] = decoding.written
                decoding = begin()
            if left:
                yield to_completions(processor, {row: written.pop(row) + left[row] for row in left})
                advance(len(left))
    return_freed_memory()  # what comes next is not as large, or is in other pieces


def _rows_of(dataset: Dataset, rows: list[int]) -> Iterator[dict[str, Any]]:
    columns = dataset[rows]
    return (
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    )


def _unless_too_large(work: Callable[[], _Written]) -> _Written | None:
    """The result of ``work``, or None if it did not fit in memory, which is then free again."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not (should_reduce_batch_size(error) or is_out_of_memory(error)):
            raise
    # Only here, behind the except block, has the traceback let go of the tensors.
    torch.cuda.empty_cache()
    return None


def _smaller(size: int, batch_size: int) -> int:
    """The size to try after ``size`` was too large; an error if it was asked for or is 1."""
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
    print(f"completions: {size} at once do not fit in memory, trying {size // 2}", flush=True)
    return size // 2


def to_completions(processor: Any, written: _Written) -> dict[int, Completion]:
    """Decode ``{row: tokens}``."""
    texts = tokenizer_of(processor).batch_decode(list(written.values()), skip_special_tokens=True)
    rows = zip(written.items(), texts, strict=True)
    return {row: Completion(text, len(tokens)) for (row, tokens), text in rows}


def ends_of(model: Any, processor: Any) -> list[int]:
    """Tokens that end a completion."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer_of(processor).eos_token_id
    return [ends] if isinstance(ends, int) else list(ends)


def banned_of(processor: Any) -> list[int]:
    """Tokens of pictures: a forward pass fails on one that has no picture."""
    kinds = {getattr(processor, f"{kind}_token_id", None) for kind in ("image", "video")}
    return sorted(kind for kind in kinds if kind is not None)


@contextmanager
def _inference(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.no_grad():  # inference_mode would leave tensors that training cannot use
            yield
    finally:
        model.train(training)


@contextmanager
def progress_bar(total: int, done: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show progress; yields a function to call with the number of rows just finished.

    An interrupt inside becomes :class:`vtkit.errors.Stopped`, which says how many there are.
    """
    new, began = 0, time.monotonic()
    printed = began
    silent = not shown or headless()
    bar = tqdm(
        total=total, initial=done, desc="completions", unit="row", leave=False, disable=silent
    )

    def advance(rows: int) -> None:
        nonlocal new, printed
        new += rows
        bar.update(rows)
        now = time.monotonic()
        late = now - printed > _SECONDS_BETWEEN_LINES
        if shown and silent and late and done + new < total:
            left = (now - began) / new * (total - done - new) / 60
            print(f"completions: {done + new} of {total}, {left:.1f} min left", flush=True)
            printed = now

    with resumable(lambda: f"after {done + new} of {total} completions"), bar:
        yield advance
