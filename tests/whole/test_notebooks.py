"""The notebooks as files: do they keep the house rules, and do the names they import exist?

Executing them is the end-to-end test's business; everything here is read from the JSON in seconds.
"""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import nbformat
import papermill
import pytest

from vtkit.files import ROOT
from vtkit.runs.steps import NOTEBOOKS, REQUIRED, discover

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
MAX_LINES, MAX_COLUMNS = 15, 100
MAX_MODULES, MAX_NAMES = 25, 85


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_there_are_notebooks():
    assert [step.number for step in discover()][:4] == ["00", "01", "02", "03"]


def test_is_valid_and_runs_on_the_python_of_the_environment(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.metadata.kernelspec.name) == (4, "python3")


def test_is_committed_as_source(notebook):
    """No outputs, counts, papermill traces or attachments, and cell names that stay."""
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    names = [cell.id for cell in notebook.cells]
    assert len(set(names)) == len(names)
    for cell in notebook.cells:
        assert re.fullmatch(r"[a-z][a-z0-9-]*", cell.id) and not re.fullmatch(
            "[0-9a-f]{8}", cell.id
        )
        assert set(cell.metadata) <= {"tags"} and "attachments" not in cell
    for cell in code_of(notebook):
        assert cell.outputs == [] and cell.execution_count is None, cell.id


def test_parameters_come_first_and_are_the_same_five(path, notebook):
    (cell,) = tagged(notebook, "parameters")
    assert code_of(notebook)[0] is cell
    found = papermill.inspect_notebook(str(path))
    assert tuple(found) == REQUIRED  # every other setting is in configs/, set through overrides
    for name, item in found.items():
        assert item["help"] and item["inferred_type_name"] != "None", name
        ast.literal_eval(item["default"])  # a literal: nothing is derived in this cell
    first = papermill.inspect_notebook(str(PATHS[0]))
    assert all(found[name]["default"] == first[name]["default"] for name in REQUIRED)


def test_code_cells_are_short_and_parse(notebook):
    for cell in code_of(notebook):
        ast.parse(cell.source)  # no magics either: they would run in Jupyter only
        lines = cell.source.splitlines()
        assert 0 < len(lines) <= MAX_LINES, f"{cell.id}: {len(lines)} lines"
        assert max(map(len, lines)) <= MAX_COLUMNS, f"{cell.id}: a line is too long"


def test_code_is_between_words(notebook):
    """Never more than four code cells without a sentence."""
    kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in notebook.cells)
    assert "ccccc" not in kinds


def test_opens_with_a_goal_and_costs_and_closes_with_questions(notebook):
    first, last = notebook.cells[0], notebook.cells[-1]
    assert first.cell_type == last.cell_type == "markdown"
    assert re.match(r"# \d\d · ", first.source)
    for wanted in ("**Goal:**", "| profile |", "**Reads**", "**Writes**"):
        assert wanted.lower() in first.source.lower(), wanted
    questions, _, exercises = last.source.partition("## Exercises")
    assert "## Questions" in questions
    assert len(re.findall(r"(?m)^\d\. ", questions)) in (3, 4, 5)
    assert len(re.findall(r"(?m)^\d\. ", exercises)) in (2, 3)


def test_checks_itself(notebook):
    (cell,) = tagged(notebook, "check")
    assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source)))


def test_markdown_has_no_pictures_and_links_that_lead_somewhere(path, notebook):
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        assert "![" not in cell.source and "<img" not in cell.source and "base64" not in cell.source
        for target in re.findall(r"\]\(([^)#]+)\)", cell.source):
            local = not target.startswith(("http://", "https://"))
            assert not local or (path.parent / target).exists(), f"{cell.id}: {target} is missing"


def test_what_it_imports_from_the_kit_exists(notebook):
    """Imported names, and what is called of an imported module."""
    modules = {}
    for node in (node for cell in code_of(notebook) for node in ast.walk(ast.parse(cell.source))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vtkit"):
            package = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(package, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                modules[alias.asname or alias.name] = getattr(package, alias.name)
    for node in (node for cell in code_of(notebook) for node in ast.walk(ast.parse(cell.source))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found = modules.get(node.value.id)
            if isinstance(found, ModuleType):
                assert hasattr(found, node.attr), f"{node.value.id}.{node.attr}"


def test_import_few_modules_of_the_kit():
    """A reader of all notebooks meets at most 25 modules and 85 names of them."""
    modules, names = set(), set()
    for path in PATHS:
        for cell in code_of(nbformat.read(path, as_version=nbformat.NO_CONVERT)):
            for node in ast.walk(ast.parse(cell.source)):
                if not isinstance(node, ast.ImportFrom) or not node.module.startswith("vtkit"):
                    continue
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    is_module = (ROOT / f"{whole.replace('.', '/')}.py").is_file()
                    modules.add(whole if is_module else node.module)
                    names.add((node.module, alias.name))
    assert len(modules) <= MAX_MODULES, sorted(modules)
    assert len(names) <= MAX_NAMES


def test_each_name_is_imported_once(notebook):
    imported = [
        (node.module, alias.name)
        for cell in code_of(notebook)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert len(imported) == len(set(imported))


def test_quoted_repository_paths_exist(notebook):
    """Files and modules that the prose names are really there (data, models and runs aside)."""
    for cell in notebook.cells:
        for name in re.findall(r"`((?:configs|vtkit|tests|notebooks)/[\w./-]+)`", cell.source):
            assert (NOTEBOOKS.parent / name).exists(), f"{cell.id}: {name}"
        for name in re.findall(r"python -m (vtkit[\w.]*)", cell.source):
            assert importlib.util.find_spec(name), f"{cell.id}: {name}"
