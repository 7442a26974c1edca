"""Geometry figures of the miniature world: two rods that enclose an angle, or two to measure.

They are on the scenes' floor, and thick enough for the 64 x 64 pixels that the model sees.
"""

import math
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw

from vtkit.mini.scenes import CELL, CELLS, SHADES, SIDE, floor

COLOURS = {"red": (222, 24, 36), "blue": (20, 50, 190)}
OUTLINE, LINES = (250, 250, 250), (255, 255, 255, 70)
ANGLES = (45, 90, 135, 180)
DIRECTIONS = ("right", "up right", "up", "up left", "left", "down left", "down", "down right")
MARGIN = 14  # pixels that the rods of an angle keep from the border
REACHES = (72, 104)  # lengths, in pixels, of the rods that enclose an angle
OFFSETS = (-12, -6, 0, 6, 12)  # pixels from the middle of a row of cells
WIDTH, GAP = 18, 5  # of a rod; between its ends and the lines that it is measured by
KINDS = ("angle", "lengths")
HELD_OUT = 6  # one figure in six is in test files only
Point = tuple[int, int]


@dataclass(frozen=True)
class Rod:
    """A straight rod from ``start`` to ``end``, pixels of the stored picture."""

    colour: str
    start: Point
    end: Point

    @property
    def direction(self) -> str:
        """Its direction from its start, one of :data:`DIRECTIONS`."""
        turn = math.atan2(self.start[1] - self.end[1], self.end[0] - self.start[0])
        return DIRECTIONS[round(turn / (math.pi / 4)) % len(DIRECTIONS)]

    @property
    def length(self) -> int:
        """In squares of the floor, for rods that run along a row or column."""
        return round(math.dist(self.start, self.end) / CELL)


@dataclass(frozen=True)
class Figure:
    """A red and a blue rod on a floor; ``kind`` is one of :data:`KINDS`."""

    kind: str
    rods: tuple[Rod, Rod]
    floor: int

    @property
    def angle(self) -> int:
        """Between the rods, in degrees, 0 to 180."""
        first, second = (DIRECTIONS.index(rod.direction) for rod in self.rods)
        turns = abs(first - second)
        return 45 * min(turns, len(DIRECTIONS) - turns)

    @property
    def held_out(self) -> bool:
        """True if only test files may ask about it; a hash of the rods decides."""
        return zlib.crc32(repr(self.rods).encode()) % HELD_OUT == 0

    def draw(self) -> Image.Image:
        """Draw the figure, 256 x 256 RGB."""
        picture = floor(self.floor).copy()
        draw = ImageDraw.Draw(picture, "RGBA")
        for at in range(CELL, SIDE, CELL):
            draw.line((at, 0, at, SIDE), fill=LINES)
            draw.line((0, at, SIDE, at), fill=LINES)
        for rod in self.rods:
            draw.line((*rod.start, *rod.end), fill=OUTLINE, width=WIDTH + 4)
            draw.line((*rod.start, *rod.end), fill=COLOURS[rod.colour], width=WIDTH)
        if self.kind == "angle":
            x, y = self.rods[0].start
            draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill=(20, 20, 20), outline=OUTLINE)
        return picture


def make_figure(kind: str, rng: random.Random, *, held_out: bool = False) -> Figure:
    """Make a figure, uniform over angles or pairs of lengths; ``held_out``: for test files."""
    makers: dict[str, Callable[..., tuple[Rod, Rod] | None]]
    makers = {"angle": _make_angle, "lengths": _make_lengths}
    wanted = rng.choice(ANGLES) if kind == "angle" else (rng.randint(1, 4), rng.randint(1, 4))
    while True:
        rods = makers[kind](wanted, rng)
        figure = rods and Figure(kind, rods, rng.randrange(len(SHADES)))
        if figure and figure.held_out == held_out:
            return figure


def _make_angle(angle: int, rng: random.Random) -> tuple[Rod, Rod] | None:
    """The red rod lies flat, as textbooks draw an angle's first side, and the blue one rises."""
    vertex = rng.randrange(SIDE), rng.randrange(SIDE)
    half_turn = len(DIRECTIONS) // 2
    first, second = rng.choice(((0, angle // 45), (half_turn, half_turn - angle // 45)))
    ends = [_end(vertex, way, rng.choice(REACHES)) for way in (first, second)]
    if not all(MARGIN <= value <= SIDE - MARGIN for end in ends for value in end):
        return None
    red, blue = (Rod(colour, vertex, end) for colour, end in zip(COLOURS, ends, strict=True))
    return red, blue


def _end(vertex: Point, way: int, reach: int) -> Point:
    turn = way * math.pi / 4
    return vertex[0] + round(reach * math.cos(turn)), vertex[1] - round(reach * math.sin(turn))


def _make_lengths(lengths: tuple[int, int], rng: random.Random) -> tuple[Rod, Rod] | None:
    taken: set[Point] = set()
    rods = []
    for colour, length in zip(COLOURS, lengths, strict=True):
        first, across = rng.randint(0, CELLS - length), rng.randrange(CELLS)
        upright = rng.random() < 0.5
        cells = {(across, at) if upright else (at, across) for at in range(first, first + length)}
        if cells & taken:
            return None
        taken |= cells
        middle = across * CELL + CELL // 2 + rng.choice(OFFSETS)
        ends = [(first * CELL + GAP, middle), ((first + length) * CELL - GAP, middle)]
        start, end = [point[::-1] for point in ends] if upright else ends
        rods.append(Rod(colour, start, end))
    return rods[0], rods[1]
