"""CITATION.cff and the README's BibTeX: valid keys, and do both say the same as the package?"""

import re

import yaml

import vtkit
from vtkit.files import ROOT

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
BIBTEX = re.search(r"```bibtex\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
REQUIRED = {"authors", "cff-version", "message", "title"}
ALLOWED = REQUIRED | {
    "abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license",
    "license-url", "preferred-citation", "references", "repository", "repository-artifact",
    "repository-code", "type", "url", "version",
}  # fmt: skip
"""Keys of the Citation File Format 1.2.0, from its schema guide."""


def test_its_keys_are_those_of_the_format():
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert set(CITATION) >= REQUIRED and set(CITATION) <= ALLOWED
    assert all(set(author) == {"name"} for author in CITATION["authors"])
    (paper,) = CITATION["references"]
    assert {"authors", "title", "type"} <= set(paper)
    assert all(set(author) == {"given-names", "family-names"} for author in paper["authors"])


def test_version_and_licence_are_the_package_s():
    assert CITATION["version"] == vtkit.__version__ and f"{{{vtkit.__version__}}}" in BIBTEX
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith(CITATION["license"])
    assert f"## {vtkit.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_bibtex_has_the_same_titles_and_authors():
    (paper,) = CITATION["references"]
    authors = " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"])
    for text in (
        CITATION["title"],
        paper["title"],
        authors,
        f"{{{CITATION['authors'][0]['name']}}}",
    ):
        assert text in BIBTEX
    assert paper["url"].rpartition("/")[2] in BIBTEX
