"""Draw figures in one style; in a notebook they follow the theme.

Colours are Okabe and Ito's ("Color universal design", 2008), which colour-blind readers can tell
apart; each has one meaning in all figures. In black and white, lines differ by dashes and markers,
bars by hatches.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib_inline.config import InlineBackend

from vtkit.files import atomic_path

BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
GREY = "#6B6B6B"
DARK_ORANGE = "#B87400"  # orange where it must carry text and thin lines on white
STYLE: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "lines.linewidth": 2.2,
    "legend.frameon": False,
    "text.parse_math": False,  # a run may be called "$x$"
}
HALO = [withStroke(linewidth=3, foreground="white")]  # keeps text readable across lines
PER_CENT = PercentFormatter(xmax=1, decimals=0)
SMALL = {"font.size": 10, "axes.titlesize": 11, "lines.linewidth": 1.8}  # for many panels
Line = tuple[str, str, str]  # of a panel: column of metrics.csv, label, colour
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (9, 3)), (0, (1, 3)))
LOOKS: list[dict[str, Any]] = [
    {"linestyle": dashes, "marker": marker, "markevery": 0.1}
    for marker, dashes in product(["", "o", "s"], DASHES)
]
"""Of the lines of a panel, in their order."""


@contextmanager
def canvas(style: dict[Any, Any]) -> Iterator[None]:
    """Draw in this style; figures begun inside are closed at its end, also after an error."""
    open_before = set(plt.get_fignums())
    with plt.rc_context(style):
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - open_before:
                plt.close(number)


def draw_panel(axis: Axes, metrics: pd.DataFrame, title: str, lines: Iterable[Line]) -> None:
    """Draw each logged column raw (thin) and averaged over five steps."""
    drawn = [line for line in lines if line[0] in metrics and metrics[line[0]].notna().any()]
    ends = []
    for (column, label, colour), look in zip(drawn, LOOKS, strict=False):
        values = metrics[column]
        smooth = values.rolling(5, center=True, min_periods=1).mean()
        axis.plot(values.index, values, color=colour, lw=0.7, alpha=0.45)
        look = look if len(values) > 1 else {"marker": "o"}
        axis.plot(smooth.index, smooth, color=colour, **look)
        ends.append((label, smooth.dropna().iloc[-1], colour))
    axis.set(title=title, xlabel="training step")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if drawn and all(metrics[column].min() >= 0 for column, _, _ in drawn):
        axis.set_ylim(0, None)
    if len(ends) > 1:
        label_ends(axis, ends)


def draw_share(
    axis: Axes, share: pd.DataFrame, colour: str, *, thin: bool = False, **style: Any
) -> None:
    """Draw ``value`` against the index, and ``low`` to ``high`` as a band unless ``thin``."""
    if thin:
        style |= {"lw": 0.9, "alpha": 0.5, "marker": ""}
        axis.plot(share.index, share["value"], color=colour, **style)
        return
    axis.fill_between(share.index, share["low"], share["high"], color=colour, alpha=0.17, lw=0)
    axis.plot(share.index, share["value"], color=colour, **style)


def label_ends(axis: Axes, ends: Iterable[tuple[str, float, str]]) -> None:
    """Write the name of each line, ``(name, value, colour)``, at its end without overlap."""
    ends = sorted(ends, key=lambda end: end[1])
    low, high = axis.get_ylim()
    height = axis.bbox.height * 72 / axis.figure.dpi  # in points
    gap = 1.25 * plt.rcParams["font.size"] / height * (high - low)
    places: list[float] = []
    for _, value, _ in ends:
        places.append(max(value, places[-1] + gap) if places else value)
    shift = sum(place - end[1] for place, end in zip(places, ends, strict=True)) / max(len(ends), 1)
    style: dict[str, Any] = {"va": "center", "weight": "bold", "annotation_clip": False}
    for (name, _, colour), place in zip(ends, places, strict=True):
        at = (1.01, place - shift)
        axis.annotate(name, at, xycoords=("axes fraction", "data"), color=colour, **style)


def annotate(
    axis: Axes, text: str, place: tuple[Any, Any], offset: tuple[float, float], **style: Any
) -> None:
    """Write text ``offset`` points away from a place, readable across lines."""
    where: dict[str, Any] = {"xytext": offset, "textcoords": "offset points", "path_effects": HALO}
    axis.annotate(text, place, **where, **style)


def draw_bars(
    axis: Axes, xs: Iterable[float], accuracies: Iterable[Mapping[str, Any] | None], **look: Any
) -> None:
    """Draw proportions as bars with intervals and per cent; "not run" where there is none.

    Args:
        look: of the bars: ``color``, ``hatch``.
    """
    for x, accuracy in zip(xs, accuracies, strict=True):
        if accuracy is None or accuracy["value"] is None:
            axis.text(x, 0.02, "not run", rotation=90, ha="center", va="bottom", color=GREY)
            continue
        value = accuracy["value"]
        error = [[value - accuracy["low"]], [accuracy["high"] - value]]
        more: dict[str, Any] = {"yerr": error, "capsize": 3, "error_kw": {"elinewidth": 1.2}}
        axis.bar(x, value, 0.25, edgecolor="white", lw=0, **look, **more)
        style: dict[str, Any] = {"ha": "center", "path_effects": HALO, "zorder": 5}
        axis.text(x, accuracy["high"] + 0.015, f"{100 * value:.0f}", **style)


def save(figure: Figure, run_dir: str | Path, name: str, dpi: int = 150) -> Figure:
    """Save as ``<run_dir>/figures/<name>.png`` and, for print, ``<name>.svg``."""
    write(figure, Path(run_dir) / "figures" / f"{name}.png", dpi=dpi)
    return figure


def write(figure: Figure, path: str | Path, **style: Any) -> None:
    """Write a figure as PNG and, next to it, as SVG: the same bytes for the same figure.

    Args:
        path: of the PNG file.
        style: what matplotlib's ``savefig`` takes.
    """
    with atomic_path(path) as draft:
        figure.savefig(draft, format="png", **style)
    vector, told = Path(path).with_suffix(".svg"), {"Date": None, "Title": _words(figure)}
    layout = figure.get_layout_engine()
    figure.set_layout_engine("none")  # it is laid out already
    with plt.rc_context({"svg.hashsalt": "vtkit"}), atomic_path(vector) as draft:
        figure.savefig(draft, format="svg", metadata=told, **style)
    figure.set_layout_engine(layout)


def _words(figure: Figure) -> str:
    words = [axis.get_title(loc="left") for axis in figure.axes if axis.get_visible()]
    return "; ".join(filter(None, words)) or "figure"


def as_html(figure: Figure) -> str | None:
    """A figure as an element of HTML, drawn dark in a dark Jupyter; pictures keep their colours."""
    alt = escape(_words(figure))
    kind = "vt-pictures" if any(axis.images for axis in figure.axes) else "vt-figure"
    source = print_figure(figure, "png", base64=True)
    if source is None:  # it is empty
        return None
    return f'{_DARK}<img class="{kind}" alt="{alt}" src="data:image/png;base64,{source}">'


_DARK = (
    '<style>[data-jp-theme-light="false"] .vt-figure, .vscode-dark .vt-figure '
    "{ filter: invert(.93) hue-rotate(180deg) }</style>"
)
"""Turns white to nearly black, and keeps hues."""


def _show_themed() -> None:
    """Have notebooks show figures with :func:`as_html`, and no PNG with it."""
    if shell := get_ipython():
        InlineBackend.instance(parent=shell).figure_formats = set()
        shell.display_formatter.formatters["text/html"].for_type(Figure, as_html)


_show_themed()
