"""Fill the generated tables of README.md and results/README.md from the kept runs.

python -m vtkit.studies readme                             # write the tables anew
python -m vtkit.studies readme runs/visualthinker-mini-s0  # keep a finished run first
"""

import re
from collections.abc import Callable
from typing import Any

from vtkit.aha.pairs import ARMS
from vtkit.errors import UserError
from vtkit.files import ROOT, atomic_write
from vtkit.report import seeds
from vtkit.report.tables import markdown
from vtkit.runs import replay
from vtkit.stats import NOT_RUN, percent, points
from vtkit.studies import comparison

README, RESULTS = "README.md", "results/README.md"  # in ROOT
_NOT_YET = "*Not run yet.*"
Records = list[dict[str, Any]]  # of the main runs, by seed; see replay.kept_records


def fill(page: str, text: str) -> str:
    """The text of a page, ``README`` or ``RESULTS``, with the tables between its markers made anew.

    Raises:
        UserError: a pair of markers is missing or there twice.
    """
    runs = _main_runs()
    for name, block in PAGES[page].items():
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"({re.escape(start)}).*?({re.escape(end)})", re.DOTALL)
        table = block(runs)
        text, count = pattern.subn(lambda m, table=table: f"{m[1]}\n{table}\n{m[2]}", text)
        if count != 1:
            raise UserError(f"{page} needs one pair of lines {start} and {end}, has {count}")
    return text


def write_tables() -> None:
    """Write the tables between the markers of all pages anew."""
    for page in PAGES:
        text = fill(page, (ROOT / page).read_text(encoding="utf-8"))
        with atomic_write(ROOT / page) as handle:
            handle.write(text)


def _main_runs() -> Records:
    runs = [run for run in replay.kept_records(replay.REFERENCE).values() if "summary.json" in run]
    mine = [run for run in runs if _names(run) == ("visualthinker", "mini")]
    return sorted(mine, key=lambda run: run["summary.json"]["seed"])


def _names(run: dict[str, Any]) -> tuple[str, str]:
    return run["summary.json"]["recipe"], run["summary.json"]["profile"]


def result_table(runs: Records) -> str:
    """Base, SFT and GRPO of the first run, as Markdown; 95 % intervals in brackets."""
    if not runs:
        return _NOT_YET
    summary, methods = runs[0]["summary.json"], ("base", "sft", "grpo")
    n = next(each["n"] for each in summary["accuracy"].values() if each)
    header = [f"seed {summary['seed']}, n = {n}", "base model", "SFT", "GRPO"]
    lines = {
        "accuracy": "accuracy",
        "accuracy, by the original's judge": "accuracy_as_published",
        "no answer found": "format_failures",
    }
    rows = [
        [name, *(percent(summary[key][method]) for method in methods)]
        for name, key in lines.items()
    ]
    return markdown(header, rows)


def seeds_table(runs: Records) -> str:
    """The main runs, seed by seed, as Markdown."""
    return markdown(*seeds.table([run["summary.json"] for run in runs])) if runs else _NOT_YET


def causal_table(runs: Records) -> str:
    """The causal test of each seed's run, as Markdown: arms in rows, and below them the verdict."""
    if not runs:
        return _NOT_YET
    names = [f"seed {run['summary.json']['seed']}" for run in runs]
    audits = [run.get("aha.json") for run in runs]
    header, rows = ["put in", "mean", "spread", *names], []
    for arm in ARMS:
        found = [audit["effects"].get(arm) if audit else None for audit in audits]
        values = [100 * one["value"] if one and one["n"] else None for one in found]
        together = seeds.mean_and_spread(values, "+.1f")
        rows.append([arm, *together, *(_effect(one) for one in found)])
    rows.append(
        ["verdict", "", "", *(audit["verdict"]["kind"] if audit else NOT_RUN for audit in audits)]
    )
    return markdown(header, rows)


def _effect(effect: dict[str, Any] | None) -> str:
    if not effect or not effect["n"]:
        return NOT_RUN
    return points(effect) + (f" (n = {effect['n']})" if effect["n"] < 200 else "")


def comparison_table(study: str) -> str:
    """Rows of a comparison as Markdown, and folded below them the numbers of each seed."""
    return (
        f"{markdown(*comparison.rows_table(study))}\n\n"
        "<details><summary>Tokens and reflective completions of each seed</summary>\n\n"
        f"{markdown(*comparison.measured_table(study))}\n\n</details>"
    )


def _controls(study: str) -> Callable[[Records], str]:
    return lambda _: markdown(*comparison.controls_table(study))


def _compared(study: str) -> Callable[[Records], str]:
    return lambda _: comparison_table(study)


PAGES: dict[str, dict[str, Callable[[Records], str]]] = {
    README: {"table": result_table},
    RESULTS: {
        "seeds": seeds_table,
        "causal": causal_table,
        **{name: _compared(name) for name in ("rows", "published", "terse")},
        **{name: _controls(name) for name in ("talkative", "controls", "switches")},
        "arms": lambda _: markdown(*comparison.arms_table()),
    },
}
"""What is between which markers of a page."""
