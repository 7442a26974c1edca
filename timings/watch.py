"""Watch the memory of a real step: the tensors that are alive, and what the process holds.

A dispatch mode sees every storage that an operation makes and when it is freed, so its peak is what
a memory allocator would have to hold. What libraries keep for themselves only the process shows.
"""

import contextlib
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vtkit.config.run_config import RunConfig
from vtkit.training.train import make_trainer

Row = dict[str, Any]


class Alive(TorchDispatchMode):
    """Bytes of the tensors that were made inside and are alive: ``now`` and ``peak``.

    Args:
        model: its parameters, gradients and buffers were there before.
        batch: so were these values, as far as they are tensors.
    """

    def __init__(self, model: torch.nn.Module, batch: Iterable[Any] = ()):
        super().__init__()
        self.now = self.peak = 0
        tensors = [t for t in batch if isinstance(t, torch.Tensor)]
        tensors += [*model.parameters(), *model.buffers()]
        tensors += [t.grad for t in tensors if t.grad is not None]
        self.seen = {t.untyped_storage()._cdata for t in tensors}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.seen:
            self.seen.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def watch_cache(model: torch.nn.Module) -> tuple[list[int], Any]:
    """Bytes of the KV cache after each forward pass, and the handle that stops watching."""
    sizes: list[int] = []

    def look(module: Any, args: Any, output: Any) -> None:
        layers = getattr(getattr(output, "past_key_values", None), "layers", ())
        pairs = ((layer.keys, layer.values) for layer in layers if hasattr(layer, "keys"))
        sizes.append(sum(keys.nbytes + values.nbytes for keys, values in pairs))

    return sizes, model.get_decoder().register_forward_hook(look)


def row(model: str, case: str, part: str, estimate: float, measured: float) -> Row:
    error = "" if not measured else f"{100 * (estimate / measured - 1):+.1f}"
    return {
        "model": model, "case": case, "part": part, "estimated": round(estimate),
        "measured": round(measured), "error %": error,
    }  # fmt: skip


def tensors(named: Any) -> int:
    return sum(tensor.nbytes for tensor in named)


def resident() -> int:
    """Bytes of this process that no file backs: tensors, Python, what libraries allocate."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("RssAnon:"))
    return 1024 * int(line.split()[1])


class Process:
    """The most that the process holds inside the block, above what it held before: ``grown``."""

    grown = 0

    def __enter__(self) -> "Process":
        self.before, self.inside = resident(), True
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self) -> None:
        while self.inside:
            self.grown = max(self.grown, resident() - self.before)
            time.sleep(0.01)

    def __exit__(self, *_: Any) -> None:
        self.inside = False
        self.thread.join()


@contextlib.contextmanager
def watching(model: torch.nn.Module, batch: Iterable[Any] = ()) -> Iterator[tuple[Alive, Process]]:
    """Watch the tensors that the block makes, and the process; arguments are :class:`Alive`'s."""
    with Process() as process, Alive(model, batch) as alive:
        yield alive, process


class Watched:
    """A trainer of the kit whose last micro-batch and generation are watched.

    Attributes:
        found: bytes by part; ``process``: bytes that the process grew by, by moment.
    """

    def __init__(self, config: RunConfig):
        self.trainer = trainer = make_trainer(config)
        self.found: dict[str, float] = {}
        self.process: dict[str, float] = {}
        self.inner = trainer.training_step, trainer._generate_single_turn
        trainer.training_step, trainer._generate_single_turn = self._step, self._generate

    def _step(self, model: Any, inputs: Any, *rest: Any) -> Any:
        trainer = self.trainer
        model.train()  # else it would prepare a batch to evaluate
        batch = trainer._prepare_inputs(inputs)  # generates, where it is time to
        batch["completion_mask"].fill_(1)  # a plan is of the longest completions
        trained = [p for p in model.parameters() if p.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        trainer._prepare_inputs = lambda inputs: batch
        with watching(model, batch.values()) as (alive, process):
            result = self.inner[0](model, inputs, *rest)
        del trainer._prepare_inputs
        self.process["training"] = process.grown
        batches = trainer._buffered_inputs
        self.found |= {
            "activations": alive.peak,
            "gradients": tensors(parameter.grad for parameter in trained),
            "pictures": sum(batch["pixel_values"].nbytes for batch in batches),
        }
        self.shapes = (*batch["prompt_ids"].shape, batch["completion_ids"].shape[1])
        return result

    def _generate(self, *args: Any) -> Any:
        sizes, handle = watch_cache(self.trainer.model)
        with watching(self.trainer.model) as (alive, process):
            result = self.inner[1](*args)
        handle.remove()
        self.process["generating"] = process.grown
        self.found |= {"KV cache": sizes[-1], "generating": alive.peak}
        return result
