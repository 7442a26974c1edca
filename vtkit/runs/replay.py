"""Kept runs: the few files that ``results/`` holds of many finished runs, and their replay.

A kept run is named like a folder, ``results/studies/rows/r1-v-s0``, but only the parent exists. Its
``runs.json`` has all JSON and YAML files of each run, ``metrics.parquet`` the cells of
``metrics.csv`` as text, ``rollouts-s0.parquet`` the completions of all runs with seed 0, and so on;
the columns ``run`` and ``file`` say where a row belongs. :func:`unpacked` makes a folder again.
"""

import csv
import functools
import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from filelock import FileLock

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.files import ROOT, atomic_path, read_json, shown, write_json

REFERENCE = ROOT / "results" / "reference"
_NEVER_LEFT_OUT = ("accuracy_reward", "format_reward")  # null without such a reward
_NO_ROWS = pa.table({"run": pa.array([], pa.string())})
Content = Any  # of a file: JSON or YAML values, the text of a .csv, the pa.Table of a .parquet


def kept_records(group: Path) -> dict[str, dict[str, Content]]:
    """The JSON and YAML files of the runs kept in a folder, by run and by path in the run."""
    path = group / "runs.json"
    return _read_records(path, path.stat().st_mtime_ns) if path.exists() else {}


@functools.cache
def _read_records(path: Path, _version: int) -> dict[str, dict[str, Content]]:
    return read_json(path)


def pack(kept: Path, files: Mapping[str, Content]) -> None:
    """Keep a run, replacing what was kept of it before.

    Args:
        kept: the kept run, ``<group>/<name>-s<seed>``.
        files: contents by path in the run folder, such as ``"evals/step-000000.json"``.
    """
    group, run = kept.parent, kept.name
    records = {name: files[name] for name in files if name.endswith((".json", ".yaml"))}
    tables: dict[str, list[pa.Table]] = {}
    for name in sorted(files.keys() - records.keys()):
        is_csv, path = name.endswith(".csv"), PurePath(name)
        table = _from_csv(files[name]) if is_csv else files[name]
        for column, value in (("file", name), ("run", run)):
            table = table.add_column(0, column, pa.array([value] * len(table), pa.string()))
        place = path.stem if is_csv else f"{path.parent.name}-{run.rpartition('-')[2]}"
        tables.setdefault(place, []).append(table)
    try:
        group.mkdir(parents=True, exist_ok=True)
        lock = FileLock(group / ".lock")  # several runs may end at the same time
    except OSError as error:
        raise UserError(f"cannot write {shown(group)}: {error.strerror}") from error
    with lock:
        for name in sorted(tables.keys() | {path.stem for path in group.glob("*.parquet")}):
            _replace_rows(group / f"{name}.parquet", run, tables.get(name, []))
        write_json(group / "runs.json", dict(sorted({**kept_records(group), run: records}.items())))


def unpack(kept: Path, target: Path, *, rows: bool = True) -> None:
    """Write a kept run as the run folder ``target``; ``rows``: with rollouts and judged rows.

    A judgement that no completion of a step has is no column of its file, as in training.
    """
    for name, value in kept_records(kept.parent)[kept.name].items():
        if name.endswith(".yaml"):
            text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
        else:
            text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        _made(target / name).write_text(text, encoding="utf-8")
    sources = sorted(kept.parent.glob("*.parquet"))
    for source in sources if rows else [path for path in sources if "-" not in path.stem]:
        found = pq.read_table(source, filters=[("run", "=", kept.name)], partitioning=None)
        for name in found["file"].unique().to_pylist():
            table = found.filter(pc.field("file") == name).drop_columns(["run", "file"])
            if name.endswith(".csv") or "rollouts" in PurePath(name).parts:
                empty = [c for c in table.column_names if table[c].null_count == len(table)]
                table = table.drop_columns([c for c in empty if c not in _NEVER_LEFT_OUT])
            if name.endswith(".csv"):
                _made(target / name).write_text(_to_csv(table), encoding="utf-8")
            else:
                pq.write_table(table, _made(target / name), compression="zstd")


def unpacked(kept: Path, *, rows: bool = True) -> Path:
    """A kept run as a run folder to read, in a temporary place; made once a process."""
    return _unpacked(kept, rows, (kept.parent / "runs.json").stat().st_mtime_ns)


@functools.cache
def _unpacked(kept: Path, rows: bool, _version: int) -> Path:
    folder = Path(tempfile.mkdtemp(dir=_scratch().name)) / kept.parent.name / kept.name
    unpack(kept, folder, rows=rows)
    return folder


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="vtkit-kept-")  # removed at exit


def find_run(config: RunConfig, part: str) -> tuple[Path, bool]:
    """Return the folder that has a part, such as ``"rollouts"``, and whether it is a replay.

    That is the run's own folder, or ``replay`` in it, in which a kept run is unpacked anew each
    time: the nearest by profile, then recipe, then seed.

    Raises:
        UserError: neither the run nor any kept one has the part.
    """
    own = Path(config.run_dir)
    if (own / part).exists():
        return own, False
    records, here, replay = kept_records(REFERENCE), config.to_dict(), own / "replay"

    def distance(run: str) -> tuple:
        there = records[run]["config.yaml"]
        return *(there[name] != here[name] for name in ("profile", "recipe", "seed")), run

    for run in sorted(records, key=distance):
        shutil.rmtree(replay, ignore_errors=True)
        unpack(REFERENCE / run, replay)
        if (replay / part).exists():
            return replay, True
    shutil.rmtree(replay, ignore_errors=True)
    raise UserError(
        f"{own / part} is missing and {shown(REFERENCE)} has no run to replay; "
        "run the training step (notebook 03) first"
    )


def _replace_rows(path: Path, run: str, rows: list[pa.Table]) -> None:
    """Rewrite a table with other rows of ``run``; without any rows left, remove it."""
    old = pq.read_table(path, partitioning=None) if path.exists() else _NO_ROWS
    names = set(old["run"].unique().to_pylist())
    if not rows and run not in names:
        return
    parts = {name: [old.filter(pc.field("run") == name)] for name in names} | {run: rows}
    tables = [table for name in sorted(parts) for table in parts[name]]
    if not tables:
        path.unlink()
        return
    table = pa.concat_tables(tables, promote_options="permissive")
    with atomic_path(path) as draft:
        pq.write_table(table.replace_schema_metadata(None), draft, compression="zstd")


def _from_csv(text: str) -> pa.Table:
    """A column of text per column of the file; unlike an empty cell, a null is no cell at all."""
    header, *rows = csv.reader(io.StringIO(text))
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(header)})


def _to_csv(table: pa.Table) -> str:
    handle = io.StringIO()
    rows = zip(*table.to_pydict().values(), strict=True)
    csv.writer(handle, lineterminator="\n").writerows([table.column_names, *rows])
    return handle.getvalue()


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
