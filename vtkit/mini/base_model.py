"""The miniature base model: a Qwen2-VL of a million parameters, pre-trained on generated pictures.

    python -m vtkit.mini.base_model        # rebuilds models/mini-base; resumes if interrupted

It is a base model in the sense of R1-Zero: next-token prediction on the mixture that
vtkit.mini.corpus states, no instruction tuning, no rewards. It differs from a textbook recipe in
three ways that decide whether so small a model learns at all: weights start at about 1/sqrt(width)
instead of 0.02, scenes grow from one object to eight, and captions name objects in random order.
"""

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration

from vtkit.cli import friendly
from vtkit.files import atomic_path, full_disk_is_a_user_error
from vtkit.mini.corpus import View, document, make_view
from vtkit.mini.tokenizer import build_tokenizer
from vtkit.models import ImageOnlyProcessor, Qwen2VLImageProcessorPil
from vtkit.prompts import get_template

FOLDER = Path("models/mini-base")
PIXELS = 64 * 64  # what the model sees of a 256 x 256 picture
PATCH, MERGE = 8, 2
IMAGE_TOKENS = PIXELS // (PATCH * MERGE) ** 2
GRID = (1, 8, 8)
WIDTH = 128
IGNORED = -100


@dataclass(frozen=True)
class Phase:
    """So many steps on scenes of up to ``limit`` objects, with the kinds of documents' shares."""

    steps: int
    limit: int
    kinds: dict[str, float]


PHASES = (
    Phase(200, 1, {"caption": 1}),
    Phase(300, 2, {"caption": 1}),
    Phase(300, 4, {"caption": 1}),
    Phase(500, 8, {"caption": 1}),
    Phase(2200, 8, {"caption": 0.2, "notes": 0.8}),
    Phase(1300, 8, {"caption": 0.05, "notes": 0.5, "dialogue": 0.45}),
)
BATCH = 32
LEARNING_RATE = 2e-3


def build_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2VLConfig:
    """Qwen2-VL's architecture: width 128, 4 layers, 4 heads, 2 of keys and values, 2 for vision."""
    ident = tokenizer.convert_tokens_to_ids
    return Qwen2VLConfig(
        text_config=dict(
            vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=3 * WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
            rope_parameters={"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6},
            bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_range=0.08, tie_word_embeddings=True,
        ),
        vision_config=dict(
            depth=2, embed_dim=64, hidden_size=WIDTH, num_heads=4, mlp_ratio=2, patch_size=PATCH,
            spatial_merge_size=MERGE, initializer_range=0.08,
        ),
        image_token_id=ident("<|image_pad|>"), video_token_id=ident("<|video_pad|>"),
        vision_start_token_id=ident("<|vision_start|>"),
        vision_end_token_id=ident("<|vision_end|>"),
        tie_word_embeddings=True, initializer_range=0.08,
    )  # fmt: skip


def build_processor(tokenizer: PreTrainedTokenizerFast) -> ImageOnlyProcessor:
    """Pictures become 64 x 64 pixels, 8 x 8 patches, 16 image tokens: one for each cell."""
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=PATCH, merge_size=MERGE, size={"shortest_edge": PIXELS, "longest_edge": PIXELS}
    )
    return ImageOnlyProcessor(image_processor, tokenizer, chat_template=get_template("base"))


def build_model(config: Qwen2VLConfig, seed: int = 0) -> Qwen2VLForConditionalGeneration:
    """Fresh weights."""
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    return model


def positions(length: int) -> torch.Tensor:
    """M-RoPE positions (3, 1, length) of a document that begins with one picture.

    The same as ``model.model.get_rope_index`` gives; computed once instead of for every document.
    """
    side = GRID[1] // MERGE
    image = np.stack(np.meshgrid([0], range(side), range(side), indexing="ij")).reshape(3, -1) + 1
    rest = np.arange(length - IMAGE_TOKENS - 1) + side + 1
    together = np.concatenate([np.zeros((3, 1), int), image, np.tile(rest, (3, 1))], axis=1)
    return torch.from_numpy(together[:, None, :length]).long()


class Corpus(Dataset):
    """Batches of documents, indexed by step: the same batch whoever asks for it, and whenever.

    A batch holds ``input_ids`` (B, L), ``labels`` (B, L; pictures, prompts and padding ignored),
    ``pixel_values`` (B x 64 patches, values) and ``image_grid_thw`` (B, 3). A world without
    pictures overrides ``view``, ``document`` and ``pictures``.

    Args:
        processor: or a tokenizer, where there are no pictures.
    """

    def __init__(
        self,
        processor: ImageOnlyProcessor | PreTrainedTokenizerFast,
        phases: tuple[Phase, ...],
        seed: int,
        batch: int = BATCH,
    ):
        self.processor, self.phases, self.seed, self.batch = processor, phases, seed, batch
        self.tokenizer = getattr(processor, "tokenizer", processor)

    def __len__(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase(self, step: int) -> Phase:
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        raise IndexError(step)

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        phase = self.phase(step)
        rng = random.Random(f"{self.seed}-{step}")
        kind = rng.choices(list(phase.kinds), list(phase.kinds.values()))[
            0
        ]  # one kind a batch: little padding
        views = [self.view(rng, phase.limit) for _ in range(self.batch)]
        ids, labels = zip(
            *(self._encode(*self.document(view, kind, rng)) for view in views), strict=True
        )
        pad = torch.nn.utils.rnn.pad_sequence
        return {
            "input_ids": pad(ids, batch_first=True, padding_value=self.tokenizer.pad_token_id),
            "labels": pad(labels, batch_first=True, padding_value=IGNORED),
            **self.pictures(views),
        }

    def view(self, rng: random.Random, limit: int) -> View:
        return make_view(rng, limit)

    def document(self, view: View, kind: str, rng: random.Random) -> tuple[str, str]:
        before, learned = document(view, kind, rng)
        image = self.processor.image_token
        return before.replace(image, image * IMAGE_TOKENS), learned

    def pictures(self, views: list[View]) -> dict[str, torch.Tensor]:
        drawn = [view.draw() for view in views]
        return dict(self.processor.image_processor(drawn, return_tensors="pt"))

    def _encode(self, before: str, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        given = self.tokenizer(before)["input_ids"]
        learned = [*self.tokenizer(text)["input_ids"], self.tokenizer.eos_token_id]
        return torch.tensor(given + learned), torch.tensor([IGNORED] * len(given) + learned)


def loss_of(model: Qwen2VLForConditionalGeneration, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean cross-entropy over the learned tokens of a batch, in nats."""
    n_rows, length = batch["input_ids"].shape
    return model(
        **batch, position_ids=positions(length).expand(3, n_rows, length), use_cache=False
    ).loss


def learning_rate(step: int, total: int) -> float:
    """Linear warm-up over 100 steps, then a cosine down to 2 % of the peak."""
    warm = min(1.0, (step + 1) / 100)
    return LEARNING_RATE * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / total)))


def pretrain(
    folder: Path = FOLDER,
    *,
    phases: tuple[Phase, ...] = PHASES,
    seed: int = 0,
    save_steps: int = 250,
) -> Path:
    """Pre-train a base model and save model, processor and training log in ``folder``.

    Interrupted, it goes on from the last state (``folder/pretraining.pt``, removed at the end) and
    ends with the same weights as an unbroken run.

    Raises:
        UserError: the folder cannot be written.
    """
    processor = build_processor(build_tokenizer())
    model = build_model(build_config(processor.tokenizer), seed)
    return fit(folder, model, Corpus(processor, phases, seed), loss_of, save_steps)


def fit(
    folder: Path,
    model: Any,
    corpus: Corpus,
    loss_of: Callable[[Any, dict[str, torch.Tensor]], torch.Tensor],
    save_steps: int,
) -> Path:
    """Train ``model`` on every batch of ``corpus`` and save it, as :func:`pretrain` describes.

    Args:
        loss_of: the loss of the model on a batch.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01
    )
    log = _resume(folder, model, optimizer)
    losses = list(log)
    steps = range(len(losses), len(corpus))
    bar = tqdm(
        _batches(corpus, steps),
        total=len(corpus),
        initial=len(losses),
        desc="pre-training",
        unit="step",
    )
    model.train()
    for step, batch in zip(steps, bar, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, len(corpus))
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(round(loss.item(), 4))
        bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
        if (step + 1) % save_steps == 0:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "losses": losses,
            }
            with atomic_path(folder / "pretraining.pt") as draft:
                torch.save(state, draft)
    return _save(folder, model, corpus.processor, losses)


def _batches(corpus: Corpus, steps: range) -> Iterator[dict[str, torch.Tensor]]:
    # One worker draws the next pictures while the model learns; tokenizers must not fork threads of
    # their own.
    yield from DataLoader(
        corpus, batch_size=None, sampler=list(steps), num_workers=1, prefetch_factor=4
    )


def _resume(folder: Path, model: Any, optimizer: torch.optim.Optimizer) -> list[float]:
    state_file = folder / "pretraining.pt"
    if not state_file.is_file():
        return []
    state = torch.load(state_file, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["losses"]


def _save(folder: Path, model: Any, processor: Any, losses: list[float]) -> Path:
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    means = [round(float(np.mean(losses[at : at + 50])), 4) for at in range(0, len(losses), 50)]
    (folder / "pretraining.json").write_text(json.dumps({"mean_loss_of_50_steps": means}) + "\n")
    (folder / "pretraining.pt").unlink(missing_ok=True)
    return folder


def folder_command(about: str, folder: Path, build: Callable[..., Path]) -> int:
    """The command of a module that pre-trains a base with ``build(folder, seed=...)``."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument(
        "--folder", type=Path, default=folder, help="where to save it (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of weights and documents (default: %(default)s)"
    )
    args = parser.parse_args()

    def command() -> int:
        with full_disk_is_a_user_error(args.folder):
            print(f"saved {build(args.folder, seed=args.seed)}")
        return 0

    return friendly(command)


def main() -> int:
    about = "Rebuild the miniature base model (about 25 minutes on 2 cores)."
    return folder_command(about, FOLDER, pretrain)


if __name__ == "__main__":
    sys.exit(main())
