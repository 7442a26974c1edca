"""Limits of a process that runs a stranger's code: time, memory, output, files and processes.

The operating system keeps time and memory, and an audit hook, which Python code cannot remove, the
rest. It stops mistakes and clumsy tricks. It is no prison: whoever loads a C library leaves it.
"""

import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vtkit.files import ROOT

MEMORY = 4 * 2**30  # bytes of data
FILE = 64 * 2**20  # bytes of a file
OUTPUT = 2**20  # bytes printed
START = 600  # seconds until a process is ready, on a busy machine
WAIT = 4  # times the seconds of CPU it may then take: it may have to wait for a core
_FORKS, _WRITES = 71, 72  # exit statuses
_SLOW = "it takes too long"
_REASONS = {
    _FORKS: "it starts copies of its process",
    _WRITES: "it writes outside its own folder",
}
_PROCESSES = {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.startfile"}
_CHANGES = {
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link",
    "os.symlink", "os.truncate", "os.utime", "shutil.rmtree", "shutil.move",
}  # fmt: skip


def restrict(folder: Path, seconds: int) -> None:
    """Keep this process, for the rest of its life, to a folder and to some more seconds of CPU.

    It prints a line first: from then on :func:`run_limited` counts the seconds.
    """
    print("ready", flush=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime) + 1
    for limit, most in (("CPU", spent + seconds), ("DATA", MEMORY), ("FSIZE", FILE), ("CORE", 0)):
        kind = getattr(resource, f"RLIMIT_{limit}")
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    own, allowed = os.path.realpath(folder), ("/dev/null", "/dev/tty")

    def outside(place: Any) -> bool:
        if not isinstance(place, str | bytes | os.PathLike):
            return False  # a file that is open already
        path = os.path.realpath(os.fsdecode(place))
        return path not in allowed and os.path.commonpath([own, path]) != own

    def watch(event: str, details: tuple[Any, ...]) -> None:
        if event in ("os.fork", "os.forkpty"):
            os._exit(_FORKS)
        if event in _PROCESSES:  # libraries that ask for one do without
            raise PermissionError("no other processes while grading")
        if event == "os.kill" and details[0] != os.getpid():
            raise PermissionError("no signals while grading")
        if event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            details = details[:1]
        elif event not in _CHANGES:
            return
        if any(map(outside, details)):
            os._exit(_WRITES)

    sys.dont_write_bytecode = True
    sys.addaudithook(watch)


def run_limited(command: Sequence[str], folder: Path, message: str, seconds: int) -> str | None:
    """Run a command that calls :func:`restrict`; returns in words why it was stopped, or None.

    Args:
        message: what it reads from its standard input.
    """
    own = {"IPYTHONDIR": str(folder), "MPLCONFIGDIR": str(folder), "TMPDIR": str(folder)}
    own |= {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | own, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdin
        with process.stdin as given:
            given.write(message.encode())
        return _watch(process, WAIT * seconds) or _ending(process)
    except BrokenPipeError:  # it ended before it read
        return _ending(process)
    finally:
        _end(process)


def _watch(process: subprocess.Popen[bytes], seconds: int) -> str | None:
    """Read and drop what a process prints, until it closes its output."""
    assert (output := process.stdout)
    printed, until = 0, time.monotonic() + START
    while (left := until - time.monotonic()) > 0:
        if not select.select([output], [], [], left)[0]:
            break
        if not (text := os.read(output.fileno(), 2**16)):
            return None
        until = until if printed else time.monotonic() + seconds  # it is ready
        if (printed := printed + len(text)) > OUTPUT:
            return f"it prints more than {OUTPUT >> 20} MB"
    return _SLOW


def _ending(process: subprocess.Popen[bytes]) -> str | None:
    """Say how a process ended that has closed its output; None if all is well."""
    try:
        status = process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return "it closes its output"
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return _SLOW
    return _REASONS.get(status) or (status and "its process ended before its tests") or None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those of its session, and drop its output."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    assert process.stdout
    process.stdout.close()
