"""Twelve everyday objects, drawn with Pillow at four times their size, which smooths their edges.

Each has its own colour and outline, to differ at the 12 x 12 pixels that the model sees.
"""

from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

SUPERSAMPLING = 4
INK = (40, 36, 44)
_EDGE: dict[str, Any] = {"outline": INK, "width": 2 * SUPERSAMPLING}
_BROWN, _GREEN, _BLACK, _TEAL, _SILVER = (
    (134, 78, 38), (34, 150, 60), (38, 38, 46), (0, 168, 170), (150, 166, 178),
)  # fmt: skip
# Strokes from back to front: what, points on a board of 100 x 100, colour, and then the width of
# a line or ring, or the radius of a box's corners.
_STROKES: dict[str, list[tuple[Any, ...]]] = {
    "lamp": [
        ("line", (50, 50, 50, 88), INK, 7),
        ("box", (28, 84, 72, 94), (110, 90, 40), 4),
        ("shape", (32, 10, 68, 10, 88, 54, 12, 54), (255, 222, 60)),
    ],
    "chair": [
        ("box", (22, 6, 38, 94), _BROWN, 4),
        ("box", (22, 50, 80, 64), _BROWN, 4),
        ("box", (66, 60, 80, 94), _BROWN, 4),
        ("box", (30, 12, 44, 50), (170, 108, 60), 4),
    ],
    "ball": [
        ("disc", (10, 10, 90, 90), (226, 40, 48)),
        ("disc", (24, 20, 46, 42), (255, 150, 150)),
    ],
    "book": [
        ("box", (12, 18, 88, 84), (34, 78, 200), 4),
        ("line", (50, 20, 50, 82), (225, 232, 255), 6),
        ("line", (22, 36, 42, 36), (190, 205, 255), 4),
        ("line", (58, 36, 78, 36), (190, 205, 255), 4),
    ],
    "cup": [
        ("ring", (58, 30, 94, 68), (244, 244, 250), 9),
        ("box", (12, 18, 70, 86), (250, 250, 255), 10),
        ("line", (18, 34, 64, 34), (120, 190, 235), 8),
    ],
    "plant": [
        ("disc", (8, 26, 48, 60), _GREEN),
        ("disc", (52, 26, 92, 60), _GREEN),
        ("disc", (30, 4, 70, 50), (60, 180, 80)),
        ("shape", (28, 60, 72, 60, 64, 94, 36, 94), (190, 96, 60)),
    ],
    "clock": [
        ("disc", (8, 8, 92, 92), (136, 60, 180)),
        ("disc", (22, 22, 78, 78), (248, 240, 255)),
        ("line", (50, 52, 50, 30), INK, 6),
        ("line", (50, 52, 66, 58), INK, 6),
    ],
    "box": [
        ("box", (10, 28, 90, 90), (240, 146, 40), 2),
        ("shape", (10, 28, 28, 10, 72, 10, 90, 28), (255, 184, 96)),
        ("line", (50, 12, 50, 88), (190, 100, 20), 8),
    ],
    "hat": [
        ("box", (26, 16, 74, 70), _BLACK, 8),
        ("box", (4, 64, 96, 82), _BLACK, 8),
        ("line", (28, 58, 72, 58), (210, 40, 60), 9),
    ],
    "vase": [
        ("box", (34, 8, 66, 34), _TEAL, 4),
        ("disc", (16, 28, 84, 94), _TEAL),
        ("line", (22, 60, 78, 60), (200, 250, 250), 7),
    ],
    "car": [
        ("shape", (22, 44, 36, 22, 68, 22, 82, 44), (255, 196, 224)),
        ("box", (4, 42, 96, 74), (244, 110, 176), 10),
        ("disc", (14, 60, 40, 86), INK),
        ("disc", (60, 60, 86, 86), INK),
    ],
    "fish": [
        ("shape", (70, 50, 96, 24, 96, 76), _SILVER),
        ("disc", (4, 24, 78, 76), _SILVER),
        ("disc", (18, 38, 30, 50), (20, 20, 30)),
    ],
}
NAMES = tuple(_STROKES)


def plural(name: str) -> str:
    """Return ``lamps`` for ``lamp``, ``boxes`` for ``box``, ``fish`` for ``fish``."""
    return name if name == "fish" else name + ("es" if name.endswith("x") else "s")


@lru_cache(maxsize=256)
def sprite(name: str, size: int) -> Image.Image:
    """Draw an object with a soft shadow, as an RGBA picture of ``size`` x ``size`` pixels."""
    side = 100 * SUPERSAMPLING
    drawn = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(drawn)
    for stroke in _STROKES[name]:
        _draw_stroke(draw, *stroke)
    alpha = drawn.getchannel("A").filter(ImageFilter.GaussianBlur(5 * SUPERSAMPLING))
    shadow = Image.new("RGBA", drawn.size, (0, 0, 0, 0))
    offset = (3 * SUPERSAMPLING, 6 * SUPERSAMPLING)
    shadow.paste((0, 0, 0, 90), offset, alpha.point(lambda a: a * 90 // 255))
    whole = Image.alpha_composite(shadow, drawn)
    return whole.resize((size, size), Image.Resampling.LANCZOS)


def _draw_stroke(
    draw: ImageDraw.ImageDraw,
    kind: str,
    points: tuple[int, ...],
    colour: tuple[int, ...],
    size: int = 0,
) -> None:
    scaled, size = [value * SUPERSAMPLING for value in points], size * SUPERSAMPLING
    if kind == "line":
        draw.line(scaled, fill=colour, width=size, joint="curve")
    elif kind == "ring":
        draw.ellipse(scaled, outline=colour, width=size)
    elif kind == "box":
        draw.rounded_rectangle(scaled, size, fill=colour, **_EDGE)
    else:
        (draw.ellipse if kind == "disc" else draw.polygon)(scaled, fill=colour, **_EDGE)
