"""Store greedy completions on disk batch by batch, and resume from them after a kill.

An append-only file has a line of settings, which are everything that a completion depends on, and a
line ``[row, text, tokens]`` for each. Where settings differ, all completions are made again. If
there are several processes, they share the rows out; the first alone reads and writes the file.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.distributed.tensor import DTensor

from vtkit.data.pictures import encoded_images
from vtkit.errors import UserError
from vtkit.runs.surroundings import is_main_process
from vtkit.sampling.generation import Completion, stream
from vtkit.sampling.processes import collected, place, told, whole_weights
from vtkit.sampling.vllm_engine import CompletionEngine

_BEGINNING = b'{"weights": '  # of every file of ours, or of a torn one all there is
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_AT_ONCE = 2**22  # numbers: torch adds them up in a copy of 8 bytes each


def generate_resumable(
    path: str | Path,
    model: Any,
    processor: Any,
    dataset: Dataset,
    *,
    batch_size: int,
    max_new_tokens: int,
    progress: bool = False,
) -> list[Completion]:
    """Generate the completions that ``path`` lacks; returns all, in row order, in every process.

    The complete file is left for the caller to remove. All processes that have joined call it.

    Args:
        model: or a :class:`CompletionEngine`, which rounds differently: its completions do not
            count as the model's.

    Raises:
        UserError: as ``stream``; or the file cannot be read or written. What is stored stays.
    """
    path = Path(path)
    settings = _fingerprint(model, processor, dataset, max_new_tokens)
    found = told(_begin(path, settings, len(dataset)) if is_main_process() else None)
    number, processes = place()
    missing = [row for row in range(len(dataset)) if row not in found]
    rows = sorted([*found, *missing[number::processes]])
    completions: Callable[..., Iterator[dict[int, Completion]]]
    weights: AbstractContextManager[None]
    if isinstance(model, CompletionEngine):
        completions, weights = model.stream, nullcontext()
    else:
        completions, weights = partial(stream, model), whole_weights(model)
    batches = completions(
        processor, dataset.select(rows), batch_size=batch_size, max_new_tokens=max_new_tokens,
        progress=progress and is_main_process(),
        done=[n for n, row in enumerate(rows) if row in found],
    )  # fmt: skip
    with weights:
        for batch in _rounds({rows[n]: one for n, one in part.items()} for part in batches):
            if is_main_process():
                _append(path, [[row, *completion] for row, completion in batch.items()])
            found |= batch
    return [found[row] for row in range(len(dataset))]


def _begin(path: Path, settings: dict[str, Any], n: int) -> dict[int, Completion]:
    """Read the completions of a file, or start it; tells now if it cannot be written."""
    found = _read(path, settings, n)
    if found:
        print(f"{path}: {len(found)} of {n} completions are there already", flush=True)
    begun = path.is_file() and path.stat().st_size > 0
    _append(path, [] if begun else [settings])
    return found


def _rounds(batches: Iterator[dict[int, Completion]]) -> Iterator[dict[int, Completion]]:
    """Yield in every process what all have made since the last round, until none makes more."""
    while True:
        parts = [part for part in collected(next(batches, None)) if part is not None]
        if not parts:
            return
        yield {row: completion for part in parts for row, completion in part.items()}


def _fingerprint(model: Any, processor: Any, dataset: Dataset, limit: int) -> dict[str, Any]:
    """Everything that a greedy completion depends on, for JSON."""
    pictured = hasattr(processor, "image_processor")
    vllm = isinstance(model, CompletionEngine)
    return {
        "weights": model.digest() if vllm else weights_digest(model),
        "questions": _questions_digest(dataset),
        "prompt": hashlib.sha256(processor.chat_template.encode()).hexdigest()[:16],
        "pixels": dict(processor.image_processor.size) if pictured else None,
        "max_new_tokens": limit,
    }


def weights_digest(model: torch.nn.Module) -> str:
    """16 hexadecimal digits that change when a weight does, the same on every machine.

    Bits are summed as integers: weights that merely swap places within a tensor go unnoticed. Of a
    tensor that is split each process sums its part: the digest is that of the whole model.
    """
    weights = model.state_dict()
    split = [name for name, tensor in weights.items() if isinstance(tensor, DTensor)]
    sums = {name: _sum_of_bits(tensor) for name, tensor in weights.items()}
    parts = collected([sums[name] for name in split]) if split else []
    sums |= {name: sum(found) for name, *found in zip(split, *parts, strict=True)}
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        total = (sums[name] + 2**63) % 2**64 - 2**63  # as 64 bits hold it
        digest.update(f"{name} {tensor.dtype} {total}\n".encode())
    return digest.hexdigest()[:16]


def _sum_of_bits(tensor: torch.Tensor) -> int:
    own = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    bits = own.detach().contiguous().view(-1).view(_INTEGERS[own.element_size()])
    return sum(int(part.sum(dtype=torch.int64)) for part in bits.split(_AT_ONCE))


def _questions_digest(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for prompt, pictures in zip(dataset["prompt"], encoded_images(dataset), strict=True):
        digest.update(json.dumps(prompt).encode())
        for picture in pictures:
            digest.update(picture["bytes"] or str(picture["path"]).encode())
    return digest.hexdigest()[:16]


def _read(path: Path, settings: dict[str, Any], n: int) -> dict[int, Completion]:
    """Read the completions; cut the file after the last whole one, empty it if settings differ."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); remove it") from error
    start = b"".join(lines)[: len(_BEGINNING)]
    if not _BEGINNING.startswith(start):
        raise UserError(f"{path} has no completions of the kit; move it away")
    found: dict[int, Completion] = {}
    values = [_parse(line) for line in lines]
    whole = int(bool(values) and _is_ours(path, values[0], settings))  # lines that stay
    while 0 < whole < len(values) and _is_completion(values[whole], n):
        row, *completion = values[whole]
        found[row] = Completion(*completion)
        whole += 1
    os.truncate(path, sum(map(len, lines[:whole])))
    return found


def _parse(line: bytes) -> Any:
    """The value of a line; None if a kill or a full disk tore it."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def _is_ours(path: Path, value: Any, settings: dict[str, Any]) -> bool:
    if value == settings:
        return True
    if isinstance(value, dict):
        other = ", ".join(name for name in settings if value.get(name) != settings[name])
        print(f"{path}: made with other {other}; starting over", flush=True)
    return False


def _is_completion(value: Any, n: int) -> bool:
    typed = isinstance(value, list) and list(map(type, value)) == [int, str, int]
    return typed and 0 <= value[0] < n and value[2] >= 0


def _append(path: Path, values: list[Any]) -> None:
    """Add values as lines; they are on the disk when this returns."""
    rest = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", buffering=0) as handle:
            while rest:  # a disk that fills up takes a part first
                rest = rest[handle.write(rest) :]
            os.fsync(handle.fileno())
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free some space and run the same "
            "command again: it resumes from what was stored"
        ) from error
