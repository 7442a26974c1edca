"""Read the ledger, configs/ledger.yaml: every public number known, with source and differences."""

from pathlib import Path
from typing import Literal

from vtkit.config.recipes import CONFIGS
from vtkit.config.values import Strict, read_model, read_yaml
from vtkit.errors import UserError
from vtkit.files import shown

LEDGER = CONFIGS / "ledger.yaml"
EVIDENCE = {
    "table": "a table of a paper",
    "authors": "a README, abstract, chart or script of its authors",
    "user": "one report by a user, without files",
    "quoted": "quoted by somebody; the place itself was not seen",
}
"""How good the evidence for a number is, best first."""


class Number(Strict, strict=False, coerce_numbers_to_str=True, str_min_length=1):
    """An entry."""

    number: str
    benchmark: str
    model: str
    method: str
    evidence: Literal[tuple(EVIDENCE)]  # type: ignore[valid-type]  # the keys of EVIDENCE
    source: str
    differs: str


COLUMNS = tuple(Number.model_fields)


def load_ledger(path: str | Path = LEDGER) -> list[dict[str, str]]:
    """Load the entries in the file's order, each with all of ``COLUMNS`` as text.

    Raises:
        UserError: no such file, no YAML, no list of entries, or a mistake in an entry.
    """
    path = Path(path)
    content = read_yaml(path).get("numbers")
    if not isinstance(content, list):
        raise UserError(f"{shown(path)}: expected a list under 'numbers'")
    entries = []
    for i, entry in enumerate(content, 1):
        if not isinstance(entry, dict):
            raise UserError(f"{shown(path)}: entry {i}: expected 'key: value' pairs")
        entries.append(read_model(Number, entry, f"{shown(path)}: entry {i}").model_dump())
    return entries
