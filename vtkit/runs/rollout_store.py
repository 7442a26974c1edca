"""Writing rollouts: a step at a time, never half of one, and never the same step twice.

See :mod:`vtkit.runs.rollouts` for the layout and why it is so; import from there.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vtkit.errors import UserError, first_line
from vtkit.files import atomic_path

# ``prompt_id`` is the row's ``id`` in the training file, ``group`` numbers the questions of a step
# and ``sample`` the completions of a group. ``rule``, ``answer`` (the words that decided) and
# ``choice`` are those of :func:`vtkit.judging.answers.find_answer`; ``correct`` is by the careful rules,
# whatever the run was paid for, and null where the solution is none of the choices.
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
        ("finish_reason", pa.string()),  # "stop" or "length"
        ("rule", pa.string()),
        ("answer", pa.string()),
        ("choice", pa.int64()),
        ("correct", pa.bool_()),
        ("format_verdict", pa.string()),  # of vtkit.judging.verdict.check_format
        ("reward", pa.float64()),
        ("accuracy_reward", pa.float64()),
        ("format_reward", pa.float64()),
        ("advantage", pa.float64()),
    ]
)
_REWARDS = ("accuracy_reward", "format_reward")  # null where a recipe has no such reward
_JUDGED = ("finish_reason", "rule", "answer", "choice", "correct", "format_verdict")
_OPTIONAL = {"step", *_REWARDS, *_JUDGED}
BLOCK = 500  # steps of a merged file; a shorter run has a file a step
STEPS_AT_ONCE = 50  # steps of a row group in it: what a reader decodes for one step


class RolloutWriter:
    """Appends steps to a folder and merges files of old ones.

    Nothing need be said on resume: writing a step drops it and all later ones if they are there, so
    that a killed run leaves, in the end, the bytes of an unbroken one.

    Args:
        folder: the run's ``rollouts`` folder; made on the first write.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def write(self, step: int, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Append the completions of one step; what was stored for it or later steps is dropped.

        Args:
            step: from 1.
            rows: one mapping a completion with the columns of ``SCHEMA`` (``step`` is filled in; of
                finish reason, judgement and rewards any may be missing); any further key ending in
                ``_reward`` becomes a column of floats. NaN is stored as null.

        Raises:
            ValueError: no rows, a row lacks a column, has an unknown one or a value of a wrong
                type.
            UserError: the disk is full or the folder cannot be written.
        """
        table = _to_table(step, rows)
        self._drop_from(step)
        self._merge_before(step)
        return self._save(step, table)

    def _save(self, step: int, table: pa.Table) -> Path:
        path = self.folder / f"step-{step:06d}.parquet"
        with atomic_path(path) as draft:
            pq.write_table(table, draft, compression="zstd")
        return path

    def _drop_from(self, step: int) -> None:
        files, leftovers = list_files(self.folder)
        for path in leftovers:
            path.unlink()
        for file in reversed(files):
            if file.last < step:
                break
            if file.first < step:  # a merged file is taken apart before it goes
                for number, table in read_steps(file.path):
                    if number < step:
                        self._save(number, table)
            file.path.unlink()

    def _merge_before(self, step: int) -> None:
        """Merge the blocks of steps that are complete once ``step`` is written."""
        files, _ = list_files(self.folder)
        single = [file for file in files if file.first == file.last]
        for block, members in groupby(single, key=lambda file: (file.first - 1) // BLOCK):
            last = (block + 1) * BLOCK
            if last < step:
                try:
                    self._merge(last - BLOCK + 1, last, [file.path for file in members])
                except UserError as error:  # the steps stay as they are, and training goes on
                    warnings.warn(f"rollouts are not merged: {error}", stacklevel=3)

    def _merge(self, first: int, last: int, paths: list[Path]) -> None:
        schema = pa.unify_schemas([read(path).schema for path in paths])
        with (
            atomic_path(self.folder / f"steps-{first:06d}-{last:06d}.parquet") as draft,
            pq.ParquetWriter(draft, schema, compression="zstd") as merged,
        ):
            for start in range(0, len(paths), STEPS_AT_ONCE):
                tables = map(read, paths[start : start + STEPS_AT_ONCE])
                merged.write_table(
                    pa.concat_tables([schema.empty_table(), *tables], promote_options="default")
                )
        for path in paths:
            path.unlink()


def _to_table(step: int, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows with ``step``; a misspelt key is an error, not a loss."""
    keys = set().union(*rows)
    known = set(SCHEMA.names)
    unknown = sorted(key for key in keys - known if not key.endswith("_reward"))
    missing = sorted(name for name in known - _OPTIONAL if any(name not in row for row in rows))
    if step < 1 or not rows or unknown or missing:
        raise ValueError(
            f"rollout rows of step {step}: {len(rows)}; missing columns {missing}, "
            f"unknown columns {unknown}"
        )
    others = [pa.field(key, pa.float64()) for key in sorted(keys - known)]
    judged = {name for name in _JUDGED if any(row.get(name) is not None for row in rows)}
    fields = [field for field in SCHEMA if field.name not in _JUDGED or field.name in judged]
    schema = pa.schema([*fields, *others])
    columns = {name: [row.get(name) for row in rows] for name in schema.names}
    columns["step"] = [step] * len(rows)
    arrays = [pa.array(columns[f.name], f.type, from_pandas=True) for f in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


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
