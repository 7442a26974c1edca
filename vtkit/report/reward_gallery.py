"""Show example completions with the rewards that each set of rules pays, and why.

reward_gallery(judge_by_rules(load_completions()))      # a table, deciding words marked
playground({"mine": " Hm. </think> <answer> left </answer>"}, ["right", "left"], "left")
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from IPython.display import HTML

from vtkit.config.values import read_yaml
from vtkit.errors import UserError, quote
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
    topics = read_yaml(Path(path)).items()
    return [one for topic, entry in topics for one in _read_topic(entry, f"{path}: {topic}")]


def _read_topic(entry: Any, where: str) -> list[Completion]:
    known = ("question", "choices", "answer", *KINDS)
    if not isinstance(entry, dict) or not set(known[:3]) <= set(entry) <= set(known):
        raise UserError(f"{where}: expected {', '.join(known)}, the last three if there are any")
    if not isinstance(entry["choices"], list) or entry["answer"] not in entry["choices"]:
        raise UserError(f"{where}: answer: {quote(entry['answer'])} is not in the list of choices")
    asked = (str(entry["question"]), tuple(map(str, entry["choices"])), str(entry["answer"]))
    found = {kind: entry.get(kind, {}) for kind in KINDS}
    for kind, items in found.items():
        if not isinstance(items, dict):
            raise UserError(f"{where}: {kind}: expected 'name: completion' lines")
    return [
        Completion(kind, str(name), str(completion), *asked)
        for kind, items in found.items()
        for name, completion in items.items()
    ]


def judge_by_rules(completions: Sequence[Completion]) -> pd.DataFrame:
    """One row a completion: our verdict, and what every set of rules pays.

    Returns:
        The fields of :class:`Completion`; ``said`` (the answer), ``span``, ``rule`` and ``form``
        of :class:`vtkit.judging.verdict.Verdict`; and for each of ``rewards.RULES`` the columns
        ``<rules> accuracy`` and ``<rules> format``, 0.0 or 1.0.
    """
    table = pd.DataFrame(completions, columns=list(Completion._fields))
    verdicts = [judge(shown.completion, shown.answer, shown.choices) for shown in completions]
    for column, field in (("said", "answer"), ("span",) * 2, ("rule",) * 2, ("form", "format")):
        table[column] = [getattr(verdict, field) for verdict in verdicts]
    asked = {
        "solution": [f"<answer>{shown.answer}</answer>" for shown in completions],
        "choices": [shown.choices or None for shown in completions],
    }
    for rules in rewards.RULES:
        for name in ("accuracy", "format"):
            (reward,) = rewards.get_rewards([name], rules)
            table[f"{rules} {name}"] = reward([shown.completion for shown in completions], **asked)
    return table


def who_pays(judged: pd.DataFrame) -> pd.DataFrame:
    """Count the completions that each set of rules pays for accuracy, for format and for both.

    Returns:
        A row for each of ``rewards.RULES`` and the number of completions; columns by kind.
    """
    rows = {}
    for rules in rewards.RULES:
        accuracy, format = judged[f"{rules} accuracy"], judged[f"{rules} format"]
        paid = pd.DataFrame({"accuracy": accuracy, "format": format, "both": accuracy * format})
        by_kind = paid.groupby(judged["kind"])
        rows[LABELS.get(rules, rules)] = by_kind.sum().unstack()
    rows["completions"] = by_kind.count().unstack()
    columns = pd.MultiIndex.from_product([paid, KINDS], names=["paid for", "kind"])
    return pd.DataFrame(rows).T.reindex(columns=columns, fill_value=0).astype(int)


def reward_gallery(judged: pd.DataFrame, other: str = "paper") -> HTML:
    """Show completions by question with the deciding words marked and two sets of points.

    Args:
        other: whose points are shown next to ours, one of ``rewards.RULES``.
    """
    questions = [group.to_dict("records") for _, group in judged.groupby("question", sort=False)]
    label = LABELS.get(other, other)
    table = render("gallery.html", questions=questions, other=other, other_label=label)
    return HTML(str(table))


def playground(
    attempts: Mapping[str, str], choices: Sequence[str], answer: str, rules: str = "paper"
) -> Any:
    """Judge completions while they are typed, with the points of ``rules`` next to ours at first.

    Args:
        attempts: completions to choose from, by name.

    Returns:
        A widget that starts with the first attempt; without a live kernel the table of all.
    """
    if headless():
        return reward_gallery(judge_by_rules(_typed(attempts, choices, answer)), rules)
    import ipywidgets as widgets

    wide = widgets.Layout(width="95%")
    attempt = widgets.Dropdown(options=[*attempts.items()], description="attempt")
    boxes = [
        widgets.Textarea(attempt.value, description="completion", rows=4, layout=wide),
        widgets.Text(" | ".join(choices), description="choices", layout=wide),
        widgets.Text(answer, description="right"),
        widgets.Dropdown(options=rewards.RULES, value=rules, description="rules"),
    ]
    verdict = widgets.HTML()

    def update(change: Any = None) -> None:
        completion, options, right, other = (box.value for box in boxes)
        named = [option.strip() for option in options.split("|") if option.strip()]
        judged = judge_by_rules(_typed({"yours": completion}, named, right))
        verdict.value = reward_gallery(judged, other).data

    for box in boxes:
        box.observe(update, "value")
    widgets.dlink((attempt, "value"), (boxes[0], "value"))
    update()
    return widgets.VBox([attempt, *boxes, verdict])


def _typed(attempts: Mapping[str, str], choices: Sequence[str], answer: str) -> list[Completion]:
    asked = ("Typed in.", tuple(choices), answer)
    return [Completion("typed", name, text, *asked) for name, text in attempts.items()]
