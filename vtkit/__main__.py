"""The command line of ``./run_all.sh``: check everything, run the notebooks, show the results.

Only the standard library is imported at the top: ``--help`` works before any set-up.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vtkit import __version__
from vtkit.commands import Parser, add_config_arguments, run
from vtkit.errors import UserError
from vtkit.files import ROOT

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig
    from vtkit.runs.steps import Step

EPILOG = """\
./run_all.sh test [pytest arguments]   set up in the same way, then run the tests

An active virtual or conda environment is used; without one, .venv is made. On Linux without an
NVIDIA GPU, installing torch's CPU build into it first saves a large download.
To resume a run that was stopped, however hard, repeat the command.

exit status: 0 done, 1 a notebook failed, 2 a mistake in the command, 130 stopped
"""
_say = partial(print, flush=True)


def check(argv: Sequence[str]) -> int:
    """Only read the options: run_all.sh does so before a set-up that may take minutes."""
    return run(_parser(), lambda _: None, argv)


def main(argv: Sequence[str] | None = None, *, notebooks: Path = ROOT / "notebooks") -> int:
    """Entry point of ``python -m vtkit``; returns the exit status."""
    return run(_parser(), lambda arguments: _main(arguments, notebooks), argv)


def _main(arguments: argparse.Namespace, folder: Path) -> int:
    from vtkit.config.recipes import resolve_config
    from vtkit.config.run_config import FIELDS
    from vtkit.runs.artifacts import require_origins
    from vtkit.runs.places import require_seeds_place
    from vtkit.runs.steps import REQUIRED, discover, select, split_parameters, suited

    os.chdir(ROOT)
    steps = discover(folder)
    overrides, parameters = split_parameters(dict(arguments.parameters), steps, FIELDS)
    place = arguments.run_dir or f"runs/{arguments.recipe}-{arguments.profile}"
    folders = {seed: f"{place}-s{seed}" for seed in arguments.seeds or ()}
    configs = [
        resolve_config(arguments.recipe, arguments.profile, seed=seed, run_dir=folder, **overrides)
        for seed, folder in (folders or {arguments.seed: arguments.run_dir}).items()
    ]
    if arguments.list:
        _print_parameters(steps, configs[0])
        return 0
    chosen = select(steps, arguments.first, arguments.only)
    steps = suited(steps, configs[0])
    selected = [step for step in chosen if step in steps]
    if not selected:
        data = f"recipe {configs[0].recipe} has other data (train_format {configs[0].train_format})"
        about = "notebooks 00 to 02 are about SAT and its base model"
        raise UserError(f"{about}, and {data}; run 03 and later ones")
    for config in configs:  # all of them before the first has a folder
        require_origins(config)
    if folders:
        require_seeds_place(f"{place}-seeds")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = 0
    for config in configs:
        identity = {name: getattr(config, name) for name in REQUIRED if name != "overrides"}
        changed = {"overrides": {name: getattr(config, name) for name in overrides}}
        given = parameters | identity | changed
        status |= _run(steps, selected, config, given, arguments.force)
    if folders and not status:
        _print_seeds(list(folders.values()), f"{place}-seeds")
    return status


def _parser() -> Parser:
    parser = Parser(
        prog="run_all.sh",
        description="Reproduce R1-Zero with a vision-language model: run the notebooks in order.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_config_arguments(parser, several=True)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--from", dest="first", metavar="NN", help="start at this notebook")
    which.add_argument("--only", metavar="NN[,NN]", help="run just these notebooks")
    about = "run notebooks again that are done (training still resumes from its checkpoints)"
    parser.add_argument("--force", action="store_true", help=about)
    parser.add_argument("--list", action="store_true", help="show every parameter and its value")
    parser.add_argument("--version", action="version", version=f"vtkit {__version__}")
    return parser


def _run(
    steps: list["Step"], selected: list["Step"], config: "RunConfig", parameters: dict, force: bool
) -> int:
    """Run the selected steps that are not done; returns the exit status."""
    from vtkit.runs.artifacts import FIELDS, make_missing
    from vtkit.runs.execution import StepFailed, execute
    from vtkit.runs.folder import finish_run, locked, start_run
    from vtkit.runs.manifest import update_manifest
    from vtkit.runs.steps import forget

    run_dir, start, status, rows = Path(config.run_dir), time.monotonic(), "stopped", []
    with locked(run_dir):
        start_run(config)
        update_manifest(run_dir, status="running", finished=None)
        _say(
            f"vtkit {__version__}: recipe {config.recipe}, profile {config.profile}, "
            f"seed {config.seed}, in {run_dir}"
        )
        try:
            wanted = ("model",)  # notebook 01 writes SAT's data itself
            if config.train_format != "sat":
                wanted = FIELDS
                _say(f"{config.recipe}: without notebooks 00 to 02, which are about SAT")
            for place in make_missing(config.to_dict(), wanted):
                _say(f"{place}: written")
            for step in selected:
                key = step.key(config, parameters)
                if step.is_done(run_dir, key) and not force:
                    _say(f"{step.name}: skipped, done before with the same parameters")
                    rows.append((step.name, "skipped", 0.0))
                    continue
                # What comes later read this step's files: it is not done any more either.
                forget(steps[steps.index(step) :], run_dir)
                _say(f"{step.name}: running")
                seconds = execute(step, run_dir, key, parameters)
                _say(f"{step.name}: done in {seconds:.0f} s")
                rows.append((step.name, "done", seconds))
            complete = all(step.is_done(run_dir, step.key(config, parameters)) for step in steps)
            status = "finished" if complete else "incomplete"
        except StepFailed as error:
            status = "failed"
            sys.stdout.flush()
            print(f"error: {error}", file=sys.stderr)
            return 1
        finally:
            finish_run(config, status, time.monotonic() - start)
        width = max(len(name) for name, _, _ in rows)
        _say(f"\n{'notebook':{width}}  status   seconds")
        for name, result, seconds in rows:
            _say(f"{name:{width}}  {result:7}  {seconds:7.0f}")
        _print_results(run_dir, complete)
    return 0


def _print_results(run_dir: Path, complete: bool) -> None:
    """The result table and the report; a run of some notebooks may not have results yet."""
    from vtkit.report.summary import result_table, summarize, write_report

    try:
        summarize(run_dir)
        _say(f"\n{result_table(run_dir)}")
        _say(f"report: {write_report(run_dir)}")
    except UserError as error:
        if complete:
            raise
        _say(f"\nno results yet: {error}")


def _print_seeds(run_dirs: list[str], out: str) -> None:
    """All seeds with mean and spread; runs of some notebooks may have no results yet."""
    from vtkit.rendering import align
    from vtkit.report.seeds import aggregate, table
    from vtkit.report.summary import summarize

    try:
        aggregate(run_dirs, out)
    except UserError as error:
        _say(f"\nnothing to put together yet: {error}")
        return
    header, rows = table([summarize(run_dir) for run_dir in run_dirs], plain=True)
    _say(f"\n{align([header, *rows])}\n\nall seeds: {out}/report.html")


def _print_parameters(steps: list["Step"], config: "RunConfig") -> None:
    """Every notebook's own parameters, then every field of the configuration with its value."""
    from vtkit.config.run_config import CHOICES, FIELDS, HELP, IDENTITY
    from vtkit.config.values import as_text, kind_of
    from vtkit.runs.steps import REQUIRED

    for step in steps:
        _say(f"{step.path.name}")
        for item in step.parameters.values():
            _say(f"  {item.name:24} {item.type:10} {item.default:24} {item.help}")
    _say(f"\nparameters of recipe {config.recipe}, profile {config.profile} (also set with -p)")
    for name, kind in FIELDS.items():
        if name not in IDENTITY:
            about = HELP[name] + (f" ({', '.join(CHOICES[name])})" if CHOICES[name] else "")
            _say(f"  {name:24} {kind_of(kind):10} {as_text(getattr(config, name)):24} {about}")
    _say(f"\n{', '.join(REQUIRED[:4])} are separate options: see --help")


if __name__ == "__main__":
    sys.exit(main())
