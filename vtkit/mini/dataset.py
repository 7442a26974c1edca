"""The miniature's parquet files, in the schemas that SAT and CV-Bench publish.

As in the real files there is one row group, the right answer is the first in ``answers``, and
static rows come before dynamic ones.
"""

import io
import os
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from filecmp import cmp
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from PIL import Image
from tqdm.auto import tqdm

from vtkit.data.cv_bench import CV_BENCH_SCHEMA
from vtkit.data.sat import SAT_SCHEMA
from vtkit.data.writing import row_writer
from vtkit.errors import UserError
from vtkit.files import atomic_path
from vtkit.mini import scenes
from vtkit.mini.scenes import TASKS, Question, Scene, draw_scene

FOLDER = Path("data/mini")
SAT_ROWS = {"train": 2400, "val": 200}
DYNAMIC_SHARE = 0.05
# CV-Bench's own proportions (788 / 650 / 600 / 600 of 2,638), scaled down.
CV_BENCH_ROWS = {"Count": 158, "Relation": 130, "Depth": 120, "Distance": 120}
_FLAT, _DEEP = ("ADE20K", "COCO"), ("Omni3D",)
SOURCES = {"Count": _FLAT, "Relation": _FLAT, "Depth": _DEEP, "Distance": _DEEP}


class World:
    """Scenes that are drawn only once, so splits cannot share one."""

    def __init__(self, seed: int):
        self.rng = random.Random(f"world-{seed}")
        self.seen: set[frozenset[tuple[str, int, int]]] = set()

    def scene(self) -> Scene:
        while not self.claim(scene := scenes.make_scene(self.rng)):
            pass
        return scene

    def claim(self, scene: Scene) -> bool:
        """Return whether this arrangement is new, and remember it."""
        n_seen = len(self.seen)
        self.seen.add(frozenset((t.name, t.column, t.row) for t in scene.things))
        return len(self.seen) > n_seen

    def question(self, task: str, n_choices: int) -> tuple[Scene, Question]:
        """Draw a new scene with a question of the given task."""
        while True:
            scene = self.scene()
            if question := scenes.ask(scene, task, self.rng, n_choices):
                return scene, question


def write_dataset(
    folder: str | Path = FOLDER, *, seed: int = 0, progress: bool = True
) -> dict[str, Path]:
    """Write ``SAT_train``, ``SAT_val``, ``test_2d`` and ``test_3d``; returns their paths by name.

    The same seed gives the same bytes; no arrangement of objects is in two splits. For files that
    are there see :func:`write_missing`.
    """
    paths = _paths(folder)
    write_missing(_drawn_files(paths, World(seed)), progress)
    return paths


def _drawn_files(paths: dict[str, Path], world: World) -> Iterator["Drawn"]:
    for split, n in SAT_ROWS.items():
        yield Drawn(paths[f"SAT_{split}"], _sat_rows(world, n), SAT_SCHEMA, n)
    first = 0
    for name, kind in (("test_2d", "2D"), ("test_3d", "3D")):
        tasks = [task for task in TASKS for _ in range(CV_BENCH_ROWS[task]) if _kind(task) == kind]
        rows = _cv_bench_rows(world, tasks, first)
        yield Drawn(paths[name], rows, CV_BENCH_SCHEMA, len(tasks))
        first += len(tasks)


def _paths(folder: str | Path) -> dict[str, Path]:
    names = (*(f"SAT_{split}" for split in SAT_ROWS), "test_2d", "test_3d")
    return {name: Path(folder) / f"{name}.parquet" for name in names}


class Drawn(NamedTuple):
    """A file of the miniature: where it is, its ``n`` rows as they are drawn, its columns."""

    path: Path
    rows: Iterable[dict[str, Any]]
    schema: pa.Schema
    n: int


def write_missing(files: Iterable[Drawn], progress: bool) -> None:
    """Write files, a row group each; one that is there stays, and has to be the same.

    So a folder that was half written is completed, and nobody's file is replaced.

    Raises:
        UserError: a file is not the same, before any is written; or one cannot be written.
    """
    with tempfile.TemporaryDirectory() as place:
        drawn: dict[Path, Path] = {}
        for path, rows, schema, n in files:
            new, name = Path(place, str(len(drawn))), f"{path.parent.name}/{path.name}"
            shown = tqdm(rows, total=n, desc=f"drawing {name}", unit="row", disable=not progress)
            with row_writer(new, schema, at_once=n) as add:
                for row in shown:
                    add(row)
            if os.path.lexists(path) and not (path.is_file() and cmp(path, new, shallow=False)):
                raise UserError(
                    f"{path} is there and is not what this command writes (other rows, another "
                    "seed or version); move it away, or name another folder"
                )
            drawn[path] = new
        for path, new in drawn.items():
            if not path.exists():
                with atomic_path(path) as draft:
                    shutil.copyfile(new, draft)


def ensure_dataset(folder: str | Path = FOLDER) -> bool:
    """Write those of the miniature's files that are missing; returns whether any was."""
    missing = not all(path.is_file() for path in _paths(folder).values())
    if missing:
        write_dataset(folder)
    return missing


def _kind(task: str) -> str:
    return "2D" if task in ("Count", "Relation") else "3D"


def jpeg(picture: Image.Image) -> bytes:
    """Return the picture as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _sat_rows(world: World, n: int) -> Iterator[dict[str, Any]]:
    n_dynamic = int(n * DYNAMIC_SHARE)
    for number in range(n - n_dynamic):
        scene, question = world.question(TASKS[number % len(TASKS)], 5)
        answers = sorted(question.choices, key=lambda choice: choice != question.answer)
        yield _sat_row([draw_scene(scene)], scenes.sat_question(question), answers, "other")
    for _ in range(n_dynamic):
        yield _moved_row(world)


def _sat_row(
    pictures: list[Image.Image], question: str, answers: list[str], kind: str
) -> dict[str, Any]:
    return {
        "image_bytes": [jpeg(picture) for picture in pictures],
        "question": question,
        "answers": answers,
        "question_type": kind,
        "correct_answer": answers[0],
    }


def _moved_row(world: World) -> dict[str, Any]:
    """SAT's ``obj_movement``: two frames, one object has moved a cell to the side."""
    while True:
        scene = world.scene()
        thing = world.rng.choice(scene.singles())
        step = world.rng.choice((-1, 1))
        taken = {(t.column, t.row) for t in scene.things}
        if not 0 <= thing.column + step <= 3 or (thing.column + step, thing.row) in taken:
            continue
        moved = replace(thing, column=thing.column + step)
        after = replace(scene, things=tuple(moved if t is thing else t for t in scene.things))
        if world.claim(after):
            break
    question = (
        "The first image is the beginning of a video and the second its end. "
        f"Which way did the {thing.name} move?"
    )
    answers = ["right", "left"] if step > 0 else ["left", "right"]
    return _sat_row([draw_scene(scene), draw_scene(after)], question, answers, "obj_movement")


def _cv_bench_rows(world: World, tasks: list[str], first: int) -> Iterator[dict[str, Any]]:
    for number, task in enumerate(tasks):
        scene, question = world.question(task, world.rng.randint(4, 6))
        source = SOURCES[task][number % len(SOURCES[task])]
        name = f"{task.lower()}_{number:04d}.jpg"
        marks = scenes.boxed(question)
        bounds = [list(map(float, scenes.thing_bounds(thing))) for thing in marks.values()]
        is_coco = source == "COCO"
        yield {
            "idx": first + number,
            "type": _kind(task),
            "task": task,
            "image": {"bytes": jpeg(draw_scene(scene, marks)), "path": None},
            "question": scenes.cv_bench_question(question),
            "choices": list(question.choices),
            "answer": f"({'ABCDEF'[question.choices.index(question.answer)]})",
            "prompt": scenes.cv_bench_prompt(question),
            "filename": f"img/{_kind(task)}/{task.lower()}/{name}",
            "source": source,
            # the real names, so the official formula applies; source_dataset tells them apart
            "source_dataset": "vtkit miniature",
            "source_filename": name,
            "target_class": question.things[0].name if is_coco else None,
            "target_size": len(question.things) if is_coco else None,
            "bbox": bounds if source == "Omni3D" else None,
        }
