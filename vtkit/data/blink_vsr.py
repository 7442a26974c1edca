"""BLINK's spatial subsets and VSR in CV-Bench's columns, to be asked and judged by the same code.

Sources: the cards of BLINK-Benchmark/BLINK (arXiv 2404.12390) and cambridgeltl/vsr_random
(arXiv 2205.00363); the choice of rows and VSR's question: VisualThinker-R1-Zero's scripts.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, Features, List, Value

from vtkit.data.bad_rows import text_flaw
from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.dataset import sample, to_dataset
from vtkit.data.parquet import IMAGE, check_questions, find_file, read_batches, row_error
from vtkit.data.picture_files import Picture, picture_flaw
from vtkit.errors import UserError, quote
from vtkit.hub import BLINK_HUB, BLINK_REVISION, VSR_HUB, VSR_REVISION

BLINK_SUBSETS = {"Relative_Depth": "3D", "Spatial_Relation": "2D", "Multi-view_Reasoning": "3D"}
"""The spatial subsets among BLINK's 14, each with the ``type`` that it would have in CV-Bench."""
VSR_QUESTION = (
    "Please analyze the provided image. "
    'Does the statement "{}" accurately describes what you see? Choose from (A) True or (B) False.'
)
"""The original's words, its grammar included; VSR itself has captions only."""
_PICTURES = ("image_1", "image_2", "image_3", "image_4")
BLINK_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("idx", "question", "sub_task")),
        *((name, IMAGE) for name in _PICTURES),
        ("choices", pa.list_(pa.string())),
        *((name, pa.string()) for name in ("answer", "prompt")),
    ]
)
"""Columns of BLINK that are read; it also has an ``explanation``."""

_VSR_KINDS = {"image": str, "caption": str, "label": int, "relation": str}
_TEXTS = ("id", "task", "source", "type", "question", "answer", "prompt")
_FEATURES = Features(
    {
        "idx": Value("int64"),
        "images": List(Picture()),
        "choices": List(Value("string")),
        **{name: Value("string") for name in _TEXTS},
    }
)


def load_blink(
    source: str | Path,
    *,
    subsets: Sequence[str] = tuple(BLINK_SUBSETS),
    split: str = "val",
    multi_image: bool = True,
    rows: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load BLINK's spatial subsets, in file order, or a sample (``rows``, ``seed``).

    ``idx`` counts all rows of the chosen subsets, kept or not; ``id`` is BLINK's name of the row;
    ``task`` is the subset. ``dataset.info.description`` counts the rows kept and dropped.

    Args:
        source: folder with a folder a subset, as on the hub, or ``"BLINK-Benchmark/BLINK"``.
        multi_image: keep questions about several pictures (all of Multi-view_Reasoning), which
            the original drops.

    Raises:
        UserError: as :func:`load_cv_bench`; also hidden answers (``test``), or nothing left.
    """
    found: list[dict[str, Any]] = []
    for subset in subsets:
        if subset not in BLINK_SUBSETS:
            raise UserError(f"subsets: {subset!r} is not one of {', '.join(BLINK_SUBSETS)}")
        name = f"{subset}/{split}-00000-of-00001.parquet"
        path = find_file(source, name, BLINK_HUB, BLINK_REVISION, miniature=False)
        for start, batch in read_batches(path, BLINK_SCHEMA):
            if "hidden" in batch.column("answer").to_pylist():
                hidden = "the answers of BLINK's test split are hidden (EvalAI scores it)"
                raise UserError(f"{path}: {hidden}; use val")
            filled = "idx", "question", "prompt"
            check_questions(batch, start, path, images=_PICTURES, texts=filled)
            found += [_blink_row(row, subset) for row in batch.to_pylist()]
    numbered = (row | {"idx": number} for number, row in enumerate(found))
    kept = [row for row in numbered if multi_image or len(row["images"]) == 1]
    if not kept:
        raise UserError(
            f"{source}: all {len(found)} rows have several images; keep them, or name other subsets"
        )
    dataset = _as_dataset(kept)
    dataset.info.description = (
        f"{len(kept)} rows of BLINK, {len(found) - len(kept)} multi-image rows dropped"
    )
    return sample(dataset, rows, seed, source)


def load_vsr(
    source: str | Path,
    *,
    images: str | Path | None = None,
    split: str = "test",
    rows: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Load VSR as True or False questions, in file order, or a sample (``rows``, ``seed``).

    Args:
        source: folder with ``<split>.jsonl``, a file, or ``"cambridgeltl/vsr_random"``.
        images: folder with COCO's pictures by file name; by default ``images`` next to the file.

    Raises:
        UserError: a file is missing or damaged, or pictures are missing (VSR has links only).
    """
    path = Path(source)
    if not path.is_file():
        path = find_file(source, f"{split}.jsonl", VSR_HUB, VSR_REVISION, miniature=False)
    folder = Path(images) if images else path.parent / "images"
    lines = _read_lines(path)
    _require_pictures(lines, folder, path)
    found = [_vsr_row(line, number, folder) for number, line in enumerate(lines)]
    return sample(_as_dataset(found), rows, seed, path)


LOADERS = {"cv_bench": load_cv_bench, "blink": load_blink, "vsr": load_vsr}
"""Each benchmark's loader; all take ``source`` and ``rows``."""


def _as_dataset(rows: list[dict[str, Any]]) -> Dataset:
    return to_dataset(pa.Table.from_pylist(rows, _FEATURES.arrow_schema), _FEATURES)


def _blink_row(row: dict[str, Any], subset: str) -> dict[str, Any]:
    pictures = [row[name] for name in _PICTURES]
    return {
        "id": row["idx"],
        "task": subset,
        "source": "BLINK",
        "type": BLINK_SUBSETS[subset],
        "images": [picture for picture in pictures if picture and picture["bytes"]],
        **{name: row[name] for name in ("question", "choices", "answer", "prompt")},
    }


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        wrong = f"cannot be read as lines of JSON ({error})"
        raise UserError(f"{path} {wrong}; fetch it again") from error
    for number, line in enumerate(lines):
        for name, kind in _VSR_KINDS.items():
            if not isinstance(line, dict) or name not in line:
                raise UserError(f"{path}: row {number} has no {name!r}; is this the right file?")
            if type(line[name]) is not kind or line[name] == "":
                raise row_error(
                    path, name, number, f"is {quote(line[name])}, expected {kind.__name__}"
                )
        if flaw := text_flaw(line["caption"]):
            raise row_error(path, "caption", number, flaw)
        if line["label"] not in (0, 1):
            raise row_error(path, "label", number, f"is {quote(line['label'])}, not 0 or 1")
    if not lines:
        raise UserError(f"{path} holds no rows; fetch it again")
    return lines


def _require_pictures(lines: list[dict[str, Any]], folder: Path, path: Path) -> None:
    names = dict.fromkeys(line["image"] for line in lines)
    unsafe = [name for name in names if Path(name).name != name]
    if unsafe:
        raise UserError(
            f"{path}: image {quote(unsafe[0])} is not a file name; fetch the file again"
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        link = next(line.get("image_link") for line in lines if line["image"] == missing[0])
        raise UserError(
            f"{folder}: {len(missing)} of {len(names)} pictures are missing, the first is "
            f"{missing[0]} ({link}); VSR has links only: download its column image_link (COCO) "
            "into that folder, or name another one as images"
        )
    for name in names:
        try:
            flaw = picture_flaw((folder / name).read_bytes())
        except OSError as error:
            flaw = f"cannot be read ({error.strerror})"
        if flaw:
            raise UserError(f"{folder / name} {flaw}; download it again")


def _vsr_row(line: dict[str, Any], number: int, folder: Path) -> dict[str, Any]:
    question = VSR_QUESTION.format(line["caption"])
    return {
        "idx": number,
        "id": line["image"],
        "task": "VSR",
        "source": "VSR",
        "type": "2D",
        "images": [{"bytes": None, "path": str(folder / line["image"])}],
        "question": question,
        "choices": ["True", "False"],
        "answer": "(A)" if line["label"] else "(B)",
        "prompt": question,
    }
