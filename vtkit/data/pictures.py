"""Controls that blank or shuffle pictures: is an answer read off the picture, or guessed?"""

import io
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from datasets import Dataset, List
from datasets.fingerprint import generate_random_fingerprint
from PIL import Image

from vtkit.data.picture_files import Picture, UnreadablePicture, opened
from vtkit.errors import UserError

GREY = (128, 128, 128)
_AT_ONCE = 32  # rows whose encoded pictures are held in memory


def replaced(dataset: Dataset, pictures: str, seed: int) -> Dataset:
    """Return the same rows with other pictures in their column ``images`` or ``image``.

    Args:
        pictures: ``original``; ``blank``, a grey picture of the same size; ``shuffled``, another
            row's, by a seeded permutation that leaves none where it was.

    Raises:
        UserError: the rows have no pictures, or there is only one to shuffle.
    """
    if pictures == "original":
        return dataset
    column = next((name for name in ("images", "image") if name in dataset.column_names), None)
    if column is None:
        raise UserError(f"pictures: the data have none to be {pictures}; set it to original")
    cells = list(encoded_images(dataset))
    if pictures == "blank":
        with naming_rows(dataset):
            cells = [[_blank(cell) for cell in row] for row in cells]
    else:
        if len(cells) < 2:
            raise UserError("pictures: one row cannot have another's picture; read more rows")
        cells = [cells[source] for source in _derangement(len(cells), seed)]
    # Left out, the fingerprint is a hash that pickles all pictures.
    return dataset.remove_columns(column).add_column(
        column,
        cells if column == "images" else [cell for (cell,) in cells],
        new_fingerprint=generate_random_fingerprint(),
        feature=dataset.features[column],
    )


def _derangement(n: int, seed: int) -> Sequence[int]:
    """Number of the row whose picture each row gets: a random cycle, so none keeps its own."""
    order = list(range(n))
    random.Random(f"{seed}-pictures").shuffle(order)
    source_of = dict(zip(order, order[-1:] + order[:-1], strict=True))
    return [source_of[row] for row in range(n)]


def _blank(cell: dict[str, Any]) -> dict[str, Any]:
    with opened(cell) as picture:
        return {"bytes": _grey(picture.size), "path": None}


@lru_cache
def _grey(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, GREY).save(buffer, "PNG")
    return buffer.getvalue()


def encoded_images(dataset: Dataset) -> Iterator[list[dict[str, Any]]]:
    """Yield the pictures of each row as stored: ``{"bytes", "path"}``, one of them None."""
    encoded: Any = Picture(decode=False)
    column = next((name for name in ("images", "image") if name in dataset.column_names), None)
    if column is None:
        yield from ([] for _ in range(len(dataset)))
        return
    kind = List(encoded) if column == "images" else encoded
    for rows in dataset.select_columns(column).cast_column(column, kind).iter(_AT_ONCE):
        yield from (cells if column == "images" else [cells] for cells in rows[column])


@contextmanager
def naming_rows(dataset: Dataset) -> Iterator[None]:
    """Name the row of a picture that cannot be decoded in the block: a file that went, a bad disk.

    Raises:
        UserError: for a :class:`vtkit.data.picture_files.UnreadablePicture`.
    """
    try:
        yield
    except UnreadablePicture as error:
        row = next(n for n, cells in enumerate(encoded_images(dataset)) if error.cell in cells)
        name = next((name for name in ("idx", "id") if name in dataset.column_names), "row")
        number = row if name == "row" else dataset[name][row]
        where = f"{dataset.info.dataset_name or 'the data'}: {name} {number}"
        picture = error.cell["path"] or "its picture"
        raise UserError(
            f"{where}: {picture} cannot be decoded ({error.reason}); restore the file, or leave "
            "the row out"
        ) from error
