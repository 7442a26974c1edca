"""Values read from YAML and JSON: plain numbers as they are, all that is doubtful in one line."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared.calls import refusal

from vtkit.config.values import Record, check_record, read_record, read_yaml, write_yaml
from vtkit.errors import printable, quote, shorten
from vtkit.runs.contents import Proportion


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10), ("-3", -3), ("+3", 3), ("0", 0), ("1_000", 1000), ("1.5", 1.5), ("1e-4", 1e-4),
        ("2.5E3", 2500.0), (".5", 0.5), ("-.inf", float("-inf")), ("'010'", "010"),
        ("1:99", "1:99"),
    ],
)  # fmt: skip
def test_plain_numbers_and_text_are_read_as_written(text, value, tmp_path):
    (tmp_path / "a.yaml").write_text(f"a: {text}\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": value}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 010", "line 1: bad YAML (010 is no plain decimal number)"),
        ("a: 1:30", "line 1: bad YAML (1:30 is no plain decimal number)"),
        ("a: 0x10", "0x10 is no plain decimal number"),
        ("a: 1:30.5", "1:30.5 is no plain decimal number"),
        ("b: 1\na: &x [1]\nc: *x", "line 3: bad YAML (aliases are not read: write the value out)"),
        ("? [1, 2]\n: 3", "a key must be a name"),
        ("a: 1\na: 2", "line 2: bad YAML ('a' is set twice)"),
        ("a: 2026-02-30", "bad YAML (day"),
        (f"{'k' * 300}: 1\n{'k' * 300}: 1", "kkk...kkk"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text, why, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    assert why in (line := refusal(read_yaml, tmp_path / "a.yaml"))
    assert "a.yaml" in line and len(line) < 300


def test_a_few_lines_of_aliases_take_no_time(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{b}: &{b} [{', '.join(f'*{a}' for _ in 'x' * 9)}]"
        for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    ]
    (tmp_path / "a.yaml").write_text("\n".join(lines))
    began = time.process_time()
    refusal(read_yaml, tmp_path / "a.yaml")
    assert time.process_time() - began < 5


words = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | words
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@given(st.dictionaries(words.filter(bool), values, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("yaml") / "a.yaml"
    write_yaml(path, content)
    assert read_yaml(path) == content


@given(st.one_of(st.text(), st.binary(), st.integers(), values))
def test_a_quoted_value_is_short(value):
    assert len(quote(value)) <= 80 and len(shorten(str(value))) <= 80


def test_a_short_value_is_quoted_whole():
    assert (
        quote("many") == "'many'"
        and quote([1, "a"]) == "[1, 'a']"
        and shorten("x" * 80) == "x" * 80
    )
    assert printable("a\x1b[2J\r\nb\u2028é") == "a\\x1b[2J\\r\\nb\\u2028é"


def test_a_record_may_hold_more_and_says_what_it_lacks(tmp_path):
    whole = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9, "later": [1]}
    assert check_record(Proportion, whole, "x.json") == whole
    (tmp_path / "x.json").write_text('{"value": 0.5, "low": 0.4, "n": 9}')
    assert "x.json: does not say high; " in refusal(read_record, Proportion, tmp_path / "x.json")
    for wrong, why in (
        ({"high": "a"}, "high: expected a number, got 'a'"),
        ({"n": -1}, "n: -1 is too small; at least 0"),
        ({"n": True}, "n: expected a whole number, got True"),
        ({"value": 1.5}, "value: 1.5 is too large; at most 1"),
        ({"low": float("nan")}, "low: expected a number, got nan"),
    ):
        assert why in refusal(check_record, Proportion, whole | wrong, "x.json")
    assert Record.remedy in refusal(check_record, Proportion, 3, "x.json")
