"""Greedy replies for a whole data set, in batches of prompts that are about equally long.

Differs from a loop over ``model.generate`` in what a benchmark needs: prompts are sorted by their
length in tokens, picture included, so that little is padded; the longest come first, so that a
batch that does not fit fails at once; and the model, its mode and torch's random state are left as
they were, so that evaluating in the middle of a run does not change the run.
"""

import io
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from datasets import Dataset, List
from datasets import Image as ImageFeature
from PIL import Image
from tqdm.auto import tqdm
from transformers import GenerationConfig

from vtkit.prompts import conversation

# A headless run says how far it is once a minute, and nothing if it is faster than that.
_SECONDS_BETWEEN_LINES = 60


class Reply(NamedTuple):
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
    progress: bool = False,
) -> list[Reply]:
    """One greedy reply for each row, in row order.

    Args:
        dataset: columns ``image`` (or ``images``) and ``prompt``: the question, or the conversation
            that :func:`vtkit.prompts.to_conversations` makes of it.
        batch_size: rows in a forward pass.
        max_new_tokens: a longer reply is cut.
        progress: show a bar, or a line a minute when headless.
    """
    pictures = "image" if "image" in dataset.column_names else "images"
    order = _by_length(processor, dataset, pictures)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    config = _greedy(model, processor, max_new_tokens)
    replies: list[Reply] = [Reply("", 0)] * len(order)
    with _inference(model), _left_padding(processor):
        for batch in _progress(batches) if progress else batches:
            rows = [dataset[row] for row in batch]
            messages = [_message(row["prompt"], row[pictures]) for row in rows]
            for row, reply in zip(batch, _replies(model, processor, messages, config), strict=True):
                replies[row] = reply
    return replies


def _replies(model: Any, processor: Any, messages: list, config: GenerationConfig) -> list[Reply]:
    inputs = processor.apply_chat_template(
        messages,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    ).to(model.device)
    sequences = model.generate(**inputs, generation_config=config)
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


def _by_length(processor: Any, dataset: Dataset, pictures: str) -> list[int]:
    """Row numbers, longest prompt first (in tokens); ties in row order."""
    texts = [_message(prompt, [])[0]["content"][-1]["text"] for prompt in dataset["prompt"]]
    words = [len(tokens) for tokens in processor.tokenizer(texts)["input_ids"]]
    encoded = ImageFeature(decode=False)
    many = pictures == "images"
    undecoded = dataset.cast_column(pictures, List(encoded) if many else encoded)[pictures]
    patches = [_patches(processor, cell if many else [cell]) for cell in undecoded]
    lengths = [text + picture for text, picture in zip(words, patches, strict=True)]
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
