"""The processes that a launcher started: joined, told the same, and scoring together.

Without a launcher there is one, and nothing to do.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from accelerate import PartialState
from accelerate.state import DistributedType
from torch.distributed.fsdp import FSDPModule

from vtkit.models.devices import pick_device
from vtkit.runs.surroundings import is_asked_for

PATIENCE = 3600
"""Seconds that processes wait for one that is still there. One that has died ends the others."""


def wait_for_others() -> None:
    """Join the processes that a launcher started with this one, and wait until all are here."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        on_cpu, patience = pick_device()[0] == "cpu", timedelta(seconds=PATIENCE)
        PartialState(cpu=on_cpu, timeout=patience).wait_for_everyone()


def leave_others() -> None:
    """Part from the other processes: one that ends while it is joined may abort as it ends.

    gloo's threads end with the last reference to their group. A trainer is a circle of references
    that holds one, through DDP.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()


def shard_on_cpus(state: PartialState) -> None:
    """Let FSDP and DeepSpeed work between processes on a CPU, which exchange by gloo.

    accelerate 1.15 makes FSDP of all kinds of processes but ``MULTI_CPU``: there it trains with DDP
    without a word (``AcceleratorState``). DeepSpeed 0.19 compiles an operator of its own for what
    processes exchange on a CPU. Called before there is an ``Accelerator``.
    """
    if state.distributed_type != DistributedType.MULTI_CPU:
        return
    if is_asked_for("FSDP"):
        state.distributed_type = DistributedType.MULTI_GPU
    if is_asked_for("DEEPSPEED"):
        import deepspeed

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def place() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many have joined."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def told(value: Any) -> Any:
    """Return in every process what the first one has; all call it together."""
    box = [value]
    if place()[1] > 1:
        dist.broadcast_object_list(box)
    return box[0]


def collected(value: Any) -> list[Any]:
    """Return in every process what each of them has; all call it together."""
    values = [value] * place()[1]
    if len(values) > 1:
        dist.all_gather_object(values, value)
    return values


@contextmanager
def whole_weights(model: Any) -> Iterator[None]:
    """Hold all weights of a model that FSDP 2 has split in each process, inside the block.

    A forward pass then needs no other process: each makes as many as its completions take, and no
    token waits for weights from elsewhere. Other models are whole already. All call it together.
    """
    split = [module for module in model.modules() if isinstance(module, FSDPModule)]
    blocks = [module for module in split if module is not model and _is_freed(module)]
    for module in blocks:
        module.set_reshard_after_forward(False, recurse=False)
    for module in split:
        module.unshard()
    try:
        yield
    finally:
        for module in split:
            module.reshard()
        for module in blocks:
            module.set_reshard_after_forward(True, recurse=False)


def _is_freed(module: FSDPModule) -> bool:
    """Whether a module's weights are freed after a forward pass; torch tells it nowhere else."""
    return any(
        group._reshard_after_forward for group in module._get_fsdp_state()._fsdp_param_groups
    )
