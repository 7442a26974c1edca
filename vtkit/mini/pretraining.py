"""Next-token training of the miniature's models: batches of documents, the loss, the loop."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vtkit.errors import UserError, first_line
from vtkit.files import atomic_path, full_disk_is_a_user_error
from vtkit.models.processors import ImageOnlyProcessor
from vtkit.runs.places import require_own

PIXELS = 64 * 64  # size at which the model sees a 256 x 256 picture
PATCH, MERGE = 8, 2
IMAGE_TOKENS = PIXELS // (PATCH * MERGE) ** 2
GRID = (1, 8, 8)
IGNORED = -100
Document = tuple[str, str]
"""The text before the learned part, with its picture's place if it has one, and that part."""


def positions(length: int, before: int = 0) -> torch.Tensor:
    """Return M-RoPE positions (3, 1, length) of a document with one picture (``get_rope_index``).

    ``before`` counts the tokens before the picture's ``<|vision_start|>``.
    """
    side = GRID[1] // MERGE
    image = np.stack(np.meshgrid([0], range(side), range(side), indexing="ij")).reshape(3, -1)
    first = before + 1  # position of the picture, after <|vision_start|>
    rest = np.arange(length - IMAGE_TOKENS - first) + side + first
    parts = [np.tile(np.arange(first), (3, 1)), image + first, np.tile(rest, (3, 1))]
    return torch.from_numpy(np.concatenate(parts, axis=1)[:, None, :length]).long()


class Batches(Dataset[dict[str, torch.Tensor]], ABC):
    """The batches of a training, made by :func:`collate`; a step always has the same."""

    @abstractmethod
    def __len__(self) -> int: ...


def collate(
    processor: ImageOnlyProcessor | PreTrainedTokenizerBase,
    documents: Sequence[Document],
    pictures: Sequence[Image.Image] | None = None,
) -> dict[str, torch.Tensor]:
    """Make a batch of documents, with a picture each or (``processor``: a tokenizer) none at all.

    Returns:
        ``input_ids`` (B, L), ``labels`` (B, L; pictures, prompts and padding ignored) and, with
        pictures, ``pixel_values`` (B x 64 patches, values) and ``image_grid_thw`` (B, 3).
    """
    tokenizer: Any = processor
    seen: dict[str, torch.Tensor] = {}
    if pictures is not None:
        tokenizer, image = processor.tokenizer, processor.image_token
        documents = [(text.replace(image, image * IMAGE_TOKENS), more) for text, more in documents]
        seen = processor.image_processor(list(pictures), return_tensors="pt")
    ids, labels = map(list, zip(*(_encode(tokenizer, *one) for one in documents), strict=True))
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(ids, batch_first=True, padding_value=tokenizer.pad_token_id),
        "labels": pad(labels, batch_first=True, padding_value=IGNORED),
        **seen,
    }


def _encode(
    tokenizer: PreTrainedTokenizerBase, prompt: str, text: str
) -> tuple[torch.Tensor, torch.Tensor]:
    before = tokenizer(prompt)["input_ids"]
    learned = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    return torch.tensor(before + learned), torch.tensor([IGNORED] * len(before) + learned)


def loss_of(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean cross-entropy over the learned tokens of a batch, in nats.

    If it has pictures, the same number of tokens must come before each of them.
    """
    places = None
    if "pixel_values" in batch:
        ids = batch["input_ids"]
        before = int((ids[0] == model.config.vision_start_token_id).nonzero()[0])
        places = positions(ids.shape[1], before).expand(3, *ids.shape)
    return model(**batch, position_ids=places, use_cache=False).loss


def learning_rate(step: int, total: int, peak: float) -> float:
    """Linear warm-up over 100 steps, then a cosine down to 2 % of the peak."""
    warm = min(1.0, (step + 1) / 100)
    return peak * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / total)))


def training_loop(
    model: PreTrainedModel,
    processor: ImageOnlyProcessor | PreTrainedTokenizerBase,
    corpus: Batches,
    folder: Path,
    *,
    peak: float,
    save_steps: int,
    name: str,
) -> Path:
    """Train on all batches of ``corpus``; save model, processor and ``<name>.json`` in ``folder``.

    If interrupted, it resumes from the last state (``folder/<name>.pt``, removed at the end) and
    ends with the same weights as an unbroken run. ``peak`` is the highest learning rate.

    Raises:
        UserError: the folder has other files or a finished model, cannot be written, or its disk is
            full.
    """
    state_file = folder / f"{name}.pt"
    if (folder / f"{name}.json").exists() and not state_file.exists():
        raise UserError(
            f"{folder} has a finished model; move or delete it to build it again, or name another "
            "folder with --folder"
        )
    require_own(folder, lambda place: (place / state_file.name).is_file(), "model folder")
    with full_disk_is_a_user_error(folder):
        losses = _train(model, corpus, state_file, peak, save_steps)
        model.eval().save_pretrained(folder)
        processor.save_pretrained(folder)
        means = [round(float(np.mean(losses[at : at + 50])), 4) for at in range(0, len(losses), 50)]
        log = json.dumps({"mean_loss_of_50_steps": means}) + "\n"
        (folder / f"{name}.json").write_text(log)
        state_file.unlink(missing_ok=True)
    return folder


def _train(
    model: PreTrainedModel, corpus: Batches, state_file: Path, peak: float, save_steps: int
) -> list[float]:
    """The loss of every step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98), weight_decay=0.01)
    losses = []
    if state_file.is_file():
        losses = _load_state(state_file, model, optimizer)
    else:  # tells now if it cannot be written, and that the folder is ours
        _save_state(state_file, model, optimizer, losses)
    steps, shown = range(len(losses), len(corpus)), {"desc": state_file.stem, "unit": "step"}
    bar = tqdm(batches(corpus, steps), total=len(corpus), initial=len(losses), **shown)
    model.train()
    for step, batch in zip(steps, bar, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, len(corpus), peak)
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(round(loss.item(), 4))
        bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
        if (step + 1) % save_steps == 0:
            _save_state(state_file, model, optimizer, losses)
    return losses


def _save_state(
    path: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer, losses: list[float]
) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    with atomic_path(path) as draft:
        torch.save(state | {"losses": losses}, draft)


def _load_state(
    path: Path, model: PreTrainedModel, optimizer: torch.optim.Optimizer
) -> list[float]:
    try:
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return state["losses"]
    except Exception as error:  # pickle's, torch's and Python's own have no common ancestor
        raise UserError(
            f"{path} is no state of this training ({first_line(error)}); name another folder with "
            "--folder, or move that file away"
        ) from None


def batches(corpus: Batches, steps: range) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the batches of steps, made in advance by one worker (tokenizers must not fork)."""
    yield from DataLoader(
        corpus, batch_size=None, sampler=list(steps), num_workers=1, prefetch_factor=4
    )
