"""Does mypy find nothing wrong in vtkit, and something in a wrong call of it?"""

import re
import subprocess
import sys

import pytest

from vtkit.files import ROOT

IGNORED = re.compile(r"# type: ignore\b(?P<code>\[[a-z-]+\])?(?:  # (?P<reason>\S.*))?")
WRONG = """
from vtkit.judging import judge
from vtkit.stats import proportion
judge(" </think> <answer> left </answer>", "left", choices=3)
proportion(1, 2)["values"]
right: str = judge("left", "left").correct
"""


@pytest.fixture(scope="module")
def mypy(request):
    """Run mypy as ``python -m mypy vtkit`` would; with what pytest's cache keeps it is quick."""
    cache = request.config.cache.mkdir("mypy")

    def check(*arguments: str) -> list[str]:
        command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), *arguments]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert not result.stderr
        return result.stdout.splitlines()

    return check


@pytest.mark.slow
def test_types_agree_and_wrong_calls_are_found(mypy):
    (passed,) = mypy("vtkit")
    assert re.fullmatch(r"Success: no issues found in \d+ source files", passed)
    found = [line.rpartition("[")[2] for line in mypy("-c", WRONG)[:-1] if "error" in line]
    assert found == ["arg-type]", "typeddict-item]", "assignment]"]


def test_what_is_ignored_has_a_code_and_a_reason():
    bare = []
    for path in sorted((ROOT / "vtkit").rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = IGNORED.search(line)
            if found and not (found["code"] and found["reason"]):
                bare.append(f"{path.relative_to(ROOT)}:{number}")
    assert not bare
