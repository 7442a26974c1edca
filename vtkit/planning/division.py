"""Divide what a run holds among processes, as DDP, DeepSpeed's ZeRO-2 and FSDP 2 do.

Read in the code of DeepSpeed 0.19.8 (runtime/zero/stage_1_and_2.py, runtime/engine.py), accelerate
1.15 (utils/fsdp_utils.py) and TRL 1.16 (models/utils.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtkit.config.recipes import CONFIGS
from vtkit.config.run_config import RunConfig
from vtkit.config.values import read_yaml
from vtkit.runs.surroundings import is_asked_for

# Numbers that DeepSpeed gathers before they are sent, in one buffer for a whole backward pass:
# reduce_bucket_size of zero/config.py, however few parameters train.
BUCKET = 500_000_000


@dataclass(frozen=True)
class Division:
    """How many processes there are, and what divides the model among them.

    Attributes:
        kind: ``MULTI_GPU`` (DDP), ``DEEPSPEED`` (ZeRO-2) or ``FSDP`` (FSDP 2), as the launcher's
            file says under distributed_type.
    """

    kind: str
    processes: int

    @property
    def zero(self) -> bool:
        return self.kind == "DEEPSPEED"

    @property
    def fsdp(self) -> bool:
        return self.kind == "FSDP"

    @property
    def casts(self) -> bool:
        """Whether weights are in config.dtype where they are used, so that autocast copies none."""
        return self.zero or self.fsdp

    def __str__(self) -> str:
        names = {"MULTI_GPU": "DDP", "DEEPSPEED": "ZeRO-2", "FSDP": "FSDP 2"}
        how = f" by {names[self.kind]}" if self.processes > 1 or self.casts else ""
        return f"{self.processes} card(s){how}"


ALONE = Division("MULTI_GPU", 1)


def launch_file(launcher: str) -> Path:
    """Return the file of a launcher in configs/accelerate."""
    return CONFIGS / "accelerate" / f"{launcher}.yaml"


def divide(config: RunConfig, processes: int = 0) -> Division:
    """Return the division of a run, by what started this process or else by its launcher.

    Args:
        processes: how many; 0: as ``config.launcher``'s file says, 1 without a launcher.
    """
    started = next(filter(is_asked_for, ("FSDP", "DEEPSPEED")), "")
    file: dict[str, Any] = {"distributed_type": "MULTI_GPU", "num_processes": 1}
    if config.launcher:
        file = read_yaml(launch_file(config.launcher))
    return Division(started or file["distributed_type"], processes or file["num_processes"])
