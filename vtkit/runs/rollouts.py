"""Read every completion of a run: one row each, in parquet files of one or 500 whole steps.

rollouts = load_rollouts("runs/visualthinker-mini-s0")
rollouts.to_pandas()                                                # everything, for people
rollouts.group_by("task", right=("correct", "mean"))                # streamed
rollouts.to_pandas(["step", "completion"], where=pc.field("tokens") > 200)
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import acero
from pyarrow.fs import LocalFileSystem

from vtkit.errors import UserError, first_line, suggest
from vtkit.judging.styles import classify
from vtkit.judging.verdict import judge
from vtkit.runs.rollout_store import SCHEMA, check_columns, list_files, read, verdict_columns

_FUNCTIONS = ("mean", "sum", "min", "max", "count", "count_distinct", "stddev")
# Arrow reads ahead 16 and 4; that takes a third more memory and is not faster.
_READ_AHEAD = {"batch_readahead": 4, "fragment_readahead": 2}
Where: TypeAlias = pc.Expression | None


class Rollouts:
    """A run's completions, read on demand and a few thousand at a time.

    Conditions (``where``) are pyarrow expressions over the columns of ``schema``, such as
    ``pc.field("rule") == "block"``: those of ``SCHEMA`` and any further rewards. ``dropped`` counts
    half-written files of a killed writer and a damaged last step, which are left out.
    """

    def __init__(self, run_dir: str | Path, steps: Iterable[int] | None = None) -> None:
        self.folder = Path(run_dir) / "rollouts"
        self._wanted = None if steps is None else sorted({int(step) for step in steps})
        self.dropped = len(list(self.folder.glob(".step*.part")))
        fragments = self._open()
        schemas = {str(file.physical_schema): file.physical_schema for file in fragments}.values()
        self._held = set().union(*(schema.names for schema in schemas))
        try:
            self.schema = pa.unify_schemas([SCHEMA, *schemas])
        except pa.ArrowException as error:
            raise UserError(f"{self.folder}: its files do not agree: {first_line(error)}") from None
        self._data = ds.FileSystemDataset(
            fragments, self.schema, ds.ParquetFileFormat(), LocalFileSystem()
        )
        if not fragments or (self._wanted is not None and not len(self)):
            which = "" if self._wanted is None else f" for steps {self._wanted}"
            remedy = "run the training step (notebook 03) first"
            raise UserError(f"{self.folder} holds no rollouts{which}; {remedy}")

    def _open(self) -> list[ds.ParquetFileFragment]:
        """The files of the steps that were asked for, their footers read."""
        files, _ = list_files(self.folder)
        fragments = []
        for file in files:
            if self._wanted is not None and not any(
                file.first <= step <= file.last for step in self._wanted
            ):
                continue
            if fragment := _fragment(file.path):
                check_columns(file.path, fragment.metadata)
                fragments.append(fragment)
            elif fragments and file is files[-1] and file.first == file.last:
                self.dropped += 1
            else:
                read(file.path)  # raises, by name
        return fragments

    @cached_property
    def steps(self) -> list[int]:
        """The steps that have rows, in order."""
        return self.group_by("step").index.tolist()

    def __len__(self) -> int:
        return self._data.count_rows(filter=self._within(None))

    def batches(
        self, columns: Sequence[str] | None = None, where: Where = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in the order in which they were written, some thousands at a time.

        ``columns`` are by default those that the run's files hold.

        Raises:
            UserError: no such column, ``where`` does not fit the columns, or a file is damaged.
        """
        scanner = self._scan(columns, where)
        with self._damage_has_a_name():
            yield from (batch for batch in scanner.to_batches() if batch.num_rows)

    def to_pandas(self, columns: Sequence[str] | None = None, where: Where = None) -> pd.DataFrame:
        """The rows of :meth:`batches` as a frame; a missing number is NaN."""
        scanner = self._scan(columns, where)
        with self._damage_has_a_name():
            table = scanner.to_table()
        frame = table.to_pandas()
        if "choices" in frame:
            frame["choices"] = table["choices"].to_pylist()
        return frame

    def group_by(
        self, keys: str | Sequence[str], where: Where = None, **values: tuple[str, str]
    ) -> pd.DataFrame:
        """Count and summarise rows by the values of columns, without loading the rows.

            rollouts.group_by("step", right=("correct", "mean"), tokens=("tokens", "mean"))

        Args:
            values: ``name=(column, function)``; a function is one of mean, sum, min, max, count,
                count_distinct and stddev (of the population). Nulls are left out.

        Returns:
            Indexed by ``keys``, sorted; ``n``, the rows of each group, then the named values.
        """
        keys = [keys] if isinstance(keys, str) else list(keys)
        for column, function in values.values():
            if function not in _FUNCTIONS:
                near = suggest(function, _FUNCTIONS)
                raise UserError(f"{column}: no function {function!r}{near}")
        used = [*keys, *(column for column, _ in values.values())]
        self._scan(used, where)  # raises if either is wrong
        within = self._within(where)
        options = acero.ScanNodeOptions(self._data, columns=used, filter=within, **_READ_AHEAD)
        sums: list[tuple[Any, ...]] = [([], "hash_count_all", None, "n")]
        sums += [(column, f"hash_{how}", None, name) for name, (column, how) in values.items()]
        plan = [acero.Declaration("scan", options)]
        if within is not None:  # the scan only skips what its statistics rule out
            plan.append(acero.Declaration("filter", acero.FilterNodeOptions(within)))
        plan.append(acero.Declaration("aggregate", acero.AggregateNodeOptions(sums, keys)))
        with self._damage_has_a_name():
            # In one thread: the order of threads would decide the last digit of a sum.
            table = acero.Declaration.from_sequence(plan).to_table(use_threads=False)
        return table.to_pandas().set_index(keys).sort_index()

    def _scan(self, columns: Sequence[str] | None, where: Where) -> ds.Scanner:
        names = self.schema.names
        if columns is None:
            columns = [name for name in names if name in self._held]
        for name in columns:
            if name not in names:
                raise UserError(f"{self.folder}: no column {name!r}{suggest(name, names)}")
        within = self._within(where)
        try:
            return self._data.scanner(columns=list(columns), filter=within, **_READ_AHEAD)
        except pa.ArrowException as error:
            wrong = f"where: {first_line(error)}; columns are {', '.join(names)}"
            raise UserError(f"{self.folder}: {wrong}") from None

    def _within(self, where: Where) -> Where:
        """``where``, and of the steps that were asked for."""
        if self._wanted is None:
            return where
        step = pc.field("step")
        asked = step.isin(self._wanted)
        if self._wanted:  # a range can be held against a file's statistics
            asked &= (step >= self._wanted[0]) & (step <= self._wanted[-1])
        return asked if where is None else asked & where

    @contextmanager
    def _damage_has_a_name(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            for path in self._data.files:
                read(Path(path))  # raises if this is the one
            raise UserError(f"{self.folder}: cannot be read: {first_line(error)}") from None


def load_rollouts(run_dir: str | Path, steps: Iterable[int] | None = None) -> Rollouts:
    """Open a run's completions, or those of some steps; ``.to_pandas()`` reads them.

    Raises:
        UserError: there are none, or a file other than the last one is damaged.
    """
    return Rollouts(run_dir, steps)


def fill_verdicts(
    frame: pd.DataFrame, *, prefilled: bool = True, spans: bool = False
) -> pd.DataFrame:
    """Judge the rows that do not hold their verdict, such as those of evaluations.

    Args:
        frame: rollouts, or evaluation rows (without ``solution``; they get the first two alone).
        prefilled: the run's prompt ends in ``<think>``.
        spans: fill ``span_start`` and ``span_end`` in rows whose answer is stored without them.

    Returns:
        A copy with ``style``, ``reflective``, ``rule``, ``answer``, ``choice`` and the two spans.
    """
    lacking = _is_null(frame, "reflective")
    names = ["style", "reflective"]
    looks = [classify(text) for text in frame["completion"][lacking]]
    filled = _fill(frame, lacking, [dict(zip(names, look, strict=True)) for look in looks], names)
    if not {"choices", "solution"} <= set(frame):
        return filled
    if not spans:
        lacking = lacking & _is_null(frame, "rule")
    rows = frame.loc[lacking, ["completion", "solution", "choices"]].itertuples(index=False)
    verdicts = [verdict_columns(judge(*row, prefilled=prefilled)) for row in rows]
    names = ["rule", "answer", "choice", "span_start", "span_end"]
    return _fill(filled, lacking, verdicts, names)


def _is_null(frame: pd.DataFrame, name: str) -> np.ndarray:
    return frame[name].isna().to_numpy() if name in frame else np.ones(len(frame), bool)


def _fill(
    frame: pd.DataFrame, where: np.ndarray, values: Sequence[dict[str, Any]], names: Sequence[str]
) -> pd.DataFrame:
    columns = {}
    for name in names:
        column = frame[name].tolist() if name in frame else [None] * len(frame)
        for place, row in zip(np.flatnonzero(where), values, strict=True):
            column[place] = row[name]
        columns[name] = column
    return frame.assign(**columns)


def _fragment(path: Path) -> ds.ParquetFileFragment | None:
    """The file with its footer read; None if it is torn."""
    fragment = ds.ParquetFileFormat().make_fragment(str(path), LocalFileSystem())
    try:
        fragment.ensure_complete_metadata()
    except (OSError, pa.ArrowException):
        return None
    return fragment
