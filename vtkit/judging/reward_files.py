"""Rewards from files of one's own: ``my_rewards.py:brevity`` is a function in TRL's style.

The file is run when it is first needed, from its bytes, so that their hash says what was paid.
"""

import hashlib
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from vtkit.config.reward_names import from_file
from vtkit.errors import UserError, first_line, nearest, suggest
from vtkit.files import sha256, user_path

GIVEN = (
    *("completions", "completion_ids", "prompts", "question", "choices", "answer", "solution"),
    *("task", "id", "images", "prefilled", "seed", "trainer_state", "log_metric", "log_extra"),
)
"""What a reward function may take: what TRL passes, columns of the data, and two settings."""


def load_function(name: str) -> Callable[..., Any]:
    """The function of a reward such as ``my_rewards.py:brevity``; it takes only what it names.

    Raises:
        UserError: the file is missing or fails, or has no such function, or one that no run can
            call; the line is named.
    """
    own = from_file(name)
    if own is None:
        raise ValueError(f"not a function in a file: {name}")
    where = f"rewards: {own.file}"
    path = user_path(own.file)
    module = _run(path, _read(path, own.file), where)
    function = vars(module).get(own.function)
    if function is None:
        known = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        near = suggest(own.function, known) if known else "; it defines none"
        raise UserError(f"{where}: no function {own.function!r}{near}")
    wrong, names = _takes(function)
    if wrong:
        code = getattr(function, "__code__", None)
        here = code if code is not None and code.co_filename == str(path) else None
        line = f", line {here.co_firstlineno}" if here else ""
        raise UserError(f"{where}{line}: {own.function} {wrong}")
    if names is None:
        return function
    return lambda **given: function(**{key: given[key] for key in names & given.keys()})


def versions(names: Sequence[str]) -> dict[str, str]:
    """The sha256 of each file that rewards come from, by its name in the settings; "" if gone."""
    files = sorted({own.file for name in names if (own := from_file(name))})
    found = {name: user_path(name) for name in files}
    return {name: sha256(path) if path.is_file() else "" for name, path in found.items()}


def line_in(path: Path, error: BaseException) -> str:
    """``", line 7"`` for an error that was raised in a file or below it, else ``""``."""
    places = traceback.walk_tb(error.__traceback__)
    lines: list[int | None] = [
        number for frame, number in places if frame.f_code.co_filename == str(path)
    ]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f", line {lines[-1]}" if lines else ""


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        near = nearest(path.name, [one.name for one in path.parent.glob("*.py")])
        remedy = f"did you mean '{Path(name).with_name(near)}'?" if near else f"write {path}"
        raise UserError(f"rewards: no file '{name}' here; {remedy}") from None
    except OSError as error:
        raise UserError(f"rewards: {name} cannot be read ({error.strerror}); name a file") from None


@cache
def _run(path: Path, source: bytes, where: str) -> ModuleType:
    """The file as a module; once for the same bytes, whoever asks."""
    module = ModuleType(f"reward_file_{hashlib.sha256(source).hexdigest()[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look there
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:
        why = error.msg if isinstance(error, SyntaxError) else first_line(error)
        wrong = f"{type(error).__name__}: {why}"
        raise UserError(f"{where}{line_in(path, error)}: {wrong}; fix that line") from error
    return module


def _takes(function: Any) -> tuple[str, set[str] | None]:
    """Why no run can call a function ("" if it can), and what it takes; None for everything."""
    if inspect.isclass(function) or not callable(function):
        return f"is no function but {type(function).__name__}; name a function", None
    call = function if inspect.isroutine(function) else function.__call__
    if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
        return "is async; write it as a plain function", None
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "does not say what it takes; write a function of your own around it", None
    kinds = {one.name: one.kind for one in parameters}
    needed = [one.name for one in parameters if one.default is one.empty]
    names = {name for name, kind in kinds.items() if kind.name.endswith(("OR_KEYWORD", "D_ONLY"))}
    for name in needed:
        if kinds[name] is inspect.Parameter.POSITIONAL_ONLY:
            return f"takes {name!r} by position, and runs give names; remove the '/'", None
        if name in names and name not in GIVEN:
            return f"takes {name!r}, which no run gives{suggest(name, GIVEN)}", None
    if inspect.Parameter.VAR_KEYWORD in kinds.values():
        return "", None
    if not names & {"completions", "completion_ids"}:
        return "takes no completions; write it like `def brevity(completions, **kwargs)`", None
    return "", names
