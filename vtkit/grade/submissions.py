"""Read what a student handed in: the code cells that are run, the kit's own restored."""

from pathlib import Path

import nbformat

from vtkit.errors import UserError, quote, suggest

ANSWER = "otter_answer_cell"
"""otter-grader's tag of the cells that a student fills in."""
SETUP = "setup"
_LARGEST = 20_000_000  # bytes
_FRESH = "start from a fresh copy and fill in your answers"


def assignment_of(notebook: nbformat.NotebookNode) -> str | None:
    """Return the name of the exercises that a notebook says it answers; None if it says nothing."""
    otter = notebook.metadata.get("otter")
    return otter.get("assignment_name") if isinstance(otter, dict) else None


def read_submission(path: Path, known: list[str]) -> nbformat.NotebookNode:
    """Read a notebook that answers one of the ``known`` exercises.

    Raises:
        UserError: it is too large, is no notebook, or is none of these.
    """
    if path.stat().st_size > _LARGEST:
        raise UserError("larger than 20 MB; clear its outputs and save it again")
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), nbformat.current_nbformat)
        nbformat.validate(notebook)
    except Exception:  # of nbformat, json and jsonschema, by kind of damage
        raise UserError("not a notebook; save it again in Jupyter") from None
    name = assignment_of(notebook)
    if name not in known:
        what = f"answers {quote(name)}" if name else "is no copy of these exercises"
        raise UserError(f"wrong notebook: it {what}{suggest(str(name), known)}")
    return notebook


def code_cells(notebook: nbformat.NotebookNode, copy: nbformat.NotebookNode) -> list[str]:
    """Return the code to run: the copy's set-up, the student's answers and cells of their own.

    What otter-grader put into the copy (its first cell, and the checks) is left out.

    Raises:
        UserError: the set-up or an answer is missing.
    """
    given = {cell.get("id"): cell for cell in copy.cells if cell.cell_type == "code"}
    answers = [name for name, cell in given.items() if ANSWER in cell.metadata.get("tags", [])]
    tools = {cell.source for name, cell in given.items() if name not in (SETUP, *answers)}
    found = [cell for cell in notebook.cells if cell.cell_type == "code"]
    present = {cell.get("id") for cell in found}
    for name in (SETUP, *answers):
        if name not in present:
            raise UserError(f"cell '{name}' is missing; {_FRESH}")
    own = [cell for cell in found if cell.source not in tools]
    return [given[SETUP].source if cell.get("id") == SETUP else cell.source for cell in own]
