"""Processes that end with the one that started them, even where that one is killed.

The holder of a leash locks a file, and whoever is on it waits for that lock: the operating system
frees it with its holder, through launchers and sessions in between.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import filelock

from vtkit.runs.surroundings import is_launched

LEASH = "VTKIT_LEASH"
_SECONDS = 0.5


@contextmanager
def leash() -> Iterator[dict[str, str]]:
    """Yield an environment for processes that may not outlive the block, or this process."""
    with tempfile.TemporaryDirectory(prefix="vtkit-leash-", ignore_cleanup_errors=True) as folder:
        path = os.path.join(folder, "lock")
        with filelock.FileLock(path):
            yield {**os.environ, LEASH: path}


def end_with_parent() -> None:
    """End this process when its leash is free, or the launcher that started it has ended.

    Called first, before there is anything to lose: it ends as if killed.
    """
    path = os.environ.get(LEASH)
    # Without a launcher, whoever it was may go: "nohup ... &".
    parent = os.getppid() if is_launched() else None
    if path or parent:
        threading.Thread(target=_watch, args=(path, parent), daemon=True).start()


def _watch(path: str | None, parent: int | None) -> None:
    while not (path and _is_free(path)) and parent in (None, os.getppid()):
        time.sleep(_SECONDS)
    print("error: the process that started this one has ended", file=sys.stderr, flush=True)
    os._exit(1)


def _is_free(path: str) -> bool:
    lock = filelock.FileLock(path, blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        return False
    except OSError:  # its holder ended well, and the file is gone
        return True
    with suppress(OSError):  # it was killed
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
    return True
