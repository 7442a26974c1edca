"""Container, VS Code, Colab: what is written for them agrees with the lock and the set-up."""

import json
import re
import shlex

from packaging.version import Version

from vtkit.__main__ import check
from vtkit.config.recipes import list_profiles
from vtkit.files import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COLAB = (ROOT / "docs" / "colab.md").read_text(encoding="utf-8")
LOCK = dict(
    line.split(" ;")[0].strip().split("==")
    for line in (ROOT / "requirements.lock").read_text().splitlines()
)


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with its arguments, continued lines as one."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in joined]


def ignored(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_container_has_instructions_that_docker_knows_in_its_order():
    known = {"FROM", "RUN", "USER", "WORKDIR", "ENV", "COPY", "ENTRYPOINT"}
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM" and names.count("FROM") == 1 and set(names) == known
    assert json.loads(dict(instructions())["ENTRYPOINT"]) == ["./run_all.sh"]


def test_the_container_s_base_fits_the_lock():
    image, tag = dict(instructions())["FROM"].split(":")
    cuda, kind, system = tag.split("-")
    assert (image, kind) == ("nvidia/cuda", "base")
    assert Version(cuda).release[:2] == Version(LOCK["cuda-toolkit"]).release[:2]
    assert system == "ubuntu24.04", "its Python is 3.12, which pyproject.toml allows"


def test_the_container_installs_as_locked_and_does_not_run_as_root():
    runs = [text for name, text in instructions() if name == "RUN"]
    installs = [one for text in runs for one in text.split("&&") if "pip install" in one]
    assert installs and all("--constraint requirements.lock" in one for one in installs)
    assert any("./run_all.sh setup" in text for text in runs)
    order = [f"{name} {text}" for name, text in instructions()]
    first = min(place for place, line in enumerate(order) if "pip install" in line)
    assert order.index("USER ubuntu") < first
    assert [text for name, text in instructions() if name == "USER"] == ["ubuntu"]
    assert not re.search(r"(?i)(token|secret|password|_key)\s*=", DOCKERFILE)


def test_what_the_container_copies_is_there():
    copied = [text for name, text in instructions() if name == "COPY"]
    sources = [word for text in copied for word in shlex.split(text)[1:-1]]
    assert sources[-1] == "." and all((ROOT / source).exists() for source in sources)


def test_the_container_gets_nothing_that_git_ignores():
    lines = ignored(".dockerignore")
    for line in ignored(".gitignore"):
        plain = line.rstrip("/")
        at_the_top = plain.lstrip("!").startswith("/")
        wanted = plain.replace("/", "", 1) if at_the_top else f"**/{plain}"
        assert wanted in lines, line
    assert {".git", "**/.env"} <= lines


def test_vs_code_finds_the_environment_and_the_quick_tests():
    settings = json.loads((ROOT / ".vscode" / "settings.json").read_text())
    python = settings["python.defaultInterpreterPath"]
    assert python == "${workspaceFolder}/.venv/bin/python"
    marks = settings["python.testing.pytestArgs"][1]
    declared = (ROOT / "pyproject.toml").read_text()
    assert all(f'"{mark}: ' in declared for mark in re.findall(r"not (\w+)", marks))
    extensions = json.loads((ROOT / ".vscode" / "extensions.json").read_text())
    formatter = settings["[python]"]["editor.defaultFormatter"]
    assert formatter in extensions["recommendations"]


def versions(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE))


def test_the_versions_of_colab_are_those_of_the_list_and_ours_those_of_the_lock():
    theirs = versions((ROOT / "tests" / "colab" / "packages.txt").read_text())
    rows = re.findall(r"^\| (\w+) \| ([\d.]+)(?:\+\w+)? \| ([\d.]+) \|$", COLAB, re.MULTILINE)
    assert len(rows) == 6
    for name, colab, own in rows:
        assert (theirs[name], LOCK[name]) == (colab, own), name
    about = (ROOT / "tests" / "colab" / "packages.txt").read_text().splitlines()[1]
    for fact in ("a724079", "2026-08-19", "3.13.15"):
        assert fact in about and fact in COLAB


def test_the_cells_give_the_kit_options_that_it_has():
    calls = re.findall(r"^!kit/run_all\.sh (.*)$", COLAB, re.MULTILINE)
    assert len(calls) == 3
    for call in calls:
        assert check(shlex.split(call)) == 0, call
    profiles = set(re.findall(r"--profile (\w+)", COLAB))
    assert profiles == {"t4"} and profiles <= set(list_profiles())


def test_the_set_up_cell_was_run_as_the_page_has_it():
    """The output kept is that of these cells, with these versions."""
    output = (ROOT / "tests" / "colab" / "output.txt").read_text(encoding="utf-8")
    cells = re.findall(r"^```python\n(.*?)^```", COLAB, re.DOTALL | re.MULTILINE)
    theirs = versions((ROOT / "tests" / "colab" / "packages.txt").read_text())
    assert f"Colab's environment: torch {theirs['torch']}, " in output
    assert f"kit/.venv: torch {LOCK['torch']}" in output
    assert "files of Colab's environment are as they were" in output
    assert "notebook 00 ran and was shown" in output
    for cell in (cells[0], cells[2]):
        assert cell.strip() in output, "run tests/colab/setup_check.sh again"
