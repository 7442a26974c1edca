"""Import what reads and runs notebooks without the parts that no notebook here needs."""

import importlib
import sys
from typing import Any

# pyarrow reads notebooks from Hadoop for papermill; rfc3987_syntax checks addresses in other
# alphabets for jsonschema, and builds a grammar to do so. Both do without.
_UNUSED = ("pyarrow", "rfc3987_syntax")


def import_lean(name: str) -> Any:
    """Import ``papermill``, ``nbformat`` or a module of theirs: 1.5 s and 50 MB less."""
    hidden = [unused for unused in _UNUSED if unused not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not to be found
    try:
        return importlib.import_module(name)
    finally:
        for unused in hidden:
            del sys.modules[unused]
