"""Groups of rollouts as HTML: a browser of them in report.html, one of them in a notebook.

Trainers print a sample now and then. What GRPO learns from is the comparison within a group: one
picture, one question, several answers, their rewards and advantages. Both views come from the same
values (:mod:`vtkit.report.groups`) and share a style sheet. The notebook's view is plain HTML without
scripts; so is what the report shows where scripts are off. Model text is only ever text.

    show_rollouts("runs/visualthinker-mini-s0", step=25, group=3)
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML

from vtkit.errors import UserError
from vtkit.judging.phrases import find_reflections
from vtkit.judging.styles import STYLES
from vtkit.report.groups import KINDS, Groups, evenly
from vtkit.report.page import data, paragraph, text, transcript
from vtkit.runs.folder import headless

_ASSETS = Path(__file__).with_name("viewer_assets")
STYLE = (_ASSETS / "viewer.css").read_text(encoding="utf-8")
SCRIPT = (_ASSETS / "viewer.js").read_text(encoding="utf-8")


def browser(run_dir: str | Path, *, budget: int) -> str:
    """The browser of groups, for a page that has ``STYLE`` and ``SCRIPT``.

    Steps are taken evenly, first and last included, as many as fit (always one); the section says
    how many. Where scripts are off it shows the first group of the first, a middle and the last
    step.

    Args:
        budget: bytes for the groups and their pictures, besides about 100 kB for the rest.

    Raises:
        UserError: the folder is not a run, has no rollouts, or a file is damaged.
    """
    source = Groups(run_dir)
    content = _fit(source, budget)
    steps = content["steps"]
    static = [
        f"<h3>Step {step['step']}, first group</h3>{_group_html(step, step['groups'][0], content)}"
        for step in evenly(steps, 3)
    ]
    included = (
        f"{len(steps)} of {len(source.steps)} steps are included, "
        f"{len(content['pictures'])} of {len(_prompts(steps))} pictures are at hand."
    )
    return (
        f'<p class="soft">{text(included)} All rollouts lie in <code>rollouts/</code>.</p>'
        f'<section class="vt" id="vt-browser" tabindex="-1" aria-label="Groups of rollouts">'
        f"{_legend()}{(_ASSETS / 'controls.html').read_text(encoding='utf-8')}"
        f'<div id="vt-static"><noscript><p>Scripts are off: here is the first group of '
        f"each of {len(static)} steps.</p></noscript>{''.join(static)}</div></section>"
        f"{data('vt-data', content)}"
    )


class GroupView:
    """One group of a run as HTML; where a kernel is live, with sliders for step and group above.

    The HTML is what a notebook keeps: it needs neither a kernel nor scripts.
    """

    def __init__(self, source: Groups, step: int, group: int) -> None:
        groups = {each["group"]: each for each in source.read(step)}
        if group not in groups:
            raise UserError(f"group: step {step} has {list(groups)}, not {group}; name one of them")
        self.source, self.step, self.group = source, step, group
        self.numbers, self._shown = list(groups), groups[group]

    def _repr_html_(self) -> str:
        steps = [{"step": self.step, "groups": [self._shown]}]
        view = _group_html(steps[0], self._shown, _content(steps, _pictures(self.source, steps)))
        return f'<style>{STYLE}</style><div class="vt">{_legend()}{view}</div>'

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if headless():
            display(HTML(self._repr_html_()))
            return
        from ipywidgets import HBox, SelectionSlider

        places = {"step": (self.source.steps, self.step), "group": (self.numbers, self.group)}
        step, group = (
            SelectionSlider(options=options, value=value, description=name)
            for name, (options, value) in places.items()
        )
        display(HBox([step, group]))
        shown = display(HTML(self._repr_html_()), display_id=True)

        def update(_: Any) -> None:
            view = GroupView(self.source, step.value, group.value)
            shown.update(HTML(view._repr_html_()))

        for slider in (step, group):
            slider.observe(update, "value")


def show_rollouts(run_dir: str | Path, step: int | None = None, group: int = 0) -> GroupView:
    """One group of a run's rollouts, for the last line of a notebook cell.

    Args:
        step: a stored step; by default the last one.
        group: the group's number within the step.

    Raises:
        UserError: the folder is not a run, or has no such step or group.
    """
    source = Groups(run_dir)
    return GroupView(source, source.steps[-1] if step is None else step, group)


def show_completions(rows: pd.DataFrame, empty: str = "There is none.") -> HTML:
    """Rollouts in full, one below the other, with the phrases of reflection marked.

    Args:
        rows: rollouts with ``right``, as :func:`vtkit.aha.reflection.annotate` gives them.
        empty: what to say if there are none.
    """
    parts = []
    for row in rows.to_dict("records"):
        outcome = "right" if row["right"] else "wrong"
        title = f"Step {row['step']}, {row['task']}: {outcome}, advantage {row['advantage']:+.2f}"
        question = f"{row['question']} Solution: {row['solution']}"
        marks = find_reflections(row["completion"])
        parts.append(transcript(title, question, row["completion"], marks))
    style = "<style>article pre { white-space: pre-wrap }</style>"
    return HTML(style + "".join(parts or [paragraph(empty)]))


def _fit(source: Groups, budget: int) -> dict[str, Any]:
    """As many steps as the budget allows, evenly chosen, in the layout that the script reads.

    Of a long run only a few more are read than fit.
    """
    read = cache(lambda step: {"step": step, "groups": source.read(step)})

    def include(count: int) -> tuple[dict[str, Any], int]:
        steps = [read(step) for step in evenly(source.steps, count)]
        content = _content(steps, _pictures(source, steps))
        return content, len(data("", content))

    count = min(3, len(source.steps))
    content, size = include(count)
    likely = int(1.3 * count * budget / size)  # some steps are shorter than those three
    count = max(1, min(likely, len(source.steps)))
    content, size = include(count)
    while size > budget and count > 1:
        count = max(1, min(count - 1, int(count * budget / size)))
        content, size = include(count)
    return content


def _pictures(source: Groups, steps: list[dict[str, Any]]) -> dict[int, str]:
    """The pictures that are at hand, each once, by the number of their row."""
    asked = {group["prompt"]: group for step in steps for group in step["groups"]}
    pictures = {prompt: source.picture(group) for prompt, group in asked.items()}
    return {prompt: picture for prompt, picture in pictures.items() if picture}


def _content(steps: list[dict[str, Any]], pictures: dict[int, str]) -> dict[str, Any]:
    samples = [sample for step in steps for group in step["groups"] for sample in group["samples"]]
    rewards = [abs(value) for sample in samples for value in sample["rewards"].values()]
    return {
        "steps": steps,
        "pictures": pictures,
        "styles": list(STYLES),
        "most_reward": max(rewards, default=0) or 1,
        "most_advantage": max(abs(sample["advantage"]) for sample in samples) or 1,
    }


def _prompts(steps: list[dict[str, Any]]) -> set[int]:
    return {group["prompt"] for step in steps for group in step["groups"]}


def _legend() -> str:
    shown = (f'<span class="{letter}">{KINDS[letter]}</span>' for letter in "tgbdr")
    return f'<p class="vt-legend" aria-label="Legend">{" ".join(shown)}</p>'


def _group_html(step: dict[str, Any], group: dict[str, Any], content: dict[str, Any]) -> str:
    samples = "".join(_sample_html(sample, content) for sample in group["samples"])
    ask = _ask_html(step, group, content["pictures"].get(group["prompt"]))
    return f'<div class="vt-group">{ask}<div class="vt-samples">{samples}</div></div>'


def _ask_html(step: dict[str, Any], group: dict[str, Any], picture: str | None) -> str:
    samples = group["samples"]
    right = sum("right" in sample for sample in samples)
    mean = sum(sample["reward"] for sample in samples) / len(samples)
    choices = "".join(
        f'<li class="vt-right">✓ {text(choice)}</li>'
        if place == group["right"]
        else f"<li>{text(choice)}</li>"
        for place, choice in enumerate(group["choices"])
    )
    image = (
        f'<img class="vt-picture" src="{picture}" alt="Picture of row {group["prompt"]}">'
        if picture
        else '<div class="vt-picture vt-absent">picture not at hand</div>'
    )
    lines = [] if group["right"] is not None else [f"Solution: {group['solution']}"]
    lines += (
        f"{right} of {len(samples)} right, mean reward {mean:.2f}",
        f"step {step['step']}, group {group['group']}, task {group['task']}, row {group['prompt']}",
    )
    return (
        f'<div class="vt-ask">{image}<p class="vt-question">{text(group["question"])}</p>'
        f'<ul class="vt-choices" aria-label="Choices">{choices}</ul>'
        + "".join(f'<p class="vt-soft">{text(line)}</p>' for line in lines)
        + "</div>"
    )


def _sample_html(sample: dict[str, Any], content: dict[str, Any]) -> str:
    verdict, word = ("vt-right", "✓ right") if "right" in sample else ("vt-wrong", "✗ wrong")
    cut_off = '<span class="vt-cut">cut off</span>' if "cut_off" in sample else ""
    pieces = "".join(
        f'<span class="{" ".join(kinds)}">{text(piece)}</span>' for kinds, piece in sample["pieces"]
    )
    if "hidden" in sample:
        pieces += f'<span class="vt-soft"> … {sample["hidden"]} more characters</span>'
    return (
        f'<article class="vt-sample {verdict}"><header><span>#{sample["sample"]}</span>'
        f'<span class="vt-verdict">{word}</span><span>{text(sample["style"])}</span>{cut_off}'
        f'<span class="vt-tokens vt-soft">{sample["tokens"]} tokens</span></header>'
        f'{_bars_html(sample, content)}<pre class="vt-text" dir="auto">{pieces}</pre>'
        f'<p class="vt-soft">answer: {text(sample["answer"])}</p></article>'
    )


def _bars_html(sample: dict[str, Any], content: dict[str, Any]) -> str:
    rows = []
    for name, value in sample["rewards"].items():
        width = 100 * abs(value) / content["most_reward"]
        bar = _rect("vt-down" if value < 0 else "vt-fill", 0, width)
        rows.append((name, bar, f"{value:.3g}"))
    advantage = sample["advantage"]
    half = 50 * abs(advantage) / content["most_advantage"]
    up = advantage >= 0
    bar = _rect("vt-up" if up else "vt-down", 50 if up else 50 - half, half)
    rows.append(("advantage", bar + _rect("vt-zero", 49.7, 0.6), f"{advantage:+.3f}"))
    cells = "".join(
        f"<span>{text(name)}</span>"
        f'<svg aria-hidden="true">{_rect("vt-track", 0, 100)}{bar}</svg><span>{value}</span>'
        for name, bar, value in rows
    )
    return f'<div class="vt-bars">{cells}</div>'


def _rect(name: str, left: float, width: float) -> str:
    return f'<rect class="{name}" x="{left:.1f}%" width="{width:.1f}%" height="100%"></rect>'
