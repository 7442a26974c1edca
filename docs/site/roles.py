"""Let docstrings' references be links, and examples code. The generator loads this."""

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|mod|class|data|meth|attr|exc):`[~.]?([\w.]+)`")
_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).+)*", re.MULTILINE)


class Roles(griffe.Extension):
    """Turn ``:func:`judge``` into a link, or into code where nothing is documented."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        self._convert(pkg, pkg)

    def _convert(self, package: griffe.Module, item: griffe.Object) -> None:
        if item.docstring:
            text = _EXAMPLE.sub(r"```pycon\n\g<0>\n```", item.docstring.value)
            item.docstring.value = _ROLE.sub(lambda found: _link(package, item, found[1]), text)
        for member in item.members.values():
            if not member.is_alias:
                self._convert(package, member)


def _link(package: griffe.Module, item: griffe.Object, name: str) -> str:
    above, places = item, []
    while above is not None:
        places.append(f"{above.path}.{name}")
        above = above.parent
    for path in (name, *places):
        if path.startswith(f"{package.path}."):
            try:
                found = package[path.removeprefix(f"{package.path}.")]
            except KeyError:
                continue
            shown = all(not part.startswith("_") for part in found.path.split("."))
            if shown and found.has_docstrings:
                return f"[`{name}`][{found.path}]"
    return f"`{name}`"
