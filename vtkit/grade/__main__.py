"""The command ``python -m vtkit.grade``: marks for a folder of submissions."""

import argparse
import sys
from collections.abc import Sequence

from vtkit.commands import Parser, run
from vtkit.files import shown, user_path


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = Parser("python -m vtkit.grade", description="Grade what students handed in.")
    parser.add_argument("folder", help="with notebooks, in it or below; grades.csv goes there too")
    parser.add_argument("--jobs", type=_number, default=2, help="at the same time; default 2")
    parser.add_argument("--seconds", type=_number, default=30, help="of CPU for each; default 30")
    return run(parser, _grade, argv)


def _number(text: str) -> int:
    """A number from 1 to 9,999, for argparse."""
    if not (text.isdecimal() and len(text) <= 4 and int(text)):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 9999, got '{text}'")
    return int(text)


def _grade(arguments: argparse.Namespace) -> None:
    from vtkit.grade.marks import grade_folder, write_marks

    folder, graded = user_path(arguments.folder), []
    for one in grade_folder(folder, arguments.jobs, arguments.seconds):
        graded.append(one)
        note = f"  {one.note}" if one.note else ""
        print(f"{one.submission}: {one.points:g} of {one.possible:g}{note}", flush=True)
    write_marks(folder / "grades.csv", graded)
    print(f"{len(graded)} submissions: {shown(folder / 'grades.csv')}")


if __name__ == "__main__":
    sys.exit(main())
