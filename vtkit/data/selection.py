"""The rule by which a run chooses rows of SAT."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from vtkit.config.run_config import SAMPLES, STATIC, SUBSETS
from vtkit.errors import UserError, suggest


@dataclass(frozen=True)
class Selection:
    """A choice of rows. The defaults are the original's: static questions on one picture.

    ``dynamic`` questions have something that moves, the camera or an object. ``types`` are values
    of ``question_type``, empty for all; rows with more than ``max_images`` pictures are skipped;
    ``rows`` is 0 for all.

    Raises:
        UserError: a value that does not exist, or ``types`` of which the subset has none.
    """

    subset: str = "static"
    types: Sequence[str] = ()
    max_images: int = 1
    sample: str = "first"
    rows: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for field, value, known in (
            ("train_subset", self.subset, SUBSETS),
            ("train_sample", self.sample, SAMPLES),
        ):
            if value not in known:
                raise UserError(f"{field}: no '{value}'{suggest(str(value), known)}")
        if self.rows < 0:
            raise UserError(f"cannot read {self.rows} rows; give a positive number, or 0 for all")
        if self.max_images < 1:
            raise UserError(f"max_images: {self.max_images}: training needs a picture; at least 1")
        if self.types and not any(self._in_subset(kind) for kind in self.types):
            raise UserError(
                f"train_types: no {self.subset} question is of type {self._types()}; "
                "set train_subset to all"
            )

    def admits(self, kind: str | None) -> bool:
        """Tell whether questions of this ``question_type`` are wanted."""
        return self._in_subset(kind) and (not self.types or kind in self.types)

    def _in_subset(self, kind: str | None) -> bool:
        return self.subset == "all" or (kind == STATIC) == (self.subset == "static")

    def draw(self, usable: Sequence[int]) -> list[int]:
        """Draw random rows among the ``usable`` row numbers, in file order.

        With the same seed a larger sample contains the smaller one.
        """
        order = list(usable)
        random.Random(f"rows-{self.seed}").shuffle(order)
        return sorted(order[: self.rows or None])

    def __str__(self) -> str:
        """Its name in errors: "single-image rows", "dynamic rows with up to 2 pictures"."""
        words = ["dynamic"] if self.subset == "dynamic" else []
        words += ["single-image rows"] if self.max_images == 1 else ["rows"]
        words += [f"with up to {self.max_images} pictures"] if self.max_images > 1 else []
        words += [f"of type {self._types()}"] if self.types else []
        return " ".join(words)

    def _types(self) -> str:
        return ", ".join(map(str, self.types))
