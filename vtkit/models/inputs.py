"""Turn questions with pictures into padded model inputs, and sort them by length.

Lengths include the tokens of pictures, worked out from file headers; no picture is decoded.

    order = by_length(processor, dataset, [[]] * len(dataset))
    inputs = batch_inputs(processor, [message(dataset[row]) for row in order[:8]], [[]] * 8)
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from vtkit.data.pictures import encoded_images
from vtkit.models.prompts import check_rendering, conversation, one_per_image


def tokenizer_of(processor: Any) -> Any:
    """The tokenizer of a processor; the processor of a text-only model is its tokenizer."""
    return getattr(processor, "tokenizer", processor)


def by_length(processor: Any, dataset: Dataset, begun: Sequence[list[int]]) -> list[int]:
    """Row numbers by tokens of prompt and beginning, longest first; ties in row order."""
    texts = [_question(prompt) for prompt in dataset["prompt"]]
    words = [len(tokens) for tokens in tokenizer_of(processor)(texts)["input_ids"]]
    patches = [_patches(processor, cells) for cells in encoded_images(dataset)]
    lengths = [
        text + picture + len(tokens)
        for text, picture, tokens in zip(words, patches, begun, strict=True)
    ]
    return sorted(range(len(lengths)), key=lambda row: -lengths[row])


def message(row: dict[str, Any]) -> list[dict]:
    """The user's turn with its pictures first, where the chat template puts them."""
    turn = conversation(_question(row["prompt"]))[0]
    pictures = row["images"] if "images" in row else [row["image"]] if "image" in row else []
    content = [{"type": "image", "image": picture} for picture in pictures]
    return [{**turn, "content": [*content, {"type": "text", "text": turn["content"]}]}]


def tokens_of(processor: Any, beginnings: Sequence[str]) -> list[list[int]]:
    """Tokens of completions' beginnings; a special token that is spelled out in them stays text."""
    found = tokenizer_of(processor)(
        list(beginnings), add_special_tokens=False, split_special_tokens=True
    )
    return found["input_ids"]


def batch_inputs(processor: Any, messages: list, begun: Sequence[list[int]]) -> Any:
    """Render prompts, append the tokens of each completion's beginning, and pad left.

    Prompt and beginning are tokenized apart, as in training: no token spans the seam.

    Returns:
        ``input_ids``, ``attention_mask`` and, with pictures, ``mm_token_type_ids``, each
        (rows, length); ``pixel_values`` (patches, numbers), ``image_grid_thw`` (pictures, 3).
    """
    inputs = processor.apply_chat_template(
        messages,
        add_generation_prompt=True,
        tokenize=True,
        chat_template=one_per_image(processor.chat_template),
        return_dict=True,
        return_tensors="pt",
        **_padded(processor),
    )
    if not any(begun):
        return inputs
    real = inputs["attention_mask"].bool()
    padding = {"input_ids": tokenizer_of(processor).pad_token_id}
    for name in {"input_ids", "attention_mask", "mm_token_type_ids"} & set(inputs):
        behind = {"input_ids": begun, "attention_mask": [[1] * len(tokens) for tokens in begun]}
        added = behind.get(name, [[0] * len(tokens) for tokens in begun])
        rows = zip(inputs[name], real, added, strict=True)
        whole = [torch.cat([row[keep], row.new_tensor(new)]) for row, keep, new in rows]
        inputs[name] = pad_sequence(whole, True, padding.get(name, 0), padding_side="left")
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


def _question(prompt: str | list[dict]) -> str:
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]


def _padded(processor: Any) -> dict[str, Any]:
    """The padding option of ``apply_chat_template``, which a tokenizer takes directly."""
    own = tokenizer_of(processor) is processor
    return {"padding": True} if own else {"processor_kwargs": {"padding": True}}


def _patches(processor: Any, cells: Sequence[dict]) -> int:
    """Tokens that pictures take up, from their headers alone."""
    if not cells:
        return 0
    tool = processor.image_processor
    total = 0
    for cell in cells:
        with Image.open(io.BytesIO(cell["bytes"]) if cell["bytes"] else cell["path"]) as picture:
            total += tool.get_number_of_image_patches(picture.height, picture.width)
    return total // tool.merge_size**2


def render(processor: Any, question: str) -> str:
    """The prompt of a question with one picture, as text: everything that the template adds."""
    turn = conversation(question)
    return processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)


def encode_row(processor: Any, row: dict[str, Any]) -> torch.Tensor:
    """Token ids (T,) of one row's prompt with its pictures, as the model gets them.

    Args:
        row: of :func:`vtkit.data.rows.load_training_rows`.

    Raises:
        UserError: the chat template loses the picture or the question.
    """
    check_rendering(processor, [row["question"]])
    turn = message({"prompt": row["question"], "images": row["images"]})
    return batch_inputs(processor, [turn], [[]])["input_ids"][0]
