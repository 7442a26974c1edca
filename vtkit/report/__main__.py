"""Write the result table and the report of finished runs."""

import argparse
import sys

from vtkit.commands import Parser, run


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m vtkit.report``; returns the exit status."""
    parser = Parser(prog="python -m vtkit.report", description="Write the report of runs.")
    parser.add_argument("run_dirs", nargs="+", metavar="RUN", help="folder of a run")
    return run(parser, _report, argv)


def _report(args: argparse.Namespace) -> None:
    from vtkit.report.summary import result_table, write_report

    for run_dir in args.run_dirs:
        print(result_table(run_dir), f"report: {write_report(run_dir)}", sep="\n\n")


if __name__ == "__main__":
    sys.exit(main())
