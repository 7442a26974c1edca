"""The instruct miniature: the base, tuned on chats, for Qwen2-VL-2B-Instruct's replications."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from vtkit.mini import base_model
from vtkit.mini.pretraining import PIXELS, Batches, collate, training_loop
from vtkit.mini.replications.chat_styles import CHAT_STYLES, DEFAULT, ChatStyle
from vtkit.mini.replications.chats import make_chat
from vtkit.mini.tokenizer import SPECIAL, extend_tokenizer
from vtkit.models.loading import ImageOnlyProcessor, load_model, load_processor

FOLDER = Path("models/mini-instruct")
BATCH, LEARNING_RATE = 32, 1e-3
VOCABULARY_CHATS = 4000  # their words decide on the new tokens


@dataclass(eq=False)
class Chats(Batches):
    """Batches (:func:`vtkit.mini.pretraining.collate`) of chats; a step always has the same."""

    processor: ImageOnlyProcessor
    steps: int
    seed: int
    chat_style: ChatStyle
    batch: int = BATCH

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        rng = random.Random(f"lessons-{self.seed}-{step}")
        chats = [make_chat(rng, self.chat_style) for _ in range(self.batch)]
        documents, pictures = zip(*((chat.document(), chat.draw()) for chat in chats), strict=True)
        return collate(self.processor, documents, pictures)


def folder_of(manner: str) -> Path:
    """Return the default folder of the instruct miniature of a chat style."""
    return FOLDER if manner == DEFAULT else Path(f"{FOLDER}-{manner}")


def build_tokenizer(base: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Extend the base's tokenizer for the chats; the same for every style and machine."""
    rng, terse = random.Random("chat tokenizer"), CHAT_STYLES["terse"]  # has all words often
    texts = ("".join(make_chat(rng, terse).document()) for _ in range(VOCABULARY_CHATS))
    return extend_tokenizer(base, texts)


@torch.no_grad()
def extend_model(
    model: Any, base: PreTrainedTokenizerFast, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Add embeddings of new tokens: the mean over the base's tokens of the same text."""
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    rows = model.get_input_embeddings().weight
    for ident in range(len(base), len(tokenizer)):
        text = tokenizer.decode([ident])
        pieces = base(f" {text}")["input_ids"]  # one piece: a phrase that the base knows
        if len(pieces) > 1:
            pieces = base(text)["input_ids"]
        rows[ident] = rows[pieces].mean(dim=0)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(SPECIAL[0])]
    model.generation_config.update(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)
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
    """Tune the base with :func:`vtkit.mini.pretraining.training_loop`.

    ``manner``, a name in :data:`CHAT_STYLES`, has the default folder and steps. UserError: no base.
    """
    processor = load_processor(base, prompt="instruct", min_pixels=PIXELS, max_pixels=PIXELS)
    model, style = load_model(base), CHAT_STYLES[manner]
    tokenizer = build_tokenizer(processor.tokenizer)
    extend_model(model, processor.tokenizer, tokenizer)
    processor.tokenizer = tokenizer
    return training_loop(
        model, processor, Chats(processor, steps or style.steps, seed, style),
        folder or folder_of(manner), peak=LEARNING_RATE, save_steps=save_steps, name="tuning",
    )  # fmt: skip
