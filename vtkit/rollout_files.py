"""The files of a rollout store: which there are, which count, and what is wrong with one.

``step-000012.parquet`` holds one step, ``steps-000001-000500.parquet`` all steps of that range that
were stored. See :mod:`vtkit.rollouts` for why.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vtkit.errors import UserError

_NAME = re.compile(r"steps?-(\d{6,})(?:-(\d{6,}))?\.parquet")


class StepFile(NamedTuple):
    """A file and the range of steps that its name says, both ends included."""

    first: int
    last: int
    path: Path


def list_files(folder: str | Path) -> tuple[list[StepFile], list[Path]]:
    """The files that count, in order; and those whose steps a merged file holds too.

    Whether a writer was killed while it merged files or while it took some apart, the merged file
    is whole as long as it is there. Other files in the folder are ignored.
    """
    named = ((path, _NAME.fullmatch(path.name)) for path in Path(folder).glob("step*.parquet"))
    files = [StepFile(int(m[1]), int(m[2] or m[1]), path) for path, m in named if m]
    kept: list[StepFile] = []
    leftovers: list[Path] = []
    for file in sorted(files, key=lambda file: (file.first, -file.last)):
        if kept and file.first <= kept[-1].last:
            leftovers.append(file.path)
        else:
            kept.append(file)
    return kept, leftovers


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """One file.

    Raises:
        UserError: it is damaged; names it.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def read_steps(path: Path) -> Iterator[tuple[int, pa.Table]]:
    """The steps of a file, one by one.

    Raises:
        UserError: as :func:`read`.
    """
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                for step in pc.unique(table["step"]).to_pylist():
                    yield step, table.filter(pc.field("step") == step)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> UserError:
    """What to say of a file that Arrow cannot read."""
    return UserError(
        f"{path} is damaged ({first_line(error)}); delete it and train again from the last "
        "checkpoint"
    )


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
