"""Kept runs: the few files that ``results/`` holds of many finished runs, and their replay.

A kept run is named like a folder, ``results/studies/rows/r1-v-s0``, but only the parent exists. Its
``runs.json`` has all JSON and YAML files of each run and the notes in its tables,
``metrics.parquet`` the cells of ``metrics.csv`` as text, ``rollouts-s0.parquet`` the completions of
all runs with seed 0, and so on; the columns ``run`` and ``file`` say where a row belongs.
"""

import csv
import functools
import io
import json
import os
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
from vtkit.config.values import read_record
from vtkit.errors import UserError, first_line, suggest
from vtkit.files import ROOT, atomic_path, read_json, shown, write_json
from vtkit.runs.contents import Replay
from vtkit.runs.places import REPLAY, list_files, remove_files, require_own

REFERENCE = ROOT / "results" / "reference"
_WRITTEN_LATER = ("aha.json", "report.html", "summary.json")  # by notebooks 04 and 05
_NEVER_LEFT_OUT = ("accuracy_reward", "format_reward")  # null without such a reward
_NO_ROWS = pa.table({"run": pa.array([], pa.string())})
_TEXTS = (pa.string(), pa.large_string())
_RESTORE = "restore it, for instance with git checkout: no command makes it again"
Content = Any  # of a file: JSON or YAML values, the text of a .csv, the pa.Table of a .parquet


def kept_records(group: Path) -> dict[str, dict[str, Content]]:
    """The JSON and YAML files of the runs kept in a folder, by run and by path in the run."""
    path = group / "runs.json"
    if path.exists():
        return _read_records(path, path.stat().st_mtime_ns)
    if any(group.glob("*.parquet")):
        raise _damaged(path, "missing, and the tables of its runs are there")
    return {}


@functools.cache
def _read_records(path: Path, _version: int) -> dict[str, dict[str, Content]]:
    found = read_json(path, _RESTORE)
    runs = found.values() if isinstance(found, dict) else [None]
    configs = [run.get("config.yaml", {}) if isinstance(run, dict) else None for run in runs]
    if not all(isinstance(config, dict) for config in configs):
        raise _damaged(path, "expected runs, and the files of each")
    return found


def _read_table(path: Path, **options: Any) -> pa.Table:
    try:
        schema = pq.read_schema(path)
        for name in ("run", "file"):
            if name not in schema.names or schema.field(name).type not in _TEXTS:
                raise _damaged(path, f"no column {name!r} of text")
        return pq.read_table(path, partitioning=None, **options)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, first_line(error)) from None


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{shown(path)} is damaged ({why}); {_RESTORE}")


def pack(kept: Path, files: Mapping[str, Content]) -> None:
    """Keep a run, replacing what was kept of it before.

    Args:
        kept: the kept run, ``<group>/<name>-s<seed>``.
        files: contents by path in the run folder, such as ``"evals/step-000000.json"``.

    Raises:
        UserError: a file of the group is damaged or cannot be written, or a CSV file is no table.
    """
    group, run = kept.parent, kept.name
    records = {name: files[name] for name in files if name.endswith((".json", ".yaml"))}
    tables: dict[str, list[pa.Table]] = {}
    for name in sorted(files.keys() - records.keys()):
        is_csv, path = name.endswith(".csv"), PurePath(name)
        table = _from_csv(name, files[name]) if is_csv else files[name]
        if notes := _notes(table):
            records[name] = notes
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
        kept_runs = dict(sorted({**kept_records(group), run: records}.items()))
        names = sorted(tables.keys() | {path.stem for path in group.glob("*.parquet")})
        paths = [group / f"{name}.parquet" for name in names]
        changed = [_with_rows(path, run, tables.get(path.stem, [])) for path in paths]
        for path, table in zip(paths, changed, strict=True):  # all were read before one is written
            if table is not None:
                _write_table(path, table)
        write_json(group / "runs.json", kept_runs)


def unpack(kept: Path, target: Path, *, rows: bool = True) -> None:
    """Write a kept run as the run folder ``target``; ``rows``: with rollouts and judged rows.

    A judgement that no completion of a step has is no column of its file, as in training.

    Raises:
        UserError: no such run is kept, or a file that has a part of it is damaged.
    """
    records = kept_records(kept.parent)
    if kept.name not in records:
        raise UserError(f"{shown(kept.parent)} keeps no {kept.name}{suggest(kept.name, records)}")
    for name, value in records[kept.name].items():
        if name.endswith(".parquet"):  # the notes of a table
            continue
        if name.endswith(".yaml"):
            text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
        else:
            text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        _made(target, name).write_text(text, encoding="utf-8")
    for source in _tables_of(kept) if rows else [p for p in _tables_of(kept) if "-" not in p.stem]:
        found = _read_table(source, filters=[("run", "=", kept.name)])
        for name in found["file"].unique().to_pylist():
            table = found.filter(pc.field("file") == name).drop_columns(["run", "file"])
            if name.endswith(".csv") or "rollouts" in PurePath(name).parts:
                empty = [c for c in table.column_names if table[c].null_count == len(table)]
                table = table.drop_columns([c for c in empty if c not in _NEVER_LEFT_OUT])
            if name.endswith(".csv"):
                _made(target, name).write_text(_to_csv(table), encoding="utf-8")
            else:
                table = table.replace_schema_metadata(records[kept.name].get(name))
                pq.write_table(table, _made(target, name), compression="zstd")


def _notes(table: pa.Table) -> dict[str, str]:
    """What this kit wrote into a table's schema: settings, such as those of the causal test."""
    found = table.schema.metadata or {}
    return {key.decode(): value.decode() for key, value in found.items() if key == b"vtkit"}


def _tables_of(kept: Path) -> list[Path]:
    """The tables that may have rows of a run: those of all seeds, and those of its own."""
    seed = kept.name.rpartition("-")[2]
    paths = sorted(kept.parent.glob("*.parquet"))
    return [path for path in paths if "-" not in path.stem or path.stem.endswith(f"-{seed}")]


def _has(kept: Path, part: str) -> bool:
    """Whether a kept run has a file, or files in a folder."""
    names = set(kept_records(kept.parent)[kept.name])
    for path in _tables_of(kept):
        of_run = _read_table(path, columns=["file"], filters=[("run", "=", kept.name)])
        names |= set(of_run["file"].unique().to_pylist())
    return any(name == part or name.startswith(f"{part}/") for name in names)


def unpacked(kept: Path, *, rows: bool = True) -> Path:
    """A kept run as a run folder to read, in a temporary place; made once a process."""
    records = kept.parent / "runs.json"
    return _unpacked(kept, rows, records.stat().st_mtime_ns if records.exists() else 0)


@functools.cache
def _unpacked(kept: Path, rows: bool, _version: int) -> Path:
    folder = Path(tempfile.mkdtemp(dir=_scratch().name)) / kept.parent.name / kept.name
    unpack(kept, folder, rows=rows)
    return folder


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
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
    records, here = kept_records(REFERENCE), config.to_dict()

    def distance(run: str) -> tuple[bool | str, ...]:
        there = records[run].get("config.yaml", {})
        return *(there.get(name) != here[name] for name in ("profile", "recipe", "seed")), run

    for run in sorted(records, key=distance):
        if _has(REFERENCE / run, part):
            return replay(REFERENCE / run, own / "replay"), True
    raise UserError(
        f"{own / part} is missing and {shown(REFERENCE)} has no run to replay; "
        "run the training step (notebook 03) first"
    )


def replay(kept: Path, target: Path) -> Path:
    """Unpack a kept run anew in place of an earlier replay; files of others in it stay.

    Raises:
        UserError: the folder, or a file in it, was not made by a replay; or it cannot be written.
    """
    mark, draft = target / REPLAY, target.with_name(f".vtkit-{target.name}")
    if target.is_symlink():
        raise UserError(f"{target} is a link; move it away: kept runs are replayed there")
    require_own(target, lambda place: mark.is_file(), "folder of a replay")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        unpack(kept, draft)
        names = list_files(draft)
        if mark.is_file():
            remove_files(target, {*read_record(Replay, mark)["files"], *_WRITTEN_LATER})
        for name in names:
            if os.path.lexists(target / name):
                raise UserError(f"{target / name} is in the way of a replay; move it away")
        write_json(mark, {"run": shown(kept), "files": names})
        for name in names:
            os.replace(draft / name, _made(target, name))
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def replay_of(run_dir: str | Path) -> str | None:
    """The kept run that a folder replays, as a path; None for a run of its own."""
    mark = Path(run_dir) / REPLAY
    return read_record(Replay, mark)["run"] if os.path.lexists(mark) else None


def _with_rows(path: Path, run: str, rows: list[pa.Table]) -> pa.Table | None:
    """A table with other rows of ``run``; None if that changes nothing."""
    old = _read_table(path) if path.exists() else _NO_ROWS
    names = set(old["run"].unique().to_pylist())
    if not rows and run not in names:
        return None
    parts = {name: [old.filter(pc.field("run") == name)] for name in names} | {run: rows}
    tables = [table for name in sorted(parts) for table in parts[name]]
    return pa.concat_tables(tables, promote_options="permissive") if tables else _NO_ROWS


def _write_table(path: Path, table: pa.Table) -> None:
    """Write a table; without any rows left, remove it."""
    if not len(table):
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as draft:
        pq.write_table(table.replace_schema_metadata(None), draft, compression="zstd")


def _from_csv(name: str, text: str) -> pa.Table:
    """A column of text per column of the file; unlike an empty cell, a null is no cell at all."""
    header, *rows = list(csv.reader(io.StringIO(text))) or [[]]
    own = len(set(header)) == len(header) and not {"run", "file"} & set(header)
    if not (own and rows and all(len(row) == len(header) for row in rows)):
        raise UserError(
            f"{name} is no table of whole rows under distinct names; run that step again"
        )
    return pa.table({column: [row[i] for row in rows] for i, column in enumerate(header)})


def _to_csv(table: pa.Table) -> str:
    handle = io.StringIO()
    rows = zip(*table.to_pydict().values(), strict=True)
    csv.writer(handle, lineterminator="\n").writerows([table.column_names, *rows])
    return handle.getvalue()


def _made(target: Path, name: str) -> Path:
    """The path of a file to be written, in a folder that is there; never outside ``target``."""
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise UserError(
            f"a kept run has a file called {name}, outside its folder; restore results/"
        )
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
