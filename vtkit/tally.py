"""What was left out while a file was read, and why: counted, named, and refused if it is too much.

One bad row in a hundred thousand is no reason to lose an hour; many are no data set.
"""

from dataclasses import dataclass, field
from pathlib import Path

from vtkit.errors import UserError

MOST_BAD = 0.01
"""Share of the rows looked at that may be bad."""
_NAMED = 3


@dataclass
class Tally:
    """The rows of a file that were not taken.

    Attributes:
        path: the file.
        max_images: rows with more pictures are not taken.
        looked: rows whose content was checked: those of a wanted type and number of pictures.
        other_types, many_images: rows left out without a look at their content.
        bad: (row number, column, what is wrong with it) of each row that cannot be used.
    """

    path: Path
    max_images: int = 1
    looked: int = 0
    other_types: int = 0
    many_images: int = 0
    bad: list[tuple[int, str, str]] = field(default_factory=list)

    def check(self) -> None:
        """Refuse a file that has more than a few bad rows.

        Raises:
            UserError: more than 1 % of the rows looked at are bad; names the first of them.
        """
        if len(self.bad) > MOST_BAD * self.looked:
            raise UserError(
                f"{self.path}: {len(self.bad):,} of {self.looked:,} rows looked at are bad, more "
                f"than the {MOST_BAD:.0%} that are skipped: {self._named()}; mend these rows, or "
                "fetch the file again"
            )

    def left_out(self) -> str:
        """One phrase, such as "120 multi-image rows skipped, 3 of other types"."""
        many = (
            "multi-image rows" if self.max_images == 1 else f"rows of over {self.max_images} images"
        )
        parts = [f"{self.many_images} {many} skipped"]
        if self.other_types:
            parts.append(f"{self.other_types} of other types")
        if self.bad:
            parts.append(f"{len(self.bad)} of {self.looked} bad: {self._named()}")
        return ", ".join(parts)

    def _named(self) -> str:
        """The first bad rows, each with its column and reason."""
        shown = [f"column {column!r}, row {row} {what}" for row, column, what in self.bad[:_NAMED]]
        more = len(self.bad) - len(shown)
        return "; ".join(shown) + (f"; and {more:,} more" if more else "")
