"""Write text for people: tables in plain text and Markdown, and templates of pages and cards.

templates(Path(__file__).with_name("templates")).get_template("card.md").render(card=card)
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vtkit.errors import printable
from vtkit.stats import percent


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, which its cells may hold; names from data go through :func:`plain`."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(printable, line))} |" for line in lines)


def plain(text: str) -> str:
    """Text that Markdown, HTML in it and mathematics leave as it is."""
    return re.sub(r"([\\`*_\[\]<>|#$~!&])", r"\\\1", printable(text))


def align(rows: Sequence[Sequence[str]]) -> str:
    """Rows as plain text in columns, for a terminal."""
    rows = [[*map(printable, row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(padded)


def templates(
    folder: Path, *, html: bool = False, show: Callable[[Any], Any] | None = None
) -> Environment:
    """The templates of a folder, with filters; a variable that is missing is an error.

    Args:
        html: escape every value that is not markup; ``show`` is called with it before.
    """
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=html,
        finalize=show,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": format, "percent": percent, "plain": plain, "repr": repr}
    return environment
