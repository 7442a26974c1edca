"""Write rollouts a step at a time: never half of one, and never the same step twice."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vtkit.errors import UserError
from vtkit.files import atomic_path
from vtkit.judging.verdict import Verdict
from vtkit.runs.columns import readable, require_columns

# ``prompt_id`` is the row's ``id`` in the training file, ``group`` numbers the questions of a step
# and ``sample`` the completions of a group. From ``rule`` to ``reflective`` the columns are the
# :class:`vtkit.judging.verdict.Verdict` by this kit's rules, whatever the run was paid for.
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
        ("answer", pa.string()),  # the words that decided
        ("span_start", pa.int64()),  # their place in the completion
        ("span_end", pa.int64()),
        ("choice", pa.int64()),
        ("correct", pa.bool_()),  # null where the solution is none of the choices
        ("format_verdict", pa.string()),
        ("style", pa.string()),
        ("reflective", pa.bool_()),
        ("reward", pa.float64()),
        ("accuracy_reward", pa.float64()),
        ("format_reward", pa.float64()),
        ("advantage", pa.float64()),
    ]
)
_REWARDS = ("accuracy_reward", "format_reward")  # null where a recipe has no such reward
_JUDGED = (
    *("finish_reason", "rule", "answer", "span_start", "span_end", "choice"),
    *("correct", "format_verdict", "style", "reflective"),
)
_OPTIONAL = {"step", *_REWARDS, *_JUDGED}
_MAY_LACK = {*_REWARDS, *_JUDGED, "task", "reward", "advantage"}  # in a file; NaN is null
_REMEDY = "delete it and train again from the last checkpoint"
BLOCK = 500  # steps of a merged file, far faster to query; a shorter run has a file a step
STEPS_AT_ONCE = 50  # steps of a row group in it: what a reader decodes for one step


def verdict_columns(verdict: Verdict) -> dict[str, Any]:
    """The columns of ``SCHEMA`` that hold a verdict."""
    columns = verdict._asdict()
    columns["format_verdict"] = columns.pop("format")
    columns["span_start"], columns["span_end"] = columns.pop("span") or (None, None)
    return columns


class RolloutWriter:
    """Append steps to a run's ``rollouts`` folder and merge files of old ones.

    Writing a step drops it and all later ones if they are there, so a killed and resumed run
    leaves the bytes of an unbroken one.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def write(self, step: int, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Append the completions of one step, from 1; what was stored for it or later is dropped.

        Args:
            rows: one mapping a completion with the columns of ``SCHEMA`` (``step`` is filled in; of
                finish reason, verdict and rewards any may be missing); any further key ending in
                ``_reward`` becomes a column of floats. NaN is stored as null.

        Raises:
            ValueError: no rows, or a row lacks a column, or has an unknown one or a wrong type.
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
                except UserError as error:  # the steps stay as they are, and training continues
                    warnings.warn(f"rollouts are not merged: {error}", stacklevel=3)

    def _merge(self, first: int, last: int, paths: list[Path]) -> None:
        schema = pa.unify_schemas([read(path).schema for path in paths])
        with (
            atomic_path(self.folder / f"steps-{first:06d}-{last:06d}.parquet") as draft,
            pq.ParquetWriter(draft, schema, compression="zstd") as merged,
        ):
            for start in range(0, len(paths), STEPS_AT_ONCE):
                tables = [schema.empty_table(), *map(read, paths[start : start + STEPS_AT_ONCE])]
                merged.write_table(pa.concat_tables(tables, promote_options="default"))
        for path in paths:
            path.unlink()


def _to_table(step: int, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Make a table of the rows with ``step``; a misspelt key is an error."""
    keys = set().union(*rows)
    known = set(SCHEMA.names)
    unknown = sorted(key for key in keys - known if not key.endswith("_reward"))
    missing = sorted(name for name in known - _OPTIONAL if any(name not in row for row in rows))
    if step < 1 or not rows or unknown or missing:
        wrong = f"missing columns {missing}, unknown columns {unknown}"
        raise ValueError(f"rollout rows of step {step}: {len(rows)}; {wrong}")
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
    """A file and the range of steps in its name, both ends included."""

    first: int
    last: int
    path: Path


def list_files(folder: str | Path) -> tuple[list[StepFile], list[Path]]:
    """List the files that count, in order; and those whose steps a merged file holds too.

    A merged file is whole, even if a writer was killed while it merged or split files. UserError
    for a folder or pipe of such a name.
    """
    named = ((path, _NAME.fullmatch(path.name)) for path in Path(folder).glob("step*.parquet"))
    files = [StepFile(int(m[1]), int(m[2] or m[1]), path) for path, m in named if m]
    if odd := next((file.path for file in files if not file.path.is_file()), None):
        raise UserError(f"{odd} is no regular file; move it away")
    kept: list[StepFile] = []
    leftovers: list[Path] = []
    for file in sorted(files, key=lambda file: (file.first, -file.last)):
        if kept and file.first <= kept[-1].last:
            leftovers.append(file.path)
        else:
            kept.append(file)
    return kept, leftovers


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one file."""
    with _open(path) as file:
        return file.read(columns)


def check_columns(path: Path, footer: pq.FileMetaData) -> None:
    """Require the columns of ``SCHEMA`` and the steps of the file's name.

    Raises:
        UserError: a column is missing or of another type, or a step is another file's.
    """
    require_columns(path, footer, SCHEMA, _REMEDY, may_lack=_MAY_LACK)
    place, named = footer.schema.names.index("step"), _NAME.fullmatch(path.name)
    assert named  # list_files found it
    first, last = int(named[1]), int(named[2] or named[1])
    for group in range(footer.num_row_groups):
        found = footer.row_group(group).column(place).statistics
        if found and found.has_min_max and not first <= found.min <= found.max <= last:
            wrong = f"holds steps {found.min} to {found.max}, not those of its name"
            raise UserError(f"{path} {wrong}; {_REMEDY}")


def read_steps(path: Path) -> Iterator[tuple[int, pa.Table]]:
    """Read the steps of a file, one by one."""
    with _open(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            for step in pc.unique(table["step"]).to_pylist():
                yield step, table.filter(pc.field("step") == step)


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    with readable(path, _REMEDY), pq.ParquetFile(path) as file:
        check_columns(path, file.metadata)
        yield file
