"""Measure how fast, and in how much memory, rows of SAT become training data; compare with CSV.

    python timings/sat_prep.py                     # a file of 0.1 GB; only prints
    python timings/sat_prep.py --gigabytes 2.2     # 10 minutes; writes timings/sat_prep.csv

A file is generated as SAT_train.parquet is published: one row group, static rows first, pictures of
32 kB (JPEG of noise, which packs as badly as a photograph), and another of a twentieth of its size.
From both, in separate processes one after another, the same number of rows is chosen: 8.7 % of
the smaller file, as the original takes 15,000 of 172,384. The CSV way takes the steps of the
original's process_dataset.py: DuckDB writes the whole file as CSV, pandas reads it, a pattern finds
JPEG bytes in the text, Pillow saves them as PNG. It needs duckdb below 1.3, which quotes nested
text otherwise, and 18 times the file's size in memory; without duckdb, and on the larger file, that
way is left out. "times first rows" says how many times as long it takes for the same rows; CPU
seconds are what counts where other processes run, too.

Memory is the most that the process ever held, mapped pages of files included, of which the
libraries' share was there before; "own" is what it holds at the end without mapped pages; "read" is
the most after each chosen picture was read as well, and mapped pages are then as many as fit.
"""

import argparse
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import results

HERE = Path(__file__).parent
PICTURES = 64
BYTES = 32_200  # of a picture, about
PUBLISHED = 15_000 / 172_384
CSV_AT_MOST = 0.3e9  # bytes of the file: 18 x as many are held
CSV = "through CSV and PNG"
FIRST = "this kit, first rows"
STATIC = 0.74  # of the rows, as published: 127,405 of 172,384


def write_file(path: Path, gigabytes: float) -> None:
    """A file in SAT's schema, one row group; static rows before those with two pictures."""
    from vtkit.data.sat import SAT_SCHEMA

    rng = np.random.default_rng(0)
    bases = [_jpeg(rng) for _ in range(PICTURES)]
    rows = int(gigabytes * 1e9 / (BYTES * (2 - STATIC)))
    batches = [
        pa.RecordBatch.from_pylist(
            [_row(number, number < STATIC * rows, bases) for number in range(start, stop)],
            SAT_SCHEMA,
        )
        for start in range(0, rows, 1000)
        if (stop := min(start + 1000, rows))
    ]
    pq.write_table(pa.Table.from_batches(batches), path, row_group_size=rows)


def _jpeg(rng: np.random.Generator) -> bytes:
    """A picture of 512 x 512 in about 32 kB: smooth noise."""
    small = Image.fromarray(rng.integers(0, 255, (28, 28, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((512, 512), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def _row(number: int, static: bool, bases: list[bytes]) -> dict[str, Any]:
    pictures = 1 if static else 2
    return {
        "image_bytes": [_signed(bases[(number + i) % PICTURES], number) for i in range(pictures)],
        "question": f"Is the red cup number {number} left of the lamp?",
        "answers": ["left", "right", "far away"],
        "question_type": "other" if static else "obj_movement",
        "correct_answer": "left",
    }


def _signed(jpeg: bytes, number: int) -> bytes:
    """Add a comment, so no two pictures have the same bytes."""
    return jpeg[:2] + b"\xff\xfe" + (10).to_bytes(2, "big") + b"%08d" % number + jpeg[2:]


def ours(path: Path, rows: int, work: Path, **which: Any) -> Any:
    from vtkit.data.sat import load_sat

    return load_sat(path, rows=rows, **which)


def by_csv(path: Path, rows: int, work: Path) -> list[dict]:
    """The original's route in its steps; the first rows with exactly one picture."""
    import duckdb
    import pandas as pd

    table = work / "all.csv"
    duckdb.sql(f"COPY (SELECT * FROM '{path}') TO '{table}' (HEADER, DELIMITER ',')")
    kept = []
    for number, row in pd.read_csv(table).iterrows():
        if len(kept) == rows:
            break
        found = re.findall(r"\\xFF\\xD8.*?\\xFF\\xD9", row["image_bytes"], re.DOTALL)
        if len(found) != 1:
            continue
        picture = work / f"{number}.png"
        Image.open(io.BytesIO(_unescape(found[0]))).save(picture)
        choices = row["answers"].strip("[]").split(", ")
        kept.append(
            {
                "id": number,
                "images": [str(picture)],
                "choices": choices,
                "answer": row["correct_answer"],
            }
        )
    (work / "rows.json").write_text(json.dumps(kept))
    return kept


def _unescape(text: str) -> bytes:
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


WAYS: dict[str, Callable[..., Any]] = {
    FIRST: ours,
    "this kit, random rows": lambda *args: ours(*args, sample="random"),
    "this kit, every row": lambda path, rows, work: ours(path, 0, work, subset="all", max_images=2),
    CSV: by_csv,
}


def measure(way: str, path: Path, rows: int) -> None:
    """Run in a separate process: print time and memory as JSON."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        os.environ["HF_DATASETS_CACHE"] = work
        import vtkit.data.cv_bench  # noqa: F401  no way pays for importing

        took: dict[str, Any] = {"before": memory("VmHWM")}
        began, worked = time.perf_counter(), time.process_time()
        chosen = WAYS[way](path, rows, Path(work))
        took |= {"seconds": time.perf_counter() - began, "cpu": time.process_time() - worked}
        took |= {"peak": memory("VmHWM"), "own": memory("RssAnon"), "rows": len(chosen)}
        took["last"] = chosen[-1]["id"]
        if way != CSV:
            assert all(map(all, _pictures(chosen)))
    print(json.dumps({**took, "read": memory("VmHWM")}))


def _pictures(dataset: Any) -> Any:
    for batch in dataset.data.table.to_batches():
        yield batch["images"].flatten().field("bytes").to_pylist()


def memory(field: str) -> float:
    """Megabytes by a field of Linux's /proc/self/status; NaN elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(ln.split()[1]) * 1024 / 1e6 for ln in lines if ln.startswith(field)), np.nan)


def ask(way: str, path: Path, rows: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--ask", way, "--file", str(path), "--rows", str(rows)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def compare(folder: Path, gigabytes: float) -> list[dict[str, Any]]:
    files: list[Path] = []
    for size in (gigabytes / 20, gigabytes):
        files.append(folder / f"{size:.3f}.parquet")
        command = [sys.executable, __file__, "--write", str(size), "--file", str(files[-1])]
        subprocess.run(command, check=True)
    rows = int(PUBLISHED * pq.read_metadata(files[0]).num_rows)
    lines = []
    for path in files:
        ways = [way for way in WAYS if _possible(way, path)]
        took = {way: ask(way, path, rows) for way in ways}
        lines += [_line(way, path, took) for way in ways]
    return lines


def _possible(way: str, path: Path) -> bool:
    if way != CSV:
        return True
    try:
        import duckdb
    except ImportError:
        return False
    return duckdb.__version__ < "1.3" and path.stat().st_size < CSV_AT_MOST


def _line(way: str, path: Path, others: dict[str, dict]) -> dict[str, Any]:
    took, times = others[way], {"seconds": "", "cpu": ""}
    if way == CSV:
        assert took["last"] == others[FIRST]["last"], "other rows"
        times = {name: f"{took[name] / others[FIRST][name]:.0f}" for name in times}
    return {
        "way": way,
        "file GB": f"{path.stat().st_size / 1e9:.2f}",
        "rows in file": pq.read_metadata(path).num_rows,
        "rows chosen": took["rows"],
        "seconds": f"{took['seconds']:.2f}",
        "CPU seconds": f"{took['cpu']:.2f}",
        "rows per second": f"{took['rows'] / took['seconds']:.0f}",
        "times first rows": times["seconds"],
        "in CPU seconds": times["cpu"],
        "peak MB": f"{took['peak']:.0f}",
        "libraries MB": f"{took['before']:.0f}",
        "own MB": f"{took['own']:.0f}",
        "read MB": f"{took['read']:.0f}",
        "date": date.today().isoformat(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=0.1, help="size of the larger file")
    hidden = {"--ask": str, "--write": float, "--file": Path, "--rows": int}
    for name, kind in hidden.items():
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        return write_file(args.file, args.write)
    if args.ask:
        return measure(args.ask, args.file, args.rows)
    with tempfile.TemporaryDirectory() as folder:
        lines = compare(Path(folder), args.gigabytes)
    for line in (lines[0].keys(), *(line.values() for line in lines)):
        print(" | ".join(f"{cell!s:>12}" for cell in line))
    print(f"Python {platform.python_version()}, pyarrow {pa.__version__}, {platform.machine()}")
    if args.gigabytes >= 2:
        results.write("sat_prep", lines)


if __name__ == "__main__":
    main()
