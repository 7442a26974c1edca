"""Run the entries of studies, each in a separate process, and keep their results.

A run is in ``runs/studies/<study>/<entry>-s<seed>``, its log next to it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock

from tqdm.auto import tqdm

from vtkit.config.run_config import RunConfig
from vtkit.config.values import as_text
from vtkit.errors import UserError
from vtkit.files import ROOT, shown
from vtkit.runs.artifacts import maker
from vtkit.runs.contents import manifest_or_none, read_manifest
from vtkit.runs.folder import HEADLESS, start_run
from vtkit.runs.leash import leash
from vtkit.runs.replay import kept_records
from vtkit.studies.entries import Entry
from vtkit.studies.keeping import keep

Job = tuple[Entry, int]


def run_all(jobs: Sequence[Job], at_once: int = 1) -> None:
    """Run entries with seeds; if one fails, continue with the others and raise at the end."""
    os.chdir(ROOT)
    runner, pool = _Runner(), ThreadPoolExecutor(at_once)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    failed = 0
    try:
        futures = [pool.submit(runner.run, *job) for job in jobs]
        with tqdm(total=len(jobs), desc="studies", unit="run") as bar:
            for future in as_completed(futures):
                line, bad = future.result()
                failed += bad
                bar.write(line, file=sys.stdout)
                bar.update()
    except KeyboardInterrupt:
        runner.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        signal.signal(signal.SIGTERM, previous)
    if failed:
        raise UserError(f"{failed} of {len(jobs)} runs failed; fix that and run the command again")


class _Runner:
    """Start runs and stop those under way when it is stopped."""

    def __init__(self) -> None:
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.making = Lock()  # of data and models, which several runs may lack
        self.stopped = False

    def run(self, entry: Entry, seed: int) -> tuple[str, bool]:
        """Train an entry with a seed unless that is done; returns a line and if it failed."""
        name = f"{entry.study}/{entry.name}, seed {seed}"
        try:
            config = entry.config(seed)
            start_run(config)  # refuses a folder with other settings
            if is_finished(config.run_dir):
                return f"{name}: done before, kept in {shown(_keep_once(entry, seed))}", False
            for folder in (config.train_data, config.benchmark_data, config.model):
                self._make(folder, config)
            seconds = self._train(entry, config)
            kept = keep(config.run_dir, entry.record(seed))
            return f"{name}: done in {seconds:.0f} s, kept in {shown(kept)}", False
        except UserError as error:
            return f"{name}: failed; {error}", True

    def _make(self, folder: str, config: RunConfig) -> None:
        """Make data or a model of the miniature if missing; one run at a time."""
        with self.making:
            command = maker(folder)
            if command and self._call(command, _log(config)):
                raise UserError(f"{folder} could not be made; {_last_line(_log(config))}")

    def _train(self, entry: Entry, config: RunConfig) -> float:
        """Run ``python -m vtkit.training``; returns its seconds."""
        pairs = [text for name, value in entry.overrides.items()
                 for text in ("-p", name, as_text(value))]  # fmt: skip
        command = ["vtkit.training", "--recipe", config.recipe, "--profile", config.profile,
                   "--seed", str(config.seed), "--run-dir", config.run_dir, *pairs]  # fmt: skip
        began = time.monotonic()
        status = self._call(command, _log(config))
        if status:
            raise UserError(f"{_last_line(_log(config))} (see {_log(config)})")
        return time.monotonic() - began

    def _call(self, command: list[str], log: Path) -> int:
        """Run ``python -m`` with its output appended to ``log``; returns the exit status."""
        # One thread each: sums, and so sampled runs, depend on the number of threads.
        own = {HEADLESS: "1", "OMP_NUM_THREADS": "1"}
        if self.stopped:
            raise UserError("stopped before it began")
        with open(log, "a", encoding="utf-8") as handle, leash() as variables:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdout=handle, stderr=handle, env=variables | own, cwd=ROOT,
            )  # fmt: skip
            self.processes.add(process)
            try:
                return process.wait()
            finally:
                self.processes.discard(process)

    def stop(self) -> None:
        """Stop what is under way; its checkpoints stay."""
        self.stopped = True
        for process in list(self.processes):
            process.terminate()


def is_finished(run_dir: str | Path) -> bool:
    """Check whether the run's manifest says so."""
    manifest = manifest_or_none(run_dir)
    return manifest is not None and manifest["status"] == "finished"


def _keep_once(entry: Entry, seed: int) -> Path:
    target, run_dir = entry.record(seed), Path(entry.config(seed).run_dir)
    kept = kept_records(target.parent).get(target.name)
    same = kept and kept.get("manifest.json") == read_manifest(run_dir)
    return target if same else keep(run_dir, target)


def _log(config: RunConfig) -> Path:
    return Path(f"{config.run_dir}.log")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "it wrote nothing")
    return last.removeprefix("error: ")
