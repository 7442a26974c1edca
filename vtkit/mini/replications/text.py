"""The miniature world in words: described scenes for DeepSeek-R1-Zero, which reads no pictures.

Scenes, questions and documents are those of :mod:`vtkit.mini.corpus`, in DeepSeek's prompt
(``r1_zero``), whose answer has to open ``<think>`` itself.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from vtkit.data.sat import sat_prompt
from vtkit.mini.corpus import View, caption, completion, make_asking_view, notes
from vtkit.mini.dataset import Drawn, World, write_missing
from vtkit.mini.scenes import TASKS, Question, Scene, sat_question
from vtkit.models.prompts import PREFILL, R1_CLOSING, R1_OPENING

FOLDER = Path("data/mini/text")
ROWS = {"train": 1600, "test": 400}
LEGEND = (
    "A floor of 4 x 4 cells: columns a to d from left to right, "
    "rows 1 to 4 from far (above) to near (below)."
)
_TEXT = pa.string()
SCHEMA = pa.schema({"problem": _TEXT, "solution": _TEXT, "choices": pa.list_(_TEXT), "task": _TEXT})
"""R1-V's text schema, and for this kit's judge the options as the problem lists them."""


def describe_scene(scene: Scene, rng: random.Random) -> str:
    """Give every object's cell, in random order: " The lamp is at b3. The cup is at a1."

    Objects of the repeated kind are not numbered, which would give their number away; among
    themselves they keep reading order, the order in which a careful look lists them.
    """
    order = rng.sample(scene.things, len(scene.things))
    copies = iter(scene.named(scene.repeated))
    listed = [next(copies) if thing.name == scene.repeated else thing for thing in order]
    return "".join(placed(thing.name, thing.cell) for thing in listed)


def placed(name: str, cell: str) -> str:
    """Return the sentence that puts an object in a cell."""
    return f" The {name} is at {cell}."


def problem(scene: Scene, question: Question, rng: random.Random) -> str:
    """Return the meaning of cells, every object's place, the question and its options."""
    asked = sat_prompt(sat_question(question), question.choices)
    return f"{LEGEND}{describe_scene(scene, rng)} {asked}"


def make_view(rng: random.Random, limit: int = 8) -> View:
    """Make a random scene of up to ``limit`` objects with a random question in SAT's wording."""
    return make_asking_view(rng, "sat", limit)


def document(view: View, kind: str, rng: random.Random) -> tuple[str, str]:
    """Make a ``"caption"`` (the same in another order), ``"notes"`` or ``"dialogue"``."""
    if kind != "dialogue":
        learned = caption(view.scene, rng) if kind == "caption" else notes(view, rng)
        return f" {LEGEND}{describe_scene(view.scene, rng)}\n", learned
    asked = problem(view.scene, view.asked, rng)
    learned = completion(view.asked, rng)
    if "</think>" in learned:  # the prompt does not open it
        learned = f" {PREFILL}{learned}"
    return f"{R1_OPENING}{asked}{R1_CLOSING}", learned


def write_files(
    folder: str | Path = FOLDER, *, seed: int = 0, progress: bool = True
) -> dict[str, Path]:
    """Write the files ``train`` and ``test``; the same bytes for the same seed, no scene twice."""
    world, paths = World(seed), {split: Path(folder) / f"{split}.parquet" for split in ROWS}
    files = (Drawn(paths[split], _rows(world, n), SCHEMA, n) for split, n in ROWS.items())
    write_missing(files, progress)
    return paths


def ensure_files(folder: str | Path = FOLDER) -> bool:
    """Write those of the files that are missing; returns whether any was."""
    missing = not all((Path(folder) / f"{split}.parquet").is_file() for split in ROWS)
    if missing:
        write_files(folder)
    return missing


def _rows(world: World, n: int) -> Iterator[dict[str, Any]]:
    for number in range(n):
        task = TASKS[number % len(TASKS)]
        scene, question = world.question(task, 5)
        yield {
            "problem": problem(scene, question, world.rng),
            "solution": f"<answer>{question.answer}</answer>",
            "choices": list(question.choices),
            "task": task,
        }
