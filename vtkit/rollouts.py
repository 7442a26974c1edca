"""The record of what the model said: one parquet file a training step, one row a completion.

Textbooks and trainers print a sample now and then and forget the rest; here every completion of a
run is kept, so that each claim about length, style or reflection can be recounted later. Files are
written whole or not at all (:mod:`vtkit.files`), and writing a step again replaces it, so a resumed
run leaves exactly what an unbroken one would.

Read a run with ``load_rollouts("runs/visualthinker-mini-s0")``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vtkit.errors import UserError
from vtkit.files import atomic_path

# ``prompt_id`` is the row's ``id`` in the training file, ``group`` numbers the questions of a step
# and ``sample`` the completions of a group. Reward columns may be null: a recipe without a format
# reward has none to store.
SCHEMA = pa.schema(
    [
        ("step", pa.int64()),
        ("prompt_id", pa.int64()),
        ("group", pa.int64()),
        ("sample", pa.int64()),
        ("task", pa.string()),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("solution", pa.string()),
        ("completion", pa.string()),
        ("tokens", pa.int64()),
        ("finished", pa.bool_()),
        ("reward", pa.float64()),
        ("accuracy_reward", pa.float64()),
        ("format_reward", pa.float64()),
        ("advantage", pa.float64()),
    ]
)
_OPTIONAL = {"step", "accuracy_reward", "format_reward"}
_FILE_NAME = re.compile(r"step-(\d{6,})\.parquet")


class RolloutWriter:
    """Writes ``<folder>/step-000012.parquet``, one file a step.

    Args:
        folder: the run's ``rollouts`` folder; made on the first write.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def write(self, step: int, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Store the completions of one step, replacing what was stored for it before.

        Args:
            rows: one mapping a completion with the columns of ``SCHEMA`` (``step`` is filled in);
                any further key ending in ``_reward`` becomes a column of floats.

        Raises:
            ValueError: a row lacks a column or has an unknown one.
            UserError: the disk is full or the folder cannot be written.
        """
        schema = _schema_for(rows)
        table = pa.Table.from_pylist([{**row, "step": step} for row in rows], schema=schema)
        path = self.folder / f"step-{step:06d}.parquet"
        with atomic_path(path) as draft:
            pq.write_table(table, draft, compression="zstd")
        return path

    def drop_after(self, step: int) -> int:
        """Remove the files of later steps, as a resumed run must; returns how many there were."""
        late = [path for number, path in step_files(self.folder) if number > step]
        for path in late:
            path.unlink()
        return len(late)


def step_files(folder: str | Path) -> list[tuple[int, Path]]:
    """The ``(step, path)`` of each ``folder/step-*.parquet``, in step order; maybe none."""
    paths = Path(folder).glob("step-*.parquet")
    matches = ((_FILE_NAME.fullmatch(path.name), path) for path in paths)
    return sorted((int(match[1]), path) for match, path in matches if match)


def load_rollouts(run_dir: str | Path, steps: Iterable[int] | None = None) -> pd.DataFrame:
    """Read a run's completions, in the order in which they were written.

    Args:
        run_dir: the run folder (the one that holds ``rollouts/``).
        steps: only these steps; other files are not opened.

    Returns:
        One row a completion with the columns of ``SCHEMA``; ``choices`` holds lists of str, missing
        rewards are NaN.

    Raises:
        UserError: the run has no rollouts, none at the steps asked for, or a file is damaged.
    """
    folder = Path(run_dir) / "rollouts"
    wanted = None if steps is None else set(steps)
    paths = [path for number, path in step_files(folder) if wanted is None or number in wanted]
    if not paths:
        which = "" if wanted is None else f" for steps {sorted(wanted)}"
        raise UserError(
            f"{folder} holds no rollouts{which}; run the training step (notebook 03) first"
        )
    frame = pa.concat_tables([_read(path) for path in paths], promote_options="default").to_pandas()
    frame["choices"] = frame["choices"].map(list)
    return frame


def _schema_for(rows: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """``SCHEMA`` and a column for each further reward; a misspelt key is an error, not a loss."""
    keys = set().union(*rows)
    known = set(SCHEMA.names)
    unknown = sorted(key for key in keys - known if not key.endswith("_reward"))
    missing = sorted(name for name in known - _OPTIONAL if any(name not in row for row in rows))
    if unknown or missing:
        raise ValueError(f"rollout rows: missing columns {missing}, unknown columns {unknown}")
    return pa.schema([*SCHEMA, *(pa.field(key, pa.float64()) for key in sorted(keys - known))])


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        first_line = str(error).splitlines()[0]
        raise UserError(
            f"{path} is damaged ({first_line}); delete it and train again from the last checkpoint"
        ) from None
