"""Pictures: what is refused before a run begins, and how the rest is decoded, in one place.

Whole JPEG and PNG files are told by their structure, which costs little; others are decoded. What
the structure cannot show (bytes changed inside a JPEG, a PNG whose sums are right and whose data
are not) is met when the row is used: :func:`vtkit.data.pictures.naming_rows` names it then.
"""

import io
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import datasets
import numpy as np
from datasets.features.features import register_feature
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from vtkit.errors import UserError, first_line

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is read. Pillow knows more, and starts another program for one of them (EPS)."""
MOST_UNEVEN = 200
"""Times that a side may be as long as the other: Qwen2-VL's processor refuses more."""
MOST_PIXELS = 1 << 26
"""Of a picture: 67 million; few cameras make more. Decoded they are 200 MB, at every use."""
_LEVELS = 257  # of 16 bits to one of 8: 65535 becomes 255

# Pillow warns of pictures that are refused here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class UnreadablePicture(UserError):
    """A picture, ``cell`` as it is stored, that a loader took and that cannot be decoded now."""

    def __init__(self, cell: Mapping[str, Any], error: Exception):
        self.cell, self.reason = cell, first_line(error)
        super().__init__(f"{cell['path'] or 'a picture'}: cannot be decoded ({self.reason})")


@dataclass
class Picture(datasets.Image):
    """A column of pictures that are decoded by :func:`decoded` when a row is used."""

    _type: str = field(default="Picture", init=False, repr=False)
    _last: ClassVar[tuple[Any, Any]] = None, None

    def decode_example(self, value: Any, token_per_repo_id: Any = None) -> Image.Image:
        # datasets 5.2 decodes the first picture of a list to see whether anything changes, and then
        # again (features.decode_nested_example).
        before, picture = Picture._last
        if value is not before:
            picture = decoded(value) if isinstance(value, dict) else value
            Picture._last = value, picture
        return picture


with warnings.catch_warnings(action="ignore"):  # of an experiment, as the library calls it
    # Else a column that is cast comes back as the library's Image.
    register_feature(Picture, "Picture")


def picture_flaw(encoded: bytes, *, thorough: bool = False) -> str | None:
    """Why a picture cannot be used, such as "is a damaged picture (…)"; None if nothing is seen.

    Args:
        thorough: decode it, whatever it looks like; takes 30 to 70 times as long.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as picture:
            if flaw := size_flaw(picture.size):
                return flaw
            if thorough or not _looks_whole(encoded, picture.format):
                picture.load()
    except UnidentifiedImageError:
        return f"is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture"
    except Image.DecompressionBombError:
        return f"has more than {MOST_PIXELS:,} pixels"
    except Exception as error:  # damaged pictures end in errors of all kinds
        return f"is a damaged picture ({first_line(error)})"
    return None


def size_flaw(size: tuple[int, int]) -> str | None:
    """Why a picture of this width and height in pixels cannot be used; None if it can."""
    width, height = size
    if width * height > MOST_PIXELS:
        return f"is {width} x {height}, more than {MOST_PIXELS:,} pixels"
    if not 0 < max(size) <= MOST_UNEVEN * min(size):
        return f"is {width} x {height}; one side may be {MOST_UNEVEN} times the other"
    return None


def _looks_whole(encoded: bytes, kind: str | None) -> bool:
    if kind == "PNG":
        return _is_whole_png(encoded)
    return kind in ("JPEG", "MPO") and encoded.endswith(b"\xff\xd9")


def _is_whole_png(encoded: bytes) -> bool:
    """Tell whether chunks with the right check sums, some of them data, lead to the last one."""
    view, place, data = memoryview(encoded), 8, False
    while place + 12 <= len(view):
        length, kind = int.from_bytes(view[place : place + 4]), bytes(view[place + 4 : place + 8])
        end = place + 8 + length
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4]):
            return False
        if kind == b"IEND":
            return data
        data |= kind == b"IDAT"
        place = end + 4
    return False


@contextmanager
def opened(cell: Mapping[str, Any]) -> Iterator[Image.Image]:
    """Open a picture as it is stored, ``{"bytes", "path"}``; only its header is read.

    Raises:
        UnreadablePicture: it cannot be opened, or not be decoded in the block.
    """
    try:
        source = io.BytesIO(cell["bytes"]) if cell["bytes"] else cell["path"]
        with Image.open(source, formats=FORMATS) as picture:
            yield picture
    except Exception as error:  # damaged pictures end in errors of all kinds
        raise UnreadablePicture(cell, error) from error


def decoded(cell: Mapping[str, Any]) -> Image.Image:
    """Decode a picture as it is stored, upright, opaque, in 8 bits; raises as :func:`opened`."""
    with opened(cell) as picture:
        picture.load()
        if picture.getexif().get(ExifTags.Base.Orientation) is not None:
            picture = ImageOps.exif_transpose(picture)
        return eight_bit(opaque(picture))


def opaque(picture: Image.Image) -> Image.Image:
    """Put a transparent picture on white, as a page shows it; others stay as they are.

    Each reader has its own way: transformers 5.23 and vLLM put it on white, transformers 5.17
    drops its alpha, which mostly leaves black.
    """
    if not picture.has_transparency_data:
        return picture
    layer = picture.convert("RGBA")
    page = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(page, layer).convert("RGB")


def eight_bit(picture: Image.Image) -> Image.Image:
    """Scale a picture of more than 8 bits a channel to grey of 8 bits; others stay as they are.

    16 bits: by their whole range, 65535 becomes white. Floats between 0 and 1: 1 becomes white.
    Other floats and 32 bits have no range of their own: from the darkest to the brightest pixel.
    """
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture).astype(np.float64)
    if picture.mode.startswith("I;16"):
        shades = values / _LEVELS
    else:
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        if picture.mode == "F" and 0 <= low and high <= 1:
            low, high = 0.0, 1.0
        shades = (values - low) / (high - low or 1.0) * 255
    return Image.fromarray(np.nan_to_num(shades).clip(0, 255).round().astype(np.uint8))
