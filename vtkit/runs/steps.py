"""Notebooks as steps of a run: parameters (papermill only warns of unknown ones), what is done."""

import ast
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import create_model

from vtkit.config.run_config import RunConfig
from vtkit.config.values import KINDS, Strict, read_given
from vtkit.errors import UserError, suggest
from vtkit.files import ROOT, read_json, shown

NOTEBOOKS = ROOT / "notebooks"
REQUIRED = ("recipe", "profile", "seed", "run_dir", "overrides")


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's cell tagged ``parameters``: ``name: type = default  # help``."""

    name: str
    type: str
    default: str
    help: str

    @property
    def kind(self) -> Any:
        """Its type; without an annotation, the default's."""
        name = self.type.split("[")[0]
        return KINDS.get(name) or KINDS.get(type(ast.literal_eval(self.default)).__name__, str)


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

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What its cell tagged ``parameters`` declares; a UserError if one is missing."""
        import papermill

        try:
            found = papermill.inspect_notebook(str(self.path))
        except Exception as error:  # nbformat and json have many ways to say it
            raise UserError(f"{shown(self.path)} is not a notebook ({error})") from None
        missing = [name for name in REQUIRED if name not in found]
        if missing:
            cell = f"{shown(self.path)}: its cell tagged 'parameters'"
            raise UserError(f"{cell} does not set {missing[0]}")
        return {
            name: Parameter(name, item["inferred_type_name"], item["default"], item["help"])
            for name, item in found.items()
        }

    def output(self, run_dir: Path) -> Path:
        """Where the executed notebook goes."""
        return run_dir / "notebooks" / self.path.name

    def marker(self, run_dir: Path) -> Path:
        """The file that says the step is done, and with what."""
        return run_dir / "notebooks" / ".done" / f"{self.name}.json"

    def key(self, config: RunConfig, parameters: Mapping[str, Any]) -> str:
        """Hash of all that a step's result depends on: cells, its parameters, settings."""
        import nbformat

        from vtkit.judging.reward_files import versions  # takes half a second

        parameters = {name: parameters[name] for name in parameters if name in self.parameters}
        cells = [(cell.cell_type, cell.source) for cell in nbformat.read(self.path, 4).cells]
        place = {"run_dir": None}  # a run folder may be moved
        content = [cells, {**parameters, **place}, {**config.to_dict(), **place}]
        content += [files] if (files := versions(config.paid)) else []
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def is_done(self, run_dir: Path, key: str) -> bool:
        """Whether it ran to its end with this key, and its executed notebook is still there."""
        marker = self.marker(run_dir)
        done = marker.exists() and read_json(marker)["key"] == key
        return done and self.output(run_dir).exists()


def discover(folder: Path = NOTEBOOKS) -> list[Step]:
    """The notebooks of a folder in order of their numbers."""
    steps = [Step(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]
    if not steps:
        raise UserError(f"{shown(folder)} has no notebooks named like 00_name.ipynb")
    return steps


def select(steps: list[Step], first: str | None = None, only: str | None = None) -> list[Step]:
    """The steps from number ``first`` on, or those listed in ``only`` (``"03,04"``)."""
    numbers = [step.number for step in steps]
    wanted = [text.strip().zfill(2) for text in (only or first or "").split(",") if text.strip()]
    for number in wanted:
        if number not in numbers:
            raise UserError(f"no notebook has number {number}; there are {', '.join(numbers)}")
    if only:
        return [step for step in steps if step.number in wanted]
    return [step for step in steps if step.number >= wanted[0]] if wanted else steps


def suited(steps: list[Step], config: RunConfig) -> list[Step]:
    """The steps that fit a recipe: 00 to 02 are about SAT and its base model."""
    about_sat = () if config.train_format == "sat" else ("00", "01", "02")
    return [step for step in steps if step.number not in about_sat]


def split_parameters(
    given: Mapping[str, str], steps: list[Step], fields: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Sort ``-p name value`` into overrides of the configuration and notebooks' own parameters.

    Raises:
        UserError: an unknown name (the nearest one is named), or a wrong type.
    """
    own = {p.name: p for step in steps for p in step.parameters.values() if p.name not in REQUIRED}
    overrides, texts = {}, {}
    for name, value in given.items():
        if name in REQUIRED:
            hint = "-p FIELD VALUE" if name == "overrides" else f"--{name.replace('_', '-')}"
            raise UserError(f"parameters: '{name}' is not set with -p; use {hint}")
        if name not in own and name not in fields:
            near = suggest(name, [*own, *fields])
            raise UserError(f"parameters: unknown parameter '{name}'{near} (--list shows all)")
        if name in fields:
            overrides[name] = value
        if name in own:
            texts[name] = value
    kinds = {name: (own[name].kind, None) for name in texts}
    own_values = create_model("NotebookParameters", __base__=Strict, **kinds)
    return overrides, read_given(own_values, texts, "parameters", text=True)


def forget(steps: list[Step], run_dir: Path) -> None:
    """Take back that these steps are done."""
    for step in steps:
        step.marker(run_dir).unlink(missing_ok=True)
