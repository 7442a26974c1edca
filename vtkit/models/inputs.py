"""Turn questions with pictures into padded model inputs, and sort them by length."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence

from vtkit.data.picture_files import opened
from vtkit.data.pictures import encoded_images
from vtkit.models.families import FAMILIES
from vtkit.models.prompts import check_rendering, conversation, one_per_image

TOKEN_TYPES = sorted({f.pictures.types for f in FAMILIES.values() if f.pictures} - {""})
"""Names of the input that tells tokens of pictures from text, of all families."""
PER_TOKEN = {"input_ids", "attention_mask", *TOKEN_TYPES}
"""A model's inputs with a row for each prompt; those of pictures are stacked end to end."""


def tokenizer_of(processor: Any) -> Any:
    """The tokenizer of a processor; the processor of a text-only model is its tokenizer."""
    return getattr(processor, "tokenizer", processor)


def by_length(processor: Any, dataset: Dataset, begun: Sequence[list[int]]) -> list[int]:
    """Row numbers by tokens of prompt and beginning, longest first; ties in row order."""
    texts = [_question(prompt) for prompt in dataset["prompt"]]
    words = map(len, tokens_of(processor, texts))
    seen = [_picture_tokens(processor, cells) for cells in encoded_images(dataset)]
    lengths = [sum(parts) for parts in zip(words, seen, map(len, begun), strict=True)]
    return sorted(range(len(lengths)), key=lambda row: -lengths[row])


def message(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The user's turn with its pictures first, where the chat template puts them."""
    turn = conversation(_question(row["prompt"]))[0]
    pictures = row["images"] if "images" in row else [row["image"]] if "image" in row else []
    content = [{"type": "image", "image": picture} for picture in pictures]
    return [{**turn, "content": [*content, {"type": "text", "text": turn["content"]}]}]


def tokens_of(processor: Any, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of texts outside any turn; a special token that is spelled out in them stays text."""
    found = tokenizer_of(processor)(
        list(texts), add_special_tokens=False, split_special_tokens=True
    )
    return found["input_ids"]


def batch_inputs(processor: Any, messages: list[Any], begun: Sequence[list[int]]) -> Any:
    """Render prompts, append the tokens of each completion's beginning, and pad left.

    Returns:
        ``input_ids``, ``attention_mask`` and, with pictures, what tells their tokens from text,
        each (rows, length); ``pixel_values`` and what else a family's processor makes of pictures.
    """
    tokenizer = tokenizer_of(processor)
    option = {"padding": True}
    template = one_per_image(processor.chat_template)
    options = {"add_generation_prompt": True, "tokenize": True, "chat_template": template}
    options |= option if tokenizer is processor else {"processor_kwargs": option}
    inputs = processor.apply_chat_template(
        messages, return_dict=True, return_tensors="pt", **options
    )
    if not any(begun):
        return inputs
    real = inputs["attention_mask"].bool()
    ones, zeros = ([[value] * len(tokens) for tokens in begun] for value in (1, 0))
    for name, added, pad in (
        ("input_ids", begun, tokenizer.pad_token_id),
        ("attention_mask", ones, 0),
        *((name, zeros, 0) for name in TOKEN_TYPES),
    ):
        if name in inputs:
            rows = zip(inputs[name], real, added, strict=True)
            whole = [torch.cat([row[keep], row.new_tensor(new)]) for row, keep, new in rows]
            inputs[name] = pad_sequence(whole, True, pad, padding_side="left")
    return inputs


@contextmanager
def left_padding(processor: Any) -> Iterator[None]:
    """Pad on the left inside the block: prompts end where completions begin."""
    tokenizer = tokenizer_of(processor)
    side = tokenizer.padding_side
    tokenizer.padding_side = "left"
    try:
        yield
    finally:
        tokenizer.padding_side = side


def _question(prompt: str | list[dict[str, Any]]) -> str:
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]


def _picture_tokens(processor: Any, cells: Sequence[dict[str, Any]]) -> int:
    """Tokens that pictures take up, from their headers alone; none is decoded."""
    total = 0
    for cell in cells:
        with opened(cell) as picture:
            size = picture.height, picture.width
        total += processor.layout.tokens(*size)
    return total


def render(processor: Any, question: str) -> str:
    """The prompt of a question with one picture, as text: everything that the template adds."""
    turn = conversation(question)
    return processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)


def encode_row(processor: Any, row: dict[str, Any]) -> torch.Tensor:
    """Token ids (T,) of the prompt of a training row with its pictures, as the model gets them."""
    check_rendering(processor, [row["question"]])
    turn = message({"prompt": row["question"], "images": row["images"]})
    return batch_inputs(processor, [turn], [[]])["input_ids"][0]
