"""The instruct miniature: the base, tuned on chats with fluent, right answers.

    python -m vtkit.mini instruct                     # builds models/mini-instruct; resumes
    python -m vtkit.mini instruct --manner terse      # models/mini-instruct-terse, for a study

The replications that start from Qwen2-VL-2B-Instruct need a model that already answers as it is
asked. This one is made as such models are: supervised tuning of the base on the exchanges of
:mod:`vtkit.mini.replications.chats`, loss on the completions. It stops at ``<|im_end|>`` or ``<|endoftext|>``.
"""

import random
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from vtkit.mini import base_model
from vtkit.mini.pretraining import PIXELS, collate, learn
from vtkit.mini.replications.chat_styles import DEFAULT, MANNERS, Manner
from vtkit.mini.replications.chats import make_lesson
from vtkit.mini.tokenizer import SPECIAL, extend_tokenizer
from vtkit.models.loading import ImageOnlyProcessor, load_model, load_processor

FOLDER = Path("models/mini-instruct")
BATCH, LEARNING_RATE = 32, 1e-3
VOCABULARY_LESSONS = 4000  # whose words decide on the new tokens


class Lessons(Dataset):
    """Batches (:func:`vtkit.mini.pretraining.collate`) of exchanges, indexed by step."""

    def __init__(
        self,
        processor: ImageOnlyProcessor,
        steps: int,
        seed: int,
        manner: Manner,
        batch: int = BATCH,
    ):
        self.processor, self.steps, self.seed = processor, steps, seed
        self.batch, self.manner = batch, manner

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        rng = random.Random(f"lessons-{self.seed}-{step}")
        lessons = [make_lesson(rng, self.manner) for _ in range(self.batch)]
        return collate(
            self.processor,
            [lesson.document() for lesson in lessons],
            [lesson.draw() for lesson in lessons],
        )


def folder_of(manner: str) -> Path:
    """Where the instruct miniature of that manner lies."""
    return FOLDER if manner == DEFAULT else Path(f"{FOLDER}-{manner}")


def build_tokenizer(base: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The base's tokenizer, extended for the lessons; the same for every manner and machine."""
    rng, manner = random.Random("chat tokenizer"), MANNERS["terse"]  # which says all words often
    texts = ("".join(make_lesson(rng, manner).document()) for _ in range(VOCABULARY_LESSONS))
    return extend_tokenizer(base, texts)


@torch.no_grad()
def extend_model(
    model: Any, base: PreTrainedTokenizerFast, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Give the model rows for the new tokens, each the mean of what its text was made of before.

    A phrase that the base knows with a space before it starts as that phrase.
    """
    n_known = len(base)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    rows = model.get_input_embeddings().weight
    for ident in range(n_known, len(tokenizer)):
        text = tokenizer.decode([ident])
        pieces = base(f" {text}")["input_ids"]
        if len(pieces) > 1:
            pieces = base(text)["input_ids"]
        rows[ident] = rows[pieces].mean(dim=0)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(SPECIAL[0])]
    model.generation_config.eos_token_id = ends
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.config.text_config.eos_token_id = tokenizer.eos_token_id


def tune(
    folder: Path | None = None,
    *,
    base: Path = base_model.FOLDER,
    manner: str = DEFAULT,
    steps: int | None = None,
    seed: int = 0,
    save_steps: int = 250,
) -> Path:
    """Tune the base as :func:`vtkit.mini.pretraining.learn` does; it can be interrupted.

    Args:
        folder: that of :func:`folder_of` by default.
        manner: a name in :data:`vtkit.mini.replications.chat_styles.MANNERS`.
        steps: the manner's by default.

    Raises:
        UserError: no base, or the folder cannot be written.
    """
    processor = load_processor(base, prompt="instruct", min_pixels=PIXELS, max_pixels=PIXELS)
    model = load_model(base)
    tokenizer = build_tokenizer(processor.tokenizer)
    extend_model(model, processor.tokenizer, tokenizer)
    processor.tokenizer = tokenizer
    taught = MANNERS[manner]
    return learn(
        model, processor, Lessons(processor, steps or taught.steps, seed, taught),
        folder or folder_of(manner), peak=LEARNING_RATE, save_steps=save_steps, name="tuning",
    )  # fmt: skip
