"""Scenes of the miniature world, and questions about them in the wording of SAT and CV-Bench.

A scene is a floor of 4 x 4 cells seen from the front: columns a to d from left to right, rows 1
(far) to 4 (near). Distance is counted in cells.
"""

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vtkit.data import cv_bench
from vtkit.mini.objects import NAMES, plural, sprite

CELLS = 4  # cells a side
SIDE = 256  # pixels a side of the stored picture
CELL = SIDE // CELLS
COOL, WARM = np.array([120.0, 170.0, 235.0]), np.array([250.0, 190.0, 110.0])
SHADES = (1.0, 0.97, 0.94, 0.91)
TASKS = ("Count", "Relation", "Depth", "Distance")
BOX_COLOURS = {"red": (255, 0, 0), "blue": (0, 60, 255), "green": (0, 200, 0)}
MAX_COUNT = 5


@dataclass(frozen=True)
class Thing:
    """One object: name, cell (column and row, 0 to 3), and shift off its centre in pixels."""

    name: str
    column: int
    row: int
    shift: tuple[int, int] = (0, 0)

    @property
    def cell(self) -> str:
        """Name of the cell, ``a1`` (far left) to ``d4`` (near right)."""
        return "abcd"[self.column] + str(self.row + 1)

    def steps_to(self, other: "Thing") -> int:
        """Return the distance in cells, along the axes."""
        return abs(self.column - other.column) + abs(self.row - other.row)


@dataclass(frozen=True)
class Scene:
    """Objects on a floor. ``repeated`` is the one kind of object that may occur more than once."""

    things: tuple[Thing, ...]
    repeated: str
    floor: int

    def named(self, name: str) -> list[Thing]:
        """List the objects called ``name``, in reading order (row by row, from left to right)."""
        return sorted((t for t in self.things if t.name == name), key=lambda t: (t.row, t.column))

    def singles(self) -> list[Thing]:
        """List the objects whose name is unique in the scene."""
        return [t for t in self.things if t.name != self.repeated]


@dataclass(frozen=True)
class Question:
    """A question about a scene; ``axis`` is ``"column"`` or ``"row"`` for Relation.

    ``things`` are in the question's order, ``choices`` in printed order.
    """

    task: str
    things: tuple[Thing, ...]
    choices: tuple[str, ...]
    answer: str
    axis: str = ""


def make_scene(rng: random.Random, limit: int = 8) -> Scene:
    """Put up to ``limit`` objects into cells: one kind up to 5 times, 3 to 5 others once."""
    copies = rng.randint(1, min(MAX_COUNT, max(1, limit - 3)))
    n_singles = rng.randint(min(3, limit - copies), min(5, limit - copies))
    kinds = rng.sample(NAMES, 1 + n_singles)
    names = [kinds[0]] * copies + kinds[1:]
    cells = rng.sample(range(CELLS * CELLS), len(names))
    things = [
        Thing(name, cell % CELLS, cell // CELLS, (rng.randint(-5, 5), rng.randint(-4, 4)))
        for name, cell in zip(names, cells, strict=True)
    ]
    return Scene(tuple(things), kinds[0], rng.randrange(len(SHADES)))


def ask(scene: Scene, task: str, rng: random.Random, n_choices: int = 5) -> Question | None:
    """Make a random question of one task, or None if the scene allows none.

    A Count question has ``n_choices`` choices, the others have two.
    """
    if task == "Count":
        return _ask_count(scene, rng, n_choices)
    asks = {"Relation": _ask_relation, "Depth": _ask_depth, "Distance": _ask_distance}
    singles, n = scene.singles(), 3 if task == "Distance" else 2
    if len(singles) < n:
        return None
    tries = (asks[task](tuple(rng.sample(singles, n)), rng) for _ in range(20))
    return next(filter(None, tries), None)


def _ask_count(scene: Scene, rng: random.Random, n_choices: int) -> Question:
    found = scene.named(scene.repeated)
    others = [str(n) for n in range(MAX_COUNT + 2) if n != len(found)]
    choices = [str(len(found)), *rng.sample(others, n_choices - 1)]
    rng.shuffle(choices)
    return Question("Count", tuple(found), tuple(choices), str(len(found)))


def _ask_relation(things: tuple[Thing, ...], rng: random.Random) -> Question | None:
    first, second = things
    axis = rng.choice(("column", "row"))
    if getattr(first, axis) == getattr(second, axis):
        return None
    words = ["left", "right"] if axis == "column" else ["above", "below"]
    answer = words[getattr(first, axis) > getattr(second, axis)]
    rng.shuffle(words)
    return Question("Relation", things, tuple(words), answer, axis)


def _ask_depth(things: tuple[Thing, ...], rng: random.Random) -> Question | None:
    first, second = things
    if first.row == second.row:
        return None
    return Question("Depth", things, _shuffled(things, rng), max(things, key=lambda t: t.row).name)


def _ask_distance(things: tuple[Thing, ...], rng: random.Random) -> Question | None:
    centre, *others = things
    steps = [centre.steps_to(t) for t in others]
    straight = [(t.column - centre.column) ** 2 + (t.row - centre.row) ** 2 for t in others]
    if steps[0] == steps[1] or (steps[0] < steps[1]) != (straight[0] < straight[1]):
        return None  # only questions on which both ways of measuring agree
    nearest = others[steps.index(min(steps))]
    return Question("Distance", things, _shuffled(others, rng), nearest.name)


def _shuffled(things: tuple[Thing, ...] | list[Thing], rng: random.Random) -> tuple[str, ...]:
    names = [t.name for t in things]
    rng.shuffle(names)
    return tuple(names)


def sat_question(question: Question) -> str:
    """Word the question as a SAT row has it, without its options."""
    names = [t.name for t in question.things]
    if question.task == "Count":
        return f"How many {plural(names[0])} are visible in the scene?"
    if question.task == "Relation":
        pair = "to the left or to the right of" if question.axis == "column" else "above or below"
        return f"Is the {names[0]} {pair} the {names[1]}?"
    if question.task == "Depth":
        return f"Which object is closer to the camera, the {names[0]} or the {names[1]}?"
    return f"Which object is closer to the {names[0]}, the {names[1]} or the {names[2]}?"


def cv_bench_question(question: Question) -> str:
    """Word the question as CV-Bench does, without its choices."""
    names = [t.name for t in question.things]
    if question.task == "Count":
        return f"How many {plural(names[0])} are in the image?"
    if question.task == "Relation":
        marked = f"the {names[0]} (annotated by the red box)"
        return (
            f"Considering the relative positions of {marked} and the {names[1]} in the image "
            f"provided, where is {marked} located with respect to the {names[1]}?"
        )
    if question.task == "Depth":
        return (
            f"Which object is closer to the camera taking this photo, the {names[0]} "
            f"(highlighted by a red box) or the {names[1]} (highlighted by a blue box)?"
        )
    return (
        "Estimate the real-world distances between objects in this image. "
        f"Which object is closer to the {names[0]} (highlighted by a red box), the {names[1]} "
        f"(highlighted by a blue box) or the {names[2]} (highlighted by a green box)?"
    )


def cv_bench_prompt(question: Question) -> str:
    """Return CV-Bench's ``prompt`` column: the question, then one lettered choice a line."""
    return cv_bench.cv_bench_prompt(cv_bench_question(question), question.choices)


def boxed(question: Question) -> dict[str, Thing]:
    """Return the objects that CV-Bench marks with a box, by the box's colour."""
    n_boxes = {"Count": 0, "Relation": 1, "Depth": 2, "Distance": 3}[question.task]
    return dict(zip(list(BOX_COLOURS)[:n_boxes], question.things, strict=False))


@lru_cache(maxsize=len(SHADES))
def floor(index: int) -> Image.Image:
    """Draw a tiled floor, cool at the left, warm at the right and darker towards the back.

    The light tells a network without absolute positions where on the floor a cell is.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    tiles = (np.mgrid[0:SIDE, 0:SIDE] // CELL).sum(axis=0) % 2
    colour = COOL + (WARM - COOL) * x[..., None]
    light = SHADES[index] * (0.42 + 0.58 * y[..., None]) * (1 - 0.04 * tiles[..., None])
    picture = Image.fromarray((colour * light).clip(0, 255).astype(np.uint8))
    return picture.filter(ImageFilter.GaussianBlur(1))


def thing_size(thing: Thing) -> int:
    """Return an object's pixels a side; far objects are smaller."""
    return 48 + 4 * thing.row


def thing_bounds(thing: Thing) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of an object in the stored picture, in pixels."""
    size = thing_size(thing)
    left = thing.column * CELL + (CELL - size) // 2 + thing.shift[0]
    top = thing.row * CELL + (CELL - size) // 2 + thing.shift[1]
    return left, top, left + size, top + size


def draw_scene(scene: Scene, boxes: dict[str, Thing] | None = None) -> Image.Image:
    """Draw the scene as a 256 x 256 RGB picture, with CV-Bench's coloured boxes if given."""
    picture = floor(scene.floor).copy()
    for thing in sorted(scene.things, key=lambda t: t.row):  # near objects cover far ones
        drawn = sprite(thing.name, thing_size(thing))
        picture.paste(drawn, thing_bounds(thing)[:2], drawn)
    draw = ImageDraw.Draw(picture)
    for colour, thing in (boxes or {}).items():
        draw.rectangle(thing_bounds(thing), outline=BOX_COLOURS[colour], width=3)
    return picture
