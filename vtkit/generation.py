"""Replies for a whole data set, in batches of prompts that are about equally long.

Differs from a loop over ``model.generate`` in what a benchmark needs: prompts are sorted by their
length in tokens, picture included, so that little is padded; the longest come first, so that a
batch that does not fit fails at once; and the model, its mode and torch's random state are left as
they were, so that evaluating in the middle of a run does not change the run.

Replies are greedy, or drawn with random numbers that belong to the row (:class:`Sampling`), and may
have to go on from words that are given to them (``beginnings``).
"""

import hashlib
import io
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset, List
from datasets import Image as ImageFeature
from PIL import Image
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm
from transformers import GenerationConfig, LogitsProcessor

from vtkit.prompts import conversation

# A headless run says how far it is once a minute, and nothing if it is faster than that.
_SECONDS_BETWEEN_LINES = 60


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
        batch_size: rows in a forward pass.
        max_new_tokens: a longer reply is cut.
        beginnings: for each row, the words that its reply has to go on from. They are neither
            repeated in the reply nor counted.
        progress: show a bar, or a line a minute when headless.
    """
    pictures = "image" if "image" in dataset.column_names else "images"
    begun = _tokens(processor, beginnings or [""] * len(dataset))
    order = _by_length(processor, dataset, pictures, begun)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    config = _greedy(model, processor, max_new_tokens)
    replies: list[Reply] = [Reply("", 0)] * len(order)
    with _inference(model), _left_padding(processor):
        for batch in _progress(batches) if progress else batches:
            rows = [dataset[row] for row in batch]
            messages = [_message(row["prompt"], row[pictures]) for row in rows]
            inputs = _inputs(processor, messages, [begun[row] for row in batch]).to(model.device)
            draw = sampling and _Draw(sampling, batch, inputs["input_ids"].shape[1], max_new_tokens)
            for row, reply in zip(
                batch, _replies(model, processor, inputs, config, draw), strict=True
            ):
                replies[row] = reply
    return replies


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


def _tokens(processor: Any, beginnings: Sequence[str]) -> list[list[int]]:
    """Of model text: a special token spelled out in it stays text, and no picture is asked for."""
    found = processor.tokenizer(
        list(beginnings), add_special_tokens=False, split_special_tokens=True
    )
    return found["input_ids"]


def _inputs(processor: Any, messages: list, begun: Sequence[list[int]]) -> Any:
    """Rendered prompts, each with the tokens of its reply's beginning behind it, padded left.

    Prompt and beginning are tokenized apart, as in training: together, tokens could span the seam.
    """
    inputs = processor.apply_chat_template(
        messages,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )
    if not any(begun):
        return inputs
    real = inputs["attention_mask"].bool()
    padding = {"input_ids": processor.tokenizer.pad_token_id}
    for name in {"input_ids", "attention_mask", "mm_token_type_ids"} & set(inputs):
        behind = {"input_ids": begun, "attention_mask": [[1] * len(tokens) for tokens in begun]}
        added = behind.get(name, [[0] * len(tokens) for tokens in begun])
        rows = zip(inputs[name], real, added, strict=True)
        whole = [torch.cat([row[keep], row.new_tensor(new)]) for row, keep, new in rows]
        inputs[name] = pad_sequence(whole, True, padding.get(name, 0), padding_side="left")
    return inputs


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


def _message(prompt: str | list[dict], pictures: Any) -> list[dict]:
    """The user's turn with its picture first, where the chat template puts it."""
    if not isinstance(prompt, str):
        prompt = prompt[-1]["content"]
    turn = conversation(prompt)[0]
    pictures = pictures if isinstance(pictures, list) else [pictures]
    content = [{"type": "image", "image": picture} for picture in pictures]
    return [{**turn, "content": [*content, {"type": "text", "text": turn["content"]}]}]


def _by_length(
    processor: Any, dataset: Dataset, pictures: str, begun: Sequence[list[int]]
) -> list[int]:
    """Row numbers, longest prompt with its beginning first (in tokens); ties in row order."""
    texts = [_message(prompt, [])[0]["content"][-1]["text"] for prompt in dataset["prompt"]]
    words = [len(tokens) for tokens in processor.tokenizer(texts)["input_ids"]]
    encoded = ImageFeature(decode=False)
    many = pictures == "images"
    undecoded = dataset.cast_column(pictures, List(encoded) if many else encoded)[pictures]
    patches = [_patches(processor, cell if many else [cell]) for cell in undecoded]
    lengths = [
        text + picture + len(tokens)
        for text, picture, tokens in zip(words, patches, begun, strict=True)
    ]
    return sorted(range(len(lengths)), key=lambda row: -lengths[row])


def _patches(processor: Any, cells: Sequence[dict]) -> int:
    """Tokens that pictures take up, from their headers alone."""
    tool = processor.image_processor
    total = 0
    for cell in cells:
        with Image.open(io.BytesIO(cell["bytes"]) if cell["bytes"] else cell["path"]) as picture:
            total += tool.get_number_of_image_patches(picture.height, picture.width)
    return total // tool.merge_size**2


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
def _left_padding(processor: Any) -> Iterator[None]:
    """Prompts end where replies begin, whatever side the tokenizer pads by default."""
    side = processor.tokenizer.padding_side
    processor.tokenizer.padding_side = "left"
    try:
        yield
    finally:
        processor.tokenizer.padding_side = side


def _progress(batches: list[list[int]]) -> Iterator[list[int]]:
    total = sum(map(len, batches))
    if not os.environ.get("VTKIT_HEADLESS"):
        with tqdm(total=total, desc="replies", unit="row", leave=False) as bar:
            for batch in batches:
                yield batch
                bar.update(len(batch))
        return
    began = said = time.monotonic()
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        now = time.monotonic()
        if now - said > _SECONDS_BETWEEN_LINES and done < total:
            left = (now - began) / done * (total - done) / 60
            print(f"replies: {done} of {total}, {left:.1f} min left", flush=True)
            said = now
