"""Read the ledger, configs/ledger.yaml: every public number known, with source and differences."""

from pathlib import Path

from vtkit.config.recipes import CONFIGS
from vtkit.config.values import read_yaml
from vtkit.errors import UserError, suggest
from vtkit.files import shown

LEDGER = CONFIGS / "ledger.yaml"
COLUMNS = ("number", "benchmark", "model", "method", "evidence", "source", "differs")
EVIDENCE = {
    "table": "a table of a paper",
    "authors": "a README, abstract, chart or script of its authors",
    "user": "one report by a user, without files",
    "quoted": "quoted by somebody; the place itself was not seen",
}
"""How good the evidence for a number is, best first."""


def load_ledger(path: str | Path = LEDGER) -> list[dict[str, str]]:
    """Load the entries in the file's order, each with all of ``COLUMNS`` as text.

    Raises:
        UserError: the file is missing, not YAML or without a list, an entry has an unknown key or
            lacks one, or its evidence is none of ``EVIDENCE``.
    """
    path = Path(path)
    content = read_yaml(path).get("numbers")
    if not isinstance(content, list):
        raise UserError(f"{shown(path)}: expected a list under 'numbers'")
    return [_entry(entry, f"{shown(path)}: entry {i}") for i, entry in enumerate(content, 1)]


def _entry(entry: object, where: str) -> dict[str, str]:
    if not isinstance(entry, dict):
        raise UserError(f"{where}: expected 'key: value' pairs")
    for key in entry:
        if key not in COLUMNS:
            raise UserError(f"{where}: unknown key '{key}'{suggest(str(key), COLUMNS)}")
    missing = [name for name in COLUMNS if not entry.get(name)]
    if missing:
        raise UserError(f"{where}: does not say {', '.join(missing)}")
    if entry["evidence"] not in EVIDENCE:
        near = suggest(str(entry["evidence"]), EVIDENCE)
        raise UserError(f"{where}: evidence: no '{entry['evidence']}'{near}")
    return {name: str(entry[name]) for name in COLUMNS}
