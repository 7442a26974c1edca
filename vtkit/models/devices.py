"""The device to use. Apart from :mod:`vtkit.models.loading`, which takes seconds to import."""

import ctypes
import gc
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import torch

from vtkit.errors import UserError, first_line

# How torch's allocator for CPUs and the operating system say it; neither has a class of its own.
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "an't allocate memory", "annot allocate memory")


def pick_device() -> tuple[str, str]:
    """The device to use, and the reason in words."""
    if torch.cuda.is_available():
        return "cuda", f"CUDA device {torch.cuda.get_device_name()} found"
    return "cpu", "no CUDA device found"


def require_attention(name: str, dtype: str) -> None:
    """Refuse FlashAttention where it cannot run; transformers would look for it on the hub.

    Args:
        name: of transformers' ``attn_implementation``; ``dtype``: of forward passes.
    """
    if name != "flash_attention_2":
        return
    if importlib.util.find_spec("flash_attn") is None:
        wrong = "needs the package flash-attn, which is not installed"
    elif pick_device()[0] == "cpu":
        wrong = "runs on a CUDA device only, and there is none"
    elif dtype == "float32":
        wrong = "computes in 16 bits, and dtype is float32"
    else:
        return
    raise UserError(f"parameters: attn_implementation: {name} {wrong}; set it to sdpa")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the machine or of a GPU, did not suffice."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(
        words in str(error) for words in _OUT_OF_MEMORY
    )


def give_back_memory() -> None:
    """Collect what nothing refers to any more, and return it to the system."""
    gc.collect()
    return_freed_memory()


def return_freed_memory() -> None:
    """Return to the system what glibc and Arrow keep of freed memory; takes milliseconds."""
    pa.default_memory_pool().release_unused()
    if trim := sys.platform == "linux" and getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


@contextmanager
def same_sums() -> Iterator[None]:
    """Have threads of a CPU add up in one order inside the block: the same sums each time.

    Without it gradients that several threads scatter into one tensor differ in their last digits
    from run to run. On a GPU nothing changes: too many kernels have no such order.
    """
    before, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    if pick_device()[0] == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


@contextmanager
def out_of_memory_is_a_user_error(what: str, remedy: str) -> Iterator[None]:
    """Turn "out of memory" in the block into one line, and free what the block held.

    Args:
        what: needed the memory, as in "training"; ``remedy``: what to change.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        why = f"{what}: too little memory ({first_line(error)[:120]}); {remedy}"
        traceback.clear_frames(error.__traceback__)
        torch.cuda.empty_cache()
        raise UserError(why) from error
