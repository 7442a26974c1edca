"""Training data of the other replications: published files in, the columns of ``load_sat`` out.

Like :mod:`vtkit.data` this reads parquet batch by batch and checks names and types of columns
first; what each replication calls its question, picture and gold answer is in :data:`FORMATS`. Most
of these data sets have no test split, so the last :data:`HELD_OUT` rows of one without are never
trained on and are what is scored.

    load_problems("data/mini/r1-v", "r1-v")                     # train.parquet there, or ...
    load_problems("leonardPKU/clevr_cogen_a_train", "r1-v")     # ... the hub's
    load_problems("data/mini/text", "text", split="test")       # in the columns of CV-Bench
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from datasets import Dataset, Features, Image, List, Value

from vtkit.countdown import Task, question
from vtkit.data import row_error, sample, to_dataset
from vtkit.errors import UserError
from vtkit.parquet import column_names, count_rows, find_files, read_batches
from vtkit.rewards import solution_text

HELD_OUT = 500  # rows: an interval of 4 points either way

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OPTION = re.compile(r"^\(?([A-Z])[.:)] ?(\S.*)$", re.MULTILINE)
_IMAGE = ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_PROBLEM, _SOLUTION = ("problem", pa.string()), ("solution", pa.string())


class Format(NamedTuple):
    """How a replication stores its problems.

    schema: columns that must be there; ``optional``: that are read where they are.
    task: name of the kind of problem, for tables.
    hub, revision: the published data set; no ``hub``, no download.
    """

    schema: pa.Schema
    task: str
    hub: str = ""
    revision: str = "main"
    optional: tuple = ()

    @property
    def pictured(self) -> bool:
        return "image" in self.schema.names

    @property
    def features(self) -> Features:
        """Columns of the problems; those without pictures have no ``images``."""
        names = [name for name in _COLUMNS if self.pictured or name != "images"]
        return Features({name: _COLUMNS[name] for name in names})


# "main", since of their commits only seven digits are quoted, and the hub asks for all forty: the
# schemas are those of d5a8da6 (R1-V), e3c8f3a (open-r1-multimodal) and 408f70d (Countdown).
FORMATS = {
    "r1-v": Format(
        pa.schema([_IMAGE, _PROBLEM, _SOLUTION]), "counting", "leonardPKU/clevr_cogen_a_train"
    ),
    "journey": Format(
        pa.schema([_IMAGE, ("image_path", pa.string()), _PROBLEM, _SOLUTION]), "geometry"
    ),
    "open-r1": Format(
        pa.schema(
            [
                *(_IMAGE, _PROBLEM, _SOLUTION),
                *(("original_question", pa.string()), ("original_answer", pa.string())),
            ]
        ),
        "maths",
        "lmms-lab/multimodal-open-r1-8k-verified",
    ),
    "text": Format(
        pa.schema([_PROBLEM, _SOLUTION]),
        "text",
        optional=(("choices", pa.list_(pa.string())), ("task", pa.string())),
    ),
    "countdown": Format(
        pa.schema([("target", pa.int64()), ("nums", pa.list_(pa.int64()))]),
        "countdown",
        "Jiayi-Pan/Countdown-Tasks-3to4",
    ),
}
"""``r1-v``: solution ``<answer> 3 </answer>``, spaces and all (Deep-Agent/R1-V @bbbbe3d).
``journey``: ``<think>…</think> <answer>B</answer>``, as its script writes Geo170K
(FanqingM/R1-Multimodal-Journey @a635022). ``open-r1``: EvolvingLMMs-Lab/open-r1-multimodal
@232b7ba. ``text``: a problem and its answer, bare or in tags. ``countdown``: Jiayi-Pan/TinyZero
@95df88f."""

_COLUMNS = {
    "id": Value("int64"),
    "images": List(Image()),
    "question": Value("string"),
    "choices": List(Value("string")),
    "answer": Value("string"),
    "solution": Value("string"),
    "task": Value("string"),
}


def load_problems(
    source: str | Path,
    format: str,
    *,
    split: str = "train",
    rows: int | None = None,
    seed: int = 0,
) -> Dataset:
    """The first ``rows`` problems in file order, or a benchmark of those held out.

    Columns of ``train``: ``id`` (row number), ``images`` (list of one; absent from text formats),
    ``question``, ``choices`` (a list in the question, "A. 30°"; or empty), ``answer`` (text),
    ``solution`` (as published: what the published rewards read) and ``task``. Those of ``test`` are
    CV-Bench's, for :func:`vtkit.cv_bench.evaluate`: see :func:`as_benchmark`.

    Args:
        source: a parquet file; a folder with ``<split>.parquet`` or the hub's
            ``<split>-00000-of-00003.parquet``; or the format's hub id.
        format: a name in :data:`FORMATS`.
        split: ``train`` or ``test``. Without a file for ``test``, the last ``HELD_OUT`` rows of
            ``train`` are the test, and ``train`` ends before them.
        rows: how many; ``None`` or 0 for all. A benchmark is sampled as CV-Bench is.
        seed: of that sample.

    Raises:
        UserError: as :func:`vtkit.data.load_sat`.
    """
    kind = FORMATS[format]
    files, start, stop = _part(source, kind, split)
    if split == "train" and rows:
        stop = min(stop, start + rows)
    batches = [_batch(found, kind) for found in _read(files, kind, start, stop)]
    dataset = to_dataset(batches, kind.features)
    if split == "test":
        return sample(as_benchmark(dataset, format), rows, seed, source)
    if rows and len(dataset) < rows:
        raise UserError(
            f"{source}: holds {len(dataset)} rows to train on but {rows} are wanted; "
            "lower train_rows"
        )
    return dataset


def as_benchmark(problems: Dataset, format: str) -> Dataset:
    """Problems in the columns that :func:`vtkit.cv_bench.evaluate` reads.

    ``answer`` is the letter of a choice, ``(A)``. Problems without choices of their own, if all
    their answers are numbers, or all are letters, get these as choices, so that guessing has a
    score; otherwise ``choices`` stays empty and ``answer`` is the answer itself.
    """
    pairs = zip(problems["answer"][:], problems["choices"][:], strict=True)
    common = _closed_set([answer for answer, choices in pairs if not choices])

    def row(problem: dict[str, Any]) -> dict[str, Any]:
        choices = problem["choices"] or common
        place = choices.index(problem["answer"]) if choices else None
        return {
            "idx": problem["id"],
            "source": format,
            "type": "2D" if FORMATS[format].pictured else "text",
            "choices": choices,
            "answer": problem["answer"] if place is None else f"({LETTERS[place]})",
            "prompt": problem["question"],
        }

    text = problems.select_columns([n for n in problems.column_names if n != "images"])
    added = [row(problem) for problem in text]
    result = problems.remove_columns(["id", "choices", "answer", "solution"])
    for name, feature in _ADDED.items():
        result = result.add_column(name, [values[name] for values in added], feature=feature)
    return result


_ADDED = {
    "idx": Value("int64"),
    "source": Value("string"),
    "type": Value("string"),
    "choices": List(Value("string")),
    "answer": Value("string"),
    "prompt": Value("string"),
}


def _closed_set(answers: Sequence[str]) -> list[str]:
    """All the answers there are if they are few numbers, or letters from A on; else none."""
    distinct = set(answers)
    if distinct and all(re.fullmatch("[A-Z]", answer) for answer in distinct):
        return list(LETTERS[: LETTERS.index(max(distinct)) + 1])
    few = len(distinct) <= len(LETTERS)
    if few and all(re.fullmatch(r"-?\d{1,9}", answer) for answer in distinct):
        return sorted(distinct, key=int)
    return []


def _part(source: str | Path, kind: Format, split: str) -> tuple[list[Path], int, int]:
    """The files of a split and its rows in them, as numbers of the first and behind the last."""
    if Path(source).is_file():
        return [Path(source)], 0, count_rows(Path(source))
    files = {name: find_files(source, name, kind.hub, kind.revision) for name in ("train", "test")}
    if files[split] and (files["test"] or split == "test"):
        return files[split], 0, sum(map(count_rows, files[split]))
    if not files["train"]:
        raise UserError(f"{source}: holds no train.parquet; name another folder as train_data")
    total = sum(map(count_rows, files["train"]))
    if total <= HELD_OUT:
        raise UserError(
            f"{source}: holds {total} rows and no test.parquet; the last {HELD_OUT} would be held "
            "out to score: add a test.parquet"
        )
    seen = total - HELD_OUT
    return files["train"], *((0, seen) if split == "train" else (seen, total))


def _read(
    files: Sequence[Path], kind: Format, start: int, stop: int
) -> Iterator[tuple[Path, int, int, pa.RecordBatch]]:
    """Rows ``start`` to ``stop`` of all files together.

    Yields:
        File, number of the batch's first row in it and over all, and the batch.
    """
    before = 0
    for path in files:
        rows = count_rows(path)
        if before + rows > start:
            there = column_names(path)
            read = [field for field in kind.optional if field[0] in there]
            for first, batch in read_batches(path, pa.schema([*kind.schema, *read])):
                low, high = (min(max(n - before - first, 0), len(batch)) for n in (start, stop))
                if low < high:
                    at = first + low
                    yield path, at, before + at, batch.slice(low, high - low)
                if before + first + len(batch) >= stop:
                    return
        before += rows


def _batch(found: tuple[Path, int, int, pa.RecordBatch], kind: Format) -> pa.RecordBatch:
    path, first, number, batch = found
    rows = []
    for place, row in enumerate(batch.to_pylist()):
        if flaw := _flaw(row, kind):
            raise row_error(path, flaw[0], first + place, flaw[1])
        rows.append({"id": number + place, **_problem(row, kind)})
    return pa.RecordBatch.from_pylist(rows, kind.features.arrow_schema)


def _flaw(row: dict[str, Any], kind: Format) -> tuple[str, str] | None:
    """Column and reason why a row cannot be used."""
    if "nums" in row:
        if row["target"] is None:
            return "target", "is empty"
        whole = row["nums"] and all(n is not None and n >= 0 for n in row["nums"])
        return None if whole and len(row["nums"]) > 1 else ("nums", "has no two numbers to use")
    if kind.pictured and not (row["image"] and row["image"]["bytes"]):
        return "image", "is empty"
    if not row["problem"]:
        return "problem", "is empty"
    answer = solution_text(row["solution"] or "")
    if not answer or (kind.pictured and "<answer>" not in row["solution"]):
        return "solution", "has no answer in <answer> </answer>"
    if row.get("choices") and answer not in row["choices"]:
        return "solution", f"{answer!r} is not among the choices"
    return None


def _problem(row: dict[str, Any], kind: Format) -> dict[str, Any]:
    """A row in the columns of :func:`load_problems`, without its number."""
    if "nums" in row:
        task = Task(row["target"], tuple(row["nums"]))
        row = {"problem": question(task), "solution": str(task)}
    answer = solution_text(row["solution"])
    choices = list(row.get("choices") or _options(row["problem"]))
    if len(answer) == 1 and answer in LETTERS[: len(choices)] and answer not in choices:
        answer = choices[LETTERS.index(answer)]
    tagged = "<answer>" in row["solution"]
    return {
        "images": [row["image"]] if kind.pictured else [],
        "question": row["problem"],
        "choices": choices if answer in choices else [],
        "answer": answer,
        "solution": row["solution"] if tagged else f"<answer>{answer}</answer>",
        "task": row.get("task") or kind.task,
    }


def _options(problem: str) -> list[str]:
    """The texts of options that a problem lists, a line each: "A. 30°", "B: 60°", "(C) 90°"."""
    found = _OPTION.findall(problem)
    letters, texts = "".join(letter for letter, _ in found), [text.strip() for _, text in found]
    named = len(found) > 1 and LETTERS.startswith(letters) and len(set(texts)) == len(texts)
    return texts if named else []
