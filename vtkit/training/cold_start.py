"""A cold start: supervised steps on a few examples of the wanted format, before GRPO.

The paper's later version (abstract on OpenReview) has "small cold-start data" and no details. Ours
are training rows whose thinking part repeats the options. Step 0 scores the tuned model, and
``beta`` keeps the policy close to it; with adapters, to the base model.
"""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset
from transformers import PrinterCallback

from vtkit.config.run_config import RunConfig
from vtkit.data.sat import options_text
from vtkit.errors import UserError
from vtkit.files import full_disk_is_a_user_error
from vtkit.models import adapters
from vtkit.models.loading import load
from vtkit.models.prompts import PREFILL, is_prefilled
from vtkit.runs.checkpoints import discard, set_aside
from vtkit.runs.marks import begin, damage, is_ours, is_whole, mark_whole, read_mark
from vtkit.runs.places import list_files
from vtkit.training.callbacks import Progress
from vtkit.training.divergence import Finite, divergence_is_a_user_error, require_finite
from vtkit.training.trainers import BaselineSFTTrainer

FOLDER = "cold_start"
EPOCHS = 20  # one optimizer step each, over all examples


def tune(config: RunConfig, dataset: Dataset, args: Any) -> Path:
    """Tune the model or adapter, unless its folder is whole already; returns the folder.

    If killed, it starts again from the beginning. All processes call it together.

    Args:
        dataset: the run's training rows, as conversations.
        args: a ``trl.SFTConfig`` with :func:`arguments`.
    """
    folder = Path(config.run_dir) / FOLDER
    if PartialState().is_main_process and is_ours(folder) and is_whole(folder):
        if wrong := damage(folder, read_mark(folder).files):
            print(f"{folder}: {wrong}; {set_aside(folder)}, and it is made again", flush=True)
    PartialState().wait_for_everyone()
    if is_ours(folder) and is_whole(folder):
        return folder
    if list_files(folder) and not is_ours(folder):
        raise UserError(f"{folder} is in the way: this run did not write it; rename it")
    model, processor = load(config)
    adapters.freeze(model, config.freeze)
    trainer = BaselineSFTTrainer(
        model=model, args=args, processing_class=processor,
        train_dataset=examples(dataset, config.cold_start, seed=config.seed, prompt=config.prompt),
        peft_config=adapters.lora_config(config),
    )  # fmt: skip
    adapters.settle(trainer.model, config)
    trainer.remove_callback(PrinterCallback)
    for callback in (Finite(), Progress(unit="cold-start step")):
        trainer.add_callback(callback)
    with divergence_is_a_user_error(config, trainer):
        trainer.train()
        require_finite(trainer.model)
    if trainer.is_world_process_zero():
        if is_ours(folder):
            discard(folder)
        begin(folder)
    PartialState().wait_for_everyone()
    with full_disk_is_a_user_error(folder.parent):
        trainer.save_model(str(folder))
    PartialState().wait_for_everyone()
    if trainer.is_world_process_zero():
        mark_whole(folder)
    return folder


def arguments(config: RunConfig, processes: int) -> dict[str, Any]:
    """Changes of the run's SFT arguments for a cold start: one step an epoch, nothing saved."""
    if config.cold_start % processes:
        raise UserError(
            f"parameters: cold_start: {config.cold_start} examples cannot be split among "
            f"{processes} processes; set it to a multiple"
        )
    each = config.cold_start // processes
    batch = math.gcd(each, config.per_device_batch_size)
    return {
        "output_dir": str(Path(config.run_dir) / FOLDER), "save_strategy": "no",
        "max_steps": EPOCHS, "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": each // batch,
    }  # fmt: skip


def examples(dataset: Dataset, n: int, *, seed: int, prompt: str) -> Dataset:
    """Draw ``n`` rows and add a ``completion`` in the format that the reward wants."""
    if prompt.endswith("_direct"):
        raise UserError(
            f"parameters: cold_start teaches to think in tags, and prompt {prompt} asks for "
            "none; set cold_start to 0 or prompt to another one"
        )
    if n > len(dataset):
        raise UserError(
            f"parameters: cold_start: {n} examples are wanted of {len(dataset)} training rows; "
            "lower it"
        )
    chosen = dataset.select(random.Random(f"cold-start-{seed}").sample(range(len(dataset)), n))
    opening = "" if is_prefilled(prompt) else PREFILL
    texts = map(completion, chosen["choices"], chosen["answer"])
    completions = [[{"role": "assistant", "content": opening + text}] for text in texts]
    return chosen.select_columns(["id", "images", "prompt"]).add_column("completion", completions)


def completion(choices: Sequence[str], answer: str) -> str:
    """The text to learn after ``<think>``, in words that the miniature knows (it spells others)."""
    return (
        f" It is {options_text(choices)}. I think it is {answer}. "
        f"</think> <answer> {answer} </answer>"
    )
