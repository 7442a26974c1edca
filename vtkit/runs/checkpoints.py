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
from fnmatch import fnmatch
from pathlib import Path

from vtkit.config.values import read_record
from vtkit.errors import UserError
from vtkit.files import unused, write_json
from vtkit.runs.contents import Best
from vtkit.runs.marks import CARD, HALF, WHOLE, damage, is_ours, is_whole, read_mark
from vtkit.runs.places import list_files, remove_files
from vtkit.runs.records import best_score

KEPT = 2
BEST, BEST_RECORD = "best", "best.json"
# What only resuming needs, and what tells of this machine: paths, names, times.
NOT_MODEL = [
    "optimizer*", "scheduler.pt", "rng_state*", "training_args.bin", "trainer_state.json",
    "global_step*", "latest", "zero_to_*.py", "pytorch_model_fsdp*", HALF, WHOLE,
]  # fmt: skip


_TRAINERS = [
    *NOT_MODEL, CARD, "*.safetensors", "*.safetensors.index.json", "*.bin", "*config.json",
    "tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json", "vocab*",
    "merges.txt", "pytorch_model*",
]  # fmt: skip
"""What transformers, PEFT and accelerate write into a checkpoint."""


def discard(checkpoint: Path) -> None:
    """Remove a checkpoint that is ours; files that the run did not write stay, without a mark.

    One that was killed half written does not say which they are: with other files than a trainer's
    it is renamed.
    """
    names = read_mark(checkpoint).files
    if not names and (other := _not_a_trainers(checkpoint)):
        found = f"is half written, and {other} in it is no file of a trainer"
        print(f"{checkpoint} {found}; {set_aside(checkpoint)}", flush=True)
        return
    if is_whole(checkpoint):  # no longer, from the first file on
        os.replace(checkpoint / WHOLE, checkpoint / HALF)
    _clear(checkpoint, names, HALF)


def _not_a_trainers(checkpoint: Path) -> str | None:
    """The first file of a checkpoint that no trainer writes; None if there is none."""
    names = list_files(checkpoint)
    return next((n for n in names if not any(fnmatch(n, p) for p in _TRAINERS)), None)


def _clear(folder: Path, names: Collection[str], mark: str) -> None:
    """Remove the named files (none: all), the one that names them last, and the folder if empty."""
    remove_files(folder, {*(names or list_files(folder))} - {mark})
    (folder / mark).unlink(missing_ok=True)
    with suppress(OSError):  # somebody's files are in it
        folder.rmdir()


def last_checkpoint(folder: Path) -> Path | None:
    """The latest whole checkpoint, if there is one."""
    return max(_whole(folder), key=step_of, default=None)


def trained_checkpoint(folder: Path) -> Path:
    """The latest whole checkpoint; UserError if there is none."""
    checkpoint = last_checkpoint(folder)
    if checkpoint is None:
        raise UserError(f"{folder} has no checkpoint; train the run first")
    return checkpoint


def _whole(folder: Path) -> list[Path]:
    return [path for path in _numbered(folder) if is_whole(path) and is_ours(path)]


def _numbered(folder: Path) -> list[Path]:
    """What is called ``checkpoint-100``, whatever it is; of copies such as -100-mine nothing."""
    found = folder.glob("checkpoint-*")
    return [path for path in found if re.fullmatch(r"checkpoint-\d+", path.name)]


def step_of(checkpoint: Path) -> int:
    """The training step of ``checkpoint-100`` or of ``best``; 0 for any other folder."""
    numbered = re.fullmatch(r"checkpoint-(\d+)", checkpoint.name)
    record = checkpoint / BEST_RECORD
    if not numbered and os.path.lexists(record):
        return read_record(Best, record)["step"]
    return int(numbered[1]) if numbered else 0


def settle_checkpoints(folder: Path, evals: Path) -> None:
    """Bring checkpoints and scores of a killed run in order; only for who holds the run's lock.

    The last checkpoint is compared with its mark. A damaged one is renamed, and an older one that
    is whole takes its place.

    Raises:
        UserError: something that this run did not write is where it will write, or no checkpoint
            is undamaged.
    """
    remove_halves(folder)
    _leave_damaged(folder)
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


def _leave_damaged(folder: Path) -> None:
    """Rename damaged checkpoints that come after the last undamaged one."""
    damaged: list[tuple[Path, str]] = []
    whole = sorted(_whole(folder), key=step_of, reverse=True)
    for path in whole:
        if not (wrong := damage(path, read_mark(path).files)):
            break
        damaged.append((path, wrong))
    if damaged and len(damaged) == len(whole):
        path, wrong = damaged[0]
        raise UserError(
            f"{path}: {wrong}, and there is no older one to resume from; restore the file, or "
            "train from the start in another folder (run_dir)"
        )
    for path, wrong in damaged:
        print(f"{path}: {wrong}; {set_aside(path)}, and an older one is used", flush=True)
        _leave_best(folder / BEST, step_of(path))


def _leave_best(best: Path, step: int) -> None:
    """Rename ``best`` if it is damaged like the checkpoint of its step: their files are links."""
    if _is_best(best) and step_of(best) == step:
        files = read_record(Best, best / BEST_RECORD).get("files")
        if isinstance(files, dict) and (wrong := damage(best, files)):
            print(f"{best}: {wrong}; {set_aside(best)}", flush=True)


def set_aside(folder: Path) -> str:
    """Rename a damaged folder to ``<name>-damaged``; returns "it is checkpoint-8-damaged now"."""
    new = unused(folder.with_name(f"{folder.name}-damaged"))
    folder.rename(new)
    return f"it is {new.name} now"


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
    found = (path for path in _whole(folder) if step_of(path) <= step)
    for path in sorted(found, key=step_of)[:-KEPT]:
        discard(path)


def _is_best(path: Path) -> bool:
    return path.name == BEST and os.path.lexists(path / BEST_RECORD) and not path.is_symlink()


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
    seals = read_mark(source).files
    record["files"] = {name: seals.get(name) for name in list_files(draft)}
    write_json(draft / BEST_RECORD, record)
    if there:
        os.rename(best, old)
    os.rename(draft, best)
    _retire(old)


def _retire(old: Path) -> None:
    """Remove what was ``best`` before; files that others put into it stay, in ``best-older``."""
    record = old / BEST_RECORD
    if os.path.lexists(record):
        _clear(old, read_record(Best, record).get("files", ()), BEST_RECORD)
    with suppress(OSError):
        old.rmdir()
    if old.is_dir():
        old.rename(unused(old.with_name(f"{BEST}-older")))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another kind of disk
        shutil.copyfile(source, target)
