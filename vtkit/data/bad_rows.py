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
_NAMED = 3


class BadRow(NamedTuple):
    """A row that cannot be used.

    row: its number in the file. file: that file's name if the data set has several.
    """

    row: int
    column: str
    what: str
    file: str = ""

    def __str__(self) -> str:
        place = f"row {self.row} of {self.file}" if self.file else f"row {self.row}"
        return f"column {self.column!r}, {place} {self.what}"


@dataclass
class BadRows:
    """The rows of a data set that were not taken.

    Attributes:
        path: the file, or the folder of several.
        max_images: rows with more pictures are not taken; 0 if rows are not chosen by that.
        looked: rows whose content was checked: those of a wanted type and number of pictures.
        other_types, many_images: rows left out without a look at their content.
        bad: each row that cannot be used.
    """

    path: Path
    max_images: int = 0
    looked: int = 0
    other_types: int = 0
    many_images: int = 0
    bad: list[BadRow] = field(default_factory=list)

    def check(self) -> None:
        """Raise a UserError that names the first bad rows if more than ``MOST_BAD`` are bad."""
        if len(self.bad) > MOST_BAD * self.looked:
            raise UserError(
                f"{self.path}: {len(self.bad):,} of {self.looked:,} rows looked at are bad, more "
                f"than the {MOST_BAD:.0%} that are skipped: {self._named()}; fix these rows, or "
                "fetch the file again"
            )

    def describe(self, dataset: Dataset) -> None:
        """Write the dataset's description and log it, as a warning if rows are bad."""
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
        shown = list(map(str, self.bad[:_NAMED]))
        more = len(self.bad) - len(shown)
        return "; ".join(shown) + (f"; and {more:,} more" if more else "")
