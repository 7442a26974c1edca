"""The device to use. Apart from :mod:`vtkit.models.loading`, which takes seconds to import."""

import torch


def pick_device() -> tuple[str, str]:
    """The device to use, and the reason in words."""
    if torch.cuda.is_available():
        return "cuda", f"CUDA device {torch.cuda.get_device_name()} found"
    return "cpu", "no CUDA device found"
