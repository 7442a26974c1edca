"""The gradients of a training's first step, by written completions.

Started by a launcher, with a file, to which the first process writes them, and the settings:
FILE NAME VALUE NAME VALUE ...
"""

import sys
from pathlib import Path

import torch
from shared import completions
from transformers import TrainerCallback
from trl.trainer import utils

from vtkit.config.recipes import resolve_config
from vtkit.sampling.processes import leave_others, wait_for_others
from vtkit.training import train


class Keep(TrainerCallback):
    """Keeps the gradients of the first step, and ends the training."""

    def __init__(self):
        self.found = {}

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        for name, weight in model.named_parameters():
            if weight.grad is not None:
                self.found[name] = weight.grad.clone()


def first_step(*, share: bool, **changes) -> dict[str, torch.Tensor]:
    """Gradients by weight; those of stock TRL's code where prompts are not shared."""
    config = resolve_config(**{**changes, "max_steps": 1, "max_grad_norm": 1e9})
    keep = Keep()
    trainer = train.make_trainer(config)
    if not share:
        utils._use_triton = lambda device: False
    trainer.__class__ = type("Written", (completions.Written,), {"share_prompts": share})
    trainer.add_callback(keep)
    trainer.train()
    return keep.found


if __name__ == "__main__":
    file, *pairs = sys.argv[1:]
    wait_for_others()
    found = first_step(share=True, **dict(zip(pairs[::2], pairs[1::2], strict=True)))
    if torch.distributed.get_rank() == 0:
        torch.save(found, file)
    leave_others()
    if (tasks := Path("/proc/self/task")).exists():  # a thread left over may abort the process
        names = [(task / "comm").read_text().strip() for task in tasks.iterdir()]
        assert not [name for name in names if "gloo" in name], names
