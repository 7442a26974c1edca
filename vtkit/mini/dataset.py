"""The miniature's parquet files, in the schemas that SAT and CV-Bench publish.

    python -m vtkit.mini data                    # writes data/mini

Written as the real files are: one row group, pictures as encoded bytes, the right answer first in
``answers``, static rows before dynamic ones. No arrangement of objects occurs in two splits.
"""

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm.auto import tqdm

from vtkit.data.cv_bench import CV_BENCH_SCHEMA
from vtkit.data.sat import SAT_SCHEMA
from vtkit.files import atomic_path
from vtkit.mini.scenes import (
    TASKS,
    Question,
    Scene,
    Thing,
    ask,
    boxed,
    cv_bench_prompt,
    cv_bench_question,
    draw_scene,
    make_scene,
    sat_question,
    thing_bounds,
)

FOLDER = Path("data/mini")
SAT_ROWS = {"train": 2400, "val": 200}
DYNAMIC_SHARE = 0.05
# CV-Bench's own proportions (788 / 650 / 600 / 600 of 2,638), scaled down.
CV_BENCH_ROWS = {"Count": 158, "Relation": 130, "Depth": 120, "Distance": 120}
SOURCES = {
    "Count": ("ADE20K", "COCO"),
    "Relation": ("ADE20K", "COCO"),
    "Depth": ("Omni3D",),
    "Distance": ("Omni3D",),
}
Arrangement = frozenset[tuple[str, int, int]]


class World:
    """Scenes that are drawn once and never again, so that splits cannot share one."""

    def __init__(self, seed: int):
        self.rng = random.Random(f"world-{seed}")
        self.seen: set[Arrangement] = set()

    def scene(self) -> Scene:
        while True:
            scene = make_scene(self.rng)
            if self.claim(scene):
                return scene

    def claim(self, scene: Scene) -> bool:
        """Whether this arrangement is new; from now on it is not."""
        key = frozenset((t.name, t.column, t.row) for t in scene.things)
        new = key not in self.seen
        self.seen.add(key)
        return new

    def question(self, task: str, n_choices: int) -> tuple[Scene, Question]:
        """A fresh scene with a question of the given task."""
        while True:
            scene = self.scene()
            question = ask(scene, task, self.rng, n_choices)
            if question:
                return scene, question


def write_dataset(
    folder: str | Path = FOLDER, *, seed: int = 0, progress: bool = True
) -> dict[str, Path]:
    """Write the miniature's four files; the same bytes for the same seed.

    Returns:
        The files by name: ``SAT_train``, ``SAT_val``, ``test_2d``, ``test_3d``.

    Raises:
        UserError: the folder cannot be written.
    """
    world = World(seed)
    splits: dict[str, tuple[pa.Schema, Callable[[], Iterator[dict]], int]] = {
        f"SAT_{split}": (SAT_SCHEMA, lambda n=n: _sat_rows(world, n), n)
        for split, n in SAT_ROWS.items()
    }
    first = 0
    for name, kind in (("test_2d", "2D"), ("test_3d", "3D")):
        tasks = [task for task in TASKS for _ in range(CV_BENCH_ROWS[task]) if _kind(task) == kind]
        splits[name] = (
            CV_BENCH_SCHEMA, lambda tasks=tasks, first=first: _cv_bench_rows(world, tasks, first),
            len(tasks)
        )  # fmt: skip
        first += len(tasks)
    written = {}
    for name, (schema, rows, n) in splits.items():
        shown = tqdm(rows(), total=n, desc=f"drawing {name}", unit="row", disable=not progress)
        table = pa.Table.from_pylist(list(shown), schema=schema)
        written[name] = Path(folder) / f"{name}.parquet"
        with atomic_path(written[name]) as draft:
            pq.write_table(table, draft, row_group_size=max(1, len(table)))
    return written


def ensure_dataset(folder: str | Path = FOLDER) -> bool:
    """Write the miniature's files if one of them is missing; returns whether it wrote them.

    Raises:
        UserError: as :func:`write_dataset`.
    """
    names = (*(f"SAT_{split}" for split in SAT_ROWS), "test_2d", "test_3d")
    if all((Path(folder) / f"{name}.parquet").is_file() for name in names):
        return False
    write_dataset(folder)
    return True


def _kind(task: str) -> str:
    return "2D" if task in ("Count", "Relation") else "3D"


def jpeg(picture: Image.Image) -> bytes:
    """The picture as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _sat_rows(world: World, n: int) -> Iterator[dict[str, Any]]:
    n_dynamic = int(n * DYNAMIC_SHARE)
    for number in range(n - n_dynamic):
        scene, question = world.question(TASKS[number % len(TASKS)], 5)
        wrong = [choice for choice in question.choices if choice != question.answer]
        yield _sat_row(
            [draw_scene(scene)], sat_question(question), [question.answer, *wrong], "other"
        )
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
        moved = Thing(thing.name, thing.column + step, thing.row, thing.shift)
        things = tuple(moved if t is thing else t for t in scene.things)
        after = Scene(things, scene.repeated, scene.floor)
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
        marks = boxed(question)
        is_coco = source == "COCO"
        yield {
            "idx": first + number,
            "type": _kind(task),
            "task": task,
            "image": {"bytes": jpeg(draw_scene(scene, marks)), "path": None},
            "question": cv_bench_question(question),
            "choices": list(question.choices),
            "answer": f"({'ABCDEF'[question.choices.index(question.answer)]})",
            "prompt": cv_bench_prompt(question),
            "filename": f"img/{_kind(task)}/{task.lower()}/{name}",
            "source": source,
            # so that the official formula applies; what it is, source_dataset says
            "source_dataset": "vtkit miniature",
            "source_filename": name,
            "target_class": question.things[0].name if is_coco else None,
            "target_size": len(question.things) if is_coco else None,
            "bbox": [list(map(float, thing_bounds(t))) for t in marks.values()]
            if source == "Omni3D"
            else None,
        }
