"""The run folder: create or reopen it, lock it, close it.

Once something was trained in it, only settings of single notebooks change in its config.yaml: no
two of its files come from two trainings.
"""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from vtkit.config.run_config import (
    NOTEBOOK_SETTINGS,
    PLACES,
    RunConfig,
    read_config,
    save_config,
)
from vtkit.errors import UserError, resumable
from vtkit.files import environment, remove_drafts, write_json
from vtkit.runs.artifacts import require_origins
from vtkit.runs.contents import read_manifest
from vtkit.runs.manifest import file_hashes, new_manifest, now, update_manifest
from vtkit.runs.places import require_run_place, written_parts

# Set for child processes: the run whose lock their parent holds, and that no person is watching.
_LOCK_OWNER = "VTKIT_LOCKED_RUN"
HEADLESS = "VTKIT_HEADLESS"
_HELD: set[str] = set()  # folders that this process itself holds
_PATIENCE = 15  # seconds for the children of a killed holder: see vtkit.runs.leash


def start_run(config: RunConfig) -> Path:
    """Create the run's folder, or accept the one that has exactly these settings.

    Raises:
        UserError: the folder has other settings (they are named), or is not a run's, or cannot be
            written.
    """
    require_origins(config)
    folder = Path(config.run_dir)
    stored = folder / "config.yaml"
    if os.path.lexists(stored):
        kept = read_config(stored)
        if changes := differences(kept, config):
            raise UserError(
                f"{stored} has other settings: {', '.join(changes)}; "
                "to continue that run, set what it has; else choose another folder (run_dir)"
            )
        of_notebooks = {name: getattr(config, name) for name in NOTEBOOK_SETTINGS}
        if (now_used := kept.replace(**of_notebooks)) != kept:
            save_config(now_used, stored)
    else:
        save_config(config, stored)
    if not os.path.lexists(folder / "manifest.json"):
        write_json(folder / "manifest.json", new_manifest(config))
    return folder


@dataclass
class Work:
    """Work on a run; ``status`` is what manifest.json says of it once it ends without an error."""

    status: str = "finished"


@contextlib.contextmanager
def work_on(config: RunConfig) -> Iterator[Work]:
    """Hold a run's folder, and close manifest.json when the work ends, however it ends.

    It then says "finished" (or what the block set), "stopped" or "failed"; the seconds add up, and
    the files that were read are hashed. An interrupt becomes :class:`vtkit.errors.Stopped`. Inside
    another such block of the same run, also a parent process's, only the last is done.

    Raises:
        UserError: as :func:`locked` and :func:`start_run`.
    """
    inner = _is_held(config.run_dir)
    with locked(config.run_dir), resumable(lambda: stopped_at(config)):
        start_run(config)
        work, began = Work(), time.monotonic()
        if inner:
            yield work
            return
        update_manifest(config.run_dir, status="running", finished=None)
        status = "failed"
        try:
            yield work
            status = work.status
        except KeyboardInterrupt:
            status = "stopped"
            raise
        finally:
            _finish(config, status, time.monotonic() - began)


def _finish(config: RunConfig, status: str, seconds: float) -> None:
    manifest = read_manifest(config.run_dir)
    seconds, files = manifest["wall_seconds"] + seconds, file_hashes(config, manifest["files"])
    update_manifest(
        config.run_dir, status=status, finished=now(), wall_seconds=round(seconds, 1), files=files
    )


def stopped_at(config: RunConfig) -> str:
    """How far the training of a run came, for who stops it: "after step 7 of 30"; or ""."""
    from vtkit.runs.records import progress  # brings pandas

    with contextlib.suppress(UserError):
        done, planned = progress(config.run_dir)
        if 0 < done < planned:
            return f"after step {done} of {planned}"
    return ""


def _is_held(run_dir: str | Path) -> bool:
    """Whether this process, or the one that started it, holds the folder already."""
    return os.environ.get(_LOCK_OWNER) == os.path.realpath(run_dir)


@contextlib.contextmanager
def locked(run_dir: str | Path) -> Iterator[None]:
    """Hold a run's folder: one process, and one child that writes, at a time.

    The lock is freed when its holder ends, however it ends; half-written files of a killed holder
    are removed. On a file system without locks it is a file ``.lock.soft`` with the holder's
    number, which is taken over if that process is gone.

    A child of the holder takes a lock of its own: it is refused while another one writes, and so is
    who comes after a holder that was killed, until its last child is gone.

    Raises:
        UserError: another process holds it, or the folder is not a run's, or cannot be written.
    """
    require_run_place(run_dir)
    inner = _is_held(run_dir)
    with hold(run_dir) as folder:
        if not inner:
            remove_drafts(*written_parts(folder))
        yield


@contextlib.contextmanager
def hold(place: str | Path) -> Iterator[Path]:
    """Hold any folder as :func:`locked` does, whatever is in it; yields its resolved path."""
    folder = Path(os.path.realpath(place))  # Path.resolve() gives up on links in a circle
    if _is_held(folder) and str(folder) in _HELD:
        yield folder
        return
    child = folder / ".lock.child"
    try:
        if _is_held(folder):
            lock = _acquire(child, _PATIENCE)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _acquire(folder / ".lock")
            if child.exists():
                _acquire(child, _PATIENCE).release()
    except filelock.Timeout as error:
        raise UserError(
            f"another run is using {place} (process {_holder(error.lock_file)}); "
            "wait for it, stop it, or choose another folder (run_dir)"
        ) from None
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; choose another"
        ) from error
    _HELD.add(str(folder))
    try:
        with environment({_LOCK_OWNER: str(folder)}):
            yield folder
    finally:
        _HELD.discard(str(folder))
        lock.release()


def _acquire(path: Path, seconds: float = 0) -> filelock.BaseFileLock:
    """Lock a file, waiting so long for it; it then holds the number of this process."""
    try:
        lock = filelock.FileLock(path, timeout=seconds, fallback_to_soft=False)
        lock.acquire()
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        lock = filelock.SoftFileLock(path.with_name(f"{path.name}.soft"), timeout=seconds)
        lock.acquire()
    else:
        with open(path, "r+b") as handle:
            handle.seek(1)  # Windows locks the first byte
            handle.write(f"{os.getpid()}\n".encode())
            handle.truncate()
    return lock


def _holder(path: str) -> int | str:
    """The process that holds a lock."""
    if number := filelock.SoftFileLock(path).pid:
        return number
    with contextlib.suppress(OSError), open(path, "rb") as handle:
        handle.seek(1)
        return handle.read().decode(errors="replace").strip() or "unknown"
    return "unknown"


def headless() -> bool:
    """Whether ``run_all.sh`` runs the notebooks: print lines, no live plots."""
    return HEADLESS in os.environ


def differences(stored: RunConfig, config: RunConfig) -> list[str]:
    """Where two configurations differ, as text, but for what no training depends on."""
    old, new, free = stored.to_dict(), config.to_dict(), (*PLACES, *NOTEBOOK_SETTINGS)
    changed = [name for name in new if name not in free and old[name] != new[name]]
    return [f"{name} is {old[name]} there and {new[name]} here" for name in changed]
