"""Fill the generated tables of README.md and results/README.md from the kept runs."""

import re
from functools import partial
from typing import Any

from vtkit.aha.pairs import ARMS
from vtkit.errors import UserError
from vtkit.files import ROOT, atomic_write
from vtkit.rendering import markdown
from vtkit.report import seeds
from vtkit.runs import replay
from vtkit.stats import NOT_RUN, percent, points
from vtkit.studies import comparison

README, RESULTS = "README.md", "results/README.md"  # in ROOT
_NOT_YET = "*Not run yet.*"
_COMPARISONS = ("rows", "published", "terse")
_CONTROLS = ("talkative", "controls", "switches", "family")
Records = list[dict[str, Any]]  # of the main runs, by seed; see replay.kept_records


def _with_table(table: str, markers: re.Match[str]) -> str:
    return f"{markers[1]}\n{table}\n{markers[2]}"


def fill(page: str, text: str) -> str:
    """The text of a page, ``README`` or ``RESULTS``, with the tables between its markers made anew.

    Raises:
        UserError: a pair of markers is missing or there twice.
    """
    for name, table in _tables(page).items():
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"({re.escape(start)}).*?({re.escape(end)})", re.DOTALL)
        text, count = pattern.subn(partial(_with_table, table), text)
        if count != 1:
            raise UserError(f"{page} needs one pair of lines {start} and {end}, has {count}")
    return text


def _tables(page: str) -> dict[str, str]:
    """The tables of a page by name, as Markdown."""
    kept = replay.kept_records(replay.REFERENCE)
    runs = [run for name, run in kept.items() if name.startswith("visualthinker-mini-s")]
    runs.sort(key=lambda run: run["summary.json"]["seed"])
    summaries = [run["summary.json"] for run in runs]
    if page == README:
        return {"table": result_table(summaries[0]) if runs else _NOT_YET}
    controls = {name: comparison.controls_table(name) for name in _CONTROLS}
    return {
        "seeds": markdown(*seeds.table(summaries)) if runs else _NOT_YET,
        "causal": causal_table(runs) if runs else _NOT_YET,
        "arms": markdown(*comparison.arms_table()),
        "elsewhere": predicted_arms_table("elsewhere"),
        **{name: comparison_table(name) for name in _COMPARISONS},
        **{name: markdown(*table) for name, table in controls.items()},
    }


def write_tables() -> None:
    """Write the tables between the markers of all pages anew."""
    for page in (README, RESULTS):
        text = fill(page, (ROOT / page).read_text(encoding="utf-8"))
        with atomic_write(ROOT / page) as handle:
            handle.write(text)


def result_table(summary: dict[str, Any]) -> str:
    """Base, SFT and GRPO of a run, as Markdown; 95 % intervals in brackets."""
    n = next(each["n"] for each in summary["accuracy"].values() if each)
    header = [f"seed {summary['seed']}, n = {n}", "base model", "SFT", "GRPO"]
    lines = {
        "accuracy": "accuracy",
        "accuracy, by the original's judge": "accuracy_as_published",
        "no answer found": "format_failures",
    }
    return markdown(
        header, [[name, *map(percent, summary[lines[name]].values())] for name in lines]
    )


def causal_table(runs: Records) -> str:
    """The causal test of each seed's run, as Markdown: arms in rows, and below them the verdict."""
    names = [f"seed {run['summary.json']['seed']}" for run in runs]
    audits = [run.get("aha.json") for run in runs]
    header, rows = ["put in", "mean", "spread", *names], []
    for arm in ARMS:
        found = [audit["effects"].get(arm) if audit else None for audit in audits]
        values = [100 * one["value"] if one and one["n"] else None for one in found]
        rows.append([arm, *seeds.mean_and_spread(values, "+.1f"), *map(_effect, found)])
    verdicts = (audit["verdict"]["kind"] if audit else NOT_RUN for audit in audits)
    return markdown(header, [*rows, ["verdict", "", "", *verdicts]])


def _effect(effect: dict[str, Any] | None) -> str:
    if not effect or not effect["n"]:
        return NOT_RUN
    return points(effect) + (f" (n = {effect['n']})" if effect["n"] < 200 else "")


def predicted_arms_table(study: str) -> str:
    """Arms of the paper's tables as Markdown, and below them what was predicted of them."""
    arms, predicted = comparison.arms_table(study), comparison.controls_table(study)
    return f"{markdown(*arms)}\n\n{markdown(*predicted)}"


def comparison_table(study: str) -> str:
    """Rows of a comparison as Markdown, and folded below them the numbers of each seed."""
    return (
        f"{markdown(*comparison.rows_table(study))}\n\n"
        "<details><summary>Tokens and reflective completions of each seed</summary>\n\n"
        f"{markdown(*comparison.measured_table(study))}\n\n</details>"
    )
