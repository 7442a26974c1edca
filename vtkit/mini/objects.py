"""Twelve everyday objects, drawn with Pillow.

Each has its own colour and outline, to differ at the 12 x 12 pixels that the model sees. Shapes are
drawn at four times the size and scaled down once, which smooths their edges.
"""

from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFilter

SUPERSAMPLING = 4
INK = (40, 36, 44)
_EDGE = {"outline": INK, "width": 2 * SUPERSAMPLING}


class Canvas:
    """A 100 x 100 drawing board; coordinates and widths are in percent of the object's size."""

    def __init__(self) -> None:
        side = 100 * SUPERSAMPLING
        self.image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)

    def box(self, *corners: float, fill: tuple, radius: float = 4) -> None:
        self._draw.rounded_rectangle(_scaled(corners), radius * SUPERSAMPLING, fill=fill, **_EDGE)

    def disc(self, *corners: float, fill: tuple) -> None:
        self._draw.ellipse(_scaled(corners), fill=fill, **_EDGE)

    def shape(self, *points: float, fill: tuple) -> None:
        self._draw.polygon(_scaled(points), fill=fill, **_EDGE)

    def line(self, *points: float, fill: tuple = INK, width: int = 5) -> None:
        self._draw.line(_scaled(points), fill=fill, width=width * SUPERSAMPLING, joint="curve")

    def ring(self, *corners: float, fill: tuple, width: int = 8) -> None:
        self._draw.ellipse(_scaled(corners), outline=fill, width=width * SUPERSAMPLING)


def _scaled(points: tuple[float, ...]) -> list[float]:
    return [value * SUPERSAMPLING for value in points]


def _lamp(c: Canvas) -> None:
    c.line(50, 50, 50, 88, width=7)
    c.box(28, 84, 72, 94, fill=(110, 90, 40))
    c.shape(32, 10, 68, 10, 88, 54, 12, 54, fill=(255, 222, 60))


def _chair(c: Canvas) -> None:
    brown = (134, 78, 38)
    c.box(22, 6, 38, 94, fill=brown)
    c.box(22, 50, 80, 64, fill=brown)
    c.box(66, 60, 80, 94, fill=brown)
    c.box(30, 12, 44, 50, fill=(170, 108, 60))


def _ball(c: Canvas) -> None:
    c.disc(10, 10, 90, 90, fill=(226, 40, 48))
    c.disc(24, 20, 46, 42, fill=(255, 150, 150))


def _book(c: Canvas) -> None:
    c.box(12, 18, 88, 84, fill=(34, 78, 200))
    c.line(50, 20, 50, 82, fill=(225, 232, 255), width=6)
    c.line(22, 36, 42, 36, fill=(190, 205, 255), width=4)
    c.line(58, 36, 78, 36, fill=(190, 205, 255), width=4)


def _cup(c: Canvas) -> None:
    c.ring(58, 30, 94, 68, fill=(244, 244, 250), width=9)
    c.box(12, 18, 70, 86, fill=(250, 250, 255), radius=10)
    c.line(18, 34, 64, 34, fill=(120, 190, 235), width=8)


def _plant(c: Canvas) -> None:
    green = (34, 150, 60)
    c.disc(8, 26, 48, 60, fill=green)
    c.disc(52, 26, 92, 60, fill=green)
    c.disc(30, 4, 70, 50, fill=(60, 180, 80))
    c.shape(28, 60, 72, 60, 64, 94, 36, 94, fill=(190, 96, 60))


def _clock(c: Canvas) -> None:
    c.disc(8, 8, 92, 92, fill=(136, 60, 180))
    c.disc(22, 22, 78, 78, fill=(248, 240, 255))
    c.line(50, 52, 50, 30, width=6)
    c.line(50, 52, 66, 58, width=6)


def _box(c: Canvas) -> None:
    c.box(10, 28, 90, 90, fill=(240, 146, 40), radius=2)
    c.shape(10, 28, 28, 10, 72, 10, 90, 28, fill=(255, 184, 96))
    c.line(50, 12, 50, 88, fill=(190, 100, 20), width=8)


def _hat(c: Canvas) -> None:
    c.box(26, 16, 74, 70, fill=(38, 38, 46), radius=8)
    c.box(4, 64, 96, 82, fill=(38, 38, 46), radius=8)
    c.line(28, 58, 72, 58, fill=(210, 40, 60), width=9)


def _vase(c: Canvas) -> None:
    teal = (0, 168, 170)
    c.box(34, 8, 66, 34, fill=teal)
    c.disc(16, 28, 84, 94, fill=teal)
    c.line(22, 60, 78, 60, fill=(200, 250, 250), width=7)


def _car(c: Canvas) -> None:
    pink = (244, 110, 176)
    c.shape(22, 44, 36, 22, 68, 22, 82, 44, fill=(255, 196, 224))
    c.box(4, 42, 96, 74, fill=pink, radius=10)
    c.disc(14, 60, 40, 86, fill=INK)
    c.disc(60, 60, 86, 86, fill=INK)


def _fish(c: Canvas) -> None:
    silver = (150, 166, 178)
    c.shape(70, 50, 96, 24, 96, 76, fill=silver)
    c.disc(4, 24, 78, 76, fill=silver)
    c.disc(18, 38, 30, 50, fill=(20, 20, 30))


_DRAW: dict[str, Callable[[Canvas], None]] = {
    "lamp": _lamp, "chair": _chair, "ball": _ball, "book": _book, "cup": _cup, "plant": _plant,
    "clock": _clock, "box": _box, "hat": _hat, "vase": _vase, "car": _car, "fish": _fish,
}  # fmt: skip
NAMES = tuple(_DRAW)


def plural(name: str) -> str:
    """``lamp`` -> ``lamps``, ``box`` -> ``boxes``; ``fish`` stays."""
    return name if name == "fish" else name + ("es" if name.endswith("x") else "s")


@lru_cache(maxsize=256)
def sprite(name: str, size: int) -> Image.Image:
    """The object ``name`` with a soft shadow, as an RGBA picture of ``size`` x ``size`` pixels."""
    canvas = Canvas()
    _DRAW[name](canvas)
    alpha = canvas.image.getchannel("A").filter(ImageFilter.GaussianBlur(5 * SUPERSAMPLING))
    shadow = Image.new("RGBA", canvas.image.size, (0, 0, 0, 0))
    offset = (3 * SUPERSAMPLING, 6 * SUPERSAMPLING)
    shadow.paste((0, 0, 0, 90), offset, alpha.point(lambda a: a * 90 // 255))
    drawn = Image.alpha_composite(shadow, canvas.image)
    return drawn.resize((size, size), Image.Resampling.LANCZOS)
