"""Studies: many small runs that answer one question, each with what it is held against.

    python -m vtkit.studies                            # all of configs/studies, with its seeds
    python -m vtkit.studies controls --only low-cap --seeds 0 --jobs 2

A study is a file in configs/studies. Each entry names a recipe and the settings that differ, and
either what others *reported* or a *prediction*, which was written down before the entry was run.
``like: <study>/<entry>`` takes title, recipe, report and sources from an entry of another study.
The runs are in :mod:`vtkit.studies.runner`, what came out in :mod:`vtkit.studies.comparison`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from vtkit.config.recipes import CONFIGS, resolve_config
from vtkit.config.run_config import RunConfig
from vtkit.config.values import cast_all, read_yaml
from vtkit.errors import UserError, suggest
from vtkit.files import ROOT, shown
from vtkit.studies.measures import DIRECTIONS, Expectation, read_expectation

STUDIES = CONFIGS / "studies"
RECORDS = ROOT / "results" / "studies"
RUNS = Path("runs") / "studies"
MAIN = "main"
_SCORES = ("base", "sft", "grpo")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a study: what is run, and what it is held against."""

    study: str
    name: str
    title: str
    seeds: list
    recipe: str = "visualthinker"
    overrides: dict = field(default_factory=dict)
    reuses: str = ""  # "main" or "<study>/<entry>": that run's record instead of one of its own
    score: str = ""  # base, sft or grpo of that record; empty: its last
    reported: dict = field(default_factory=dict)  # length, aha; accuracy in per cent
    against: str = ""  # the arm that the source compares it with
    prediction: str = ""
    expects: list = field(
        default_factory=list
    )  # the prediction, as vtkit.studies.measures reads it
    reason: str = ""
    source: str = ""
    differs: str = ""  # from the original, for whoever compares numbers

    def config(self, seed: int) -> RunConfig:
        """The run's configuration.

        Raises:
            UserError: no such recipe or setting; names the entry.
        """
        run_dir = RUNS / self.study / f"{self.name}-s{seed}"
        try:
            return resolve_config(self.recipe, "mini", seed=seed, run_dir=run_dir, **self.overrides)
        except UserError as error:
            raise UserError(f"study {self.study}, entry {self.name}: {error}") from None

    def record(self, seed: int) -> Path:
        """Where the outcome of a seed is kept; it may not be there."""
        if self.reuses == MAIN:
            return RECORDS.parent / "reference" / f"visualthinker-mini-s{seed}"
        place = self.reuses or f"{self.study}/{self.name}"
        return RECORDS / f"{place}-s{seed}"

    def expectations(self) -> list[Expectation]:
        """The prediction in numbers."""
        where = f"study {self.study}, entry {self.name}: expects"
        return [read_expectation(str(text), where) for text in self.expects]


_ENTRY = {
    name: kind for name, kind in get_type_hints(Entry).items() if name not in ("study", "name")
}
_BORROWED = ("title", "recipe", "reported", "reason", "source", "differs")  # by `like`
_REPORTED = {"length": str, "aha": bool, "accuracy": float}


def list_studies() -> list[str]:
    """Names of the studies in configs/studies."""
    return sorted(path.stem for path in STUDIES.glob("*.yaml"))


def load_study(name: str) -> dict[str, Entry]:
    """The entries of a study by name, in the file's order.

    Raises:
        UserError: no such study, an unknown key (the nearest is named), an ill-typed value, an
            entry that is neither held against a prediction nor against a report, or a reference
            to an entry that is not there.
    """
    if name not in list_studies():
        raise UserError(f"study '{name}' does not exist{suggest(name, list_studies())}")
    path = STUDIES / f"{name}.yaml"
    content = read_yaml(path)
    known = {"description": str, "seeds": list, "entries": dict}
    found = cast_all(content, known, shown(path))
    entries = {
        str(key): _entry(name, str(key), values, found.get("seeds", [0]), shown(path))
        for key, values in found.get("entries", {}).items()
    }
    for entry in entries.values():
        if entry.against and entry.against not in entries:
            near = suggest(entry.against, entries)
            raise UserError(f"{shown(path)}: {entry.name}: against: no '{entry.against}'{near}")
    return entries


def _entry(study: str, name: str, values: Any, seeds: list, where: str) -> Entry:
    where = f"{where}: {name}"
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected 'key: value' lines")
    if like := values.get("like"):
        values = _borrowed(str(like), where) | {k: v for k, v in values.items() if k != "like"}
    if "title" not in values:
        raise UserError(f"{where}: has no title; give it one")
    entry = Entry(study=study, name=name, **{"seeds": seeds, **cast_all(values, _ENTRY, where)})
    cast_all(entry.reported, _REPORTED, f"{where}: reported")
    length = entry.reported.get("length", DIRECTIONS[0])
    if length not in DIRECTIONS:
        raise UserError(f"{where}: reported: length: no '{length}'{suggest(length, DIRECTIONS)}")
    if bool(entry.prediction) != bool(entry.expects):
        raise UserError(f"{where}: prediction and expects belong together; give both")
    if entry.score and entry.score not in _SCORES:
        raise UserError(f"{where}: score: no '{entry.score}'{suggest(entry.score, _SCORES)}")
    if not all(type(seed) is int and seed >= 0 for seed in entry.seeds):
        raise UserError(f"{where}: seeds: expected whole numbers, got {entry.seeds}")
    entry.expectations()
    return entry


def _borrowed(place: str, where: str) -> dict[str, Any]:
    """What another study's entry says of its system, so that it is written once."""
    study, _, name = place.partition("/")
    content = read_yaml(STUDIES / f"{study}.yaml") if study in list_studies() else {}
    entries = content.get("entries") or {}
    if not isinstance(entries.get(name), dict):
        near = suggest(place, [f"{study}/{each}" for each in entries])
        raise UserError(f"{where}: like: no entry '{place}'{near}")
    return {key: entries[name][key] for key in _BORROWED if key in entries[name]}
