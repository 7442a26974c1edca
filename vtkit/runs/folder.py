"""The run folder: create or reopen it, lock it, close it.

Its config.yaml is written once: no file in it comes from two settings.
"""

import contextlib
import errno
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from vtkit import __version__
from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import IDENTITY, PLACES, RunConfig, read_config, save_config
from vtkit.errors import UserError
from vtkit.files import ROOT, atomic_write, environment, read_json, remove_drafts, write_json
from vtkit.runs.artifacts import make_missing, require_origins
from vtkit.runs.manifest import file_hashes, new_manifest, now, package_versions, update_manifest
from vtkit.runs.places import require_run_place, written_parts

if TYPE_CHECKING:
    from pandas import DataFrame

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
    if stored.exists():
        changes = differences(read_config(stored), config)
        if changes:
            raise UserError(
                f"{stored} has other settings: {', '.join(changes)}; "
                "choose another folder with --run-dir, or delete this one"
            )
    else:
        save_config(config, stored)
    if not (folder / "manifest.json").exists():
        write_json(folder / "manifest.json", new_manifest(config))
    return folder


def setup(
    recipe: str = "visualthinker",
    profile: str = "mini",
    seed: int = 0,
    run_dir: str = "",
    overrides: Mapping[str, Any] | None = None,
    make: Sequence[str] = (),
) -> RunConfig:
    """First line of every notebook: settings, folder, seeds, and one line about the machine.

    Changes to the repository root. A notebook opened by hand on an existing folder takes that
    folder's settings, and says so.

    Args:
        run_dir: empty means ``runs/<recipe>-<profile>-s<seed>``.
        make: fields (``train_data``, ``benchmark_data``, ``model``) whose folders of the miniature
            are written if they are missing.
    """
    import pandas

    os.chdir(ROOT)
    overrides = dict(overrides or {})
    own = [name for name in IDENTITY if name in overrides]
    if own:
        raise UserError(f"overrides: '{own[0]}' is a parameter of its own; set that instead")
    config = resolve_config(recipe, profile, seed=seed, run_dir=run_dir or None, **overrides)
    require_run_place(config.run_dir)
    if not overrides:
        config = _settings_of_folder(config)
    start_run(config)
    seed_everything(config.seed)
    pandas.set_option("display.max_colwidth", None)  # tables show whole completions
    print(describe_machine(config))
    make_missing(config.to_dict(), make, quiet=True)
    return config


def finish_run(config: RunConfig, status: str, seconds: float) -> None:
    """Close a session, "finished", "incomplete", "failed" or "stopped"; seconds add up."""
    manifest = read_json(Path(config.run_dir) / "manifest.json")
    seconds, files = manifest["wall_seconds"] + seconds, file_hashes(config, manifest["files"])
    update_manifest(
        config.run_dir, status=status, finished=now(), wall_seconds=round(seconds, 1), files=files
    )


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
    with hold(run_dir) as folder:
        remove_drafts(*written_parts(folder))
        yield


@contextlib.contextmanager
def hold(place: str | Path) -> Iterator[Path]:
    """Hold any folder as :func:`locked` does, whatever is in it; yields its resolved path."""
    folder = Path(place).resolve()
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
            "wait for it, stop it, or choose another folder with --run-dir"
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


def _is_held(folder: Path) -> bool:
    """Whether this process, or the one that started it, holds the folder already."""
    return os.environ.get(_LOCK_OWNER) == str(folder)


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


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, on every device."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)


def describe_machine(config: RunConfig) -> str:
    """One line: versions, device with the reason for it, seed and folder."""
    from vtkit.models.loading import pick_device

    versions = package_versions()
    shown = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers", "trl"))
    python = ".".join(map(str, sys.version_info[:3]))
    device, reason = pick_device()
    return (
        f"vtkit {__version__} (Python {python}, {shown}) "
        f"on {device} ({reason}; {os.cpu_count()} CPU cores); "
        f"recipe {config.recipe}, profile {config.profile}, seed {config.seed}: {config.run_dir}"
    )


def save_table(config: RunConfig, name: str, table: "DataFrame") -> Path:
    """Write a table as CSV into the run folder, whole or not at all."""
    path = Path(config.run_dir) / name
    with atomic_write(path) as handle:
        table.to_csv(handle, index=False)
    return path


def headless() -> bool:
    """Whether ``run_all.sh`` runs the notebooks: print lines, no live plots."""
    return HEADLESS in os.environ


def differences(stored: RunConfig, config: RunConfig) -> list[str]:
    """Where two configurations differ, as text; :data:`PLACES` do not count."""
    old, new = stored.to_dict(), config.to_dict()
    changed = [name for name in new if name not in PLACES and old[name] != new[name]]
    return [f"{name} is {old[name]} there and {new[name]} here" for name in changed]


def _settings_of_folder(config: RunConfig) -> RunConfig:
    """The folder's settings, if recipe, profile and seed are the same."""
    path = Path(config.run_dir) / "config.yaml"
    if not path.exists():
        return config
    stored = read_config(path).replace(run_dir=config.run_dir)
    same = all(getattr(stored, name) == getattr(config, name) for name in IDENTITY)
    changes = differences(stored, config)
    if not (same and changes):
        return config
    print(f"settings of {path}: {'; '.join(changes)}")
    return stored
