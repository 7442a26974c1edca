"""Show example completions with the rewards that each set of rules pays, and why.

The examples are data (``completions.yaml``); their rewards are computed by the rules. Tables are
HTML without scripts, readable in light and dark. Model text in them is escaped, and inside
``<code>``, where Jupyter does not look for mathematics.

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
from vtkit.report.page import render
from vtkit.runs.folder import headless

EXAMPLES = Path(__file__).with_name("completions.yaml")
KINDS = ("honest", "sloppy", "hack")
LABELS = {"careful": "ours", "paper": "original"}


class Completion(NamedTuple):
    """An example: a completion as sampled, and the question that it answers."""

    kind: str
    name: str
    completion: str
    question: str
    choices: tuple[str, ...]
    answer: str


def load_completions(path: str | Path = EXAMPLES) -> list[Completion]:
    """Read the examples of a file, by question and then by kind.

    Raises:
        UserError: the file is missing, not YAML, or not in the layout of the committed one.
    """
    path = Path(path)
    return [
        completion
        for topic, entry in read_yaml(path).items()
        for completion in _read_topic(entry, f"{path}: {topic}")
    ]


def _read_topic(entry: Any, where: str) -> list[Completion]:
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
    """Count the completions that each set of rules pays for accuracy, for format and for both.

    Returns:
        A row for each of ``rewards.RULES`` and the number of completions; columns by kind.
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


def reward_gallery(judged: pd.DataFrame, other: str = "paper") -> HTML:
    """Show completions by question with the deciding words marked and two sets of points.

    Args:
        judged: rows of :func:`judge_by_rules`.
        other: whose points are shown next to ours, one of ``rewards.RULES``.
    """
    questions = [group.to_dict("records") for _, group in judged.groupby("question", sort=False)]
    label = LABELS.get(other, other)
    table = render("gallery.html", questions=questions, other=other, other_label=label)
    return HTML(str(table))


def playground(
    completions: Sequence[str], choices: Sequence[str], answer: str, rules: str = "paper"
) -> Any:
    """Judge completions while they are typed.

    Args:
        completions: the first is what the widget starts with; without a live kernel
            (``run_all.sh``) all are shown.
        rules: whose points are shown next to ours at first.

    Returns:
        A widget, or the table of the given completions.
    """
    if headless():
        return reward_gallery(judge_by_rules(_typed(completions, choices, answer)), rules)
    import ipywidgets as widgets

    wide = widgets.Layout(width="95%")
    boxes = [
        widgets.Textarea(completions[0], description="completion", rows=4, layout=wide),
        widgets.Text(" | ".join(choices), description="choices", layout=wide),
        widgets.Text(answer, description="right"),
        widgets.Dropdown(options=rewards.RULES, value=rules, description="compare with"),
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
