"""Run one notebook with papermill: output line by line, failures in a few lines."""

import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vtkit.errors import Stopped, first_line
from vtkit.files import ROOT, environment, shown
from vtkit.runs.folder import HEADLESS
from vtkit.runs.steps import Step

_START_SECONDS = 300  # for a kernel; a loaded cluster's file system takes its time


class StepFailed(Exception):
    """A notebook did not run to its end; the message is for the reader."""


def execute(step: Step, run_dir: Path, key: str, parameters: Mapping[str, Any]) -> float:
    """Run one notebook in the repository root; returns seconds.

    Until it has ended, well or badly, the executed notebook is called ``*.partial.ipynb``.

    Raises:
        StepFailed: a cell raised, the kernel died, or a cell left early.
        Stopped: somebody interrupted the kernel.
    """
    import nbclient.exceptions
    import papermill

    output = step.output(run_dir)
    partial = output.with_suffix(".partial.ipynb")
    kernel_log = output.parent / "kernel.log"
    # The kernel is the one of this environment, whatever kernels the user has installed elsewhere,
    # and it draws into the notebook, whatever the shell was told to draw with.
    variables = {HEADLESS: "1", "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_PATH": ""}
    variables["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    options = {"kernel_name": "python3", "progress_bar": False, "autosave_cell_every": 30}
    options |= {"stdout_file": _Lines(), "cwd": str(ROOT), "start_timeout": _START_SECONDS}
    start, stopped = time.monotonic(), None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _quiet(kernel_log), environment(variables):
            source, place = (_literal(path) for path in (step.path, partial.resolve()))
            notebook = papermill.execute_notebook(source, place, parameters, **options)
        problem = _left_early(notebook)
    except papermill.PapermillExecutionError as error:
        problem = _cell_failure(error)
        if error.ename in ("Stopped", "KeyboardInterrupt"):
            stopped = error.evalue
    except nbclient.exceptions.DeadKernelError:
        problem = f"its kernel died (out of memory?); its last words are in {shown(kernel_log)}"
    except OSError as error:
        problem = f"cannot write {shown(partial)}: {error.strerror or error}"
    except RuntimeError as error:  # of jupyter_client: slow, or dead while starting
        why = f"its kernel did not start ({first_line(error)})"
        problem = f"{why}; repeat the command; its last words are in {shown(kernel_log)}"
    if partial.exists():
        os.replace(partial, output)
        step.note(run_dir)
    if stopped is not None:
        raise Stopped(stopped)
    if problem:
        raise StepFailed(f"{shown(step.path)}: {problem}\nexecuted notebook: {shown(output)}")
    seconds = time.monotonic() - start
    step.note(run_dir, key, seconds)
    return seconds


def _literal(path: Path) -> str:
    """A path for papermill, which reads braces as templates."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _cell_failure(error: Any) -> str:
    """Cell number, an excerpt of its source, and the error's last line."""
    where = f"failed in cell In [{error.exec_count}]"
    if error.ename == "UserError":
        return f"{error.evalue}\n({where})"
    source = error.source.splitlines()
    # From IPython's ``Cell In[3], line 2``, without colours.
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    found = re.search(r"Cell In\s*\[\d+\], line (\d+)", plain)
    line = int(found[1]) if found else 1
    first = max(0, min(line, len(source)) - 4)
    numbered = enumerate(source[first : first + 6], first + 1)
    excerpt = [f"  {'>' if found and number == line else ' '} {text}" for number, text in numbered]
    message = (error.evalue.strip() or "no message").splitlines()[-1]
    return "\n".join([where, *excerpt, f"{error.ename}: {message}"])


def _left_early(notebook: Any) -> str | None:
    """Find a sys.exit(0), which papermill takes for success."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    done = sum(cell.execution_count is not None for cell in code)
    outputs = [output for cell in code for output in cell.get("outputs", [])]
    exits = any(output.get("ename") == "SystemExit" for output in outputs)
    return f"left after {done} of {len(code)} code cells" if exits or done < len(code) else None


class _Lines:
    """Prints a notebook's output indented and in whole lines; of a progress bar, its last state."""

    def __init__(self) -> None:
        self._rest = ""

    def write(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            print(f"   | {line.rstrip().rsplit(chr(13), 1)[-1]}")

    def flush(self) -> None:
        sys.stdout.flush()


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """Send standard error into a file, that of the kernel, which inherits it, included."""
    loggers = [logging.getLogger(name) for name in ("papermill", "traitlets")]
    levels = [logger.level for logger in loggers]
    # For good: a task that a stop abandons complains when it is collected, which may be any time.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
    sys.stderr.flush()
    keep = os.dup(2)
    try:
        with open(log, "w") as handle:
            os.dup2(handle.fileno(), 2)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        os.dup2(keep, 2)
        os.close(keep)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
