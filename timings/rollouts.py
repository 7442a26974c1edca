"""Measure how fast a million completions are written, opened, filtered and grouped.

    python timings/rollouts.py                 # 4 minutes; writes timings/rollouts.csv
    python timings/rollouts.py --rows 64000    # a smaller run; only prints

Steps of 64 completions of 60 to 180 made-up words are written by the writer that training uses, one
by one, into a temporary folder. Then each question is asked in a separate process that is held to
one core or to two. Seconds include opening the run; a step's include merging every 500 of them. CPU
seconds are what counts where other processes run, too. Memory is the most that the process ever
held; nearly all that "open" shows is Python and its libraries.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import results
from vtkit.runs.rollout_store import RolloutWriter
from vtkit.runs.rollouts import Rollouts, load_rollouts

HERE = Path(__file__).parent
PER_STEP = 64
TASKS = ("Count", "Relation", "Depth", "Distance")
RULES = ("block", "statement", "bare", "unfinished", "html")
BARE = pc.field("rule") == "bare"
LOOKS_AGAIN = pc.match_substring_regex(pc.field("completion"), r"(?i)\bre-?check")

QUESTIONS: dict[str, Callable[[Rollouts], object]] = {
    "open": lambda run: run,
    "count rows": len,
    "share right by task": lambda run: run.group_by("task", right=("correct", "mean")),
    "share right and tokens by step, of one rule": lambda run: run.group_by(
        "step", BARE, right=("correct", "mean"), tokens=("tokens", "mean")
    ),
    "the same where the text has 're-check'": lambda run: run.group_by(
        "step", LOOKS_AGAIN, right=("correct", "mean"), tokens=("tokens", "mean")
    ),
    "one step, as a frame": lambda run: load_rollouts(
        run.folder.parent, [len(run) // 128]
    ).to_pandas(),
    "every row and column, in batches": lambda run: sum(map(len, run.batches())),
}


def draw_step(step: int, words: np.ndarray, rng: np.random.Generator) -> list[dict]:
    lengths = rng.integers(60, 180, PER_STEP)
    texts = np.split(words[rng.integers(0, len(words), lengths.sum())], np.cumsum(lengths)[:-1])
    right, finished, again = (rng.random(PER_STEP) < share for share in (0.5, 0.9, 0.2))
    return [
        {
            "prompt_id": 8 * step + i // 8,
            "group": i // 8,
            "sample": i % 8,
            "task": TASKS[i // 8 % 4],
            "question": f"Where is lamp {8 * step + i // 8}?\n(A) left\n(B) right",
            "choices": ["left", "right"],
            "solution": "<answer>left</answer>",
            "completion": f" {' '.join(texts[i])}. {'Wait, let me re-check. ' if again[i] else ''}"
            "</think> <answer> left </answer>",
            "tokens": int(1.3 * lengths[i]),
            "finished": bool(finished[i]),
            "finish_reason": "stop" if finished[i] else "length",
            "rule": RULES[rng.integers(len(RULES))],
            "answer": "left",
            "choice": 0,
            "correct": bool(right[i]),
            "format_verdict": "good",
            "reward": 1.0 + right[i],
            "accuracy_reward": float(right[i]),
            "format_reward": 1.0,
            "advantage": rng.normal(),
        }
        for i in range(PER_STEP)
    ]


def build(run_dir: Path, steps: int) -> dict[str, str]:
    """Write a run; returns a row of the table about writing."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfw"))
    words = np.array(["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(1500)])
    writer, took, worked = RolloutWriter(run_dir / "rollouts"), [], 0.0
    for step in range(1, steps + 1):
        rows = draw_step(step, words, rng)
        began, before = time.perf_counter(), time.process_time()
        writer.write(step, rows)
        took.append(time.perf_counter() - began)
        worked += time.process_time() - before
    megabytes = sum(path.stat().st_size for path in (run_dir / "rollouts").iterdir()) / 1e6
    return {
        "what": f"write a step ({megabytes:.0f} MB in all; the longest took {max(took):.1f} s)",
        "cores": "",
        "seconds": f"{sum(took) / steps:.4f}",
        "CPU seconds": f"{worked / steps:.4f}",
        "peak MB": "",
    }


def ask(run_dir: Path, name: str, cores: int) -> dict[str, str]:
    """One question in a fresh process."""
    command = [sys.executable, __file__, "--ask", name, "--run", str(run_dir)]
    answer = subprocess.run(
        [*command, "--cores", str(cores)], check=True, capture_output=True, text=True
    )
    return {"what": name, "cores": str(cores), **json.loads(answer.stdout)}


def answer(run_dir: Path, name: str, cores: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    pa.set_cpu_count(cores)
    began, worked = time.perf_counter(), time.process_time()
    QUESTIONS[name](load_rollouts(run_dir))
    took = {
        "seconds": f"{time.perf_counter() - began:.3f}",
        "CPU seconds": f"{time.process_time() - worked:.3f}",
    }
    print(json.dumps({**took, "peak MB": f"{peak():.0f}"}))


def peak() -> float:
    """Most memory that this process ever held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss begins with what the parent held
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    for name, kind in (("--ask", str), ("--run", Path), ("--cores", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ask:
        return answer(args.run, args.ask, args.cores)
    with tempfile.TemporaryDirectory() as folder:
        rows = [build(Path(folder), -(-args.rows // PER_STEP))]
        rows += [ask(Path(folder), name, cores) for name in QUESTIONS for cores in (1, 2)]
    width = max(len(row["what"]) for row in rows)
    for row in [dict(zip(rows[0], rows[0], strict=True)), *rows]:
        what, *numbers = row.values()
        print(f"{what:<{width}}", *(f"{number:>11}" for number in numbers))
    print(f"{args.rows} rows; Python {platform.python_version()}, pyarrow {pa.__version__}")
    if args.rows == parser.get_default("rows"):
        results.write("rollouts", rows)


if __name__ == "__main__":
    main()
