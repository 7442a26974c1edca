"""Write the result table and the report of finished runs, or one table over many runs."""

import argparse
import sys

from vtkit.commands import Parser, run
from vtkit.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m vtkit.report``; returns the exit status."""
    parser = Parser(
        prog="python -m vtkit.report",
        description="Write the report of runs, or one long table over many.",
        epilog="exit status: 0 done, 1 --all left out a run, 2 a mistake in the command",
    )
    parser.add_argument("run_dirs", nargs="+", metavar="RUN", help="folder of a run")
    about = "print every number of all these runs as CSV; RUN may be a pattern, such as 'runs/*'"
    parser.add_argument("--all", action="store_true", help=about)
    parser.add_argument("--out", metavar="FILE", help="with --all: write the table there instead")
    return run(parser, lambda args: (_table if args.all else _report)(args), argv)


def _report(args: argparse.Namespace) -> None:
    from vtkit.report.summary import result_table, write_report

    if args.out:
        raise UserError("--out is the file of the table of --all; a report is in its run's folder")
    for run_dir in args.run_dirs:
        print(f"{result_table(run_dir)}\n", flush=True)  # also where nothing can be written
        print(f"report: {write_report(run_dir)}")


def _table(args: argparse.Namespace) -> int:
    from vtkit.report.tidy import tidy, write_tidy

    table, problems = tidy(args.run_dirs)
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    if table.empty:
        raise UserError(f"no run to read in {', '.join(args.run_dirs)}; name folders of runs")
    if args.out:
        path = write_tidy(table, args.out)
        print(f"{path}: {len(table):,} numbers of {table['run'].nunique()} runs")
        return int(bool(problems))
    table.to_csv(sys.stdout, index=False)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
