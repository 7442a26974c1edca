"""Show rollouts as HTML: a browser of groups in report.html, one group in a notebook.

GRPO learns from the comparison within a group: one picture, one question, several completions with
their rewards and advantages. Both views show that, from the same values
(:mod:`vtkit.report.groups`). Without scripts the report shows some groups as plain HTML.

    show_rollouts("runs/visualthinker-mini-s0", step=25, group=3)
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML
from markupsafe import Markup

from vtkit.errors import UserError
from vtkit.judging.phrases import find_reflections
from vtkit.judging.styles import STYLES
from vtkit.report.groups import KINDS, Groups, evenly
from vtkit.report.page import parts, render
from vtkit.runs.folder import headless


def browser(run_dir: str | Path, *, budget: int) -> Markup:
    """The browser of groups, for a page that has ``viewer.css`` and ``viewer.js``.

    It includes as many steps as fit (at least one), evenly chosen with the first and the last.

    Args:
        budget: bytes for the groups and their pictures, besides about 100 kB for the rest.

    Raises:
        UserError: the folder is not a run, has no rollouts, or a file is damaged.
    """
    source = Groups(run_dir)
    content = _fit(source, budget)
    prompts = {group["prompt"] for step in content["steps"] for group in step["groups"]}
    return render(
        "browser.html",
        content=content,
        static=evenly(content["steps"], 3),
        stored_steps=len(source.steps),
        prompts=len(prompts),
        kinds=KINDS,
    )


class GroupView:
    """One group of a run as HTML; where a kernel is live, with sliders for step and group above."""

    def __init__(self, source: Groups, step: int, group: int) -> None:
        groups = {content["group"]: content for content in source.read(step)}
        if group not in groups:
            raise UserError(f"group: step {step} has {list(groups)}, not {group}; name one of them")
        self.source, self.step, self.group = source, step, group
        self.numbers, self._shown = list(groups), groups[group]

    def _repr_html_(self) -> str:
        steps = [{"step": self.step, "groups": [self._shown]}]
        content = _content(steps, _pictures(self.source, steps))
        return str(
            render("notebook.html", step=self.step, group=self._shown, content=content, kinds=KINDS)
        )

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
    """Show one group of a run's rollouts; for the last line of a notebook cell.

    Args:
        step: a stored step; by default the last one.
        group: the group's number within the step.

    Raises:
        UserError: the folder is not a run, or has no such step or group.
    """
    source = Groups(run_dir)
    return GroupView(source, source.steps[-1] if step is None else step, group)


def show_completions(rows: pd.DataFrame, empty: str = "There is none.") -> HTML:
    """Show rollouts in full, one below the other, with the phrases of reflection marked.

    Args:
        rows: rollouts with ``right``, as :func:`vtkit.aha.reflection.annotate` gives them.
        empty: shown if there are none.
    """
    completions = rows.to_dict("records")
    for row in completions:
        row["spans"] = find_reflections(row["completion"])
    return HTML(str(render("completions.html", rows=completions, empty=empty)))


def _fit(source: Groups, budget: int) -> dict[str, Any]:
    """As many steps as the budget allows, evenly chosen, in the layout that the script reads."""
    read = cache(lambda step: {"step": step, "groups": source.read(step)})

    def include(count: int) -> tuple[dict[str, Any], int]:
        steps = [read(step) for step in evenly(source.steps, count)]
        content = _content(steps, _pictures(source, steps))
        return content, len(parts.data("", content))

    count = min(3, len(source.steps))
    content, size = include(count)
    # Of a long run, read only a few steps more than fit.
    likely = int(1.3 * count * budget / size)  # some steps are shorter than those three
    count = max(1, min(likely, len(source.steps)))
    content, size = include(count)
    while size > budget and count > 1:
        count = max(1, min(count - 1, int(count * budget / size)))
        content, size = include(count)
    return content


def _pictures(source: Groups, steps: list[dict[str, Any]]) -> dict[int, str]:
    """The available pictures by the number of their row."""
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
