"""A cold start: a handful of examples of the wanted format, learned before reinforcement.

The paper's later version reports 70.58 % on CV-Bench after "small cold-start data" (abstract on
OpenReview); how many, of which kind and for how long was not published. So this is our reading, the
least that could be meant: training rows, each with a thinking part that says what is asked and
holds no skill, and the right answer in tags. What it gives is the format, and a completion's end.

The tuned model is the start of the run: step 0 of the benchmark scores it, and with ``beta`` above
0 it is what the policy is kept close to. With adapters that stays the base model, since the
reference is the model without its adapter.
"""

import math
import random
import shutil
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
from vtkit.runs.checkpoints import is_whole, mark_whole
from vtkit.training.callbacks import Progress
from vtkit.training.trainers import BaselineSFTTrainer

FOLDER = "cold_start"
EPOCHS = 20  # one optimizer step each, over all examples


def tune(config: RunConfig, dataset: Dataset, args: Any) -> Path:
    """The folder of the tuned model, or adapter, made now unless it is whole already.

    Killed in the middle it is made again from the beginning, which takes seconds. All processes
    call it together.

    Args:
        dataset: the run's training rows, of :func:`vtkit.models.prompts.to_conversations`.
        args: a ``trl.SFTConfig`` with :func:`arguments`.

    Raises:
        UserError: see :func:`examples`; or the disk is full.
    """
    folder = Path(config.run_dir) / FOLDER
    if is_whole(folder):
        return folder
    model, processor = load(config)
    adapters.freeze(model, config.freeze)
    trainer = BaselineSFTTrainer(
        model=model, args=args, processing_class=processor,
        train_dataset=examples(dataset, config.cold_start, seed=config.seed, prompt=config.prompt),
        peft_config=adapters.lora_config(config),
    )  # fmt: skip
    adapters.settle_adapter(trainer.model)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Progress(unit="cold-start step"))
    trainer.train()
    if trainer.is_world_process_zero():
        shutil.rmtree(folder, ignore_errors=True)
    PartialState().wait_for_everyone()
    with full_disk_is_a_user_error(folder.parent):
        trainer.save_model(str(folder))
    PartialState().wait_for_everyone()
    if trainer.is_world_process_zero():
        mark_whole(folder)
    return folder


def arguments(config: RunConfig, processes: int) -> dict[str, Any]:
    """What a cold start changes of the run's SFT arguments: one step an epoch, nothing saved.

    Raises:
        UserError: the examples cannot be split among the processes.
    """
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
    """``n`` rows, drawn by ``seed``, with a ``completion`` in the format that the reward wants.

    Raises:
        UserError: the prompt asks for no thinking, or there are fewer rows.
    """
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
    completions = [
        [{"role": "assistant", "content": opening + completion(choices, answer)}]
        for choices, answer in zip(chosen["choices"], chosen["answer"], strict=True)
    ]
    return chosen.select_columns(["images", "prompt"]).add_column("completion", completions)


def completion(choices: Sequence[str], answer: str) -> str:
    """What is learned to follow ``<think>``: the options again, and the answer.

    In words that the miniature knows. It spells all others, and learns to spell instead.
    """
    return (
        f" It is {options_text(choices)}. I think it is {answer}. "
        f"</think> <answer> {answer} </answer>"
    )
