"""Show banners, tables of text, and pictures with captions in notebooks."""

import os
import textwrap
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import matplotlib.pyplot as plt
from IPython import get_ipython
from IPython.display import HTML, display
from matplotlib.figure import Figure
from PIL import Image

from vtkit.rendering import align, markdown
from vtkit.report import drawing
from vtkit.runs.artifacts import make_missing
from vtkit.runs.folder import headless
from vtkit.runs.records import caveats, config_of
from vtkit.runs.replay import find_run, replay_of

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig

_CALM = "background: #e3f1fa; color: #0b3350; border-left: 6px solid #0072b2"  # in any theme
_ALARM = "background: #ffedc2; color: #4a2f00; border-left: 6px solid #e69f00; font-weight: 600"
_CAPTION = "#767676"  # to be read on white and on black
_LINE, _GAP = 0.16, 0.25  # of a caption's line and between pictures, in inches


def banner(text: str, *, alarm: bool = False) -> None:
    """Show in a coloured box what a notebook leaves out; plain text in a terminal.

    Args:
        alarm: nobody should overlook it.
    """
    colours = _ALARM if alarm else _CALM
    style = f"{colours}; border-radius: 4px; padding: .5em .9em; margin: .3em 0"
    box = f'<div style="{style}">{escape(text)}</div>'
    display({"text/html": box, "text/plain": f"NOTE: {text}"}, raw=True)


def open_run(config: "RunConfig", part: str, make: Sequence[str] = ()) -> tuple[Path, bool]:
    """Find the run to read, and :func:`remind` of it.

    Arguments, return values and errors are those of :func:`vtkit.runs.replay.find_run`.

    Args:
        make: as of :func:`vtkit.runs.session.setup`, for a replay: a kept run has no pictures.
    """
    folder, replayed = find_run(config, part)
    remind(folder)
    if replayed:
        make_missing(config_of(folder).to_dict(), make, quiet=True)
    return folder, replayed


def remind(folder: Path) -> None:
    """Show a banner if what follows is a replay or of a run that is unfinished."""
    for caveat in caveats(folder):
        banner(caveat, alarm=True)


def text_table(header: list[str], rows: list[list[str]], *, fold: str = "") -> None:
    """Show a table of text: Markdown in a browser, columns in a terminal.

    Args:
        fold: what to click on to unfold it; empty: it is open.
    """
    table, plain = markdown(header, rows), align([header, *rows])
    if fold:
        summary = f"<details><summary>{escape(fold)}</summary>"
        table, plain = f"{summary}\n\n{table}\n\n</details>", f"{fold}\n{plain}"
    display({"text/markdown": table, "text/plain": plain}, raw=True)


def link(path: Path, text: str) -> HTML:
    """A link to a file of a run that opens in the browser, and its path for everywhere else.

    JupyterLab itself would show a page without its scripts, so its server's own address is named.
    """
    address = None if headless() else _served(path)  # a server's library takes seconds to import
    place = quote(address or os.path.relpath(path, _home(path)))
    return HTML(
        f'<a href="{escape(place)}" target="_blank"><b>{escape(text)}</b></a>, '
        f"<code>{escape(str(path))}</code>"
    )


def _served(path: Path) -> str | None:
    """The address of a file on the Jupyter server that started this kernel; None without one."""
    from jupyter_server.serverapp import list_running_servers

    for server in list_running_servers():
        root = Path(server["root_dir"]).resolve()
        if server["pid"] == int(os.environ.get("JPY_PARENT_PID", 0)):
            if path.resolve().is_relative_to(root):
                return f"{server['base_url']}files/{path.resolve().relative_to(root).as_posix()}"
    return None


def _home(path: Path) -> Path:
    """The folder of the notebook that is running: executed ones lie in the run's ``notebooks``."""
    if headless():
        run = path.parent
        return (run.parent if replay_of(run) else run) / "notebooks"
    return Path(get_ipython().user_ns["_dh"][0])


def image_gallery(
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    *,
    columns: int = 4,
    width: float = 3.0,
    save_as: str | Path | None = None,
) -> Figure:
    """Show pictures in rows, each with its caption wrapped below it; line breaks are kept.

    Args:
        width: of a picture, in inches.
        save_as: a PNG file to write as well, and an SVG file next to it.
    """
    wrapped = [_wrap(caption, letters=int(12.5 * width)) for caption in captions]
    lines = [caption.count("\n") + 1 for caption in wrapped]
    starts = range(0, len(pictures), columns)
    heights = [width + _LINE * max(lines[at : at + columns]) + _GAP for at in starts]
    size = (columns * (width + _GAP), sum(heights))  # inches
    figure = plt.figure(figsize=size, facecolor="none")
    for at, (picture, caption) in enumerate(zip(pictures, wrapped, strict=True)):
        row, column = divmod(at, columns)
        left, bottom = column * (width + _GAP), size[1] - sum(heights[:row]) - width
        box = (left / size[0], bottom / size[1], width / size[0], width / size[1])
        axis = figure.add_axes(box)
        axis.axis("off")
        axis.imshow(picture)
        place: dict[str, Any] = {
            "x": 0,
            "y": -0.08 / width,
            "va": "top",
            "transform": axis.transAxes,
        }
        axis.text(s=caption, fontsize=9, color=_CAPTION, parse_math=False, **place)
    if save_as:
        drawing.write(figure, save_as, dpi=110, facecolor="white")
    plt.close(figure)  # a notebook shows what a cell returns; open, it would show it twice
    return figure


def _wrap(text: str, letters: int) -> str:
    return "\n".join(textwrap.fill(line, letters) for line in text.split("\n"))
