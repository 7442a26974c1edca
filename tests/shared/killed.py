"""Trains once unbroken and once killed again and again with SIGKILL; for test_exact_resume.py.

    python tests/shared/killed.py PLAN.json

The plan has ``folder`` and ``paths``, each with ``arguments`` of ``vtkit.training``, ``processes``,
``kills`` and ``seed``. ``<folder>/<name>/unbroken`` and ``broken`` are the runs, and what happened
is in ``<folder>/<name>/kills.json``.

A *moment* is just before a run changes a file of its folder, or a callback of the trainer: those of
the unbroken run are written down, some are drawn from all parts of it, and the broken run dies at
one of them, is started again, dies at a later one, and so on to the end. So the moments do not
depend on the machine's speed. Every third attempt may die earlier, at a random time. Attempts are
forked: the libraries are imported once. Whoever dies in the middle of a checkpoint leaves
its last file torn.
"""

import gc
import importlib
import json
import os
import random
import re
import signal
import socket
import sys
import time
from pathlib import Path

import torch
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.trainer_callback import CallbackHandler

from vtkit.judging import judge
from vtkit.judging.published import is_correct
from vtkit.runs.marks import HALF, is_whole
from vtkit.training import __main__ as training

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.link", "shutil.rmtree")
KINDS = ("cold_start/", "evals/", "checkpoints/", "")


class Watch:
    """Reports the moments of this process: all of them to a file, or dies at one of them.

    Args:
        run_dir: of the run; ``trace``: file that gets a line a moment. With ``die_at``, some such
            lines, only the one that it dies at.
    """

    def __init__(self, run_dir: Path, trace: Path, die_at: set[str] | None):
        self.run_dir, self.die_at, self.step, self.busy = run_dir, die_at, -1, False
        self.trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.addaudithook(self.on_audit)
        call, save = CallbackHandler.call_event, torch.save

        def call_event(handler, event, args, state, control, **others):
            self.step = state.global_step
            self.moment(event)
            return call(handler, event, args, state, control, **others)

        def torch_save(value, path, *args, **others):
            self.on_file("torch.save", path)
            return save(value, path, *args, **others)

        CallbackHandler.call_event, torch.save = call_event, torch_save

    def on_audit(self, event: str, arguments: tuple) -> None:
        written = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if event in CHANGES or written:
            self.on_file(event, arguments[0])

    def on_file(self, event: str, path: object) -> None:
        path = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
        if path.startswith(str(self.run_dir)) and "tensorboard" not in path:
            name = re.sub(r"\.vtkit\.\d+\.part$", ".part", os.path.relpath(path, self.run_dir))
            self.moment(f"{event} {name}")

    def moment(self, what: str) -> None:
        if self.busy:
            return
        self.busy, label = True, f"{self.step} {what}"
        if self.die_at is None or label in self.die_at:
            os.write(self.trace, f"{label}\n".encode())
        if self.die_at and label in self.die_at:
            if "remove" not in what and "rmtree" not in what:
                self.tear()
            os.kill(os.getpid(), signal.SIGKILL)
        self.busy = False

    def tear(self) -> None:
        """Cut off what was written last of a checkpoint, as if it was still being written."""
        halves = [p for p in self.run_dir.glob("checkpoints/checkpoint-*") if not is_whole(p)]
        files = [path for half in halves for path in half.iterdir() if path.is_file()]
        files = [path for path in files if path.name != HALF]  # which is written atomically
        if files:
            newest = max(files, key=lambda path: path.stat().st_mtime_ns)
            os.truncate(newest, newest.stat().st_size // 2)


def attempt(
    run_dir: Path, arguments: list[str], processes: int, trace: Path, *,
    die_at: set[tuple[int, str]] | None = None, seconds: float = float("inf"),
) -> bool:  # fmt: skip
    """Train in forked processes until they end, or one dies, or time is up.

    Returns:
        Whether it was killed. Anything else but success raises.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        place["TORCHELASTIC_RUN_ID"] = "none"  # as accelerate's own launcher sets it
    children = {}
    for rank in range(processes):
        if pid := os.fork():
            children[pid] = rank
            continue
        if processes > 1:
            numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
            os.environ.update(place, **{k: str(v) for k, v in numbers.items()})
        log = os.open(run_dir.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        mine = None if die_at is None else {line for of, line in die_at if of == rank}
        Watch(run_dir, trace.with_suffix(f".{rank}"), mine)
        os._exit(training.main([*arguments, "--run-dir", str(run_dir)]))
    statuses, end, late = [], time.monotonic() + seconds, False
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            del children[pid]
            statuses.append(status)
        late = late or (not pid and time.monotonic() > end)
        if late or any(statuses):  # a launcher ends the others too
            for other in children:
                os.kill(other, signal.SIGKILL)
        time.sleep(0 if pid else 0.01)
    first = next(filter(None, statuses), 0)
    if first and not os.WIFSIGNALED(first):
        raise SystemExit(run_dir.with_suffix(".log").read_text())
    return bool(first)


def draw(traces: list[list[str]], number: int, rng: random.Random) -> list[tuple[int, str]]:
    """Moments ``(rank, line)`` that come once in a run, of every kind of file, in its order."""
    places = {
        (rank, line): (int(line.split()[0]) if len(traces) > 1 else 0, at)
        for rank, lines in enumerate(traces)
        for at, line in enumerate(lines)
        if lines.count(line) == 1
    }
    pool = rng.sample(list(places), len(places))
    chosen = []
    for turn in range(10 * number):
        kind = KINDS[turn % len(KINDS)]
        fitting = [moment for moment in pool if kind in moment[1] and moment not in chosen]
        chosen += fitting[: len(chosen) < number]
    return sorted(chosen, key=places.get)


def read_traces(trace: Path, processes: int) -> list[list[str]]:
    files = [trace.with_suffix(f".{rank}") for rank in range(processes)]
    return [file.read_text().splitlines() if file.exists() else [] for file in files]


def warm_up() -> None:
    """Import and compile once what each attempt would, without drawing or starting threads."""
    for module in ("vtkit.training.train", "torch.utils.tensorboard"):
        importlib.import_module(module)
    judge("wait", "<answer>left</answer>", ["left"])
    is_correct("left", ["left"], "(A)")
    get_checkpoint_conversion_mapping("qwen2_vl")
    gc.collect()
    gc.freeze()  # no attempt looks for garbage among all this


def kill_and_train(folder: Path, path: dict) -> None:
    """Both runs of one path."""
    folder.mkdir(parents=True)
    rng, began = random.Random(path["seed"]), time.monotonic()
    how = (path["arguments"], path["processes"])
    attempt(folder / "unbroken", *how, folder / "trace")
    lasted = time.monotonic() - began
    traces = read_traces(folder / "trace", path["processes"])
    # Two for each kill: what was done just before the last one may not come again.
    moments = draw(traces, 2 * path["kills"], rng)
    died, attempts = [], 0
    while len(died) < path["kills"]:
        attempts += 1
        seconds = rng.uniform(0, lasted) if attempts % 3 == 0 else float("inf")
        left = set(moments[2 * len(died) :])
        if not attempt(folder / "broken", *how, folder / "died", die_at=left, seconds=seconds):
            break
        seen = read_traces(folder / "died", path["processes"])
        died = [(rank, line) for rank, lines in enumerate(seen) for line in lines]
    attempt(folder / "broken", *how, folder / "died", die_at=set())
    kept = {"died": died, "attempts": attempts, "moments": sum(map(len, traces))}
    (folder / "kills.json").write_text(json.dumps(kept, indent=1))


if __name__ == "__main__":
    plan = json.loads(Path(sys.argv[1]).read_text())
    os.environ["VTKIT_HEADLESS"] = "1"
    warm_up()
    for name, path in plan["paths"].items():
        kill_and_train(Path(plan["folder"]) / name, path)
