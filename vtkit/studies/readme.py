"""Fill the generated tables of the README from the kept runs."""

import re
from typing import Any

from vtkit.aha.pairs import ARMS
from vtkit.errors import UserError
from vtkit.files import ROOT, atomic_write, read_json
from vtkit.rendering import markdown
from vtkit.report import seeds
from vtkit.runs import replay
from vtkit.stats import NOT_RUN, percent, points
from vtkit.studies import comparison

README = ROOT / "README.md"
_NOT_YET = "*Not run yet.*"


def fill(readme: str) -> str:
    """The README's text with the tables between its markers written from the kept summaries."""
    summaries = [read_json(path) for path in sorted(replay.REFERENCE.glob("*/summary.json"))]
    runs = [s for s in summaries if (s["recipe"], s["profile"]) == ("visualthinker", "mini")]
    runs.sort(key=lambda summary: summary["seed"])
    blocks = {
        "table": result_table(runs[0]) if runs else _NOT_YET,
        "seeds": markdown(*seeds.table(runs)) if runs else _NOT_YET,
        "causal": causal_table(runs) if runs else _NOT_YET,
        "rows": comparison_table("rows"),
        "published": comparison_table("published"),
        "terse": comparison_table("terse"),
        "talkative": markdown(*comparison.controls_table("talkative")),
        "arms": markdown(*comparison.arms_table()),
        "controls": markdown(*comparison.controls_table()),
        "switches": markdown(*comparison.controls_table("switches")),
    }
    for name, block in blocks.items():
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"({re.escape(start)}).*?({re.escape(end)})", re.DOTALL)
        readme, count = pattern.subn(lambda m, text=block: f"{m[1]}\n{text}\n{m[2]}", readme)
        if count != 1:
            raise UserError(f"README.md needs one pair of lines {start} and {end}, has {count}")
    return readme


def result_table(summary: dict[str, Any]) -> str:
    """Base, SFT and GRPO of one run, as Markdown; 95 % intervals in brackets."""
    methods = ("base", "sft", "grpo")
    n = next(each["n"] for each in summary["accuracy"].values() if each)
    header = [f"seed {summary['seed']}, n = {n}", "base model", "SFT", "GRPO"]
    rows = [
        ["accuracy", *(percent(summary["accuracy"][name]) for name in methods)],
        [
            "accuracy, by the original's judge",
            *(percent(summary["accuracy_as_published"][name]) for name in methods),
        ],
        ["no answer found", *(percent(summary["format_failures"][name]) for name in methods)],
    ]
    return markdown(header, rows)


def comparison_table(study: str) -> str:
    """Rows of a comparison as Markdown, and folded below them what each seed came to."""
    return (
        f"{markdown(*comparison.rows_table(study))}\n\n"
        "<details><summary>Tokens and reflective completions of each seed</summary>\n\n"
        f"{markdown(*comparison.measured_table(study))}\n\n</details>"
    )


def causal_table(summaries: list[dict[str, Any]]) -> str:
    """The causal test of each seed's run, as Markdown: arms in rows, and below them the verdict."""
    names = [f"seed {summary['seed']}" for summary in summaries]
    audits = [_audit_of(summary) for summary in summaries]
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


def _audit_of(summary: dict[str, Any]) -> dict[str, Any] | None:
    name = f"{summary['recipe']}-{summary['profile']}-s{summary['seed']}"
    path = replay.REFERENCE / name / "aha.json"
    return read_json(path) if path.exists() else None


def _effect(effect: dict[str, Any] | None) -> str:
    if not effect or not effect["n"]:
        return NOT_RUN
    return points(effect) + (f" (n = {effect['n']})" if effect["n"] < 200 else "")


def write_tables() -> None:
    """Write the tables between the README's markers anew."""
    text = fill(README.read_text(encoding="utf-8"))
    with atomic_write(README) as handle:
        handle.write(text)
