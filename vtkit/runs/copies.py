"""Working copies of the notebooks: people edit and run those, and the originals stay clean."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from vtkit.files import atomic_path, read_json, shown, write_json
from vtkit.runs.steps import NOTEBOOKS

_ORIGINS = ".origins.json"  # by copy: the cells of the notebook that it was copied from, as a hash


def refresh_copies(folder: Path, originals: Path = NOTEBOOKS) -> Iterator[str]:
    """Copy the notebooks to a folder; yields a line about each that is new, or kept though older.

    A copy that somebody edited is never replaced: a newer version of its notebook is put beside it.

    Raises:
        UserError: the folder cannot be written.
    """
    known = read_json(folder / _ORIGINS) if (folder / _ORIGINS).exists() else {}
    known = known if isinstance(known, dict) else {}  # copies then count as edited, and stay
    for original in sorted(originals.glob("*.ipynb")):
        copy, version = folder / original.name, _cells(original)
        if copy.exists() and known.get(copy.name) == version:
            continue
        if copy.exists() and _cells(copy) not in (version, known.get(copy.name)):
            newer = copy.with_suffix(f".{version[:6]}.ipynb")
            if not newer.exists():
                _copy(original, newer)
                yield f"{shown(copy)} has your changes and stays; {newer.name} is its new version"
            continue
        if not (copy.exists() and _cells(copy) == version):  # its outputs are kept
            _copy(original, copy)
            yield f"{shown(copy)}: copied"
        known[copy.name] = version
        write_json(folder / _ORIGINS, known)


def _copy(original: Path, copy: Path) -> None:
    with atomic_path(copy) as draft:
        shutil.copyfile(original, draft)


def _cells(notebook: Path) -> str:
    """A hash of the cells as they are typed; "" if the file cannot be read."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        typed = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return hashlib.sha256(json.dumps(typed).encode()).hexdigest()
