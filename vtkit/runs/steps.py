"""Notebooks as steps of a run: which there are, which to run, what is done."""

import hashlib
import importlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtkit.config.run_config import NOTEBOOK_SETTINGS, RunConfig
from vtkit.config.values import read_record
from vtkit.errors import UserError, first_line
from vtkit.files import ROOT, sha256, shown, unused, write_json
from vtkit.runs.contents import Done

NOTEBOOKS = ROOT / "notebooks"
REQUIRED = ("recipe", "profile", "seed", "run_dir", "overrides")

# pyarrow reads notebooks from Hadoop for papermill; rfc3987_syntax checks addresses in other
# alphabets for jsonschema, and builds a grammar to do so. Both do without.
_UNUSED = ("pyarrow", "rfc3987_syntax")


def import_lean(name: str) -> Any:
    """Import papermill or nbformat without the parts that no notebook here needs.

    It takes 1.5 s and 50 MB less.
    """
    hidden = [unused for unused in _UNUSED if unused not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not to be found
    try:
        return importlib.import_module(name)
    finally:
        for unused in hidden:
            del sys.modules[unused]


@dataclass(frozen=True)
class Step:
    """One notebook of the run, e.g. ``notebooks/03_grpo_training.ipynb``."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        return self.name[:2]

    def check(self) -> None:
        """Require the parameters that a run sets; a UserError if the notebook cannot be read."""
        try:
            found = import_lean("papermill").inspect_notebook(str(self.path))
        except Exception as error:  # nbformat and json have many ways to say it
            why = first_line(error)
            raise UserError(f"{shown(self.path)} is not a notebook ({why})") from None
        if missing := next((name for name in REQUIRED if name not in found), None):
            cell = f"{shown(self.path)}: its cell tagged 'parameters'"
            raise UserError(f"{cell} does not set {missing}; restore it")

    def output(self, run_dir: Path) -> Path:
        """Where the executed notebook goes."""
        return run_dir / "notebooks" / self.path.name

    def marker(self, run_dir: Path) -> Path:
        """The file that says the step is done, and with what."""
        return run_dir / "notebooks" / ".done" / f"{self.name}.json"

    def note(self, run_dir: Path, key: str | None = None, seconds: float = 0) -> None:
        """Write the marker; without a key it only tells later if the notebook was edited."""
        value = {"key": key, "seconds": round(seconds, 1), "sha256": sha256(self.output(run_dir))}
        write_json(self.marker(run_dir), value)

    def key(self, config: RunConfig) -> str:
        """Hash of all that a step's result depends on: its cells and the run's settings.

        A setting of one notebook counts in those that read it.
        """
        from vtkit.judging.reward_files import versions  # takes half a second

        notebook = import_lean("nbformat").read(self.path, 4)
        cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
        source = "\n".join(source for _, source in cells)
        unread = [name for name in NOTEBOOK_SETTINGS if f"config.{name}" not in source]
        content = [cells, {**config.to_dict(), **dict.fromkeys([*unread, "run_dir"])}]
        content += [files] if (files := versions(config.paid)) else []
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def is_done(self, run_dir: Path, key: str) -> bool:
        """Whether it ran to its end with this key, and its executed notebook is still there."""
        marker = self.marker(run_dir)
        done = os.path.lexists(marker) and read_record(Done, marker)["key"] == key
        return done and self.output(run_dir).exists()


def discover(folder: Path = NOTEBOOKS) -> list[Step]:
    """The notebooks of a folder in order of their numbers."""
    steps = [Step(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]
    if not steps:
        raise UserError(f"{shown(folder)} has no notebooks named like 00_name.ipynb")
    for step in steps:
        step.check()
    return steps


def select(steps: list[Step], first: str | None = None, only: str | None = None) -> list[Step]:
    """The steps from number ``first`` on, or those listed in ``only`` (``"03,04"``)."""
    numbers = [step.number for step in steps]
    option = "--from" if only is None else "--only"
    if first is None and only is None:
        return steps
    wanted = [text.strip() for text in (only or first or "").split(",")]
    for text in wanted:
        if text.zfill(2) not in numbers or not text:
            there = ", ".join(numbers)
            raise UserError(f"{option}: no notebook has number '{text}'; there are {there}")
    wanted = [text.zfill(2) for text in wanted]
    if only is None:
        if len(wanted) > 1:
            raise UserError(f"--from: one number, got {first}; use --only for several")
        return [step for step in steps if step.number >= wanted[0]]
    return [step for step in steps if step.number in wanted]


def suited(steps: list[Step], config: RunConfig) -> list[Step]:
    """The steps that fit a recipe: 00 to 02 are about SAT and its base model."""
    about_sat = () if config.train_format == "sat" else ("00", "01", "02")
    return [step for step in steps if step.number not in about_sat]


def forget(steps: list[Step], run_dir: Path) -> None:
    """Take back that these steps are done; what somebody wrote into their notebooks stays."""
    for step in steps:
        marker, output = step.marker(run_dir), step.output(run_dir)
        wrote = read_record(Done, marker).get("sha256") if os.path.lexists(marker) else None
        if wrote and output.exists() and wrote != sha256(output):
            kept = unused(output.with_suffix(".edited.ipynb"))
            output.rename(kept)
            print(f"{shown(output)} was edited: it is {kept.name} now", flush=True)
        marker.unlink(missing_ok=True)
