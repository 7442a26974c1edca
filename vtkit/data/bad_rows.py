"""Rows that are skipped while a data set is read: counted, named, refused above 1 %."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from datasets import Dataset

from vtkit.errors import UserError

logger = logging.getLogger(__name__)
MOST_BAD = 0.01
"""Largest share of bad rows that is skipped; more means that the file is wrong."""
MOST_TEXT = 8_000
"""Characters of a question with its options, or of an answer: at worst as many tokens, for which
memory grows with every completion. SAT's longest have a few hundred."""


class BadRow(NamedTuple):
    """A row that cannot be used; ``file`` is its file's name if the data set has several."""

    row: int
    column: str
    what: str
    file: str = ""

    def __str__(self) -> str:
        place = f"row {self.row} of {self.file}" if self.file else f"row {self.row}"
        return f"column {self.column!r}, {place} {self.what}"


def text_flaw(*texts: str) -> str | None:
    """Why texts that are asked or judged together are too long; None if they are not."""
    if (n := sum(map(len, texts))) > MOST_TEXT:
        return f"has {n:,} characters, more than {MOST_TEXT:,}"
    return None


@dataclass
class BadRows:
    """The rows of a data set (``path``: file, or folder of several) that were not taken.

    ``looked`` counts rows whose content was checked; those of ``other_types`` and those with more
    than ``max_images`` pictures (0: any number) are left out before.
    """

    path: Path
    max_images: int = 0
    looked: int = 0
    other_types: int = 0
    many_images: int = 0
    bad: list[BadRow] = field(default_factory=list)

    def check(self) -> None:
        """Refuse more bad rows than ``MOST_BAD``; the UserError names the first of them."""
        if len(self.bad) > MOST_BAD * self.looked:
            raise UserError(
                f"{self.path}: {len(self.bad):,} of {self.looked:,} rows looked at are bad, more "
                f"than the {MOST_BAD:.0%} that are skipped: {self._named()}; fix these rows, or "
                "fetch the file again"
            )

    def describe(self, dataset: Dataset) -> None:
        """Write the dataset's name and description; log this, as a warning if rows are bad."""
        dataset.info.dataset_name = str(self.path)
        what = f"{len(dataset)} rows of {self.path.name}"
        dataset.info.description = ", ".join(filter(None, (what, self.left_out())))
        logger.log(logging.WARNING if self.bad else logging.INFO, dataset.info.description)

    def left_out(self) -> str:
        """One phrase, such as "120 multi-image rows skipped, 3 of other types"."""
        parts = []
        if self.max_images == 1:
            parts.append(f"{self.many_images} multi-image rows skipped")
        elif self.max_images:
            parts.append(f"{self.many_images} rows of over {self.max_images} images skipped")
        if self.other_types:
            parts.append(f"{self.other_types} of other types")
        if self.bad:
            parts.append(f"{len(self.bad)} of {self.looked} bad: {self._named()}")
        return ", ".join(parts)

    def _named(self) -> str:
        """The first bad rows, each with its column and reason."""
        shown = list(map(str, self.bad[:3]))
        more = len(self.bad) - len(shown)
        return "; ".join(shown) + (f"; and {more:,} more" if more else "")
