"""Run one notebook with papermill: output line by line, failures in a few lines."""

import importlib.util
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vtkit.errors import Stopped, UserError, first_line, printable
from vtkit.files import ROOT, environment, shown
from vtkit.runs.folder import HEADLESS
from vtkit.runs.steps import Step, import_lean

PATIENCE = "VTKIT_KERNEL_SECONDS"  # for a kernel to start; a loaded cluster's disk takes its time
_PATIENCE = 180
# Of glibc. By default it returns large blocks to the system, to ask for them again in each step.
KEEP_MEMORY = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**30))


class StepFailed(Exception):
    """A notebook did not run to its end; the message is for the reader."""


class _NotStarted(Exception):
    """The kernel, before it ran anything."""


def execute(step: Step, run_dir: Path, key: str, parameters: Mapping[str, Any]) -> float:
    """Run one notebook in the repository root; returns seconds.

    Until it has ended, well or badly, the executed notebook is called ``*.partial.ipynb``.

    Raises:
        StepFailed: a cell raised, the kernel died, or a cell left early.
        Stopped: somebody interrupted the kernel.
        UserError: :data:`PATIENCE` is no number of seconds.
    """
    papermill = import_lean("papermill")
    from nbclient.exceptions import DeadKernelError

    output = step.output(run_dir)
    partial = output.with_suffix(".partial.ipynb")
    kernel_log = output.parent / "kernel.log"
    words = f"its last words are in {shown(kernel_log)}"
    start, stopped, patience = time.monotonic(), None, _patience()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _quiet(kernel_log):
            try:
                notebook = _run(step.path, partial.resolve(), parameters, patience)
            except _NotStarted as error:  # another process may have taken its ports meanwhile
                print(f"   | the kernel did not start ({error}); once more", flush=True)
                notebook = _run(step.path, partial.resolve(), parameters, patience)
        problem = _left_early(notebook)
    except papermill.PapermillExecutionError as error:
        problem = _cell_failure(error, words)
        if error.ename in ("Stopped", "KeyboardInterrupt"):
            stopped = error.evalue
    except DeadKernelError:
        problem = f"its kernel died or was killed; out of memory? {words}"
    except _NotStarted as error:
        problem = f"its kernel did not start ({error}); repeat the command, or let it have more "
        problem += f"than {patience} seconds: {PATIENCE}={4 * patience}; {words}"
    except Exception as error:  # of papermill, nbclient and jupyter_client, on the way
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            problem = f"cannot write {shown(partial)}: {error.strerror or error}"
        else:
            with open(kernel_log, "a", encoding="utf-8") as handle:
                traceback.print_exc(file=handle)
            why = f"{type(error).__name__}: {first_line(error)}"
            problem = f"papermill could not continue ({why}); repeat the command; {words}"
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


def _patience() -> int:
    """How many seconds a kernel has to start."""
    text = os.environ.get(PATIENCE, str(_PATIENCE))
    if not (text.isdecimal() and 0 < len(text) < 7 and int(text)):
        raise UserError(f"{PATIENCE}={text[:80]} is set, and is no number of seconds; unset it")
    return int(text)


def _run(source: Path, target: Path, parameters: Mapping[str, Any], patience: int) -> Any:
    """Run a notebook in a kernel of this environment; returns it with its outputs.

    Raises:
        _NotStarted: the kernel did not come up in so many seconds. Else what papermill raises.
    """
    papermill = import_lean("papermill")
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class Kernel(AsyncKernelManager):
        """Knows no kernel but that of this environment, whatever else is installed."""

        def _kernel_spec_manager_default(self) -> KernelSpecManager:
            return KernelSpecManager(kernel_dirs=[])

        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]  # async too
            try:
                await super().start_kernel(**options)
            except OSError as error:
                place = f"{error.filename}: " if error.filename else ""
                raise _NotStarted(f"{place}{error.strerror or error}") from error

    ready: list[bool] = []
    options = {"kernel_name": "python3", "progress_bar": False, "autosave_cell_every": 30}
    options |= {"stdout_file": _Lines(), "cwd": str(ROOT), "start_timeout": patience}
    options |= {"kernel_manager_class": Kernel, "on_notebook_start": lambda **_: ready.append(True)}
    # It draws into the notebook, whatever the shell was told to draw with.
    variables = {HEADLESS: "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    variables |= KEEP_MEMORY
    if importlib.util.find_spec("vllm") is None:  # nothing else compiles
        variables["TORCHDYNAMO_DISABLE"] = "1"  # bitsandbytes would load the compiler: 48 MB, 1.5 s
    try:
        with environment(variables):
            return papermill.execute_notebook(
                _literal(source), _literal(target), parameters, **options
            )
    except Exception as error:
        if ready or isinstance(error, OSError | _NotStarted):
            raise
        raise _NotStarted(first_line(error)) from error


def _literal(path: Path) -> str:
    """A path for papermill, which reads braces as templates."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _cell_failure(error: Any, words: str) -> str:
    """Cell number, an excerpt of its source, and the error's last line."""
    where = f"failed in cell In [{error.exec_count}]"
    if not error.traceback:  # IPython could not even say what
        return f"{where} without a message; out of memory? {words}"
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
    """Prints a notebook's output indented and in whole lines; of a progress bar, its last state.

    What the text of data or a model would have a terminal do is spelt out.
    """

    def __init__(self) -> None:
        self._rest = ""

    def write(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            shown = line.rstrip().rsplit("\r", 1)[-1].expandtabs()
            print(f"   | {printable(shown)}")

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
