"""Write files and folders that are either whole or absent: a kill leaves the old or the new one."""

import errno
import hashlib
import itertools
import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vtkit.errors import UserError, first_line, printable, shorten


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it over ``path`` when the block succeeds.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.vtkit.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        with open(draft, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(draft, path)
    except OSError as error:
        reason = error.strerror or error
        remedy = "free some space or choose another folder"
        raise UserError(f"cannot write {path}: {reason}; {remedy}") from error
    finally:
        with suppress(OSError):  # what went wrong above is the better message
            draft.unlink(missing_ok=True)


@contextmanager
def full_disk_is_a_user_error(folder: str | Path) -> Iterator[None]:
    """Turn a library's "disk full" into one line about ``folder``."""
    codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk's, the user's and a file's limit
    signs = (*map(os.strerror, codes), "PytorchStreamWriter", "inline_container")
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if getattr(error, "errno", None) not in codes and not any(s in str(error) for s in signs):
            raise
        raise UserError(
            f"the disk of {folder} is full; free some space and run the same command again: "
            "it resumes from what was saved last"
        ) from error


def is_draft(path: Path) -> bool:
    """Whether a file has the name of one that :func:`atomic_path` had not finished."""
    named = re.fullmatch(r"\..+\.vtkit\.\d+\.part", path.name)
    return named is not None and path.is_file() and not path.is_symlink()


def remove_drafts(*folders: Path) -> None:
    """Remove the drafts of killed processes, not those further down; only for who has ``folders``
    to itself."""
    for draft in (path for folder in folders for path in folder.glob(".*.part") if is_draft(path)):
        draft.unlink(missing_ok=True)


def require_name(name: str | Path, field: str = "folder") -> None:
    """Refuse what :func:`name_flaw` finds fault with; ``field`` was given it."""
    if flaw := name_flaw(name):
        raise UserError(f"{field}: {flaw}")


def name_flaw(name: str | Path) -> str:
    """Why no file system takes a path, or a terminal would not show it as it is; "" if neither."""
    text = str(name)
    if any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text):
        wrong = "has a character that a terminal cannot show"
    elif any(len(os.fsencode(part)) > 255 for part in Path(text).parts):
        wrong = "has a part of more than 255 bytes"
    elif len(os.fsencode(os.path.abspath(text))) > _LONGEST_PATH:
        wrong = f"is longer than {_LONGEST_PATH:,} bytes"
    else:
        return ""
    return f"'{printable(shorten(text))}' {wrong}; choose another name"


_LONGEST_PATH = 3800  # of a folder: Linux takes 4,095 bytes, with the file's name


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[Any]:
    """Open ``path`` for writing, ``"w"`` (UTF-8) or ``"wb"``; readers see it when it is whole."""
    encoding = None if "b" in mode else "utf-8"
    with atomic_path(path) as draft, open(draft, mode, encoding=encoding) as handle:
        yield handle


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_write(path) as handle:
        json.dump(value, handle, indent=2, ensure_ascii=False)
        handle.write("\n")


def read_text(path: str | Path, *, most_bytes: int = 100_000_000) -> str:
    """Read a text file in UTF-8.

    Raises:
        UserError: missing, a folder or device, larger than ``most_bytes``, unreadable, other text.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
            raise UserError(f"{path} cannot be read (it is {what}); name a file")
        if found.st_size > most_bytes:
            raise UserError(
                f"{path} cannot be read ({found.st_size / 1e6:,.1f} MB, and no such file of the "
                f"kit has over {most_bytes / 1e6:,.0f}); name another file"
            )
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the step that writes it first") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not readable text; restore it, as UTF-8") from None


def read_json(path: str | Path, remedy: str = "delete it and run the step again") -> Any:
    """Read a JSON file; a UserError says that it is missing or not JSON."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({first_line(error)}); {remedy}") from None


ROOT = Path(__file__).resolve().parents[1]


def user_path(path: str | Path) -> Path:
    """A path as people give it: ``~`` is their home, and a relative one starts at the checkout."""
    return ROOT / os.path.expanduser(path)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def shown(path: Path) -> str:
    """The path for messages: inside the repository, relative to it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def unused(path: Path) -> Path:
    """The path, or where it is taken the first of ``name-2``, ``name-3`` and so on that is not."""
    more = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(one for one in itertools.chain([path], more) if not os.path.lexists(one))


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables inside the block, also for processes that it starts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
