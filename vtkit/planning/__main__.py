"""Estimate memory, time and cost of a run before it starts."""

import argparse
import sys

from vtkit.commands import Parser, add_config_arguments, config_settings, run
from vtkit.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Run ``python -m vtkit.planning``; returns the exit status, 2 if the run does not fit."""
    parser = Parser(
        prog="python -m vtkit.planning",
        description="Estimate memory, time and cost of a run; refuse one that cannot fit.",
    )
    add_config_arguments(parser)
    option = parser.add_argument
    option("--memory-gb", type=float, help="GPU memory of a card; default: this machine's")
    option("--processes", type=int, help="cards; default: as the file of -p launcher says, or 1")
    option("--price", type=float, help="of an hour of one card")
    time = parser.add_mutually_exclusive_group()
    time.add_argument("--like", metavar="RUN", help="run folder whose timings.csv tells the time")
    time.add_argument("--tokens-per-second", type=float, help="of answers, training included")
    return run(parser, _plan, argv)


def _plan(args: argparse.Namespace) -> None:
    for name in ("memory_gb", "price", "tokens_per_second", "processes"):
        value = getattr(args, name)
        if value is not None and not 0 < value < 1e12:
            option = f"--{name.replace('_', '-')}"
            shown = str(value).removesuffix(".0")
            raise UserError(f"{option}: {shown}: give a number above 0 and below 1e12")
    from vtkit.config.recipes import resolve_config

    config = resolve_config(**config_settings(args))  # mistakes are found before the long imports
    from vtkit.planning.memory import GB
    from vtkit.planning.plan import plan, this_machine
    from vtkit.planning.suggestions import require_fit
    from vtkit.runs.artifacts import maker

    if command := maker(config.model):
        made = f"`python -m {' '.join(command)}`"
        raise UserError(f"model: {config.model} is not made yet; make it with {made}")
    if args.memory_gb is None:
        name, memory, triton = this_machine()
        print(f"this machine: {name}, {memory / GB:.1f} GB (--memory-gb: another one)\n")
    else:
        memory, triton = args.memory_gb * GB, True
    planned = plan(
        config, memory, args.price, processes=args.processes or 0, like=args.like,
        tokens_per_second=args.tokens_per_second, triton=triton,
    )  # fmt: skip
    print(planned.table(), flush=True)
    require_fit(planned)


if __name__ == "__main__":
    sys.exit(main())
