"""Write data of one's own in SAT's and CV-Bench's published columns, one row at a time.

row = {"picture": "desk.jpg", "question": "What is on the desk?",
       "choices": ["a cup", "a lamp"], "answer": "a cup"}
write_sat([row], "data/mine")  # to train on; write_cv_bench writes a benchmark
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm.auto import tqdm

from vtkit.config.run_config import STATIC
from vtkit.data.bad_rows import text_flaw
from vtkit.data.cv_bench import CV_BENCH_FILES, CV_BENCH_SCHEMA, cv_bench_prompt
from vtkit.data.formats import LETTERS
from vtkit.data.parquet import BATCH_ROWS, NO_ROWS
from vtkit.data.picture_files import eight_bit, picture_flaw
from vtkit.data.sat import SAT_SCHEMA
from vtkit.errors import UserError, first_line, suggest
from vtkit.files import atomic_path
from vtkit.judging.verdict import unpayable

_BYTES = 64 << 20  # of pictures that are held before they are written
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_FIELDS = ("picture", "question", "choices", "answer")
_KINDS = ("2D", "3D")
_DEFAULTS = {"type": "2D", "task": "Own", "source": "own"}
_COMPUTED = {"idx", "image", "prompt"}

Row = Mapping[str, Any]


def write_sat(
    rows: Iterable[Row], folder: str | Path, *, split: str = "train", progress: bool = True
) -> Path:
    """Write ``SAT_<split>.parquet``, the right answer first, as SAT has it; returns its path.

    Args:
        rows: dictionaries with ``picture`` (path, PIL image or encoded bytes; a list of several),
            ``question``, ``choices`` and ``answer``, one of them. ``type`` is SAT's question_type,
            by default ``other``, which are the questions that a run trains on by default.

    Raises:
        UserError: the file exists, there are no rows, or one is wrong: its number, counted from 0,
            field and remedy. Then nothing is written.
    """
    path = Path(folder) / f"SAT_{split}.parquet"
    with _new_files([path], SAT_SCHEMA) as (add,):
        for number, row in _numbered(rows, path, progress):
            question, choices, answer = _asked(row, number, ("type",))
            pictures = (
                row["picture"] if isinstance(row["picture"], list | tuple) else [row["picture"]]
            )
            if not pictures:
                raise _wrong(number, "picture", "is an empty list", "name at least one")
            add({
                "image_bytes": [_encoded(one, number) for one in pictures],
                "question": question,
                "answers": [answer, *(choice for choice in choices if choice != answer)],
                "question_type": _text(row.get("type", STATIC), number, "type"),
                "correct_answer": answer,
            })  # fmt: skip
    return path


def write_cv_bench(
    rows: Iterable[Row], folder: str | Path, *, progress: bool = True
) -> dict[str, Path]:
    """Write ``test_2d`` and ``test_3d``, with CV-Bench's prompt and lettered answer; their paths.

    Args:
        rows: as in :func:`write_sat`, with one picture each. ``type`` is ``2D`` (the default) or
            ``3D`` and chooses the file; scores are counted by ``task`` and ``source``. CV-Bench's
            other columns may be given too.

    Raises:
        UserError: as :func:`write_sat`.
    """
    paths = {name.split(".")[0]: Path(folder) / name for name in CV_BENCH_FILES}
    more = [name for name in CV_BENCH_SCHEMA.names if name not in {*_FIELDS, *_COMPUTED}]
    with _new_files(list(paths.values()), CV_BENCH_SCHEMA) as adders:
        for number, row in _numbered(rows, Path(folder) / "test", progress):
            question, choices, answer = _asked(row, number, more)
            given = _DEFAULTS | {name: row[name] for name in more if name in row}
            for name in _DEFAULTS:
                _text(given[name], number, name)
            if given["type"] not in _KINDS:
                raise _wrong(number, "type", f"is {given['type']!r}", "write 2D or 3D")
            for name, value in given.items():
                _check_type(value, CV_BENCH_SCHEMA.field(name).type, number, name)
            place = row["picture"] if isinstance(row["picture"], str | os.PathLike) else None
            file = {"filename": Path(place).name} if place is not None else {}
            adders[_KINDS.index(given["type"])]({
                **dict.fromkeys(more), **file, **given,
                "idx": number,
                "image": {"bytes": _encoded(row["picture"], number), "path": None},
                "question": question,
                "choices": choices,
                "answer": f"({LETTERS[choices.index(answer)]})",
                "prompt": cv_bench_prompt(question, choices),
            })  # fmt: skip
    return paths


@contextmanager
def row_writer(
    path: Path, schema: pa.Schema, at_once: int = BATCH_ROWS
) -> Iterator[Callable[[Row], None]]:
    """Yield what adds a row to a new parquet file, which is there once the block has ended well.

    Rows are written ``at_once`` to a row group, or fewer where their pictures are large.
    """
    held: list[Row] = []
    size, written = 0, False

    def flush() -> None:
        nonlocal size, written
        written = True
        table = pa.Table.from_pylist(held, schema)
        file.write_table(table, row_group_size=max(1, len(held)))
        held.clear()
        size = 0

    def add(row: Row) -> None:
        nonlocal size
        held.append(row)
        pictures = row.get("image_bytes") or [(row.get("image") or {}).get("bytes") or b""]
        size += sum(map(len, pictures))
        if len(held) == at_once or size > _BYTES:
            flush()

    with atomic_path(path) as draft, pq.ParquetWriter(draft, schema) as file:
        yield add
        if held:
            flush()
        if not written:
            file.add_key_value_metadata({NO_ROWS: b"meant"})


@contextmanager
def _new_files(paths: Sequence[Path], schema: pa.Schema) -> Iterator[list[Callable[[Row], None]]]:
    """Writers of files that must not be there yet."""
    for path in paths:
        if os.path.lexists(path):
            raise UserError(f"{path} is there already; move it away, or name another folder")
    with ExitStack() as stack:
        yield [stack.enter_context(row_writer(path, schema)) for path in paths]


def _numbered(rows: Iterable[Row], path: Path, progress: bool) -> Iterator[tuple[int, Row]]:
    total, number = len(rows) if isinstance(rows, Sized) else None, -1
    name = f"{path.parent.name}/{path.name}"
    shown = tqdm(rows, desc=f"writing {name}", unit="row", total=total, disable=not progress)
    for number, row in enumerate(shown):
        if not isinstance(row, Mapping):
            remedy = "give dictionaries; of a DataFrame, df.to_dict('records')"
            raise UserError(f"row {number} is {type(row).__name__} and no dictionary; {remedy}")
        yield number, row
    if number < 0:
        raise UserError(f"{path.parent}: there are no rows to write; give at least one")


def _asked(row: Row, number: int, more: Sequence[str]) -> tuple[str, list[str], str]:
    """Question, choices and answer of a row whose fields are all known."""
    for name in row:
        if name not in (*_FIELDS, *more):
            near = suggest(str(name), (*_FIELDS, *more))
            raise UserError(f"row {number}: there is no field {name!r}{near}")
    for name in _FIELDS:
        if name not in row:
            raise _wrong(number, name, "is missing", "every row has one")
    question = _text(row["question"], number, "question")
    if not isinstance(row["choices"], list | tuple):
        raise _wrong(number, "choices", f"is {_short(row['choices'])}", "give a list of texts")
    choices = [_text(choice, number, "choices") for choice in row["choices"]]
    if not 2 <= len(choices) <= len(LETTERS):
        raise _wrong(number, "choices", f"has {len(choices)}", f"give 2 to {len(LETTERS)}")
    seen: dict[str, str] = {}
    for choice in choices:
        key = " ".join(choice.casefold().split())
        if key in seen:
            both = f"has {_short(seen[key])} and {_short(choice)}"
            raise _wrong(number, "choices", both, "no judge can tell them apart: change one")
        seen[key] = choice
    if flaw := text_flaw(question, *choices):
        raise _wrong(number, "question", f"{flaw} with its choices", "shorten it")
    answer = _text(row["answer"], number, "answer")
    if answer not in choices:
        remedy = f"write one of {_short(choices)} as it is there"
        raise _wrong(number, "answer", f"{_short(answer)} is not among the choices", remedy)
    if flaw := unpayable(choices.index(answer), choices):
        raise _wrong(number, "answer", f"{_short(answer)} {flaw}", "reword the choices")
    return question, choices, answer


def _text(value: Any, number: int, field: str) -> str:
    if not isinstance(value, str):
        raise _wrong(number, field, f"is {_short(value)}", "write it as text")
    if not value.strip():
        raise _wrong(number, field, "is empty", "write it, or leave the row out")
    try:
        value.encode()
    except UnicodeEncodeError:
        what = f"{_short(value)} is not valid Unicode"
        raise _wrong(number, field, what, "read the file as UTF-8") from None
    return value


def _encoded(picture: Any, number: int) -> bytes:
    """The bytes of a picture file, kept as they are; a PIL image becomes a PNG file."""
    try:
        if isinstance(picture, str | os.PathLike):
            data = Path(picture).expanduser().read_bytes()
        elif isinstance(picture, Image.Image):
            plain = eight_bit(picture)
            buffer = io.BytesIO()
            (plain if plain.mode in _PNG_MODES else plain.convert("RGB")).save(buffer, "PNG")
            data = buffer.getvalue()
        else:
            data = bytes(memoryview(picture))
    except Exception as error:  # damaged pictures end in errors of all kinds
        what = f"{_short(picture)} cannot be read ({first_line(error)})"
        raise _wrong(number, "picture", what, "give a path, a PIL image or encoded bytes") from None
    if flaw := picture_flaw(data, thorough=True):
        raise _wrong(number, "picture", f"{_short(picture)} {flaw}", "replace it")
    return data


def _check_type(value: Any, kind: pa.DataType, number: int, field: str) -> None:
    try:
        pa.array([value], kind)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise _wrong(number, field, f"is {_short(value)}", f"give {kind}") from None


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _wrong(number: int, field: str, what: str, remedy: str) -> UserError:
    return UserError(f"row {number}: {field} {what}; {remedy}")
