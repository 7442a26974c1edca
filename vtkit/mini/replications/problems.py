"""Problems of the miniature world in the words of the other replications' data sets.

* ``r1-v`` counts objects, as CLEVR-70k does (leonardPKU/clevr_cogen_a_train): open questions;
* ``journey`` reads angles and lengths off figures, in Geo170K's words, with lettered choices;
* ``open-r1-multimodal`` is mixed mathematics (lmms-lab/multimodal-open-r1-8k-verified, GPT-4o's
  words for problems of Math360K and Geo170K): sums on counted objects, open, and figures, lettered.
"""

import random
from dataclasses import dataclass

from PIL import Image

from vtkit.mini.objects import plural
from vtkit.mini.replications.figures import ANGLES, Figure, make_figure
from vtkit.mini.scenes import Scene, draw_scene, make_scene

WORLDS = ("r1-v", "journey", "open-r1-multimodal")
# Tasks of each world, in equal shares; open-r1-multimodal has half figures, half counts.
TASKS = {
    "r1-v": ("count",),
    "journey": ("angle", "length", "total"),
    "open-r1-multimodal": ("taken", "added", "price", "angle", "length", "total"),
}
LETTERS = "ABCD"
FIGURE = "As shown in the figure, "
SQUARES = "each square of the floor has a side of 1, then "
BASED = "Based on the image, "
CHOOSE = " Choose the correct answer from the options provided."


@dataclass(frozen=True)
class Problem:
    """A question (without its choices) about a picture.

    ``choices`` are in printed order, or empty for an open question; ``answer`` is the right number
    as text ("3", "90°"); ``steps`` is a solution that names what is read off the picture.
    """

    world: str
    task: str
    picture: Scene | Figure
    question: str
    choices: tuple[str, ...]
    answer: str
    steps: str

    def draw(self) -> Image.Image:
        """Draw the picture, 256 x 256 RGB."""
        return draw_scene(self.picture) if isinstance(self.picture, Scene) else self.picture.draw()

    @property
    def text(self) -> str:
        """The published ``problem``: the question with its choices, a line each."""
        if not self.choices:
            return self.question
        start, mark = ("\n", ":") if self.world == "journey" else (f"{CHOOSE}\n\n", ". ")
        lines = "\n".join(f"{a}{mark}{b}" for a, b in zip(LETTERS, self.choices, strict=True))
        return f"{self.question}{start}Choices:\n{lines}"

    @property
    def letter(self) -> str:
        """The right choice's letter."""
        return LETTERS[self.choices.index(self.answer)]


def make_problem(
    world: str, rng: random.Random, *, task: str = "", held_out: bool = False
) -> Problem:
    """Make a problem of a world, of a random task by default; ``held_out``: for test files."""
    task = task or rng.choice(TASKS[world])
    if task in ("angle", "length", "total"):
        figure = make_figure("angle" if task == "angle" else "lengths", rng, held_out=held_out)
        return _figure_problem(world, task, figure, rng)
    return count_problem(world, task, make_scene(rng), rng)


def _figure_problem(world: str, task: str, figure: Figure, rng: random.Random) -> Problem:
    """Read something off a figure; four choices in ascending order, as Geo170K mostly has them."""
    red, blue = figure.rods
    measured = rng.choice(figure.rods) if task == "length" else None
    if task == "angle":
        answer, possible = f"{figure.angle}°", [f"{angle}°" for angle in ANGLES]
        asked = "the size of the angle between the red rod and the blue rod"
        steps = (
            f"The red rod points {red.direction} and the blue rod points {blue.direction}. "
            f"The angle between these directions is {answer}."
        )
    elif measured:
        answer, possible = str(measured.length), [str(n) for n in range(1, 5)]
        asked = f"the length of the {measured.colour} rod"
        steps = (
            f"The {measured.colour} rod covers {answer} square{'s' * (measured.length > 1)}, and "
            f"each square has a side of 1. So its length is {answer}."
        )
    else:
        answer, possible = str(red.length + blue.length), [str(n) for n in range(2, 9)]
        asked = "the total length of the red rod and the blue rod"
        steps = (
            f"The length of the red rod is {red.length} and the length of the blue rod is "
            f"{blue.length}. Adding them gives {red.length} + {blue.length} = {answer}."
        )
    wrong = rng.sample([one for one in possible if one != answer], len(LETTERS) - 1)
    choices = sorted([answer, *wrong], key=possible.index)
    squares = "" if task == "angle" else SQUARES
    if world == "journey":
        question = f"{FIGURE}{squares}{asked} is ()"
    else:
        question = f"{BASED}{squares.replace('then ', '')}determine {asked}."
    return Problem(world, task, figure, question, tuple(choices), answer, steps)


def count_problem(world: str, task: str, scene: Scene, rng: random.Random) -> Problem:
    """Count the scene's repeated objects and, except for ``count``, work something out of it."""
    n = len(scene.named(scene.repeated))
    many = plural(scene.repeated)
    seen = f"There {'is' if n == 1 else 'are'} {n} {many if n > 1 else scene.repeated}"
    if task == "count":
        question = f"How many {many} are visible in the scene?"
        return Problem(world, task, scene, question, (), str(n), f"{seen} in the scene.")
    if task == "taken":
        k = rng.randint(1, n)
        are = "is" if k == 1 else "are"
        question = f"{BASED}if {k} of the {many} {are} taken away, how many {many} are left?"
        work, result = f"Taking away {k} leaves {n} - {k} = {n - k}.", n - k
    elif task == "added":
        k = rng.randint(2, 4)
        question = f"{BASED}if {k} more {many} are added, how many {many} are there in all?"
        work, result = f"Adding {k} gives {n} + {k} = {n + k}.", n + k
    else:
        k = rng.randint(2, 3)
        question = f"{BASED}if each of the {many} costs {k} dollars, how many dollars do all cost?"
        work, result = f"Each costs {k} dollars, so {n} x {k} = {n * k}.", n * k
    return Problem(world, task, scene, question, (), str(result), f"{seen} in the image. {work}")
