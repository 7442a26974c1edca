"""Shared by all command lines: the options that name a run, and mistakes in one line.

Only the standard library is imported: ``--help`` works before any set-up.
"""

import argparse
import contextlib
import errno
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from vtkit.errors import Stopped, UserError, first_line, printable, quote, suggest
from vtkit.files import ROOT, environment, require_name


class Parser(argparse.ArgumentParser):
    """argparse that names the nearest option when one is unknown."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = self.parse_known_args(args, namespace)
        for text in unknown:
            option = text.split("=")[0]
            if option.startswith("-"):
                options = [name for name in self._option_string_actions if name.startswith("--")]
                self.error(f"unknown option '{option}'{suggest(option, options)}")
        if unknown:
            self.error(f"unexpected argument '{unknown[0]}'; see --help")
        return known

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def add_config_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the options that determine a run; with ``several`` also ``--seeds``."""
    recipes, profiles = (
        ", ".join(sorted(path.stem for path in (ROOT / "configs" / kind).glob("*.yaml")))
        for kind in ("recipes", "profiles")
    )
    parser.add_argument("--recipe", default="visualthinker", help=f"what to reproduce: {recipes}")
    parser.add_argument("--profile", default="mini", help=f"at what scale: {profiles}")
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, default=0, help="default 0")
    if several:
        about = "several runs, then put together"
        seeds.add_argument("--seeds", type=seed_list, metavar="N,N", help=about)
    about = "folder of the run; default runs/<recipe>-<profile>-s<seed>"
    about += "; with --seeds, its part before -s<seed>" if several else ""
    parser.add_argument("--run-dir", help=about)
    about = "set one parameter (--list shows all); may be repeated"
    pairs: Any = {"nargs": 2, "action": "append", "default": [], "metavar": ("NAME", "VALUE")}
    parser.add_argument("-p", dest="parameters", help=about, **pairs)


def seed_list(text: str) -> list[int]:
    """``"0,1,2"`` as numbers, for argparse: each at least 0, none twice."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"expected whole numbers such as 0,1,2, got '{text}'")
    seeds = [int(word) for word in words]
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"a seed is named twice in '{text}'")
    return seeds


def seed_number(text: str) -> int:
    """A seed as a number, for argparse: one that every library takes."""
    if not (text.isdecimal() and len(text) <= 10 and int(text) < 2**32):
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {2**32 - 1}, got '{text}'")
    return int(text)


def config_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The options of :func:`add_config_arguments` as arguments of ``resolve_config``."""
    own = {name: getattr(args, name) for name in ("recipe", "profile", "seed", "run_dir")}
    parameters: dict[str, str] = {}
    for name, value in args.parameters:
        if name in (*own, "overrides"):
            option = "-p NAME VALUE" if name == "overrides" else f"--{name.replace('_', '-')}"
            raise UserError(f"parameters: '{name}' is not set with -p; use {option}")
        if parameters.setdefault(name, value) != value:
            raise UserError(f"parameters: '{name}' is set twice; leave one out")
    return own | parameters


def _require_names(arguments: argparse.Namespace) -> None:
    """Refuse a name, of a folder say, that no file system takes, wherever one is given."""
    for option, given in vars(arguments).items():
        for text in given if isinstance(given, list) else [given]:
            if isinstance(text, str | Path):
                require_name(text, option.replace("_", "-"))


def run(
    parser: Parser,
    command: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Read the options and run a command as :func:`guarded` does; returns the exit status."""

    def work() -> int | None:
        arguments = parser.parse_args(argv)
        _require_names(arguments)
        return command(arguments)

    return guarded(work)


@contextlib.contextmanager
def large_imports() -> Iterator[None]:
    """Import torch and what is built on it without looking for garbage: there is none.

    A sixth of the imports' time. Later searches, of which a training makes two, pass the libraries
    by.
    """
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # once: what a caller of this process lets go is found
            gc.freeze()
        gc.enable()


def _drop_output() -> None:
    """Send what is left to be printed nowhere: Python would fail on it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def guarded(work: Callable[[], int | None]) -> int:
    """Do a command's work in the repository root; returns the exit status.

    It is 2 after a UserError, or where memory does not suffice: either is printed as one line.
    """
    try:
        # Relative paths mean the same in every command, and none draws on a screen.
        with contextlib.chdir(ROOT), environment({"MPLBACKEND": "Agg"}):
            status = work() or 0
            if sys.stdout:  # it may be closed
                sys.stdout.flush()
            return status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        why = first_line(error)
        print(f"error: this machine has too little memory ({why}); free some", file=sys.stderr)
        return 2
    except UnicodeEncodeError as error:
        why = f"{quote(error.object[error.start : error.end])} cannot be printed"
        print(f"error: {why}; write it otherwise", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output has seen enough: `| head`
        _drop_output()
        return 141  # as a shell has it
    except OSError as error:  # the last net: a disk that fails, an output that is full
        where = error.filename or "the output"
        why = f"cannot read or write {where}: {error.strerror or error}"
        print(f"error: {printable(why)}; look at that file or disk", file=sys.stderr)
        if error.errno == errno.ENOSPC and sys.stdout:  # what is left could not be written either
            _drop_output()
        return 2
    except KeyboardInterrupt as stop:
        stopped = stop if isinstance(stop, Stopped) else Stopped()
        print(stopped.line("repeat the command to resume"), file=sys.stderr)
        return 130
