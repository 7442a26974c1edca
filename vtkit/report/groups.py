"""Put the completions of each question together, with its picture, for HTML and JSON.

Text is made visible (:func:`vtkit.report.page.visible`), not escaped.
"""

import base64
import io
import math
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from vtkit.aha.reflection import annotate
from vtkit.config.run_config import read_config
from vtkit.data.picture_files import UnreadablePicture, decoded
from vtkit.errors import UserError
from vtkit.files import ROOT
from vtkit.judging.phrases import find_reflections
from vtkit.judging.styles import is_html
from vtkit.judging.tags import Span, take_apart
from vtkit.judging.verdict import right_choice
from vtkit.models.prompts import is_prefilled
from vtkit.report.page import visible
from vtkit.runs.artifacts import make_missing
from vtkit.runs.replay import replay_of
from vtkit.runs.rollouts import fill_verdicts, load_rollouts

PICTURE_SIDE = 128  # pixels; the miniature's model sees 64
Item = TypeVar("Item")
KINDS = {
    "t": "thinking",
    "o": "neither thinking nor answer",
    "b": "answer block",
    "g": "tag",
    "d": "the words that decide",
    "r": "reflection",
}
"""Meanings of a piece's letters: one of t, o, b, g, then perhaps d, r or both."""
MOST = 8000
"""Characters of a completion that are shown."""
_TAG = re.compile(r"\s{0,9}</?\s?(?:think|answer)\s?>\s{0,9}", re.IGNORECASE)


class Groups:
    """The groups of a run's rollouts; UserError if the folder is not a run or has none."""

    def __init__(self, run_dir: str | Path) -> None:
        self.run_dir = Path(run_dir)
        self.config = read_config(Path(run_dir) / "config.yaml").to_dict()
        self.prefilled = is_prefilled(self.config["prompt"])
        self.steps = load_rollouts(run_dir).steps
        self._pictures: dict[tuple[int, str], str | None] = {}  # by prompt and question

    def read(self, step: int) -> list[dict[str, Any]]:
        """The groups of one step: ``group``, ``prompt`` (the row's id), ``task``, ``question``,
        ``choices``, ``right`` (place of the right choice or None), ``solution`` and ``samples``.

        A sample has ``sample``, ``pieces`` (see :func:`cut`), ``answer`` (with its rule),
        ``style``, ``tokens``, ``rewards`` ({name: value}), ``reward`` and ``advantage``; and where
        they are not 0 or False ``hidden`` (characters left out), ``cut_off``, ``reflective`` and
        ``right``.
        """
        frame = load_rollouts(self.run_dir, steps=[step]).to_pandas()
        frame = fill_verdicts(frame, prefilled=self.prefilled, spans=True)
        rows = annotate(frame).to_dict("records")
        rows.sort(key=itemgetter("group", "sample"))
        return [self._group(list(group)) for _, group in groupby(rows, itemgetter("group"))]

    def picture(self, group: dict[str, Any]) -> str | None:
        """The group's picture as a small WebP ``data:`` address; None if it is not available.

        It is read from the training data, if the row there asks the same. Nothing is downloaded.
        """
        asked = group["prompt"], group["question"]
        if asked not in self._pictures:
            self._pictures[asked] = self._picture(*asked)
        return self._pictures[asked]

    def _picture(self, prompt: int, question: str) -> str | None:
        place = self._places.get(prompt)
        row = None if place is None else self._rows[place]
        if row is None or visible(row["question"][0].as_py()) != question:
            return None
        return _thumbnail(row["images"][0][0]["bytes"].as_py())

    @cached_property
    def _rows(self) -> Any:
        """The training rows, encoded, as Arrow tables of one row; empty if not available."""
        from vtkit.data.rows import load_training_rows  # brings the datasets library: for pictures

        if replay_of(self.run_dir):  # a run of one's own was trained on data that are there
            make_missing(self.config, ["train_data"], quiet=True)
        source = _local(str(self.config["train_data"]))
        try:
            rows = load_training_rows(self.config, source) if source else None
        except UserError:
            return []
        return rows.with_format("arrow") if rows and "images" in rows.column_names else []

    @cached_property
    def _places(self) -> dict[int, int]:
        numbers = self._rows["id"][:].to_pylist() if len(self._rows) else []
        return {number: at for at, number in enumerate(numbers)}

    def _group(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        first = rows[0]
        return {
            "group": int(first["group"]),
            "prompt": int(first["prompt_id"]),
            "task": visible(first["task"]),
            "question": visible(first["question"]),
            "choices": [visible(choice) for choice in first["choices"]],
            "right": right_choice(first["solution"], first["choices"]),
            "solution": visible(first["solution"]),
            "samples": [self._sample(row) for row in rows],
        }

    def _sample(self, row: dict[str, Any]) -> dict[str, Any]:
        text = row["completion"]
        answer, span = "none", None
        if pd.notna(row["span_start"]):
            answer, span = row["answer"], (int(row["span_start"]), int(row["span_end"]))
        pieces = cut(text, span, prefilled=self.prefilled)
        flags = {
            "hidden": max(0, len(text) - MOST),
            "cut_off": not row["finished"],
            "reflective": bool(row["reflective"]),
            "right": bool(row["right"]),
        }
        rewards = {
            name.removesuffix("_reward"): number
            for name, value in row.items()
            if name.endswith("_reward") and (number := _number(value)) is not None
        }
        return {
            "sample": int(row["sample"]),
            "pieces": [(kinds, visible(piece)) for kinds, piece in pieces],
            "answer": f"{visible(answer[:200])} ({row['rule']})",
            "style": row["style"],
            "tokens": int(row["tokens"]),
            "rewards": rewards,
            "reward": _number(row["reward"]) or 0,
            "advantage": _number(row["advantage"]) or 0,
            **{name: value for name, value in flags.items() if value},
        }


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Choose up to ``count`` of the items evenly, with both ends."""
    if count >= len(items):
        return list(items)
    if count == 1:
        return [items[-1]]
    return [items[round(at * (len(items) - 1) / (count - 1))] for at in range(count)]


def _local(source: str) -> Path | str | None:
    """The training data on this machine, if any: a folder, a file, or the hub's copy."""
    for path in (Path(source), ROOT / source):
        if path.exists():
            return path
    from huggingface_hub import try_to_load_from_cache

    from vtkit.hub import HUB_REVISIONS

    if source not in HUB_REVISIONS:
        return None
    place = {"repo_type": "dataset", "revision": HUB_REVISIONS[source]}
    cached = try_to_load_from_cache(source, "SAT_train.parquet", **place)
    return cached if isinstance(cached, str) else None


def _thumbnail(encoded: bytes) -> str | None:
    try:
        picture = decoded({"bytes": encoded, "path": None}).convert("RGB")
    except UnreadablePicture:
        return None
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    small = io.BytesIO()
    picture.save(small, "WEBP", quality=75)
    return f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode()}"


def _number(value: float) -> float | None:
    """A finite number with five decimals, or None: JSON has no NaN."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else round(float(value), 5)


def cut(
    completion: str, decider: Span | None = None, *, prefilled: bool = True
) -> list[tuple[str, str]]:
    """Cut the first ``MOST`` characters of a completion into pieces, ``(letters, text)``.

    Phrases in markup are no reflections, as in :func:`vtkit.judging.styles.is_reflective`.

    Args:
        decider: the verdict's span.
        prefilled: the prompt ended in ``<think>``.
    """
    parts = take_apart(completion, prefilled=prefilled)
    tags = [match.span() for match in _TAG.finditer(completion)]
    reflections = [] if is_html(completion) else find_reflections(completion)
    kinds, marks = ["t"] * len(completion), [""] * len(completion)
    for letter, spans in (("o", parts.outside), ("b", parts.blocks), ("g", tags)):
        for start, end in spans:
            kinds[start:end] = letter * (end - start)
    for letter, spans in (("d", [decider] if decider else []), ("r", reflections)):
        for start, end in spans:
            marks[start:end] = [mark + letter for mark in marks[start:end]]
    shown = zip(kinds, marks, completion[:MOST], strict=False)
    return [
        ("".join(letters), "".join(char for *_, char in run))
        for letters, run in groupby(shown, lambda place: place[:2])
    ]
