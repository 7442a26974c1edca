"""The rules of the house (docs/development.md): order of packages, no circles."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from vtkit.files import ROOT

ORDER = (
    "errors", "files", "stats", "hub", "rendering", "commands", "config", "judging", "data",
    "models", "runs", "sampling", "planning", "benchmark", "training", "aha", "report", "studies",
    "mini", "grade",
)  # fmt: skip
"""A part of vtkit may import those before it; mini only up to benchmark."""
PACKAGE = ROOT / "vtkit"
ROOMS = 23


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PACKAGES = {name: path for name, path in MODULES.items() if path.name == "__init__.py"}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports_of(module: str) -> set[str]:
    """Absolute names of all that a module imports, also in functions and for type checkers."""
    package = module if module in PACKAGES else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            source = ".".join([*above * bool(node.level), *filter(None, [node.module])])
            for alias in node.names:
                name = f"{source}.{alias.name}"
                found.add(name if name in MODULES else source)
    return found


def ours(module: str) -> set[str]:
    """The modules of vtkit that a module imports; ``vtkit`` itself has the version only."""
    return {name for name in imports_of(module) if name in MODULES} - {module, "vtkit"}


def part(module: str) -> str:
    """``"report"`` for ``vtkit.report.page``; ``""`` for vtkit and its command."""
    names = module.split(".")
    return "" if names[1:] in ([], ["__main__"]) else names[1]


def may_import(importer: str, imported: str) -> bool:
    if imported == "mini":
        return importer == "mini"
    limit = "benchmark" if importer == "mini" else importer
    return importer == imported or ORDER.index(imported) < ORDER.index(limit) + (importer == "mini")


def test_there_is_something_to_check():
    assert len(MODULES) > 80 and {"vtkit.files", "vtkit.errors"} <= ours("vtkit.runs.folder")
    assert "vtkit.config.run_config" in ours("vtkit.planning.disk")  # under TYPE_CHECKING
    assert "vtkit.report.summary" in ours("vtkit.__main__")  # inside a function
    assert may_import("report", "runs") and not may_import("runs", "report")
    assert may_import("mini", "benchmark") and not may_import("mini", "training")


def test_imports_run_down_the_list():
    assert {part(name) for name in MODULES} - {""} <= set(ORDER)
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in ours(module)
        if part(module) and not may_import(part(module), part(name))
    ]
    assert not wrong


def test_modules_do_not_import_each_other_in_a_circle():
    try:
        TopologicalSorter({module: ours(module) for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_nothing_imports_a_command():
    commands = {name for name in MODULES if name.endswith(".__main__")}
    assert not [name for name in MODULES if ours(name) & commands]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_its_table_of_contents(package):
    text = ast.get_docstring(tree(package))
    assert text
    folder = PACKAGES[package].parent
    inside = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in
              folder.glob("*/__init__.py")}  # fmt: skip
    missing = {name for name in inside if not name.startswith("__") and name not in text}
    assert not missing
    if package not in ("vtkit", "vtkit.judging"):
        assert len(tree(package).body) == 1, "a docstring alone"
    assert not ours(package) or package == "vtkit.judging"


@pytest.mark.parametrize("module", MODULES)
def test_only_commands_know_a_command_line(module):
    if module.endswith(".__main__") or module == "vtkit.commands":
        return
    assert "argparse" not in imports_of(module)
    tests = [node.test for node in ast.walk(tree(module)) if isinstance(node, ast.If)]
    names = {node.id for test in tests for node in ast.walk(test) if isinstance(node, ast.Name)}
    assert "__name__" not in names


def test_a_reader_meets_few_things_at_the_top():
    rooms = [
        path
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    ]
    assert len(rooms) <= ROOMS, sorted(path.name for path in rooms)
