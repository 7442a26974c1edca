"""The other replications' parquet files, in miniature, in the schemas that they publish."""

import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa

from vtkit.data.parquet import IMAGE
from vtkit.mini.dataset import FOLDER, Drawn, World, jpeg, write_missing
from vtkit.mini.replications.figures import Figure, Rod
from vtkit.mini.replications.problems import CHOOSE, TASKS, WORLDS, Problem, make_problem
from vtkit.mini.scenes import Scene

ROWS = {"train": 1600, "test": 300}
_TEXT = {
    "r1-v": ("problem", "solution"),
    "journey": ("image_path", "problem", "solution"),
    "open-r1-multimodal": ("problem", "solution", "original_question", "original_answer"),
}
"""Columns as published, after ``image``."""


def write_problems(
    folder: str | Path = FOLDER, *, seed: int = 0, progress: bool = True
) -> dict[str, Path]:
    """Write train and test files of all worlds; returns them by name, ``r1-v/train`` and so on.

    The same seed gives the same bytes; no scene and no figure is in two splits.
    """
    places = product(WORLDS, ROWS)
    paths = {f"{w}/{split}": Path(folder) / w / f"{split}.parquet" for w, split in places}
    files = (
        Drawn(
            paths[f"{world}/{split}"],
            (_row(number, problem) for number, problem in enumerate(problems)),
            pa.schema({"image": IMAGE, **dict.fromkeys(_TEXT[world], pa.string())}),
            len(problems),
        )
        for (world, split), problems in draw_problems(seed)
    )
    write_missing(files, progress)
    return paths


def draw_problems(seed: int = 0) -> Iterator[tuple[tuple[str, str], list[Problem]]]:
    """Yield world and split, and their problems in the order of the file's rows."""
    drawn = _ProblemWorld(seed)
    for world, split in product(WORLDS, ROWS):
        yield (world, split), [drawn.problem(world, split, row) for row in range(ROWS[split])]


class _ProblemWorld(World):
    """Problems about scenes and figures that were not drawn before."""

    def __init__(self, seed: int):
        super().__init__(seed)
        self.rng = random.Random(f"problems-{seed}")  # not the scenes of SAT's files again
        self.figures: set[tuple[Rod, Rod]] = set()

    def problem(self, world: str, split: str, number: int) -> Problem:
        task = TASKS[world][number % len(TASKS[world])]
        while True:
            problem = make_problem(world, self.rng, task=task, held_out=split == "test")
            if self.claim(problem.picture):
                return problem

    def claim(self, picture: Scene | Figure) -> bool:
        if isinstance(picture, Scene):
            return super().claim(picture)
        new = picture.rods not in self.figures
        self.figures.add(picture.rods)
        return new


def _row(number: int, problem: Problem) -> dict[str, Any]:
    row = {
        "image": {"bytes": jpeg(problem.draw()), "path": None},
        "image_path": f"images/{number:05d}.jpg",  # written where the schema has it
        "problem": problem.text,
        "solution": _solution(problem),
    }
    if problem.world == "open-r1-multimodal":
        row["original_question"], row["original_answer"] = _original(problem)
    return row


def _solution(problem: Problem) -> str:
    """The ``solution`` column as published, spaces included."""
    if problem.world == "r1-v":
        return f"<answer> {problem.answer} </answer>"
    if problem.world == "journey":
        thought = f"{problem.steps} Therefore, the answer is option {problem.letter}."
        return f"<think>{thought}</think> <answer>{problem.letter}</answer>"
    answer = f"The correct answer is {problem.letter}" if problem.choices else problem.answer
    return f"<think>{problem.steps}</think>\n\n<answer>{answer}</answer>"


def _original(problem: Problem) -> tuple[str, str]:
    """Question and answer before GPT-4o rewrote them: Geo170K's with choices, else Math360K's."""
    if problem.choices:
        lines = problem.text.split(CHOOSE)[1].lstrip()
        asked = (
            "According to the question shown in the image, please first perform reasoning, then "
            "finally select the right answer from the choices, e.g., Answer: xxx.\n"
        )
        question = f"{asked}Question: {problem.question}\n{lines}"
        return question, f"{problem.steps}\nAnswer: {problem.letter}"
    hint = (
        "Hint: Please answer the question requiring an integer answer and provide the final value, "
        "e.g., 1, 2, 3, at the end.\n"
    )
    return f"{hint}Question: {problem.question}", f"The answer is {problem.answer}"
