"""Write a script's figures to a CSV file next to it, and print a line about the machine."""

import argparse
import csv
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def no_options(about: str) -> None:
    """Answer ``--help`` with a script's docstring, and refuse any other argument."""
    form = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=about, formatter_class=form).parse_args()


def write(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write ``timings/<name>.csv``, a row a measurement, all with the same columns."""
    with open(HERE / f"{name}.csv", "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
