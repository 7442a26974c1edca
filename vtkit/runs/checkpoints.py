"""Keep the last two checkpoints of a run, and ``best``: the weights with the most answers right.

``best`` was chosen by the questions that score it, so a run is reported by its last checkpoint. A
kill at any moment leaves each checkpoint marked as whole or as half. What has no mark of this run,
and files that others put into a checkpoint, are never removed.
"""

import os
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from vtkit.errors import UserError
from vtkit.files import atomic_write, read_json, unused, write_json
from vtkit.runs.places import list_files, remove_files
from vtkit.runs.records import best_score

HALF, WHOLE = "checkpoint-is-half", "checkpoint-is-whole"
KEPT = 2
BEST, BEST_RECORD, CARD = "best", "best.json", "README.md"
# What only resuming needs, and what tells of this machine: paths, names, times.
NOT_MODEL = [
    "optimizer*", "scheduler.pt", "rng_state*", "training_args.bin", "trainer_state.json",
    "global_step*", "latest", "zero_to_fp32.py", "pytorch_model_fsdp*", HALF, WHOLE,
]  # fmt: skip


def begin(checkpoint: Path) -> None:
    """Mark a folder as this run's before anything else is written to it."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    with atomic_write(checkpoint / HALF) as handle:
        handle.write(f"{checkpoint.name}\n")


def mark_whole(checkpoint: Path) -> None:
    """Mark a folder as completely written; the mark has its name and those of its files."""
    names = [name for name in list_files(checkpoint) if name not in (HALF, WHOLE)]
    with atomic_write(checkpoint / WHOLE) as handle:
        handle.write("\n".join([checkpoint.name, *names, ""]))
    (checkpoint / HALF).unlink(missing_ok=True)


def is_whole(checkpoint: Path) -> bool:
    return (checkpoint / WHOLE).is_file()


def is_ours(checkpoint: Path) -> bool:
    """Whether the folder itself, not a copy or a link, is what this run wrote or began to."""
    return _marked(checkpoint)[:1] == [checkpoint.name] and not checkpoint.is_symlink()


def _marked(checkpoint: Path) -> list[str]:
    """The lines of a checkpoint's mark."""
    mark = checkpoint / (WHOLE if is_whole(checkpoint) else HALF)
    return mark.read_text(encoding="utf-8").splitlines() if mark.is_file() else []


def discard(checkpoint: Path) -> None:
    """Remove a checkpoint that is ours; files that the run did not write stay, without a mark."""
    _, *names = _marked(checkpoint)
    if is_whole(checkpoint):  # no longer, from the first file on
        os.replace(checkpoint / WHOLE, checkpoint / HALF)
    _clear(checkpoint, names, HALF)


def _clear(folder: Path, names: Collection[str], mark: str) -> None:
    """Remove the named files (none: all), the one that names them last, and the folder if empty."""
    remove_files(folder, {*(names or list_files(folder))} - {mark})
    (folder / mark).unlink(missing_ok=True)
    with suppress(OSError):  # somebody's files are in it
        folder.rmdir()


def last_checkpoint(folder: Path) -> Path | None:
    """The latest whole checkpoint, if there is one."""
    return max(filter(is_whole, _numbered(folder)), key=step_of, default=None)


def _numbered(folder: Path) -> list[Path]:
    """What is called ``checkpoint-100``, whatever it is; of copies such as -100-mine nothing."""
    found = folder.glob("checkpoint-*")
    return [path for path in found if re.fullmatch(r"checkpoint-\d+", path.name)]


def step_of(checkpoint: Path) -> int:
    """The training step of ``checkpoint-100`` or of ``best``; 0 for any other folder."""
    numbered = re.fullmatch(r"checkpoint-(\d+)", checkpoint.name)
    record = checkpoint / BEST_RECORD
    if not numbered and record.is_file():
        return read_json(record)["step"]
    return int(numbered[1]) if numbered else 0


def settle_checkpoints(folder: Path, evals: Path) -> None:
    """Bring checkpoints and scores of a killed run in order; only for who holds the run's lock.

    Raises:
        UserError: something that this run did not write is where it will write.
    """
    remove_halves(folder)
    last = last_checkpoint(folder)
    step = step_of(last) if last else -1
    for path in (*_numbered(folder), folder / BEST):
        later = path.name == BEST or step_of(path) > step
        if later and os.path.lexists(path) and not (is_ours(path) or _is_best(path)):
            raise UserError(
                f"{path} is in the way: this run did not write it; move it or rename it"
            )
    # Killed between a score and the removal of its completions:
    for completions in evals.glob("step-*.completions.jsonl"):
        name = re.fullmatch(r"(step-\d{6})\.completions\.jsonl", completions.name)
        if name and (evals / f"{name[1]}.json").is_file():
            completions.unlink()
    if last:  # killed between its mark and ``best``
        keep_last(folder, step=step)
        keep_best(folder, evals, step=step)


def remove_halves(folder: Path) -> None:
    """Remove checkpoints that were not finished; only for who holds the run's lock."""
    for path in _numbered(folder):
        if is_ours(path) and is_whole(path):
            (path / HALF).unlink(missing_ok=True)
        elif is_ours(path):
            discard(path)
        elif not is_whole(path):
            with suppress(OSError):  # killed before its mark; else it is not empty
                path.rmdir()


def keep_last(folder: Path, *, step: int) -> None:
    """Discard all but the last two whole checkpoints until ``step``."""
    found = [path for path in _numbered(folder) if is_whole(path) and is_ours(path)]
    for path in sorted((p for p in found if step_of(p) <= step), key=step_of)[:-KEPT]:
        discard(path)


def _is_best(path: Path) -> bool:
    return path.name == BEST and (path / BEST_RECORD).is_file() and not path.is_symlink()


def keep_best(folder: Path, evals: Path, *, step: int) -> None:
    """Make ``best`` the best checkpoint until ``step``, if that one is still there.

    The files are hard links, or copies on a disk without links. May be repeated after a kill.

    Args:
        folder: the run's ``checkpoints``; ``evals``: its scores.
    """
    score, best = best_score(evals, until=step), folder / BEST
    draft, old = (folder / f".vtkit-{BEST}.{name}" for name in ("new", "old"))
    shutil.rmtree(draft, ignore_errors=True)
    _retire(old)
    there = os.path.lexists(best)
    if score is None or step_of(best) == score["step"] or (there and not _is_best(best)):
        return
    source = folder / f"checkpoint-{score['step']}"
    if not is_whole(source):
        return
    shutil.copytree(
        source, draft, copy_function=_link, ignore=shutil.ignore_patterns(*NOT_MODEL, CARD)
    )
    record = {name: score[name] for name in ("step", "accuracy")}
    write_json(draft / BEST_RECORD, record | {"files": list_files(draft)})
    if there:
        os.rename(best, old)
    os.rename(draft, best)
    _retire(old)


def _retire(old: Path) -> None:
    """Remove what was ``best`` before; files that others put into it stay, in ``best-older``."""
    record = old / BEST_RECORD
    if record.is_file():
        _clear(old, read_json(record).get("files", ()), BEST_RECORD)
    with suppress(OSError):
        old.rmdir()
    if old.is_dir():
        old.rename(unused(old.with_name(f"{BEST}-older")))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another kind of disk
        shutil.copyfile(source, target)
