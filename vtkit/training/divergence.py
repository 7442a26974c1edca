"""Stop a training at the step whose numbers are nan or infinite, before anything of it is saved."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.runs.checkpoints import last_checkpoint, set_aside, step_of
from vtkit.sampling.decoding import NotFinite

_NAMES = {"loss": "loss", "grad_norm": "gradient norm"}


class Finite(TrainerCallback):
    """Stop where the loss or the norm of the gradient is not finite.

    It comes after the callback that writes metrics.csv, which then shows both.
    """

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in (logs or {}):
            return
        for name, words in _NAMES.items():
            value = logs.get(name, 0.0)
            scaled = name == "grad_norm" and args.fp16  # the scaler skips such a step
            if not math.isfinite(value) and not scaled:
                raise NotFinite(f"the {words} is {value}", kwargs["model"])


def require_finite(model: torch.nn.Module) -> None:
    """Raise :class:`vtkit.sampling.decoding.NotFinite` at a weight that trains and is nan or inf.

    Of sharded weights each process looks at its own part.
    """
    for name, weight in model.named_parameters():
        own = weight.to_local() if hasattr(weight, "to_local") else weight
        if weight.requires_grad and not own.isfinite().all():
            raise NotFinite(f"the weights are nan or infinite, such as {name}", model)


@contextmanager
def divergence_is_a_user_error(config: RunConfig, trainer: Any) -> Iterator[None]:
    """Say of a training that diverged in the block when, what is left, and what to change."""
    try:
        yield
    except NotFinite as error:
        folder, step = Path(trainer.args.output_dir), trainer.state.global_step
        if step == 0:  # the model was so before
            raise
        last, said = last_checkpoint(folder), []
        if last and step_of(last) == step and trainer.is_world_process_zero():
            said = [f"{last} has these weights, {set_aside(last)}"]
            last = last_checkpoint(folder)
        said += [f"{last} is the last good checkpoint" if last else "no earlier checkpoint is left"]
        supervised = type(trainer).__name__.endswith("SFTTrainer")
        rate = "sft_learning_rate" if supervised else "learning_rate"
        changes = [f"a smaller {rate} (here {getattr(config, rate)})"]
        changes += [f"beta (here {config.beta})"] if config.beta and not supervised else []
        changes += ["dtype bfloat16 or float32"] if config.dtype == "float16" else []
        raise UserError(
            f"{config.run_dir}: training diverged: after step {step} {error.what}; "
            f"{'; '.join(said)}; start in another folder (run_dir) with {' or '.join(changes)}"
        ) from error
