"""How long a step takes: from the timings of a run, or a speed that is given; never guessed."""

import csv
import statistics
from pathlib import Path

from vtkit.config import RunConfig
from vtkit.errors import UserError
from vtkit.records import load_config

SAME = (  # what the time of a step depends on most
    "algorithm", "model", "num_generations", "prompts_per_step", "max_completion_length",
    "max_pixels", "per_device_batch_size",
)  # fmt: skip


def seconds_per_step(
    config: RunConfig, answers: int, *, like: str | Path | None = None, speed: float | None = None
) -> tuple[float | None, str]:
    """Seconds of a step, None if unknown, and where they come from.

    Args:
        answers: tokens of answers in a step, at most.
        like: folder of a run with the same steps on the same machine.
        speed: tokens of answers in a second of whole steps, training included.

    Raises:
        UserError: ``like`` has no timings, or steps of another kind.
    """
    if like is not None:
        seconds = _timings(Path(like), config)
        return statistics.fmean(seconds), f"mean of {len(seconds)} steps of {like}"
    if speed is not None:
        return answers / speed, f"if all answers are long, at {speed:g} tokens a second"
    return None, "measure a few steps first, then --like RUN"


def _timings(run: Path, config: RunConfig) -> list[float]:
    path = run / "timings.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing; --like wants the folder of a run that has trained")
    measured = load_config(run)
    other = [name for name in SAME if measured.get(name) != getattr(config, name)]
    if other:
        raise UserError(
            f"{run / 'config.yaml'}: {', '.join(other)}: other than planned, so that its steps "
            "take another time; measure a few steps of this plan"
        )
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            seconds = [float(row["seconds"]) for row in csv.DictReader(handle)]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: seconds: not numbers; measure again") from None
    if not seconds:
        raise UserError(f"{path}: no step yet; wait for the first")
    return seconds
