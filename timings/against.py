"""Measure this tree against another revision, side by side: a step, scoring, a run, the tests.

    python timings/against.py 23a46f0                      # all; hours where other things run
    python timings/against.py 23a46f0 --work step scoring  # some; the table keeps the other rows

Both trees are copied to temporary folders, and run there by turns with the packages of this Python;
nothing of this checkout is read or written meanwhile, except the table. CPU seconds are those of
all processes of a command, memory is the most that they hold together (pages that several share
count once). A step and scoring are measured by each tree's own script, in CPU seconds of one
thread.
"""

import argparse
import csv
import datetime
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

import results
from vtkit.files import ROOT

TABLE = Path(__file__).with_suffix(".csv")
SCRIPTS = {"step": "this kit, s a step", "scoring": "questions per second"}
COMMANDS = {
    "quick": ["-m", "vtkit", "--profile", "quick"],
    "run": ["-m", "vtkit"],
    "tests": ["-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"],
}


def copy_of(revision: str | None, folder: Path) -> Path:
    """A clone at a revision, or with the files of this working tree that git knows."""
    clone = ["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(folder)]
    subprocess.run(clone, check=True)
    checkout = ["git", "checkout", "--quiet", "--detach", revision or "HEAD"]
    subprocess.run(checkout, cwd=folder, check=True)
    if not revision:
        command = ["git", "ls-files", "-z"]
        names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
        command = ["tar", "--null", "--files-from=-", "--create"]
        packed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, input=names)
        subprocess.run(["tar", "--extract"], cwd=folder, check=True, input=packed.stdout)
    return folder


class Memory(threading.Thread):
    """Looks twice a second at what a process and those it started hold: ``peak``, in bytes."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.root, self.peak, self.over = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            self.peak = max(self.peak, sum(self._held()))

    def _held(self) -> Iterator[int]:
        try:
            processes = [self.root, *self.root.children(recursive=True)]
        except psutil.Error:
            return
        for process in processes:
            try:
                yield process.memory_full_info().pss
            except psutil.Error:
                continue  # it ended meanwhile


def measured(tree: Path, arguments: list[str], **variables: str) -> dict[str, float]:
    """CPU and wall seconds and peak MB of a Python command in a tree; nothing if it failed."""
    if not (tree / "vtkit" / "__main__.py").exists():  # as it was called before 2026-11-29
        arguments = ["vtkit.run" if word == "vtkit" else word for word in arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree), **variables}
    if "pytest" not in arguments:
        environment["VTKIT_HEADLESS"] = "1"
    began = time.monotonic()
    with open(tree / "output.txt", "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=tree, env=environment, stdout=output, stderr=output
        )
        memory = Memory(process.pid)
        memory.start()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    memory.over.set()
    memory.join()
    if process.returncode:
        print(f"{tree.name}: {' '.join(arguments)} ended with {process.returncode}:")
        print((tree / "output.txt").read_text(errors="replace")[-2000:])
        if "pytest" not in arguments:  # tests that failed took their time as well
            return {}
    wall = time.monotonic() - began
    return {
        "CPU s": used.ru_utime + used.ru_stime, "wall s": wall, "peak MB": memory.peak / 1e6,
    }  # fmt: skip


def by_script(tree: Path, name: str) -> dict[str, float]:
    """What a tree's own script wrote, by the first columns of its table; seconds or a speed.

    Nothing if it failed: it says why.
    """
    (script,) = tree.glob(f"[bt]*/{name}.py")  # in benchmarks/ before 2026-11-29
    script.with_suffix(".csv").unlink()  # of another day
    measured(tree, [str(script)], OMP_NUM_THREADS="1")
    if not script.with_suffix(".csv").exists():
        return {}
    with open(script.with_suffix(".csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    column = SCRIPTS[name]
    found = {}
    for row in rows:
        what = row.get("state") or row.get("way")
        if row.get("checkpointing") == "True":
            what += ", checkpointing"
        found[f"{what}: {column}"] = float(row[column])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="of git: 23a46f0, main")
    work = [*COMMANDS, *SCRIPTS]  # a test reads the tables that the scripts write
    parser.add_argument("--work", nargs="+", choices=work, default=work, help="default: all")
    args = parser.parse_args()
    with open(TABLE, encoding="utf-8") as file:
        rows: list[dict[str, Any]] = [
            row for row in csv.DictReader(file)
            if row["against"] == args.revision and row["work"] not in args.work
        ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        before = copy_of(args.revision, Path(name) / "before")
        now = copy_of(None, Path(name) / "now")
        for one in (name for name in work if name in args.work):
            if one in SCRIPTS:
                pair = [by_script(tree, one) for tree in (before, now)]
            else:
                pair = [measured(tree, COMMANDS[one]) for tree in (before, now)]
            for what in pair[0] | pair[1]:
                value, other = (found.get(what) for found in pair)
                rows.append({
                    "date": datetime.date.today().isoformat(), "against": args.revision,
                    "work": one, "what": what, "before": "" if value is None else f"{value:.4g}",
                    "now": "" if other is None else f"{other:.4g}",
                    "now / before": f"{other / value:.2f}" if value and other else "",
                })  # fmt: skip
                print("  ".join(f"{cell!s:>12}" for cell in rows[-1].values()), flush=True)
            results.write("against", rows)  # so far


if __name__ == "__main__":
    main()
