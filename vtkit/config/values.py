"""Values as people type them: YAML files and command lines, read strictly.

Python's own casts are too lenient here (``int(True)``, ``bool("false")``) and YAML's are surprising
(``1e-4`` is text to it, the second of two equal keys wins). Errors say what was expected.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

from vtkit.errors import UserError, suggest
from vtkit.files import shown


def cast(value: Any, kind: Any) -> Any:
    """``value`` as ``kind`` (str, int, float, bool, list, list[str] or dict).

    Strings are read the way a command line means them; anything else has to have the type already
    (an int passes for a float, never a bool for an int).

    Raises:
        ValueError: says what was expected.
    """
    base = get_origin(kind) or kind
    if isinstance(value, str) and base is not str:
        value = _from_text(value, base)
    if base is float and type(value) is int:
        value = float(value)
    if type(value) is not base or (base is float and not math.isfinite(value)):
        raise ValueError(f"expected {_name(kind)}, got {value!r}")
    if kind == list[str] and not (value and all(isinstance(item, str) for item in value)):
        raise ValueError(f"expected a list of names, got {value!r}")
    return value


def cast_all(values: Mapping[str, Any], known: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Each value as the type that ``known`` has for its key; ``source`` is named in errors.

    Raises:
        UserError: a key that is not known (the nearest is named), or an ill-typed value.
    """
    result = {}
    for key, value in values.items():
        if key not in known:
            raise UserError(f"{source}: unknown key '{key}'{suggest(str(key), known)}")
        try:
            result[key] = cast(value, known[key])
        except ValueError as error:
            raise UserError(f"{source}: {key}: {error}") from None
    return result


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        UserError: no such file, no YAML (names the line), a key set twice, or no mapping.
    """
    import yaml

    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_strict_loader())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the step that writes it first") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "not readable text"
        raise UserError(f"{shown(path)}{line}: bad YAML ({reason}); mend that line") from None
    if not isinstance(content, dict):
        raise UserError(f"{shown(path)}: expected 'key: value' lines")
    return content


def _from_text(text: str, base: type) -> Any:
    import yaml

    word = text.strip()
    try:
        if base in (int, float):
            return base(word)
        if base is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                word.lower()
            ]
        if base is list and not word.startswith("["):
            return [item.strip() for item in word.split(",") if item.strip()]
        return yaml.safe_load(word)
    except (ValueError, KeyError, yaml.YAMLError):
        return text  # the type check that follows names what was expected


def _name(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(kind, "a list" if (get_origin(kind) or kind) is list else "a mapping")


def _strict_loader() -> type:
    """yaml.SafeLoader that refuses a key given twice instead of keeping the last one."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict:
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"'{key.value}' is set twice", key.start_mark
                    )
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    return Loader
