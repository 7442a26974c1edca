"""Show rollouts as HTML: a browser of groups in report.html, one group in a notebook.

show_rollouts("runs/visualthinker-mini-s0", step=25, group=3)
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML
from markupsafe import Markup

from vtkit.errors import UserError
from vtkit.judging.styles import STYLES
from vtkit.report.groups import KINDS, Groups, evenly
from vtkit.report.page import parts, render
from vtkit.runs.folder import headless


def browser(run_dir: str | Path, *, budget: int) -> Markup:
    """The browser of groups, for a page that has ``viewer.css`` and ``viewer.js``.

    It includes as many steps as fit, evenly chosen; without scripts it shows some groups.

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
        values = {"step": self.step, "group": self._shown, "content": _content(self.source, steps)}
        return str(render("notebook.html", kinds=KINDS, **values))

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if headless():
            display(HTML(self._repr_html_()))
            return
        from ipywidgets import HBox, SelectionSlider

        step = SelectionSlider(options=self.source.steps, value=self.step, description="step")
        group = SelectionSlider(options=self.numbers, value=self.group, description="group")
        display(HBox([step, group]))
        shown = display(HTML(self._repr_html_()), display_id=True)

        def update(_: Any) -> None:
            view = GroupView(self.source, step.value, group.value)
            shown.update(HTML(view._repr_html_()))

        for slider in (step, group):
            slider.observe(update, "value")


def show_rollouts(run_dir: str | Path, step: int | None = None, group: int = 0) -> GroupView:
    """Show a group of a step (by default the last one); for the last line of a notebook cell.

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
    return HTML(str(render("completions.html", rows=rows.to_dict("records"), empty=empty)))


def _fit(source: Groups, budget: int) -> dict[str, Any]:
    """As many steps as the budget allows, evenly chosen, in the layout that the script reads."""
    read = cache(lambda step: {"step": step, "groups": source.read(step)})

    def include(count: int) -> tuple[dict[str, Any], int]:
        content = _content(source, [read(step) for step in evenly(source.steps, count)])
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


def _content(source: Groups, steps: list[dict[str, Any]]) -> dict[str, Any]:
    groups = {group["prompt"]: group for step in steps for group in step["groups"]}
    pictures = {prompt: source.picture(group) for prompt, group in groups.items()}
    samples = [sample for step in steps for group in step["groups"] for sample in group["samples"]]
    rewards = [abs(value) for sample in samples for value in sample["rewards"].values()]
    return {
        "steps": steps,
        "pictures": {prompt: picture for prompt, picture in pictures.items() if picture},
        "styles": list(STYLES),
        "most_reward": max(rewards, default=0) or 1,
        "most_advantage": max(abs(sample["advantage"]) for sample in samples) or 1,
    }
