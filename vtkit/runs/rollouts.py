"""The record of what the model said: one row a completion, appended a step at a time.

Textbooks and trainers print a sample now and then and forget the rest; here every completion of a
run is kept, so that each claim about length, style or reflection can be recounted later.

The store is a folder of parquet files. A step is written as a file of its own, whole or not at all
(:mod:`vtkit.files`), and once a block of 500 steps is complete its files are merged into one. Of
three layouts with a million completions in 15,625 steps of 64, the question "accuracy and mean
tokens by step, of one extraction rule" took, in CPU seconds and in memory on top of the libraries:
8.6 s and 1.0 GB with a file a step (it only opens files), 1.5 s and 0.35 GB with one Arrow stream
that is appended to, 0.2 s and 0.05 GB with this one (``timings/rollouts.py``). It also stays
plain parquet, which everything reads, and damage costs the steps of one file, not all that follow.

    rollouts = load_rollouts("runs/visualthinker-mini-s0")
    rollouts.to_pandas()                                                # everything, for people
    rollouts.group_by("task", right=("correct", "mean"))                # streamed
    rollouts.to_pandas(["step", "completion"], where=pc.field("tokens") > 200)
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import acero
from pyarrow.fs import LocalFileSystem

from vtkit.errors import UserError, first_line, suggest
from vtkit.runs.rollout_store import SCHEMA, list_files, read

_FUNCTIONS = ("mean", "sum", "min", "max", "count", "count_distinct", "stddev")
# Arrow reads ahead 16 and 4; that holds a third more and is no faster.
_READ_AHEAD = {"batch_readahead": 4, "fragment_readahead": 2}
Where = pc.Expression | None


class Rollouts:
    """A run's completions, read when asked for and a few thousand at a time.

    Conditions (``where``) are pyarrow expressions over the columns of ``schema``, such as
    ``pc.field("rule") == "block"``. What an older run did not store reads as null.

    Attributes:
        schema: the columns of ``SCHEMA`` and any further rewards.
        dropped: records that were left out because their writer was killed: half-written files, and
            a last step that is torn.
    """

    def __init__(self, run_dir: str | Path, steps: Iterable[int] | None = None) -> None:
        self.folder = Path(run_dir) / "rollouts"
        self._wanted = None if steps is None else sorted({int(step) for step in steps})
        self.dropped = len(list(self.folder.glob(".step*.part")))
        fragments = self._open()
        schemas = {str(one.physical_schema): one.physical_schema for one in fragments}.values()
        self._held = set().union(*(schema.names for schema in schemas))
        self.schema = pa.unify_schemas([SCHEMA, *schemas])
        self._data = ds.FileSystemDataset(
            fragments, self.schema, ds.ParquetFileFormat(), LocalFileSystem()
        )
        if not fragments or (self._wanted is not None and not len(self)):
            which = "" if self._wanted is None else f" for steps {self._wanted}"
            raise UserError(
                f"{self.folder} holds no rollouts{which}; run the training step (notebook 03) first"
            )

    def _open(self) -> list[ds.ParquetFileFragment]:
        """The files of the steps that were asked for, their footers read."""
        files, _ = list_files(self.folder)
        fragments = []
        for file in files:
            if self._wanted is not None and not any(
                file.first <= step <= file.last for step in self._wanted
            ):
                continue
            fragment = _fragment(file.path)
            if fragment:
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

        Args:
            columns: by default those that the run's files hold.

        Raises:
            UserError: no such column, ``where`` does not fit the columns, or a file is damaged.
        """
        scanner = self._scan(columns, where)
        with self._damage_has_a_name():
            yield from (batch for batch in scanner.to_batches() if batch.num_rows)

    def to_pandas(self, columns: Sequence[str] | None = None, where: Where = None) -> pd.DataFrame:
        """The rows as a frame; ``choices`` holds lists of str, a missing number is NaN.

        Args and errors as in :meth:`batches`.
        """
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
        """Count and summarise rows by the values of some columns, without loading the rows.

            rollouts.group_by("step", right=("correct", "mean"), tokens=("tokens", "mean"))

        Args:
            values: ``name=(column, function)``; a function is one of mean, sum, min, max, count,
                count_distinct and stddev (of the population). Nulls are left out.

        Returns:
            Indexed by ``keys``, sorted; ``n``, the rows of each group, then the named values.

        Raises:
            UserError: as :meth:`batches`, or no such function.
        """
        keys = [keys] if isinstance(keys, str) else list(keys)
        for column, function in values.values():
            if function not in _FUNCTIONS:
                raise UserError(
                    f"{column}: no function {function!r}{suggest(function, _FUNCTIONS)}"
                )
        used = [*keys, *(column for column, _ in values.values())]
        self._scan(used, where)  # which says what is wrong with either
        within = self._within(where)
        options = acero.ScanNodeOptions(self._data, columns=used, filter=within, **_READ_AHEAD)
        sums = [
            ([], "hash_count_all", None, "n"),
            *((column, f"hash_{how}", None, name) for name, (column, how) in values.items()),
        ]
        plan = [acero.Declaration("scan", options)]
        if within is not None:  # the scan only skips what its statistics rule out
            plan.append(acero.Declaration("filter", acero.FilterNodeOptions(within)))
        plan.append(acero.Declaration("aggregate", acero.AggregateNodeOptions(sums, keys)))
        with self._damage_has_a_name():
            # In one thread, so that the last digit of a sum does not depend on which was first.
            table = acero.Declaration.from_sequence(plan).to_table(use_threads=False)
        return table.to_pandas().set_index(keys).sort_index()

    def _scan(self, columns: Sequence[str] | None, where: Where) -> ds.Scanner:
        if columns is None:
            columns = [name for name in self.schema.names if name in self._held]
        for name in columns:
            if name not in self.schema.names:
                raise UserError(
                    f"{self.folder}: no column {name!r}{suggest(name, self.schema.names)}"
                )
        try:
            return self._data.scanner(
                columns=list(columns),
                filter=self._within(where),
                **_READ_AHEAD,
            )
        except pa.ArrowException as error:
            raise UserError(
                f"{self.folder}: where: {first_line(error)}; columns are "
                f"{', '.join(self.schema.names)}"
            ) from None

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
    """Open a run's completions; ``.to_pandas()`` reads them.

    Args:
        run_dir: the run folder (the one that holds ``rollouts/``).
        steps: only these; other files are not opened.

    Raises:
        UserError: the run has no rollouts, none at the steps asked for, or a file is damaged (other
            than the last one, which is left out and counted).
    """
    return Rollouts(run_dir, steps)


def _fragment(path: Path) -> ds.ParquetFileFragment | None:
    """The file with its footer read; None if it is torn."""
    fragment = ds.ParquetFileFormat().make_fragment(str(path), LocalFileSystem())
    try:
        fragment.ensure_complete_metadata()
    except (OSError, pa.ArrowException):
        return None
    return fragment
