"""Keep the last two checkpoints of a run, and ``best``: the weights with the most answers right.

``best`` was chosen by the questions that score it, so a run is reported by its last checkpoint. A
kill at any moment leaves each checkpoint whole or unmarked.
"""

import os
import re
import shutil
from pathlib import Path

from vtkit.files import atomic_write, read_json, write_json
from vtkit.runs.records import best_score

WHOLE = "checkpoint-is-whole"
KEPT = 2
BEST, BEST_RECORD = "best", "best.json"
# What only resuming needs, and what tells of this machine: paths, names, times.
NOT_MODEL = [
    "optimizer*", "scheduler.pt", "rng_state*", "training_args.bin", "trainer_state.json",
    "global_step*", "latest", "zero_to_fp32.py", "pytorch_model_fsdp*", WHOLE,
]  # fmt: skip


def mark_whole(checkpoint: Path) -> None:
    """Mark a folder as completely written; unmarked ones are removed on resume."""
    with atomic_write(checkpoint / WHOLE) as handle:
        handle.write(f"{checkpoint.name}\n")


def is_whole(checkpoint: Path) -> bool:
    return (checkpoint / WHOLE).is_file()


def last_checkpoint(folder: Path) -> Path | None:
    """The latest whole checkpoint, if there is one."""
    return max(filter(is_whole, folder.glob("checkpoint-*")), key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """The training step of ``checkpoint-100`` or of ``best``; 0 for any other folder."""
    numbered = re.fullmatch(r"checkpoint-(\d+)", checkpoint.name)
    record = checkpoint / BEST_RECORD
    if not numbered and record.is_file():
        return read_json(record)["step"]
    return int(numbered[1]) if numbered else 0


def settle_checkpoints(folder: Path, evals: Path) -> None:
    """Bring checkpoints and scores of a killed run in order; only for who holds the run's lock."""
    remove_halves(folder)
    # Killed between a score and the removal of its completions:
    for completions in evals.glob("step-*.completions.jsonl"):
        if completions.with_name(completions.name.replace(".completions.jsonl", ".json")).is_file():
            completions.unlink()
    if last := last_checkpoint(folder):  # killed between its mark and ``best``
        keep_best(folder, evals, step=step_of(last))


def remove_halves(folder: Path) -> None:
    """Remove checkpoints that were not finished; only for who holds the run's lock."""
    for path in folder.glob("checkpoint-*"):
        if not is_whole(path):
            shutil.rmtree(path)


def keep_best(folder: Path, evals: Path, *, step: int) -> None:
    """Make ``best`` the best checkpoint until ``step``, if that one is still there.

    The files are hard links, or copies on a disk without links. May be repeated after a kill.

    Args:
        folder: the run's ``checkpoints``; ``evals``: its scores.
    """
    score, best = best_score(evals, until=step), folder / BEST
    draft, old = (folder / f".{BEST}.{name}" for name in ("new", "old"))
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    if score is None or step_of(best) == score["step"]:
        return
    source = folder / f"checkpoint-{score['step']}"
    if not is_whole(source):
        return
    shutil.copytree(
        source, draft, copy_function=_link, ignore=shutil.ignore_patterns(*NOT_MODEL, "README.md")
    )
    write_json(draft / BEST_RECORD, {name: score[name] for name in ("step", "accuracy")})
    if best.exists():
        os.rename(best, old)
    os.rename(draft, best)
    shutil.rmtree(old, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another kind of disk
        shutil.copyfile(source, target)
