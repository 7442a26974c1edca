"""The ledger of reported numbers: complete, and refused where it is not."""

import pytest

from vtkit.errors import UserError
from vtkit.studies.ledger import COLUMNS, EVIDENCE, LEDGER, load_ledger

ENTRY = (
    "- {number: '1', benchmark: b, model: m, method: x, evidence: user, source: s, differs: d}\n"
)


def test_the_committed_ledger_names_the_known_reruns():
    ledger = load_ledger()
    assert all(set(entry) == set(COLUMNS) and all(entry.values()) for entry in ledger)
    numbers = [entry["number"] for entry in ledger]
    for number in ("59.47", "58.4", "63.57", "68.34", "66.03", "76.15", "70.58"):
        assert numbers.count(number) == 1
    assert {entry["evidence"] for entry in ledger} == set(EVIDENCE)
    text = LEDGER.read_text(encoding="utf-8")
    assert all(f"{name:7} {about}" in text for name, about in EVIDENCE.items())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTRY.replace("number", "numbre"), "entry 1: unknown key 'numbre'; did you mean 'number'"),
        (ENTRY.replace("source: s, ", ""), "entry 1: does not say source"),
        (ENTRY + ENTRY.replace("user", "usr"), "entry 2: evidence: no 'usr'; did you mean 'user'"),
        (" 3\n", "expected a list under 'numbers'"),
        ("- 3\n", "entry 1: expected 'key: value' pairs"),
        ("- {a: [\n", "bad YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    (tmp_path / "ledger.yaml").write_text(f"numbers:\n{text}")
    with pytest.raises(UserError) as caught:
        load_ledger(tmp_path / "ledger.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        load_ledger(tmp_path / "nowhere.yaml")
