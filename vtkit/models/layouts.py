"""How pictures become tokens: a grid of patches, tiles of one size, or one square.

    Tiles.limit(image_processor, 3136, 1_048_576)         # before it is used
    Tiles.of(processor).tokens(height=480, width=640)     # of one picture, marks not counted

A size in pixels is width x height after resizing. Measured counts: tests/families/.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from vtkit.errors import UserError


@dataclass(frozen=True)
class Tower:
    """Sizes of a vision tower.

    Attributes:
        width: of the residual stream; inner: of an MLP.
        patch: numbers in a patch; patch_pixels: its side in pixels.
        merge: side, in patches, of the square that becomes one token.
        side: of a tile or a square in pixels; 0 where pictures keep their shape.
    """

    layers: int
    width: int
    inner: int
    heads: int
    patch: int
    patch_pixels: int
    merge: int
    side: int = 0

    @property
    def square(self) -> int:
        """Tokens of a tile or a square."""
        return (self.side // (self.patch_pixels * self.merge)) ** 2


@dataclass(frozen=True)
class Grid:
    """Pictures keep their shape, and have as many patches as pixels allow.

    A model gets the patches of all pictures end to end, and the grid of each.

    Attributes:
        stacked: patches come end to end; apart: what is made of a picture depends on it alone.
    """

    stacked: ClassVar[bool] = True
    apart: ClassVar[bool] = True
    token_side: int  # pixels
    least: int
    most: int

    @staticmethod
    def limit(tool: Any, least: int | None, most: int | None) -> None:
        """Set an image processor's limits in pixels; None: as they are."""
        tool.size = {
            "shortest_edge": least or tool.size["shortest_edge"],
            "longest_edge": most or tool.size["longest_edge"],
        }

    @classmethod
    def of(cls, processor: Any) -> "Grid":
        """The layout of a processor."""
        tool = processor.image_processor
        side = tool.patch_size * tool.merge_size
        return cls(side, tool.size["shortest_edge"], tool.size["longest_edge"])

    @classmethod
    def within(cls, tower: Tower, least: int, most: int) -> "Grid":
        """The layout of a tower under limits in pixels."""
        return cls(tower.patch_pixels * tower.merge, least, most)

    def tokens(self, height: int, width: int) -> int:
        """Tokens of a picture; a ValueError if one side is more than 200 times the other."""
        high, wide = self.resized(height, width)
        return (high // self.token_side) * (wide // self.token_side)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the model sees a picture."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        limits = {"min_pixels": self.least, "max_pixels": self.most}
        return smart_resize(height, width, self.token_side, **limits)

    @property
    def largest(self) -> int:
        """Tokens of the largest picture. One whose sides' ratio is above this number has more: the
        shorter side is never less than a token's."""
        return max(1, self.most // self.token_side**2)


@dataclass(frozen=True)
class Tiles:
    """Pictures are enlarged or shrunk to a longest side, and cut into tiles of one size.

    One more tile shows the whole picture, alone where it is the only one. A model gets the tiles of
    each prompt, filled up to those of the prompt that has most.
    """

    stacked: ClassVar[bool] = False
    apart: ClassVar[bool] = False
    tile: int  # pixels of a side
    longest: int  # pixels of the longest side
    each: int  # tokens of a tile

    @staticmethod
    def limit(tool: Any, least: int | None, most: int | None) -> None:
        """Set the longest side: so many tiles that a square of them has at most ``most`` pixels.

        There is no lower limit: small pictures are enlarged too.
        """
        if most:
            tool.size = {"longest_edge": _longest(tool.max_image_size["longest_edge"], most)}

    @classmethod
    def of(cls, processor: Any) -> "Tiles":
        """The layout of a processor."""
        tool = processor.image_processor
        tile = tool.max_image_size["longest_edge"]
        longest = tool.size["longest_edge"] if tool.do_image_splitting else tile
        return cls(tile, longest, processor.picture_length)

    @classmethod
    def within(cls, tower: Tower, least: int, most: int) -> "Tiles":
        """The layout of a tower under limits in pixels."""
        return cls(tower.side, _longest(tower.side, most), tower.square)

    def tokens(self, height: int, width: int) -> int:
        """Tokens of a picture, without the marks between its tiles."""
        ratio = width / height
        shorter = int(self.longest / ratio if ratio >= 1 else self.longest * ratio)
        shorter += shorter % 2  # as the library does
        tiles = math.ceil(self.longest / self.tile) * max(1, math.ceil(shorter / self.tile))
        return (tiles + (tiles > 1)) * self.each

    @property
    def largest(self) -> int:
        """Tokens of the largest picture, a square."""
        return self.tokens(1, 1)


def _longest(tile: int, most: int) -> int:
    return tile * max(1, math.isqrt(most) // tile)


@dataclass(frozen=True)
class Square:
    """Every picture is stretched or shrunk to one square."""

    stacked: ClassVar[bool] = False
    apart: ClassVar[bool] = True
    each: int  # tokens

    @staticmethod
    def limit(tool: Any, least: int | None, most: int | None) -> None:
        """Refuse limits in pixels that the square is not within."""
        pixels = tool.size["height"] * tool.size["width"]
        if most and pixels > most:
            raise UserError(
                f"parameters: max_pixels: this model makes every picture {tool.size['width']} x "
                f"{tool.size['height']}; set max_pixels to {pixels} or more"
            )

    @classmethod
    def of(cls, processor: Any) -> "Square":
        """The layout of a processor."""
        return cls(processor.picture_length)

    @classmethod
    def within(cls, tower: Tower, least: int, most: int) -> "Square":
        """The layout of a tower; limits change nothing."""
        return cls(tower.square)

    def tokens(self, height: int, width: int) -> int:
        """Tokens of a picture."""
        return self.each

    @property
    def largest(self) -> int:
        """Tokens of the largest picture."""
        return self.each
