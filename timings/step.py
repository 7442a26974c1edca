"""Compare a GRPO step with stock TRL's: same model, data and settings.

    python timings/step.py           # prints a table and writes timings/step.csv

``trl.GRPOTrainer`` and the kit's trainer take a few steps each, by turns in one process, with the
same arguments, rewards and questions, from the same weights: the miniature base, whose HTML is
long, and what 30 steps make of it; with and without gradient checkpointing, which all profiles of a
GPU have. The kit's writes its rollouts, too. Times are CPU seconds of one thread, from the first
step's beginning to the last one's end: neither set-up nor the checkpoint at the end is a step. A
ratio is taken within a pair, over other questions for each pair.
"""

import os
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, set_seed
from trl import GRPOTrainer
from trl.trainer import utils

import results
from vtkit.config.recipes import resolve_config
from vtkit.files import ROOT
from vtkit.mini.dataset import ensure_dataset
from vtkit.models.loading import load_model
from vtkit.training.train import make_trainer

TRAINED, STEPS, PAIRS = 30, 3, 6
TRLS_WIDTH, TRLS_CHOICE = utils._CHUNKED_LOGPROB_CHUNK_SIZE, utils._use_triton


def ours(
    folder: Path, model: str | Path, seed: int, steps: int = STEPS, *, checkpointing: bool = False
) -> GRPOTrainer:
    data = str(folder / "data")
    config = resolve_config(
        run_dir=folder / "run", seed=seed, model=str(model), max_steps=steps, save_steps=steps + 1,
        train_data=data, benchmark_data=data, gradient_checkpointing=checkpointing,
    )  # fmt: skip
    return make_trainer(config)


def stock(like: GRPOTrainer, model: str | Path) -> GRPOTrainer:
    return GRPOTrainer(
        model=load_model(model), args=like.args, reward_funcs=like.reward_funcs,
        train_dataset=like.train_dataset.rows, processing_class=like.processing_class,
    )  # fmt: skip


class Clock(TrainerCallback):
    """Measures a training from the beginning of its first step to the end of its last."""

    began = ended = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ended = time.process_time()


def seconds(trainer: GRPOTrainer) -> float:
    """CPU seconds of a step."""
    if type(trainer) is GRPOTrainer:  # a trainer of the kit has changed TRL's output layer
        utils._CHUNKED_LOGPROB_CHUNK_SIZE, utils._use_triton = TRLS_WIDTH, TRLS_CHOICE
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(clock := Clock())
    set_seed(trainer.args.seed)
    trainer.train()
    return (clock.ended - clock.began) / trainer.args.max_steps


def measure(folder: Path, state: str, model: str | Path, checkpointing: bool) -> dict[str, Any]:
    pairs = []
    for seed in range(PAIRS + 1):
        like = ours(folder, model, seed, checkpointing=checkpointing)
        theirs = seconds(stock(like, model))
        mine = ours(folder, model, seed, checkpointing=checkpointing)
        pairs.append((theirs, seconds(mine)))
    stocks, own = zip(*pairs[1:], strict=True)  # the first pair warms up
    ratios = sorted(one / other for one, other in pairs[1:])
    return {
        "date": date.today().isoformat(),
        "state": state,
        "checkpointing": checkpointing,
        "stock TRL, s a step": f"{statistics.median(stocks):.2f}",
        "this kit, s a step": f"{statistics.median(own):.2f}",
        "times as fast": f"{statistics.median(ratios):.2f}",
        "lowest": f"{ratios[0]:.2f}",
        "highest": f"{ratios[-1]:.2f}",
        "pairs": PAIRS,
    }


def main() -> None:
    results.no_options(__doc__)
    torch.set_num_threads(1)
    base = ROOT / "models" / "mini-base"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ensure_dataset(folder / "data")
        trainer = ours(folder, base, 0, TRAINED)
        seconds(trainer)
        trainer.save_model(str(folder / "trained"))
        models = {"base": base, f"after {TRAINED} steps": folder / "trained"}
        rows = [
            measure(folder, state, model, checkpointing)
            for checkpointing in (False, True)
            for state, model in models.items()
        ]
    for line in (rows[0].keys(), *(row.values() for row in rows)):
        print("".join(f"{cell!s:>21}" for cell in line))
    results.write("step", rows)


if __name__ == "__main__":
    os.environ["VTKIT_HEADLESS"] = "1"
    main()
