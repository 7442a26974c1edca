"""Questions that ask what an object is, a kind that neither SAT nor CV-Bench asks."""

import random
from dataclasses import dataclass

from PIL import Image

from vtkit.data.cv_bench import cv_bench_prompt
from vtkit.data.sat import sat_prompt
from vtkit.mini.objects import NAMES
from vtkit.mini.scenes import Scene, Thing, draw_scene, make_scene

MOST_CHOICES = 4


@dataclass(frozen=True)
class Recognition:
    """Which object is in the scene, or, if ``marked``, which one the red box is drawn around?

    The choices are printed as SAT prints them, those of a marked object as CV-Bench does.
    """

    scene: Scene
    thing: Thing
    marked: bool
    choices: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The right choice, the object's name."""
        return self.thing.name

    def draw(self) -> Image.Image:
        """Draw the picture, 256 x 256 RGB."""
        return draw_scene(self.scene, {"red": self.thing} if self.marked else None)

    def prompt(self) -> str:
        """Return the user's text: the question with its options."""
        if self.marked:
            return cv_bench_prompt("Which object is this (highlighted by a red box)?", self.choices)
        return sat_prompt("Which of these objects is in the scene?", self.choices)


def make_recognition(rng: random.Random) -> Recognition:
    """Make a question; wrong choices are in the scene too if it is marked, else none of them is."""
    scene, marked = make_scene(rng), rng.random() < 0.5
    thing = rng.choice(scene.singles())
    present = {each.name for each in scene.things}
    others = [name for name in NAMES if (name in present) == marked and name != thing.name]
    choices = [thing.name, *rng.sample(others, rng.randint(1, MOST_CHOICES - 1))]
    rng.shuffle(choices)
    return Recognition(scene, thing, marked, tuple(choices))
