"""What a shell, a launcher or a system leaves around a process: refused where nothing can work."""

import os

from vtkit.errors import UserError

_SET = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# The sizes that accelerate reads next to WORLD_SIZE: of mpirun's kinds.
_MPI = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_FEWEST, _ENOUGH = 128, 1024  # open files; a kernel alone has some 60


def is_launched() -> bool:
    """Whether ``accelerate launch`` (so torchrun) started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_main_process() -> bool:
    """Tell the process that reads and writes from the others that a launcher started."""
    return int(os.environ.get("RANK", 0)) == 0


def is_asked_for(engine: str) -> bool:
    """Whether the file that this process was launched with asks for ``FSDP`` or ``DEEPSPEED``."""
    return os.environ.get(f"ACCELERATE_USE_{engine}", "").lower() == "true"


def require_surroundings(*, alone: bool = True) -> None:
    """Refuse a launcher's leftovers and too few open files, before anything is written.

    With leftovers a process would wait for others that never come.

    Args:
        alone: this can be none of a launcher's processes: a notebook, or what runs notebooks.

    Raises:
        UserError: variables such as RANK are incomplete, no numbers, or for several processes
            though no launcher started this one; or the limit of open files is too low.
    """
    if alone or not is_launched():
        _require_no_leftovers()
    _require_open_files()


def _require_no_leftovers() -> None:
    found = {name: os.environ[name] for name in (*_SET, *_MPI) if name in os.environ}
    ours = [name for name in _SET if name in found]
    missing = [name for name in _SET if name not in found]
    numbers = {name: text.strip() for name, text in found.items() if name != "MASTER_ADDR"}
    if wrong := [name for name, text in numbers.items() if not _is_number(text)]:
        names, why = wrong, "which is no rank, size or port"
    elif ours and missing:
        names, why = ours, f"but not {', '.join(missing)}"
    elif any(int(text) > ("SIZE" in name) for name, text in numbers.items() if "PORT" not in name):
        names, why = list(found), "for several processes, but no launcher started this one"
    else:
        return
    shown = ", ".join(f"{name}={found[name][:80]}" for name in names)
    shown += " is set" if len(names) == 1 else " are set"
    remedy = f"`unset {' '.join(found)}`, or start training with accelerate launch"
    raise UserError(f"{shown}, {why}: left over from a launcher? {remedy}")


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 6 and int(text) < 2**16


def _require_open_files() -> None:
    """Raise the limit of open files as far as the system allows."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < _ENOUGH:
        soft = _ENOUGH if hard == unlimited else min(hard, _ENOUGH)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft != unlimited and soft < _FEWEST:
        raise UserError(
            f"only {soft} files may be open at a time; `ulimit -n {_ENOUGH}` allows more, or ask "
            "who looks after this machine"
        )
