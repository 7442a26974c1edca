"""Kinds of damage by kind of file. Each changes a whole file in place; no name is given twice."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Damage = Callable[[Path], None]
OTHER = {str: 3, int: "x", float: "x", bool: 3, list: {"a": 1}, dict: [1], type(None): []}
"""A value of another kind, by the kind that is there."""


def replaced(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        path.write_bytes(content)

    return damage


def cut(path: Path) -> None:
    content = path.read_bytes()
    replaced(content[: len(content) // 2])(path)


def other_encoding(path: Path) -> None:
    replaced(path.read_text("utf-8").encode("utf-16"))(path)


def is_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def device(path: Path) -> None:
    """Endless if it is read."""
    path.unlink()
    path.symlink_to("/dev/zero")


ANY = {
    "empty": replaced(b""),
    "a page of HTML": replaced(b"<html>502 Bad Gateway</html>"),
    "a folder": is_folder,
    "a link to itself": link_to_itself,
    "a device": device,
}
TEXT = {"cut": cut, "UTF-16": other_encoding, "zeros": replaced(bytes(4096))}


def shaped(value: Any) -> Damage:
    return replaced(json.dumps(value).encode())


JSON = {
    **ANY, **TEXT,
    "a list": shaped([]), "null": shaped(None), "a number": shaped(3), "text": shaped("x"),
    "no fields": shaped({}), "nested deeply": replaced(b"[" * 50_000 + b"]" * 50_000),
    "a number of 5,000 digits": replaced(b'{"step": 1' + b"0" * 5_000 + b"}"),
}  # fmt: skip


def json_fields(path: Path, required: set[str]) -> Iterator[tuple[str, Damage]]:
    """Each required field removed, of another kind, and where it is a number not finite or below 0.

    Fields in fields count too, where ``required`` names them as "a/b".
    """

    def changed(place: list[str], change: Callable[[dict, str], None]) -> Damage:
        def damage(path: Path) -> None:
            *above, last = place
            whole = inner = json.loads(path.read_text("utf-8"))
            for name in above:
                inner = inner[name]
            change(inner, last)
            shaped(whole)(path)

        return damage

    def put(value: Any) -> Callable[[dict, str], None]:
        return lambda inner, last: inner.update({last: value})

    content = json.loads(path.read_text("utf-8"))
    for name in sorted(required):
        place, value = name.split("/"), content
        for part in place:
            value = value[part]
        yield f"{name} removed", changed(place, lambda inner, last: inner.pop(last))
        yield f"{name} of another kind", changed(place, put(OTHER[type(value)]))
        if type(value) in (int, float):
            yield f"{name} is NaN", changed(place, put(float("nan")))
            yield f"{name} below 0", changed(place, put(-1))


def text_edit(find: str, put: str) -> Damage:
    """Replace the first line that starts so."""

    def damage(path: Path) -> None:
        lines = path.read_text("utf-8").splitlines(keepends=True)
        place = next(number for number, line in enumerate(lines) if line.startswith(find))
        lines[place] = put
        replaced("".join(lines).encode())(path)

    return damage


ALIASES = "a: &a [x, x]\n" + "".join(
    f"{one}: &{one} [*{before}, *{before}, *{before}]\n"
    for before, one in zip("abcdefghij", "bcdefghijk", strict=True)
)
YAML = {
    **ANY, "UTF-16": other_encoding, "zeros": replaced(bytes(4096)),
    "a list": replaced(b"[1, 2]\n"), "a number": replaced(b"3\n"), "cut": cut,
    "aliases": replaced(ALIASES.encode()),
    "nested deeply": replaced(b"a: " + b"[" * 5_000 + b"]" * 5_000),
    "a list as a key": replaced(b"? [a]\n: 1\n"),
    "a mapping as a key": replaced(b"? {a: 1}\n: 1\n"),
    "a tag of Python": replaced(b"seed: !!python/object/apply:os.getpid []\n"),
    "an impossible date": replaced(b"seed: 2026-13-45\n"),
}  # fmt: skip
CONFIG = {
    **YAML,
    **{f"{name} removed": text_edit(f"{name}:", "") for name in ("recipe", "seed", "algorithm")},
    "an unknown field": text_edit("seed:", "seed: 0\nseeed: 1\n"),
    "a field twice": text_edit("seed:", "seed: 0\nseed: 1\n"),
    "an octal number": text_edit("seed:", "seed: 010\n"),
    "a time for a number": text_edit("seed:", "seed: 1:30\n"),
    "a number in quotes": text_edit("max_steps:", "max_steps: '12'\n"),
    "a word for a number": text_edit("prompts_per_step:", "prompts_per_step: two\n"),
    "an unknown word": text_edit("train_format:", "train_format: parquet\n"),
    "a list for a word": text_edit("loss_type:", "loss_type: [grpo]\n"),
    "a list in a list": text_edit("train_types:", "train_types: [[a]]\n"),
    "a value of 100,000 letters": text_edit("loss_type:", f"loss_type: {'x' * 100_000}\n"),
}


def cells(change: Callable[[list[list[str]]], None]) -> Damage:
    def damage(path: Path) -> None:
        rows = [line.split(",") for line in path.read_text("utf-8").splitlines()]
        change(rows)
        replaced("".join(",".join(row) + "\n" for row in rows).encode())(path)

    return damage


def column(name: str, value: str) -> Damage:
    """Another value in a column's second row."""

    def change(rows: list[list[str]]) -> None:
        rows[2][rows[0].index(name)] = value

    return cells(change)


def no_line_end(path: Path) -> None:
    replaced(path.read_bytes()[:-4])(path)


CSV = {
    **ANY, "UTF-16": other_encoding, "zeros": replaced(bytes(4096)), "torn": no_line_end,
    "only names": cells(lambda rows: rows.__delitem__(slice(1, None))),
    "no column step": cells(lambda rows: rows[0].__setitem__(0, "stepp")),
    "a column twice": cells(lambda rows: rows[0].__setitem__(1, "step")),
    "a step twice": cells(lambda rows: rows.insert(2, rows[2])),
    "steps in another order": cells(lambda rows: rows.insert(1, rows.pop())),
    "a short row": cells(lambda rows: rows[2].pop()),
    "a long row": cells(lambda rows: rows[2].append("1")),
    "a step in words": column("step", "two"), "a step below 0": column("step", "-2"),
    "an endless field": replaced(b'step,loss\n1,"' + b"x" * 200_000 + b'"\n'),
}  # fmt: skip
METRICS = {
    **CSV, "text": column("loss", "low"), "a share above 1": column("html_share", "1.5"),
    "a share below 0": column("reflection_rate", "-0.5"), "a formula": column("loss", "=1+1"),
}  # fmt: skip
TIMINGS = {**CSV, "text": column("seconds", "slow")}


def table(change: Callable[[pa.Table], pa.Table]) -> Damage:
    def damage(path: Path) -> None:
        changed = change(pq.read_table(path, partitioning=None))
        path.unlink()
        pq.write_table(changed, path)

    return damage


def with_column(name: str, values: Callable[[pa.ChunkedArray], list], kind: Any = None) -> Damage:
    def change(found: pa.Table) -> pa.Table:
        place = found.schema.get_field_index(name)
        new = pa.array(values(found[name]), kind or found.schema.field(name).type)
        return found.set_column(place, name, new)

    return table(change)


def parquet(names: dict[str, str]) -> dict[str, Damage]:
    """Damage to a table; ``names``: columns that it must have, and "null" where a cell may be."""
    found = {**ANY, "cut": cut, "zeros": replaced(bytes(4096)), "other columns": table(_others)}
    for name, may in names.items():
        found[f"{name} removed"] = table(lambda old, name=name: old.drop_columns([name]))
        found[f"{name} of another kind"] = with_column(name, _numbered, pa.list_(pa.int8()))
        if may != "null":
            found[f"{name} empty in a row"] = with_column(name, _one_null)
    return found


def _others(old: pa.Table) -> pa.Table:
    return pa.table({"a": range(len(old))})


def _numbered(column: pa.ChunkedArray) -> list:
    return [[1]] * len(column)


def _one_null(column: pa.ChunkedArray) -> list:
    values = column.to_pylist()
    values[len(values) // 2] = None
    return values


def snapshot(folder: Path) -> dict[str, tuple]:
    """What is in a folder: links, folders, and files by content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_file():
            found[name] = ("file", path.read_bytes())
        else:
            found[name] = ("folder", "")
    return found


def copied(source: Path, target: Path) -> Path:
    """A copy that shares the files themselves: damage replaces a file, it never changes one."""
    return shutil.copytree(source, target, copy_function=os.link)


DERIVED = ("summary.json", "figures", "report.html", ".lock", "manifest.json", "README.md")
"""What a reader may write before it fails: it is made anew from the rest each time."""


def changes(before: dict[str, tuple], after: dict[str, tuple]) -> list[str]:
    """The names of files that are other than before, but for those that are derived."""
    names = {name for name in before | after if before.get(name) != after.get(name)}
    return sorted(name for name in names if not set(Path(name).parts) & set(DERIVED))
