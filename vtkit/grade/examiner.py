"""Run the cells of a submission and then its tests: the work of a process of its own."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vtkit.grade.limits import restrict

RESULT = "result.json"
_ASSERTION = "AssertionError: "


def examine() -> None:
    """Grade the submission that standard input describes; writes its folder's ``result.json``.

    It is described by ``folder``, ``tests``, ``cells``, ``seconds`` and ``token``, a word that a
    submission does not know and the result repeats.
    """
    task = json.load(sys.stdin)
    # jsonschema does without; its import takes 3 s of CPU.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # Python allows None
    import otter.execute  # noqa: F401  (before the limits)

    restrict(Path(task["folder"]), task["seconds"])
    marks = mark(run_cells(task["cells"]), sorted(Path(task["tests"]).glob("*.py")))
    result = json.dumps({"token": task["token"], "marks": marks})
    Path(task["folder"], RESULT).write_text(result, encoding="utf-8")


def run_cells(cells: Iterable[str]) -> dict[str, Any]:
    """Run code cells as Jupyter does and return their names; a cell that fails stops none."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    for source in cells:
        shell.run_cell(source, store_history=False)
    return shell.user_ns


def possible_points(tests: Iterable[Path]) -> float:
    """Return the points that tests give to one who passes all."""
    from otter.nbmeta_config import NBMetadataConfig
    from otter.test_files import create_test_file

    return sum(create_test_file(str(path), NBMetadataConfig()).possible for path in tests)


def mark(names: dict[str, Any], tests: Iterable[Path]) -> list[dict[str, Any]]:
    """Test the names that a notebook defined.

    Returns:
        for each exercise its ``name``, ``points``, ``possible`` points and the first ``hint``,
        empty if nothing is wrong.
    """
    from otter.execute import Checker
    from otter.nbmeta_config import NBMetadataConfig

    marks = []
    for path in tests:
        test = Checker.check(str(path), NBMetadataConfig(), global_env=names)
        wrong = [case.message for case in test.test_case_results if not case.passed]
        points = {"points": test.score, "possible": test.possible}
        marks.append({"name": test.name, **points, "hint": _hint(wrong[0]) if wrong else ""})
    return marks


def _hint(message: str) -> str:
    """The last line of otter-grader's message: what an assertion says, or the error."""
    line = message.strip().splitlines()[-1]
    return line[len(_ASSERTION) :] if line.startswith(_ASSERTION) else f"the code raised {line}"
