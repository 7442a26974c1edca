"""The glossary: does each name in code exist, and do the notebooks' links lead to their words?"""

import pkgutil
import re

import nbformat
import pytest

from vtkit.config.run_config import FIELDS
from vtkit.files import ROOT
from vtkit.runs.rollout_store import SCHEMA
from vtkit.runs.steps import discover
from vtkit.studies.measures import MEASURES
from vtkit.training.callbacks import METRICS

SECTIONS = re.findall(
    r"^## (\w+)\n(.*?)(?=^## |\Z)",
    (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
CELL = re.compile(r"(?<!\\)\|")
ROWS = {
    cells[0]: (section, *cells[1:])
    for section, text in SECTIONS
    for cells in ([cell.strip() for cell in CELL.split(line)[1:-1]] for line in text.splitlines())
    if len(cells) == 5 and cells[0] not in ("word", "---")
}
COLUMNS = {*FIELDS, *METRICS, *SCHEMA.names, *MEASURES}
LINK = re.compile(r"\[([^]]+)\]\(\.\./docs/glossary\.md#([\w-]+)\)")


def linked() -> list[tuple[str, str]]:
    """Text and section of each link to the glossary, in reading order."""
    texts = (cell.source for step in discover() for cell in nbformat.read(step.path, 4).cells)
    return [
        (" ".join(label.split()), section)
        for text in texts
        for label, section in LINK.findall(text)
    ]


@pytest.mark.parametrize("word", ROWS)
def test_the_named_code_exists(word):
    names = re.findall(r"`([^`]+)`", ROWS[word][3])
    assert names
    for name in names:
        assert name in COLUMNS or name.startswith("vtkit.") and pkgutil.resolve_name(name), name


def test_every_word_has_a_meaning_and_a_place():
    assert len(ROWS) >= 40 and all(meaning for _, meaning, *_ in ROWS.values())
    assert [name for name, _ in SECTIONS] == [name.lower() for name, _ in SECTIONS]


def test_notebooks_link_a_word_once_and_to_its_section():
    words = linked()
    assert len(words) >= 40 and len({label.lower() for label, _ in words}) == len(words)
    for label, section in words:
        rows = [f"{word} {row[1]}".lower() for word, row in ROWS.items() if row[0] == section]
        assert any(label.lower()[:4] in row for row in rows), (label, section)
