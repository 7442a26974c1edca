"""The reward laboratory: completions on the bench, what each set of rules pays them, and why.

The specimens are data (``completions.yaml``); what each is paid is never written down but asked
of the rules, so that no table can lie about them. Tables are HTML without scripts or colours of
their own, readable in light and dark; model text in them is escaped and stands in ``<code>``, where
Jupyter looks for no mathematics either.

    reward_gallery(judge_by_rules(load_completions()))      # a table, deciding words marked
    playground([" Hm. </think> <answer> left </answer>"], ["right", "left"], "left")
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from IPython.display import HTML

from vtkit.config.values import read_yaml
from vtkit.errors import UserError
from vtkit.judging import judge, rewards
from vtkit.report.page import marked, text
from vtkit.runs.folder import headless

SPECIMENS = Path(__file__).with_name("completions.yaml")
KINDS = ("honest", "sloppy", "hack")
LABELS = {"careful": "ours", "paper": "original"}
_LEFT = ' style="text-align: left; vertical-align: top"'
_CODE = ' style="white-space: pre-wrap; overflow-wrap: anywhere"'
_MARK = ' style="background: #ffe29a; color: #1d2329; border-radius: 3px; padding: 0 .1em"'


class Completion(NamedTuple):
    """One specimen: the completion as sampled, and the question that it answers."""

    kind: str
    name: str
    completion: str
    question: str
    choices: tuple[str, ...]
    answer: str


def load_completions(path: str | Path = SPECIMENS) -> list[Completion]:
    """The specimens of a file, by question and there by kind.

    Raises:
        UserError: the file is missing, not YAML, or not of the form that the committed one has.
    """
    path = Path(path)
    return [
        completion
        for topic, entry in read_yaml(path).items()
        for completion in _specimens(entry, f"{path}: {topic}")
    ]


def _specimens(entry: Any, where: str) -> list[Completion]:
    known = ("question", "choices", "answer", *KINDS)
    if not isinstance(entry, dict) or not set(known[:3]) <= set(entry) <= set(known):
        raise UserError(f"{where}: expected {', '.join(known)}, the last three if there are any")
    if not isinstance(entry["choices"], list) or entry["answer"] not in entry["choices"]:
        raise UserError(f"{where}: answer: {entry['answer']!r} is not in the list of choices")
    asked = (str(entry["question"]), tuple(map(str, entry["choices"])), str(entry["answer"]))
    completions = []
    for kind in KINDS:
        if not isinstance(entry.get(kind, {}), dict):
            raise UserError(f"{where}: {kind}: expected 'name: completion' lines")
        items = entry.get(kind, {}).items()
        completions += [
            Completion(kind, str(name), str(completion), *asked) for name, completion in items
        ]
    return completions


def judge_by_rules(completions: Sequence[Completion]) -> pd.DataFrame:
    """One row a completion: our verdict, and what every set of rules pays.

    Returns:
        The fields of :class:`Completion`; ``said`` (the answer), ``span``, ``rule`` and ``form``
        of :class:`vtkit.judging.verdict.Verdict`; and for each of ``rewards.RULES`` the columns
        ``<rules> accuracy`` and ``<rules> format``, 0.0 or 1.0.
    """
    table = pd.DataFrame(completions, columns=list(Completion._fields))
    verdicts = [judge(shown.completion, shown.answer, shown.choices) for shown in completions]
    table["said"] = [verdict.answer for verdict in verdicts]
    table["span"] = [verdict.span for verdict in verdicts]
    table["rule"] = [verdict.rule for verdict in verdicts]
    table["form"] = [verdict.format for verdict in verdicts]
    for rules in rewards.RULES:
        for name in ("accuracy", "format"):
            (function,) = rewards.get_rewards([name], rules)
            table[f"{rules} {name}"] = function(
                [completion.completion for completion in completions],
                solution=[f"<answer>{completion.answer}</answer>" for completion in completions],
                choices=[completion.choices or None for completion in completions],
            )
    return table


def who_pays(judged: pd.DataFrame) -> pd.DataFrame:
    """How many completions of each kind each set of rules pays: for accuracy, for format, for both.

    Returns:
        A row for each of ``rewards.RULES``, and ``completions``: how many there are of each kind.
    """
    rows = {}
    for rules in rewards.RULES:
        accuracy, format = judged[f"{rules} accuracy"], judged[f"{rules} format"]
        paid = {"accuracy": accuracy, "format": format, "both": accuracy * format}
        rows[LABELS.get(rules, rules)] = {
            (reward, kind): int(points[judged["kind"] == kind].sum())
            for reward, points in paid.items()
            for kind in KINDS
        }
    counts = judged["kind"].value_counts()
    rows["completions"] = {key: int(counts.get(key[1], 0)) for key in rows["ours"]}
    table = pd.DataFrame(rows).T
    table.columns = pd.MultiIndex.from_tuples(table.columns, names=["paid for", "kind"])
    return table


def reward_gallery(judged: pd.DataFrame, beside: str = "paper") -> HTML:
    """Completions by question, the words that decide marked, our points and another's side by side.

    Args:
        judged: rows of :func:`judge_by_rules`.
        beside: whose points stand beside ours, one of ``rewards.RULES``.
    """
    header = ("", "completion", "answer found by", "form", *map(_label, ("careful", beside)))
    parts = [f"<table><thead><tr>{''.join(map(_head, header))}</tr></thead>"]
    for question, group in judged.groupby("question", sort=False):
        choices, answer = group.iloc[0][["choices", "answer"]]
        options = ", ".join(f"({chr(65 + i)}) {choice}" for i, choice in enumerate(choices))
        about = f"{text(question)} {text(options)}; right: <b>{text(answer)}</b>"
        parts.append(f'<tbody><tr><th scope="rowgroup" colspan="6"{_LEFT}>{about}</th></tr>')
        parts += [_row(completion, beside) for completion in group.to_dict("records")]
        parts.append("</tbody>")
    return HTML(f'<div style="overflow-x: auto">{"".join(parts)}</table></div>')


def playground(
    completions: Sequence[str], choices: Sequence[str], answer: str, rules: str = "paper"
) -> Any:
    """Completions of one's own, judged as one types; run by ``run_all.sh``, a table of those given.

    Args:
        completions: live, the first one is there to begin with.
        rules: whose points stand beside ours at first.

    Returns:
        A widget (live), else the table.
    """
    if headless():
        return reward_gallery(judge_by_rules(_typed(completions, choices, answer)), rules)
    import ipywidgets as widgets

    wide = widgets.Layout(width="95%")
    boxes = [
        widgets.Textarea(completions[0], description="completion", rows=4, layout=wide),
        widgets.Text(" | ".join(choices), description="choices", layout=wide),
        widgets.Text(answer, description="right"),
        widgets.Dropdown(options=rewards.RULES, value=rules, description="beside ours"),
    ]
    verdict = widgets.HTML()

    def update(change: Any = None) -> None:
        completion, options, right, beside = (box.value for box in boxes)
        named = [option.strip() for option in options.split("|") if option.strip()]
        judged = judge_by_rules(_typed([completion], named, right))
        verdict.value = reward_gallery(judged, beside).data

    for box in boxes:
        box.observe(update, "value")
    update()
    return widgets.VBox([*boxes, verdict])


def _typed(completions: Sequence[str], choices: Sequence[str], answer: str) -> list[Completion]:
    asked = ("Typed in.", tuple(choices), answer)
    return [
        Completion("typed", str(i), completion, *asked)
        for i, completion in enumerate(completions, 1)
    ]


def _row(completion: dict[str, Any], beside: str) -> str:
    ours, theirs = (_points(completion, rules) for rules in ("careful", beside))
    theirs = theirs if ours == theirs else f"<strong>{theirs} ≠</strong>"
    said = _marked(completion["completion"], completion["span"])
    cells = (said, completion["rule"], completion["form"], ours, theirs)
    return (
        f'<tr><th scope="row"{_LEFT}>{text(completion["name"])}</th>'
        + "".join(f"<td{_LEFT}>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _points(completion: dict[str, Any], rules: str) -> str:
    return f"{completion[f'{rules} accuracy']:.0f}&nbsp;+&nbsp;{completion[f'{rules} format']:.0f}"


def _marked(completion: str, span: tuple[int, int] | None) -> str:
    return f"<code{_CODE}>{marked(completion, [span] if span else [], _MARK)}</code>"


def _label(rules: str) -> str:
    return LABELS.get(rules, rules)


def _head(name: str) -> str:
    return f'<th scope="col"{_LEFT}>{text(name)}</th>'
