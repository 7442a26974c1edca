"""Run studies; skip what is done, resume what was stopped."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from vtkit.commands import Parser, run, seed_list
from vtkit.errors import UserError, suggest
from vtkit.files import ROOT, shown

if TYPE_CHECKING:
    from vtkit.studies.entries import Entry


def chosen(names: list[str], only: list[str]) -> list["Entry"]:
    """Choose the entries of some studies (all, if none is named), or those named in ``only``."""
    from vtkit.studies.entries import list_studies, load_study

    entries = [entry for name in names or list_studies() for entry in load_study(name).values()]
    known = {entry.name for entry in entries}
    for name in only:
        if name not in known:
            raise UserError(f"--only: no entry '{name}'{suggest(name, known)}")
    return [entry for entry in entries if not only or entry.name in only]


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m vtkit.studies``; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["readme"]:
        return run(_readme_parser(), _readme, argv[1:])
    if argv[:1] == ["laboratory"]:
        program, description = "python -m vtkit.studies laboratory", "Keep notebook 02's runs."
        return run(Parser(prog=program, description=description), _laboratory, argv[1:])
    studies = sorted(path.stem for path in (ROOT / "configs" / "studies").glob("*.yaml"))
    parser = Parser(
        prog="python -m vtkit.studies",
        description="Run studies; skip what is done, resume what was stopped.",
        epilog="python -m vtkit.studies readme [RUN ...] keeps runs and writes the tables; "
        "python -m vtkit.studies laboratory makes the runs that notebook 02 replays again.",
        allow_abbrev=False,
    )
    parser.add_argument("names", nargs="*", metavar="STUDY", help=", ".join(studies))
    parser.add_argument("--only", nargs="+", default=[], metavar="ENTRY", help="just these")
    parser.add_argument("--seeds", type=seed_list, help="such as 0,1,2; default: as in the file")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default 1)")
    return run(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    from vtkit.studies.runner import run_all

    if args.jobs < 1:
        raise UserError(f"--jobs: {args.jobs} is too small; at least 1")
    entries = chosen(args.names, args.only)
    jobs = [(entry, seed) for entry in entries for seed in args.seeds or entry.seeds]
    run_all([job for job in jobs if not job[0].reuses], args.jobs)


def _readme_parser() -> Parser:
    parser = Parser(
        prog="python -m vtkit.studies readme",
        description="Write the tables of README.md and results/README.md.",
    )
    parser.add_argument("run_dirs", nargs="*", metavar="RUN", help="finished runs to keep first")
    return parser


def _readme(args: argparse.Namespace) -> None:
    from vtkit.studies.keeping import keep
    from vtkit.studies.readme import write_tables

    for run_dir in args.run_dirs:
        print(f"kept: {shown(keep(run_dir))}")
    write_tables()


def _laboratory(_: argparse.Namespace) -> None:
    from vtkit.studies.reward_hacking import keep_runs

    os.chdir(ROOT)
    for path in keep_runs():
        print(f"kept: {shown(path)}")


if __name__ == "__main__":
    sys.exit(main())
