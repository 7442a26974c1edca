"""How fast, and in how much memory, rows of SAT become training data, beside a CSV round trip.

    python benchmarks/sat_prep.py                     # a file of 0.1 GB; only prints
    python benchmarks/sat_prep.py --gigabytes 2.2     # 10 minutes; writes benchmarks/sat_prep.csv

A file is generated as SAT_train.parquet is published: one row group, static rows first, pictures of
30 kB (JPEG; noise, which compresses as badly as a photograph). From it and from its first quarter
each way chooses the same rows, in a process of its own: 8.7 % of the smaller file, as the original
takes 15,000 rows of 172,384. The CSV way is what the original's process_dataset.py does: DuckDB
writes the whole file as CSV, pandas reads it, a pattern finds JPEG bytes in the text, Pillow saves
them as PNG. It needs duckdb below 1.3, which quotes nested text otherwise; without it, or on a file
whose CSV would fill memory, that line is left out. Both ways run by turns, twice.

Memory is the most that the process ever held, mapped pages of files included; "own" is what it
holds at the end without them, and "after reading" is the most after every chosen picture was read.
"""

import argparse
import csv
import io
import json
import os
import platform
import re
import statistics
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

HERE = Path(__file__).parent
ROUNDS, PICTURES = 2, 64
BYTES = 30_000  # of a picture, about
PUBLISHED = 15_000 / 172_384
CSV_AT_MOST = 1e9  # bytes of parquet: pandas holds the CSV in about 8 x as much memory
STATIC = 0.74  # of the rows, as published: 127,405 of 172,384


def write_file(path: Path, gigabytes: float) -> None:
    """A file in SAT's schema, one row group; static rows before those with two pictures."""
    from vtkit.sat import SAT_SCHEMA

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
    """A picture of 512 x 512 in about 30 kB: smooth noise."""
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
    """With a comment, so that no two pictures are the same bytes."""
    return jpeg[:2] + b"\xff\xfe" + (10).to_bytes(2, "big") + b"%08d" % number + jpeg[2:]


def ours(path: Path, rows: int, work: Path, **which: Any) -> Any:
    from vtkit.data import load_sat

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
        kept.append({"images": [str(picture)], "choices": choices, "answer": row["correct_answer"]})
    (work / "rows.json").write_text(json.dumps(kept))
    return kept


def _unescape(text: str) -> bytes:
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


WAYS: dict[str, Callable[..., Any]] = {
    "this kit, first rows": ours,
    "this kit, random rows": lambda *args: ours(*args, sample="random"),
    "this kit, every row": lambda path, rows, work: ours(path, 0, work, subset="all", max_images=2),
    "through CSV and PNG": by_csv,
}


def measure(way: str, path: Path, rows: int) -> None:
    """In a process of its own: prints what it took as JSON."""
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        os.environ["HF_DATASETS_CACHE"] = work
        import vtkit.data  # noqa: F401  so that no way pays for importing

        before, began = memory("VmHWM"), time.perf_counter()
        chosen = WAYS[way](path, rows, Path(work))
        seconds, peak, own = time.perf_counter() - began, memory("VmHWM"), memory("RssAnon")
        if way != "through CSV and PNG":
            assert all(len(bytes_) for batch in _pictures(chosen) for bytes_ in batch)
    took = {"rows": len(chosen), "seconds": seconds, "before": before, "peak": peak, "own": own}
    print(json.dumps({**took, "after": memory("VmHWM")}))


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
    files = {}
    for size in (gigabytes / 4, gigabytes):
        files[folder / f"{size:.2f}.parquet"] = size
        command = [sys.executable, __file__, "--write", str(size), "--file", str(list(files)[-1])]
        subprocess.run(command, check=True)
    rows = int(PUBLISHED * pq.read_metadata(next(iter(files))).num_rows)
    lines = []
    for path, size in files.items():
        ways = [way for way in WAYS if _possible(way, path)]
        rounds = [{way: ask(way, path, rows) for way in ways} for _ in range(ROUNDS)]
        lines += [_line(way, path, size, [one[way] for one in rounds], rounds) for way in ways]
    return lines


def _possible(way: str, path: Path) -> bool:
    if way != "through CSV and PNG":
        return True
    try:
        import duckdb
    except ImportError:
        return False
    return duckdb.__version__ < "1.3" and path.stat().st_size < CSV_AT_MOST


def _line(way: str, path: Path, size: float, took: list[dict], rounds: list[dict]) -> dict:
    baseline = [one.get("through CSV and PNG") for one in rounds]
    speed = [one["rows"] / one["seconds"] for one in took]
    ratios = [
        mine / (other["rows"] / other["seconds"])
        for mine, other in zip(speed, baseline, strict=True)
        if other
    ]
    return {
        "way": way,
        "file GB": f"{path.stat().st_size / 1e9:.2f}",
        "rows in file": pq.read_metadata(path).num_rows,
        "rows chosen": took[0]["rows"],
        "seconds": f"{statistics.median(one['seconds'] for one in took):.2f}",
        "rows per second": f"{statistics.median(speed):.0f}",
        "times CSV": f"{statistics.median(ratios):.0f}" if ratios else "",
        "peak MB": f"{max(one['peak'] for one in took):.0f}",
        "of it libraries": f"{max(one['before'] for one in took):.0f}",
        "own MB at the end": f"{max(one['own'] for one in took):.0f}",
        "peak MB after reading": f"{max(one['after'] for one in took):.0f}",
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
        with open(HERE / "sat_prep.csv", "w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, lines[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


if __name__ == "__main__":
    main()
