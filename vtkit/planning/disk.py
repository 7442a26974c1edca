"""Upper bound on a run's disk use. A run that cannot fit is refused before it starts."""

import shutil
from pathlib import Path

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.planning.division import divide
from vtkit.planning.memory import FULL, GB
from vtkit.runs.checkpoints import KEPT

SMALL_FILES = 16e6  # bytes: Qwen2-VL's tokenizer has 11 MB, the trainer's log of 1,500 steps 2 MB
# Of a completion: bytes a token (English has 4 to 5) and of what is stored with it. An upper bound:
# files are compressed, to about a tenth on the miniature.
TOKEN, RECORD = 5, 1000
TIED = 0.3  # of the parameters, at most: an embedding that FSDP saves again as the head
QUESTIONS = 2638  # of CV-Bench, where the configuration says "all"


def needed(config: RunConfig, *, total: int, trained: int) -> dict[str, float]:
    """Bytes by part, at most, for a model of ``total`` parameters of which ``trained`` train.

    FSDP and DeepSpeed save the weights once more in a form of their own, DeepSpeed a third time for
    its optimizer; under bfloat16 it takes less than that.
    """
    grpo = config.algorithm == "grpo"
    weights = FULL * (total if config.adapter == "none" else trained) + SMALL_FILES
    division, again = divide(config), 0.0
    if division.fsdp:
        again = (1 + TIED) * weights
    elif division.zero:
        again = weights + FULL * trained
    prompts = config.steps * (config.prompts_per_step + config.spare_prompts)
    scored = (2 + config.steps // config.eval_steps) * (config.benchmark_rows or QUESTIONS)
    return {
        "checkpoints": (KEPT + 1) * (weights + 2 * FULL * trained + again),  # one is being written
        "best": weights,  # linked to a checkpoint, until that is deleted
        "cold start": weights if grpo and config.cold_start else 0.0,
        "rollouts": grpo * prompts * config.num_generations
        * (TOKEN * config.max_completion_length + RECORD),
        "scores": scored * (TOKEN * config.eval_max_new_tokens + RECORD),
    }  # fmt: skip


def describe_disk(parts: dict[str, float]) -> str:
    """``at most 80.1 GB: 3 checkpoints 79.6, best 8.9, …``."""
    names = {"checkpoints": f"{KEPT + 1} checkpoints"}
    shown = (f"{names.get(part, part)} {_gb(size)}" for part, size in parts.items() if size)
    return f"at most {_gb(sum(parts.values()))} GB: {', '.join(shown)}"


def require_space(folder: str | Path, parts: dict[str, float]) -> None:
    """Refuse a run that the disk has no room for; what the run has stored already is subtracted."""
    folder = Path(folder)
    place = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free, missing = shutil.disk_usage(place).free, sum(parts.values()) - used(folder)
    if missing > free:
        raise UserError(
            f"the disk of {folder} has {_gb(free)} GB free and the run needs {_gb(missing)} GB "
            f"({describe_disk(parts)}); free some space, choose another disk with --run-dir, or "
            "set adapter to lora, whose checkpoints are small"
        )


def used(folder: Path) -> int:
    """Bytes that a run has of what :func:`needed` counts; files with two names count once."""
    names = ("checkpoints", "cold_start", "rollouts", "evals")
    found = (path.stat() for name in names for path in (folder / name).rglob("*"))
    return sum({stat.st_ino: stat.st_size for stat in found}.values())


def _gb(size: float) -> str:
    return f"{size / GB:.1f}" if size >= 10 * GB else f"{size / GB:.2g}"
