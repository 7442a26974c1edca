"""Writes results/families.md from the outcomes of test_families.py, where VTKIT_FAMILIES names it.

VTKIT_FAMILIES=results/families.md python -m pytest tests/families -p no:xdist
"""

import importlib.metadata
import os
from pathlib import Path

import pytest

CELLS: dict[str, str] = {}  # titles of rows, by test; its first line says what is tested
OUTCOMES: dict[tuple[str, str], str] = {}  # by test and family
LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path == Path(__file__).with_name("test_families.py"):
            CELLS[item.originalname] = item.function.__doc__.splitlines()[0].rstrip(".")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    name = getattr(item, "originalname", None)
    if name in CELLS and hasattr(item, "callspec"):
        place = name, item.callspec.params["kind"]
        if report.skipped:
            OUTCOMES[place] = report.longrepr[2].removeprefix("Skipped: ")
        elif report.failed:
            OUTCOMES[place] = "**fails**"
        elif call.when == "call":
            OUTCOMES[place] = dict(item.user_properties).get("cell", "passes")
    return report


def pytest_sessionfinish() -> None:
    if file := os.environ.get("VTKIT_FAMILIES"):
        kinds = list(dict.fromkeys(kind for _, kind in OUTCOMES))
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
        lines = [
            "# Model families, cell by cell", "",
            "Tiny models of random weights, on a CPU, without torchvision; docs/families.md says "
            f"what a family is. {versions}.", "",
            "Written by `VTKIT_FAMILIES=results/families.md python -m pytest tests/families`.", "",
            "| what | " + " | ".join(kinds) + " |", "|---" * (1 + len(kinds)) + "|",
        ]  # fmt: skip
        for name, title in CELLS.items():
            cells = [OUTCOMES.get((name, kind), "not run") for kind in kinds]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
        Path(file).write_text("\n".join(lines) + "\n", encoding="utf-8")
