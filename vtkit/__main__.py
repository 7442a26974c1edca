"""The command line of ``./run_all.sh``: check everything, run the notebooks, show the results.

Only the standard library is imported at the top: ``--help`` works before any set-up.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vtkit import __version__
from vtkit.commands import Parser, add_config_arguments, config_settings, guarded, run
from vtkit.errors import UserError
from vtkit.files import ROOT

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig
    from vtkit.runs.steps import Step

EPILOG = """\
./run_all.sh lab [jupyter arguments]   set up, then open JupyterLab on copies of the notebooks
./run_all.sh test [pytest arguments]   set up, then run the tests
./run_all.sh site [--run RUN]          set up, then build the site of docs, notebooks and API
./run_all.sh setup                     set up and nothing else

An active virtual or conda environment is used; without one, .venv is made. On Linux without an
NVIDIA GPU, installing torch's CPU build into it first saves a large download.
To resume a run that was stopped, however hard, repeat the command. Relative folders are
relative to this repository, wherever you are.

exit status: 0 done, 1 a notebook failed, 2 a mistake in the command, 130 stopped
"""
_say = partial(print, flush=True)


def check(argv: Sequence[str]) -> int:
    """Only read the options: run_all.sh does so before a set-up that may take minutes."""
    if argv[:1] == ["lab"]:
        _jupyter_arguments(argv[1:])
        return 0
    return run(_parser(), lambda _: None, argv)


def main(argv: Sequence[str] | None = None, *, notebooks: Path = ROOT / "notebooks") -> int:
    """Entry point of ``python -m vtkit``; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["lab"]:
        return guarded(lambda: _lab(argv[1:]))
    return run(_parser(), lambda arguments: _main(arguments, notebooks), argv)


def _jupyter_arguments(argv: Sequence[str]) -> list[str]:
    """What ``run_all.sh lab`` hands on to JupyterLab; prints the help if that is asked for."""
    about = "Open JupyterLab on working copies of the notebooks, in the folder lab."
    more = "Arguments are JupyterLab's, for instance --no-browser or --port 9000."
    parser = argparse.ArgumentParser(prog="run_all.sh lab", description=about, epilog=more)
    return parser.parse_known_args(argv)[1]


def _lab(argv: Sequence[str]) -> int:
    """Open JupyterLab on working copies of the notebooks, with this environment's kernel."""
    from vtkit.runs.copies import refresh_copies

    jupyter = _jupyter_arguments(argv)
    copies = ROOT / "lab"
    for line in refresh_copies(copies):
        _say(line)
    os.environ |= {"JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_PATH": ""}
    os.environ.pop("MPLBACKEND", None)  # a notebook's own
    place = [
        f"--ServerApp.root_dir={ROOT}",
        "--LabApp.default_url=/lab/tree/lab/00_base_model.ipynb",
    ]
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *place, *jupyter])


def _main(arguments: argparse.Namespace, folder: Path) -> int:
    from vtkit.config.listing import list_settings
    from vtkit.config.recipes import resolve_config
    from vtkit.runs.artifacts import require_origins
    from vtkit.runs.places import require_seeds_place
    from vtkit.runs.steps import discover, select, suited
    from vtkit.runs.surroundings import require_surroundings

    settings = config_settings(arguments)
    place, seeds = settings["run_dir"], arguments.seeds or [settings["seed"]]
    configs = []
    for seed in seeds:
        run_dir = f"{place}-s{seed}" if place and arguments.seeds else place
        configs.append(resolve_config(**settings | {"seed": seed, "run_dir": run_dir}))
    if arguments.list:
        _say(list_settings(configs[0]))
        return 0
    steps = discover(folder)
    chosen = select(steps, arguments.first, arguments.only)
    steps = suited(steps, configs[0])
    selected = [step for step in chosen if step in steps]
    if not selected:
        data = f"recipe {configs[0].recipe} has other data (train_format {configs[0].train_format})"
        about = "notebooks 00 to 02 are about SAT and its base model"
        raise UserError(f"{about}, and {data}; run 03 and later ones")
    require_surroundings()
    for config in configs:  # all of them before the first has a folder
        require_origins(config)
    before, _, after = configs[0].run_dir.rpartition(f"-s{seeds[0]}")
    together = f"{before}-seeds{after}"
    if arguments.seeds:
        require_seeds_place(together)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = 0
    for config in configs:
        status |= _run(steps, selected, config, list(arguments.parameters), arguments.force)
    if arguments.seeds and not status:
        _print_seeds([config.run_dir for config in configs], together)
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
    steps: list["Step"],
    selected: list["Step"],
    config: "RunConfig",
    changed: list[list[str]],
    force: bool,
) -> int:
    """Run the selected steps that are not done; returns the exit status."""
    from vtkit.runs.artifacts import FIELDS, make_missing
    from vtkit.runs.execution import StepFailed, execute
    from vtkit.runs.folder import work_on
    from vtkit.runs.steps import REQUIRED, forget

    run_dir, rows = Path(config.run_dir), []
    parameters = {name: getattr(config, name) for name in REQUIRED if name != "overrides"}
    parameters["overrides"] = {name: getattr(config, name) for name, _ in changed}
    with work_on(config) as work:
        _say(
            f"vtkit {__version__}: recipe {config.recipe}, profile {config.profile}, "
            f"seed {config.seed}, in {run_dir}"
        )
        try:
            wanted: tuple[str, ...] = ("model",)  # notebook 01 writes SAT's data itself
            if config.train_format != "sat":
                wanted = FIELDS
                _say(f"{config.recipe}: without notebooks 00 to 02, which are about SAT")
            for place in make_missing(config.to_dict(), wanted):
                _say(f"{place}: written")
            for step in selected:
                key = step.key(config)
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
        except StepFailed as error:
            work.status = "failed"
            sys.stdout.flush()
            print(f"error: {error}", file=sys.stderr)
            if (run_dir / "summary.json").is_file():  # notebook 05, which names a report, is done
                _report_what_there_is(run_dir)
            return 1
        complete = all(step.is_done(run_dir, step.key(config)) for step in steps)
        work.status = "finished" if complete else "incomplete"
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


def _report_what_there_is(run_dir: Path) -> None:
    from vtkit.report.summary import write_report

    with contextlib.suppress(UserError):
        write_report(run_dir)


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


if __name__ == "__main__":
    sys.exit(main())
