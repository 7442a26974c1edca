"""Read YAML files and command lines strictly, with pydantic; a mistake is one line.

In a file each value has its type (an int passes for a float; no bool for an int, no number in
quotes); a command line's text is read as the field's type.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from vtkit.errors import UserError, suggest
from vtkit.files import atomic_write, shown


class Strict(BaseModel):
    """A frozen model without unknown keys or conversions, except int to float."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _parsed(value: Any) -> Any:
    """``"[a, b]"`` or ``"{a: 1}"``; anything else, bad YAML included, as it is."""
    import yaml

    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value


def split_names(value: Any) -> Any:
    """``"a, b"`` or ``"[a, b]"`` as a list; anything else as it is."""
    if not isinstance(value, str):
        return value
    if value.strip().startswith("["):
        return _parsed(value)
    return [item.strip() for item in value.split(",") if item.strip()]


def _at_home(value: Any) -> Any:
    """``~/x`` as a full path: notebooks and YAML files have no shell that expands it."""
    if not isinstance(value, str) or not value.startswith("~"):
        return value
    if (path := os.path.expanduser(value)).startswith("~"):
        raise ValueError(f"'{value}' names no home folder; write the path in full")
    return path


Folder = Annotated[str, BeforeValidator(_at_home)]
Names = Annotated[list[str], BeforeValidator(split_names)]

Model = TypeVar("Model", bound=Strict)


def read_model(
    model: type[Model], values: Mapping[str, Any], source: str, remedy: str = "set it there"
) -> Model:
    """Check the values of all fields.

    Args:
        source: where they are from, a file or "parameters"; ``remedy``: for a missing value.

    Raises:
        UserError: an unknown key (the nearest is named), a bad value or a missing one.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise _user_error(error, model, source, remedy) from None


def read_given(
    model: type[Strict], values: Mapping[str, Any], source: str, *, text: bool = False
) -> dict[str, Any]:
    """Check some values as :func:`read_model` does and return them; ``model`` requires none.

    Args:
        text: read strings as on a command line (``1e-4``, ``true``, ``a,b``).
    """
    ints = {name for name, field in model.model_fields.items() if field.annotation is int}
    texts = {
        key: value
        for key, value in values.items()
        if text and isinstance(value, str) and not (key in ints and "." in value)  # "1.0"
    }
    typed = {key: value for key, value in values.items() if key not in texts}
    found = read_model(model, typed, source).model_dump(exclude_unset=True)
    try:
        return found | model.model_validate_strings(texts).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise _user_error(error, model, source) from None


def read_mapping(value: Mapping[str, Any] | str, name: str) -> dict[str, Any]:
    """A mapping, or its text as YAML; a UserError about parameter ``name`` if it is neither."""
    found = _parsed(value)
    if not isinstance(found, Mapping):
        raise UserError(f'parameters: {name}: expected {{"name": value}}, got {value!r}')
    return dict(found)


def as_text(value: Any) -> str:
    """The value as a command line takes it."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def kind_of(annotation: Any) -> str:
    """Name of a field's type: ``"int"``, ``"list"``; ``"str"`` for one of several words."""
    kind = get_origin(annotation) or annotation
    return "str" if kind is Literal else kind.__name__


def choices_of(annotation: Any) -> tuple[str, ...]:
    """The words that a field, or each item of a list, may hold; () where any will do."""
    items = get_args(annotation)
    if get_origin(annotation) is Literal:
        return items
    return choices_of(items[0]) if items and get_origin(annotation) is list else ()


_EXPECTED = {
    "int": "a whole number", "float": "a number", "finite": "a number", "bool": "true or false",
    "string": "text", "literal": "text", "list": "a list", "too": "a list of names",
    "dict": "'key: value' lines", "model": "'key: value' lines",
}  # fmt: skip
"""By the first word of pydantic's name of the mistake."""


def _user_error(
    error: ValidationError, model: type[BaseModel], source: str, remedy: str = ""
) -> UserError:
    """The first mistake in one line; a missing value is named only if nothing else is wrong."""
    found = error.errors()
    mistakes = [each for each in found if each["type"] != "missing"]
    if not mistakes:
        names = ", ".join(str(each["loc"][-1]) for each in found)
        return UserError(f"{source}: does not say {names}; {remedy}")
    mistake = mistakes[0]
    kind, value, context = mistake["type"], mistake["input"], mistake.get("ctx", {})
    *above, key = mistake["loc"] or ("",)
    if kind in ("extra_forbidden", "invalid_key"):
        field = model.model_fields[above[0]].annotation if above else None
        known = field.__annotations__ if field else model.model_fields
        return UserError(f"{_path(source, *above)}: unknown key '{key}'{suggest(str(key), known)}")
    where = _path(source, *mistake["loc"])
    if kind == "literal_error" and isinstance(value, str):
        known = re.findall("'([^']*)'", context["expected"])
        return UserError(f"{where}: no '{value}'{suggest(value, known)}")
    if kind == "greater_than_equal":
        return UserError(f"{where}: {value} is too small; at least {context['ge']:g}")
    if kind == "less_than_equal":
        return UserError(f"{where}: {value} is too large; at most {context['le']}")
    if kind == "value_error":
        return UserError(f"{where}: {context['error']}")
    return UserError(f"{where}: expected {_EXPECTED[kind.split('_')[0]]}, got {value!r}")


def _path(source: str, *keys: Any) -> str:
    """Source and keys; numbers of items in a list are left out."""
    return ": ".join([source, *(str(key) for key in keys if not isinstance(key, int))])


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; a UserError names the file, and the line that is wrong."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that is given twice instead of keeping the last one."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict:
            seen = set()
            for key, _ in node.value:
                if key.value in seen:
                    twice = f"'{key.value}' is set twice"
                    raise yaml.constructor.ConstructorError(None, None, twice, key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    _read_exponents(Loader)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the step that writes it first") from None
    except OSError as error:
        raise UserError(f"{shown(path)} cannot be read ({error.strerror}); name a file") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "not readable text"
        raise UserError(f"{shown(path)}{line}: bad YAML ({reason}); fix that line") from None
    if not isinstance(content, dict):
        raise UserError(f"{shown(path)}: expected 'key: value' lines")
    return content


def write_yaml(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write what :func:`read_yaml` reads back as it is, atomically."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    _read_exponents(Dumper)
    with atomic_write(path) as handle:
        yaml.dump(content, handle, Dumper=Dumper, sort_keys=False, allow_unicode=True)


def _read_exponents(loader_or_dumper: Any) -> None:
    """Take ``1e-4`` for a number, as YAML 1.2 does; PyYAML wants ``1.0e-4``."""
    number = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    loader_or_dumper.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
