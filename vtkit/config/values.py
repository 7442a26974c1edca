"""Read YAML, JSON and command lines strictly, with pydantic; a mistake is one line.

In a file each value has its type (an int passes for a float; no bool for an int, no number in
quotes); a command line's text is read as the field's type.
"""

import functools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from vtkit.errors import UserError, first_line, quote, shorten, suggest
from vtkit.files import atomic_write, name_flaw, read_json, read_text, shown


class Strict(BaseModel):
    """A frozen model without unknown keys or conversions, except int to float."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Record(BaseModel):
    """What a JSON file of the kit must hold; it may hold more, from another version.

    ``remedy``: what to do with a file that is otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)
    remedy: ClassVar[str] = "delete it and run the step again"


def read_record(model: type[Record], path: str | Path) -> dict[str, Any]:
    """Read a JSON file as it is written, once ``model`` has checked it.

    Raises:
        UserError: no such file, no JSON, or a field missing or of another kind, which is named.
    """
    return check_record(model, read_json(path, model.remedy), path)


def check_record(model: type[Record], value: Any, path: str | Path) -> dict[str, Any]:
    """Return a value of the file ``path`` once ``model`` has checked it, as :func:`read_record`."""
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected fields and their values; {model.remedy}")
    try:
        model.model_validate(value)
    except ValidationError as error:
        raise _user_error(error, model, str(path), model.remedy) from None
    return value


def _parsed(value: Any) -> Any:
    """``"[a, b]"`` or ``"{a: 1}"``; anything else, bad YAML included, as it is."""
    try:
        return _load_yaml(value) if isinstance(value, str) else value
    except _BadYaml:
        return value


def split_names(value: Any) -> Any:
    """``"a, b"`` or ``"[a, b]"`` as a list; anything else as it is.

    >>> split_names("accuracy, format")
    ['accuracy', 'format']
    """
    if not isinstance(value, str):
        return value
    if value.strip().startswith("["):
        return _parsed(value)
    return [item.strip() for item in value.split(",") if item.strip()]


def _at_home(value: Any) -> Any:
    """``~/x`` as a full path: notebooks and YAML files have no shell that expands it.

    A path that no file system takes is refused.
    """
    if not isinstance(value, str):
        return value
    if flaw := name_flaw(value):
        raise ValueError(flaw)
    if not value.startswith("~"):
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
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise UserError(f'parameters: {name}: expected {{"name": value}}, got {quote(value)}')
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
        names = ", ".join(": ".join(map(str, each["loc"])) for each in found)
        return UserError(f"{source}: does not say {shorten(names)}; {remedy}")
    mistake = mistakes[0]
    kind, value, context = mistake["type"], mistake["input"], mistake.get("ctx", {})
    *above, key = mistake["loc"] or ("",)
    if kind in ("extra_forbidden", "invalid_key"):
        field = model.model_fields[str(above[0])].annotation if above else None
        known: Iterable[str] = field.__annotations__ if field else model.model_fields
        unknown = f"unknown key '{shorten(str(key))}'{suggest(str(key), known)}"
        return UserError(f"{_path(source, *above)}: {unknown}")
    where, ending = _path(source, *mistake["loc"]), ""
    if issubclass(model, Record):
        ending = f"; {remedy}"
    if kind == "literal_error" and isinstance(value, str):
        known = re.findall("'([^']*)'", context["expected"])
        return UserError(f"{where}: no '{shorten(value)}'{suggest(value, known)}{ending}")
    if kind == "greater_than_equal":
        least = f"{shorten(str(value))} is too small; at least {context['ge']:g}"
        return UserError(f"{where}: {least}{ending}")
    if kind == "less_than_equal":
        most = f"{shorten(str(value))} is too large; at most {context['le']}"
        return UserError(f"{where}: {most}{ending}")
    if kind == "value_error":
        return UserError(f"{where}: {context['error']}{ending}")
    expected = _EXPECTED.get(kind.split("_")[0], mistake["msg"])
    return UserError(f"{where}: expected {expected}, got {quote(value)}{ending}")


def _path(source: str, *keys: Any) -> str:
    """Source and keys; numbers of items in a list are left out."""
    names = (shorten(str(key)) for key in keys if not isinstance(key, int))
    return ": ".join([source, *names])


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; a UserError names the file, and the line that is wrong.

    Numbers are decimal: YAML 1.1 would read ``010`` as 8 and ``1:30`` as 90. There are no aliases:
    a few lines of them can stand for more values than fit in memory.
    """
    text = read_text(path, most_bytes=_MOST_YAML)
    try:
        content = _load_yaml(text)
    except _BadYaml as error:
        raise UserError(f"{shown(path)}{error}; fix that line") from None
    if not isinstance(content, dict):
        raise UserError(f"{shown(path)}: expected 'key: value' lines")
    return content


_MOST_YAML = 1_000_000  # bytes; PyYAML reads some hundred kB a second


class _BadYaml(ValueError):
    """Where and why text is no YAML of the kit: ", line 3: bad YAML (why)"."""


def _load_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=_loader())
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or first_line(error)
        raise _BadYaml(f"{line}: bad YAML ({shorten(reason)})") from None


@functools.cache
def _loader() -> type:
    """PyYAML's safe loader, without what :func:`read_yaml` refuses."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                self._refuse("aliases are not read: write the value out", self.peek_event())
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            """Refuse a key that is given twice instead of keeping the last one."""
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    self._refuse("a key must be a name", key)
                if key.value in seen:
                    self._refuse(f"'{key.value}' is set twice", key)
                seen.add(key.value)
            return super().construct_mapping(node, deep)

        def construct_decimal(self, node: Any) -> int | float:
            if not re.fullmatch(_DECIMAL, node.value, re.IGNORECASE):
                self._refuse(f"{shorten(node.value)} is no plain decimal number", node)
            kind = "int" if node.tag.endswith("int") else "float"
            return getattr(self, f"construct_yaml_{kind}")(node)

        def _refuse(self, problem: str, at: Any) -> None:
            raise yaml.constructor.ConstructorError(None, None, problem, at.start_mark)

    for kind in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", Loader.construct_decimal)
    _read_exponents(Loader)
    return Loader


_DECIMAL = r"[-+]?((0|[1-9][\d_]*)(\.[\d_]*)?|\.\d[\d_]*)(e[-+]?\d+)?|[-+]?\.inf|\.nan"


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
