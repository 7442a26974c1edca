"""Read the studies of configs/studies: runs that answer one question.

Each entry names a recipe, the settings that differ, and a result that others *reported* or a
*prediction*. ``like: <study>/<entry>`` takes its description from an entry of another study.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from vtkit.config.recipes import CONFIGS, resolve_config
from vtkit.config.run_config import IDENTITY, RunConfig
from vtkit.config.values import Strict, read_model, read_yaml
from vtkit.errors import UserError, suggest
from vtkit.files import ROOT, shown
from vtkit.studies.measures import Direction, Expectation, read_expectation

STUDIES = CONFIGS / "studies"
RECORDS = ROOT / "results" / "studies"
RUNS = Path("runs") / "studies"
MAIN = "main"
Seeds = list[Annotated[int, Field(ge=0)]]


class Reported(TypedDict, total=False):
    """Results that others published."""

    __pydantic_config__ = Strict.model_config  # type: ignore[misc]  # pydantic's own way
    length: Direction
    aha: bool
    accuracy: float  # per cent


class Settings(Strict):
    """One entry of a study's file."""

    title: str
    seeds: Seeds
    recipe: str = "visualthinker"
    overrides: dict[str, Any] = {}
    reuses: str = ""  # "main" or "<study>/<entry>": that run's record instead of its own
    score: Literal["", "base", "sft", "grpo"] = ""  # of that record; empty: its last
    reported: Reported = {}
    against: str = ""  # the arm that the source compares it with
    prediction: str = ""
    expects: list[str] = []  # the prediction, as vtkit.studies.measures reads it
    reason: str = ""
    source: str = ""
    differs: str = ""  # from the original, for whoever compares numbers

    @model_validator(mode="after")
    def _predicts(self) -> "Settings":
        if bool(self.prediction) != bool(self.expects):
            raise ValueError("prediction and expects belong together; give both")
        if own := next((name for name in IDENTITY if name in self.overrides), None):
            raise ValueError(f"overrides: '{own}' is not set there; leave it out")
        return self


class Entry(Settings):
    """A run of a study, for each seed, and the result that it is compared with."""

    study: str
    name: str

    def config(self, seed: int) -> RunConfig:
        """The run's configuration; a UserError about it names the entry."""
        run_dir = RUNS / self.study / f"{self.name}-s{seed}"
        try:
            return resolve_config(self.recipe, "mini", seed=seed, run_dir=run_dir, **self.overrides)
        except UserError as error:
            raise UserError(f"study {self.study}, entry {self.name}: {error}") from None

    def record(self, seed: int) -> Path:
        """The folder for the result of a seed; it may be missing."""
        if self.reuses == MAIN:
            return RECORDS.parent / "reference" / f"visualthinker-mini-s{seed}"
        place = self.reuses or f"{self.study}/{self.name}"
        return RECORDS / f"{place}-s{seed}"

    def expectations(self) -> list[Expectation]:
        """The prediction in numbers."""
        where = f"study {self.study}, entry {self.name}: expects"
        return [read_expectation(text, where) for text in self.expects]


_BORROWED = ("title", "recipe", "reported", "reason", "source", "differs")  # by `like`


class _File(Strict):
    description: str = ""
    seeds: Seeds = [0]
    entries: dict[str, dict[str, Any]] = {}


def list_studies() -> list[str]:
    """Names of the studies in configs/studies."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def load_study(name: str) -> dict[str, Entry]:
    """The entries of a study by name, in the file's order.

    Raises:
        UserError: no such study, or a mistake in its file.
    """
    if name not in list_studies():
        raise UserError(f"study '{name}' does not exist{suggest(name, list_studies())}")
    path = STUDIES / f"{name}.yaml"
    file = read_model(_File, read_yaml(path), shown(path))
    entries = {
        key: _entry(name, key, {"seeds": file.seeds} | values, f"{shown(path)}: {key}")
        for key, values in file.entries.items()
    }
    for entry in entries.values():
        if entry.against and entry.against not in entries:
            near = suggest(entry.against, entries)
            raise UserError(f"{shown(path)}: {entry.name}: against: no '{entry.against}'{near}")
    return entries


def _entry(study: str, name: str, values: dict[str, Any], where: str) -> Entry:
    if not re.fullmatch(r"[\w.-]*\w", name):
        raise UserError(f"{where}: use letters, digits, '_', '.' and '-' in the entry's name")
    if like := values.pop("like", ""):
        values = _borrowed(str(like), where) | values
    settings = read_model(Settings, values, where)
    entry = Entry(study=study, name=name, **settings.model_dump(exclude_unset=True))
    entry.expectations()
    return entry


def _borrowed(place: str, where: str) -> dict[str, Any]:
    """The description of a system in another study's entry."""
    study, _, name = place.partition("/")
    content = read_yaml(STUDIES / f"{study}.yaml") if study in list_studies() else {}
    entries = content.get("entries") or {}
    if not isinstance(entries.get(name), dict):
        near = suggest(place, [f"{study}/{each}" for each in entries])
        raise UserError(f"{where}: like: no entry '{place}'{near}")
    return {key: entries[name][key] for key in _BORROWED if key in entries[name]}
