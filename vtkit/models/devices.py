"""The device to use. Apart from :mod:`vtkit.models.loading`, which takes seconds to import."""

import torch

# How torch's allocator for CPUs and the operating system say it; neither has a class of its own.
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "an't allocate memory", "annot allocate memory")


def pick_device() -> tuple[str, str]:
    """The device to use, and the reason in words."""
    if torch.cuda.is_available():
        return "cuda", f"CUDA device {torch.cuda.get_device_name()} found"
    return "cpu", "no CUDA device found"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, of the machine or of a GPU, did not suffice."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(
        words in str(error) for words in _OUT_OF_MEMORY
    )
