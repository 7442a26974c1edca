"""How much disk a run takes at most: said before it starts, and refused where it is not there.

While a checkpoint is written, those that are kept stay, so that there is one more of them for a
moment. A checkpoint has float32 weights (of the adapter alone, if there is one) and Adam's two
moments of what trains. ``best`` takes room once the checkpoint that it came from is gone. ZeRO and
FSDP write some of this a second time, which is not counted.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from vtkit.errors import UserError
from vtkit.planning.memory import FULL, GB
from vtkit.runs.checkpoints import KEPT

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig


BESIDE = 16e6  # bytes: Qwen2-VL's tokenizer has 11 MB, the trainer's log of 1,500 steps 2 MB
# Of a completion: bytes a token (English has 4 to 5) and what is stored with it. Files are compressed,
# to about a tenth on the miniature, so that this is an upper bound.
TOKEN, RECORD = 5, 1000
QUESTIONS = 2638  # of CV-Bench, where the configuration says "all"


def needed(config: "RunConfig", *, total: int, trained: int) -> dict[str, float]:
    """Bytes by part, at most: ``checkpoints``, ``best``, ``cold start``, ``rollouts``, ``scores``.

    Args:
        total, trained: numbers of parameters.
    """
    grpo = config.algorithm == "grpo"
    steps = config.steps
    weights = FULL * (total if config.adapter == "none" else trained) + BESIDE
    completions = steps * (config.prompts_per_step + config.spare_prompts) * config.num_generations
    scored = (2 + steps // config.eval_steps) * (config.benchmark_rows or QUESTIONS)
    return {
        "checkpoints": (KEPT + 1) * (weights + 2 * FULL * trained),
        "best": weights,
        "cold start": weights if grpo and config.cold_start else 0.0,
        "rollouts": grpo * completions * (TOKEN * config.max_completion_length + RECORD),
        "scores": scored * (TOKEN * config.eval_max_new_tokens + RECORD),
    }


def describe_disk(parts: dict[str, float]) -> str:
    """``at most 80.1 GB: 3 checkpoints 79.6, best 8.9, …``."""
    named = {"checkpoints": f"{KEPT + 1} checkpoints"}
    shown = ", ".join(
        f"{named.get(name, name)} {_gb(size)}" for name, size in parts.items() if size
    )
    return f"at most {_gb(sum(parts.values()))} GB: {shown}"


def require_space(folder: str | Path, parts: dict[str, float]) -> None:
    """Refuse to start what cannot end for want of room; what the run has already is subtracted.

    Raises:
        UserError: says how much is missing, and what to do.
    """
    folder = Path(folder)
    place = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free, missing = shutil.disk_usage(place).free, sum(parts.values()) - used(folder)
    if missing > free:
        raise UserError(
            f"the disk of {folder} has {_gb(free)} GB free and the run needs {_gb(missing)} GB "
            f"({describe_disk(parts)}); free some space, choose another disk with --run-dir, or set "
            "adapter to lora, whose checkpoints are small"
        )


def used(folder: Path) -> int:
    """Bytes that a run has of what :func:`needed` counts; files with two names count once."""
    names = ("checkpoints", "cold_start", "rollouts", "evals")
    found = (path.stat() for name in names for path in (folder / name).rglob("*"))
    return sum({stat.st_ino: stat.st_size for stat in found}.values())


def _gb(size: float) -> str:
    return f"{size / GB:.1f}" if size >= 10 * GB else f"{size / GB:.2g}"
