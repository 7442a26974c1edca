"""Are the names that matter where vtkit's docstring says, and the examples in docstrings right?"""

import doctest
import importlib
import inspect
import re

import pytest

import vtkit
from vtkit.files import ROOT

NAMES = re.findall(r"^ +from (vtkit\.[\w.]+) import (\w+)  +# \S", vtkit.__doc__, re.MULTILINE)
EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "vtkit").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_there_are_names_and_examples():
    assert 12 <= len(NAMES) <= 15 and len(EXAMPLES) > 10


@pytest.mark.slow  # torch and TRL are imported
@pytest.mark.parametrize("module, name", NAMES)
def test_a_name_that_matters_is_a_documented_function(module, name):
    function = getattr(importlib.import_module(module), name)
    assert inspect.isfunction(function)
    assert inspect.getdoc(function)
    hints = inspect.get_annotations(function)
    assert set(hints) == {*inspect.signature(function).parameters, "return"}


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_in_docstrings_say_what_happens(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted and not result.failed
