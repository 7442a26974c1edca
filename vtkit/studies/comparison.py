"""Compare what studies measured with what was reported or predicted: tables from kept runs.

Reported numbers are other people's, about models of 2 B parameters and more; measured ones are the
miniature's, unless a column says otherwise.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vtkit.config.run_config import MINIATURES
from vtkit.config.values import read_record
from vtkit.errors import UserError, suggest
from vtkit.report import drawing, seeds
from vtkit.report.tables import Table
from vtkit.runs.contents import Summary, read_manifest
from vtkit.runs.records import compared_scores
from vtkit.runs.replay import kept_records, unpacked
from vtkit.stats import NOT_RUN, percent, spread
from vtkit.studies import entries
from vtkit.studies.entries import MAIN, Entry, load_study
from vtkit.studies.ledger import COLUMNS, EVIDENCE, load_ledger
from vtkit.studies.measures import (
    Expectation,
    aha_direction,
    length_direction,
    measure,
    minus,
)

MAIN_ROW = "visualthinker"  # of the study "rows": the main run
ARROWS = {"up": "↑", "down": "↓", "flat": "→"}
DIRECTIONS_OF = {
    "miniature": "rows",
    "published loss": "published",
    "terse start": "terse",
    "talkative start": "talkative",
}
"""Columns of :func:`draw_directions`, and the studies that they show."""
_WAYS = {"up": drawing.BLUE, "down": drawing.RED, "flat": drawing.GREY}
_LENGTHS = ("length_start", "length_dip", "length_end")
_REFLECTION = ("reflection_start", "reflection_end")


@dataclass(frozen=True)
class Result:
    """An entry and, by seed, the measures and the folders of its kept runs (without rollouts)."""

    entry: Entry
    found: dict[int, dict[str, Any]]
    folders: dict[int, Path]

    def values(self, name: str) -> list[Any]:
        """One measure, seed by seed, of the runs that have it."""
        return [one[name] for one in self.found.values() if one[name] is not None]

    def count(self, holds: Callable[[dict[str, Any]], bool | None]) -> int:
        """The seeds on which something holds."""
        return sum(holds(one) is True for one in self.found.values())

    def means(self, form: str, *names: str) -> list[str]:
        """The means of some measures over the seeds."""
        return [f"{fmean(self.values(name)):{form}}" for name in names]


def load_results(study: str) -> dict[str, Result]:
    """Every entry of a study with what was kept of it, which may be nothing."""
    results = {name: _result(entry) for name, entry in load_study(study).items()}
    for one in results.values():
        other = results[one.entry.against].found if one.entry.against else {}
        for seed in one.found.keys() & other.keys():
            own, theirs = one.found[seed], other[seed]
            own["lead"] = minus(own["accuracy"], theirs["accuracy"])
    return results


def _result(entry: Entry) -> Result:
    main_runs = Entry(study="", name="", title="", seeds=[], reuses=MAIN)
    main, folders, found = _folders(main_runs), _folders(entry), {}
    for seed, folder in folders.items():
        found[seed] = dict(_measured(folder, main.get(seed)))
        if entry.score:
            score = compared_scores(folder)[entry.score]
            found[seed]["accuracy"] = score and 100 * score["accuracy"]["value"]
    return Result(entry, found, folders)


@functools.cache  # an unpacked folder does not change
def _measured(folder: Path, main: Path | None) -> dict[str, Any]:
    return measure(folder, _measured(main, None) if main else None)


def _folders(entry: Entry) -> dict[int, Path]:
    """The kept runs of an entry by seed, unpacked, also of seeds that the study leaves out."""
    group, stem = entry.record(0).parent, entry.record(0).name.removesuffix("0")
    numbers = (run.removeprefix(stem) for run in kept_records(group) if run.startswith(stem))
    seeds = sorted(int(number) for number in numbers if number.isdecimal())
    return {seed: unpacked(entry.record(seed), rows=False) for seed in seeds}


def kept_runs() -> list[Path]:
    """The kept runs of all studies, unpacked as ``<study>/<run>``, without their rollouts."""
    groups = sorted(path.parent for path in entries.RECORDS.glob("*/runs.json"))
    return [unpacked(group / run, rows=False) for group in groups for run in kept_records(group)]


def rows_table(study: str = "rows") -> Table:
    """The report's comparison: length and aha, as reported and as measured, and who agrees."""
    header = ["system", "length, reported", "length, miniature", "aha, reported", "aha, miniature",
              "both agree", "2B"]  # fmt: skip
    return header, [_row(one) for one in load_results(study).values()]


def _row(one: Result) -> list[str]:
    reported, length, aha = one.entry.reported, NOT_RUN, NOT_RUN
    if one.found:
        arrows = "".join(ARROWS[way] for way in one.values("length"))
        length = f"{arrows} ({' to '.join(one.means('.0f', *_LENGTHS))} tokens)"
        rates = "% to ".join(one.means(".1f", *_REFLECTION))
        aha = f"{', '.join(one.values('aha'))} ({rates}%)"
    agree = _of_seeds(one.count(agrees(one.entry)), len(one.found))
    measured = [ARROWS[reported["length"]], length, _yes(reported["aha"]), aha, agree]
    return [one.entry.title, *measured, _directions_at_2b(one.entry)]


def measured_table(study: str = "rows") -> Table:
    """The numbers behind the words of :func:`rows_table`, seed by seed."""
    tokens = [f"tokens, {when}" for when in ("start", "dip", "end")]
    rows = [
        [one.entry.title, *(in_seeds(one.values(name), ".1f") for name in _LENGTHS + _REFLECTION)]
        for one in load_results(study).values()
    ]
    return ["system", *tokens, "reflective, start, %", "reflective, end, %"], rows


def agrees(entry: Entry) -> Callable[[dict[str, Any]], bool]:
    """A check whether a run of a row has both directions as reported."""
    reported = (entry.reported["length"], _yes(entry.reported["aha"]))
    return lambda found: (found["length"], found["aha"]) == reported


def rows_that_agree(study: str = "rows", seeds: int = 3) -> int:
    """Count the rows with both directions as reported on at least so many seeds."""
    return sum(one.count(agrees(one.entry)) >= seeds for one in load_results(study).values())


def disagreements() -> list[str]:
    """Write a sentence for every row that was run and differs from the report on some seed."""
    return [
        f"{one.entry.title}: {_why(one)}. The report's word: {one.entry.reason}."
        for one in load_results("rows").values()
        if one.count(agrees(one.entry)) < len(one.found)
    ]


def _why(one: Result) -> str:
    """What differs, with the means over all seeds that it was judged by."""
    start, dip, end = one.means(".0f", *_LENGTHS)
    first, last = one.means(".1f", *_REFLECTION)
    numbers = {
        "length": f"{start} tokens at the start, {dip} at the dip, {end} at the end",
        "aha": f"{first} % of completions reflective at the start, {last} % at the end",
    }
    reported = {"length": one.entry.reported["length"], "aha": _yes(one.entry.reported["aha"])}
    parts = []
    for name, word in reported.items():
        others = [value for value in one.values(name) if value != word]
        if others:
            measured = " or ".join(sorted(set(others)))
            where = f"{_of_seeds(len(others), len(one.found))} ({numbers[name]})"
            parts.append(f"{name} is reported as {word} and came out as {measured} on {where}")
    return "; ".join(parts)


def _at_2b(recipe: str) -> list[dict[str, Any]]:
    """The summaries of kept runs of a recipe under a profile that is not the miniature's."""
    kept = kept_records(entries.RECORDS.parent / "reference").values()
    summaries = [run["summary.json"] for run in kept if "summary.json" in run]
    return [
        one for one in summaries if one["recipe"] == recipe and one["profile"] not in MINIATURES
    ]


def _directions_at_2b(entry: Entry) -> str:
    cells = []
    for summary in _at_2b(entry.recipe):
        length, rates = summary["mean_length"], summary["reflection_rate"]["intervals"]
        if length["start"] is not None:
            way = length_direction(length["start"], length["dip"], length["end"])
            cells.append(f"{ARROWS[way]}, aha {aha_direction(rates['start'], rates['end'])}")
    return "; ".join(cells) or NOT_RUN


def _accuracy_at_2b(entry: Entry) -> str:
    """Of the arms that a kept run of the main recipe has."""
    scores = [one["accuracy"][entry.score] for one in _at_2b(entry.recipe) if entry.reuses == MAIN]
    return "; ".join(percent(score) for score in scores if score) or NOT_RUN


def arms_table(study: str = "arms") -> Table:
    """The arms of the paper's tables: accuracy in per cent, and the lead over another arm."""
    header = ["arm", "reported", "miniature", "against", "reported, points", "miniature, points",
              "same sign", "2B"]  # fmt: skip
    found = load_results(study)
    return header, [_arm(one, found.get(one.entry.against)) for one in found.values()]


def _arm(one: Result, other: Result | None) -> list[str]:
    reported = one.entry.reported.get("accuracy")
    cells = [one.entry.title, "" if reported is None else f"{reported:.2f}"]
    cells.append(in_seeds(one.values("accuracy"), ".1f"))
    lead = ["", "", "", ""] if other is None else _lead(one, other)
    return [*cells, *lead, _accuracy_at_2b(one.entry)]


def _lead(one: Result, other: Result) -> list[str]:
    """Over the other arm: as reported, as measured seed by seed, and whether the signs agree."""
    reported, theirs = (arm.entry.reported.get("accuracy") for arm in (one, other))
    gaps, gap, same = one.values("lead"), "", ""
    if reported is not None and theirs is not None:
        gap = f"{reported - theirs:+.2f}"
        same = _of_seeds(sum(each * (reported - theirs) > 0 for each in gaps), len(gaps))
    return [other.entry.title, gap, in_seeds(gaps, "+.1f"), same]


def controls_table(study: str = "controls") -> Table:
    """Each prediction of a study: what it says, what came out, and on how many seeds it was met."""
    header = ["control", "predicted", "in numbers", "came out", "met"]
    found = load_results(study).values()
    return header, [_control(one) for one in found if one.entry.prediction]


def _control(one: Result) -> list[str]:
    wanted = one.entry.expectations()
    cells = [one.entry.title, one.entry.prediction, "; ".join(each.text for each in wanted)]
    if not one.found:
        return [*cells, NOT_RUN, NOT_RUN]
    by_name = {each.name: each for each in wanted}  # a measure may be bounded from both sides
    measured = "; ".join(f"{name} {_came_out(one, each)}" for name, each in by_name.items())
    met = one.count(lambda found: all(each.holds(found) for each in wanted))
    verdict = _of_seeds(met, len(one.found))
    return [*cells, measured, verdict if met == len(one.found) else f"**{verdict}**"]


def _came_out(one: Result, wanted: Expectation) -> str:
    values = one.values(wanted.name)
    if isinstance(wanted.value, str):
        return ", ".join(values) or NOT_RUN
    ratio = wanted.name in ("dip", "growth", "length_over_main")
    return in_seeds(values, ".2f" if ratio else ".1f")


def reasons_table(study: str, *columns: str) -> Table:
    """Fields of a study's entries, such as ``reason``, ``source`` and ``differs``."""
    found = [one.entry for one in load_results(study).values()]
    rows = [[entry.title, *(str(getattr(entry, name)) for name in columns)] for entry in found]
    return ["entry", *columns], rows


def main_table(row: str = MAIN_ROW) -> Table:
    """A row's numbers on every seed, next to the targets that were fixed before it ran."""
    folders = load_results("rows")[row].folders.values()
    return seeds.table(
        [read_record(Summary, folder / "summary.json") for folder in folders], plain=True
    )


def draw_seeds(row: str, out: str | Path) -> Figure | None:
    """The curves of every seed of a row, saved in ``out``; None if it was not run.

    Raises:
        UserError: there is no such row.
    """
    results = load_results("rows")
    if row not in results:
        raise UserError(f"row: no '{row}'{suggest(row, results)}")
    folders = results[row].folders.values()
    return seeds.bands([*folders], out) if folders else None


def draw_directions(out: str | Path) -> Figure:
    """An overview of the rows: an arrow a seed for length, and on how many seeds reflection rose.

    Columns are the report and four studies; a cell is green if the length of most seeds goes as
    reported, else orange and hatched. Saved as ``<out>/figures/directions.png``.
    """
    found = {title: load_results(study) for title, study in DIRECTIONS_OF.items()}
    rows = load_results("rows")
    with drawing.canvas(drawing.STYLE):
        figure, axis = plt.subplots(figsize=(11, 0.9 * len(rows) + 0.7))
        axis.set(xlim=(-0.5, len(found) + 0.5), ylim=(len(rows) - 0.45, -0.55))
        axis.set_xticks(range(len(found) + 1), ["reported", *found])
        axis.set_yticks(range(len(rows)), [one.entry.title for one in rows.values()])
        axis.tick_params(length=0, labeltop=True, labelbottom=False)
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
        for y, (name, row) in enumerate(rows.items()):
            reported = row.entry.reported
            _draw_cell(axis, 0, y, [reported["length"]], f"aha: {_yes(reported['aha'])}", None)
            for x, results in enumerate(found.values(), 1):
                if name in results and (ways := results[name].values("length")):
                    aha = results[name].values("aha")
                    same = fmean(way == reported["length"] for way in ways)
                    words = f"aha: {aha.count('yes')} of {len(aha)}"
                    _draw_cell(axis, x, y, ways, words, same)
                else:
                    _draw_cell(axis, x, y, [], NOT_RUN, None)
        return drawing.save(figure, out, "directions", dpi=110)


def _draw_cell(axis: Axes, x: int, y: int, ways: list[str], words: str, same: float | None) -> None:
    """One cell of :func:`draw_directions`; ``same``: the share of seeds that go as reported."""
    shade = "none" if same is None else drawing.GREEN if same > 0.5 else drawing.ORANGE
    hatch = "//" if shade == drawing.ORANGE else ""  # for print in black and white
    look = {"facecolor": shade, "edgecolor": shade, "hatch": hatch}
    box: dict[str, Any] = {**look, "alpha": 0.16, "lw": 0}
    axis.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, **box))
    for place, way in enumerate(ways):
        at = (x + 0.14 * (place - (len(ways) - 1) / 2), y - 0.1)
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 20, "weight": "bold"}
        axis.text(*at, ARROWS[way], color=_WAYS[way], **style)
    axis.text(x, y + 0.3, words, ha="center", va="center", fontsize=10)


def time_table() -> Table:
    """Minutes of every kept run, by study: how many runs, the median, and all together."""
    kept = [(folder.parent.name, folder) for folder in kept_runs()]
    main = load_results("rows")[MAIN_ROW].folders.values()
    kept += [("main run, with its baseline", folder) for folder in main]
    times: dict[str, list[float]] = {}
    for study, folder in kept:
        seconds = read_manifest(folder)["wall_seconds"]
        times.setdefault(study, []).append(seconds / 60)
    rows = [
        [study, str(len(some)), f"{median(some):.1f}", f"{sum(some):.1f}"]
        for study, some in times.items()
    ]
    return ["study", "runs", "median, minutes", "all, minutes"], rows


def ledger_table() -> Table:
    """Every public number known, with its evidence explained; see :mod:`vtkit.studies.ledger`."""
    rows = []
    for entry in load_ledger():
        evidence = entry["evidence"]
        rows.append([*(entry | {"evidence": f"{evidence}: {EVIDENCE[evidence]}"}).values()])
    return [*COLUMNS], rows


def in_seeds(values: list[float], form: str) -> str:
    """Mean, the sample's deviation, and each seed in order: ``"50.0 ± 2.0 (48.0, 52.0, 50.0)"``."""
    if not values:
        return NOT_RUN
    found, each = spread(values), ", ".join(format(value, form) for value in values)
    if found["sd"] is None:
        return f"{each} (1 seed)"
    deviation = format(found["sd"], form.removeprefix("+"))  # it has no sign
    return f"{found['mean']:{form}} ± {deviation} ({each})"


def _of_seeds(count: int, seeds: int) -> str:
    return f"{count} of {seeds} seed{'s' * (seeds != 1)}" if seeds else NOT_RUN


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"
