"""Write a page for each package, from which the generator makes the API out of docstrings."""

import ast
import re
from pathlib import Path

from vtkit.files import ROOT

TOP = "vtkit"


def write_pages(folder: Path) -> list[str]:
    """Write ``index.md`` and a page for each package; returns the names of all pages.

    ``vtkit.md`` has the modules at the top.
    """
    packages = sorted(path.parent.name for path in (ROOT / TOP).glob("*/__init__.py"))
    folder.mkdir(parents=True)
    rows = [f"| [`{name}`]({name}.md) | {_first_line(name)} |" for name in [TOP, *packages]]
    table = ["| package | what is in it |", "|---|---|", *rows]
    (folder / "index.md").write_text("\n".join(["# API", "", *table]), encoding="utf-8")
    for name in [TOP, *packages]:
        package = TOP if name == TOP else f"{TOP}.{name}"
        modules = sorted(path.stem for path in _folder(name).glob("[!_]*.py"))
        names = [package, *(f"{package}.{module}" for module in modules)]
        blocks = [f"::: {one}\n    options:\n      heading_level: {1 + (one != package)}"
                  for one in names]  # fmt: skip
        (folder / f"{name}.md").write_text("\n\n".join(blocks), encoding="utf-8")
    return ["index", TOP, *packages]


def _folder(name: str) -> Path:
    return ROOT / TOP if name == TOP else ROOT / TOP / name


def _first_line(name: str) -> str:
    tree = ast.parse((_folder(name) / "__init__.py").read_text(encoding="utf-8"))
    line = ast.get_docstring(tree).splitlines()[0].removesuffix(" In reading order:")
    return re.sub(r":\w+:`", "`", line)  # a role, see roles.py
