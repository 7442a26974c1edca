"""Compare the estimates of vtkit.planning.plan with measurements on a CPU, part by part.

    python timings/plan.py              # prints a table and writes timings/plan.csv

What is measured are tensors: a dispatch mode sees every storage that an operation makes and when it
is freed, so its peak is what a memory allocator would have to hold. "miniature" is the second
micro-batch of a real GRPO step of this kit's own trainer, and that step's generation. "2B layers"
are 2 language and 2 vision layers of Qwen2-VL-2B's widths, with random weights and 1,024 words.
Nothing here was measured on a GPU.
"""

import copy
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from trl.trainer.utils import add_fused_lm_head

import results
from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import RunConfig
from vtkit.mini.dataset import write_dataset
from vtkit.models.loading import count_parameters
from vtkit.models.shapes import QWEN2_VL_2B, Shape, load_shape, shape_of
from vtkit.planning import memory
from vtkit.planning.memory import Batch
from vtkit.training.train import make_trainer

HERE = Path(__file__).parent
CASES = {
    "float32": {"dtype": "float32", "gradient_checkpointing": False},
    "float32, checkpointing": {"dtype": "float32", "gradient_checkpointing": True},
    "bfloat16": {"dtype": "bfloat16", "gradient_checkpointing": False},
    "bfloat16, checkpointing": {"dtype": "bfloat16", "gradient_checkpointing": True},
}
Row = dict[str, Any]


class Alive(TorchDispatchMode):
    """Bytes of the tensors that were made inside and are alive: ``now`` and ``peak``.

    Args:
        known: modules whose parameters, gradients and buffers were there before.
    """

    def __init__(self, *known: torch.nn.Module):
        super().__init__()
        self.now = self.peak = 0
        tensors = [t for m in known for t in (*m.parameters(), *m.buffers())]
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
        sizes.append(sum(layer.keys.nbytes + layer.values.nbytes for layer in layers))

    return sizes, model.get_decoder().register_forward_hook(look)


def row(model: str, case: str, part: str, estimate: float, measured: float) -> Row:
    error = "" if not measured else f"{100 * (estimate / measured - 1):+.1f}"
    return {
        "model": model, "case": case, "part": part, "estimated": round(estimate),
        "measured": round(measured), "error %": error,
    }  # fmt: skip


def tensors(named: Any) -> int:
    return sum(tensor.nbytes for tensor in named)


class Watched:
    """A trainer of the kit whose second micro-batch and generation are measured."""

    def __init__(self, config: RunConfig):
        self.trainer = trainer = make_trainer(config)
        self.found: dict[str, float] = {}
        self.inner = trainer.training_step, trainer._generate_single_turn
        trainer.training_step, trainer._generate_single_turn = self._step, self._generate

    def _step(self, model: Any, inputs: Any, *rest: Any) -> Any:
        trainer = self.trainer
        if trainer._step % trainer.args.steps_per_generation == 0:
            return self.inner[0](model, inputs, *rest)
        with Alive(model) as alive:
            result = self.inner[0](model, inputs, *rest)
        batches = trainer._buffered_inputs
        self.found |= {
            "activations": alive.peak,
            "gradients": tensors(p.grad for p in model.parameters() if p.grad is not None),
            "pictures": sum(batch["pixel_values"].nbytes for batch in batches),
        }
        shapes = [batches[1][name].shape for name in ("prompt_ids", "completion_ids")]
        self.shapes = (shapes[0][0], shapes[0][1], shapes[1][1])
        return result

    def _generate(self, *args: Any) -> Any:
        sizes, handle = watch_cache(self.trainer.model)
        with Alive(self.trainer.model) as alive:
            result = self.inner[1](*args)
        handle.remove()
        self.found |= {"KV cache": sizes[-1], "generating": alive.peak}
        return result


def miniature(case: str, changes: dict[str, Any], data: Path, run_dir: Path) -> Iterator[Row]:
    config = resolve_config(
        run_dir=run_dir, train_data=str(data), train_rows=64, max_steps=1, prompts_per_step=8,
        per_device_batch_size=32, beta=0.04, **changes,
    )  # fmt: skip
    shape, watched = load_shape(config.model), Watched(config)
    trainer = watched.trainer
    trainer.train()
    state = trainer.optimizer.state.values()
    found = watched.found | {
        "weights": tensors(trainer.model.parameters()),
        "optimizer": tensors(tensor for slot in state for tensor in slot.values()),
        "reference": tensors(trainer.ref_model.parameters()),
    }
    patches = shape.patches(config.max_pixels)
    sequences, prompt, completion = watched.shapes
    batch = Batch(sequences, prompt, completion, patches)
    # The last token is sampled and never read, so the cache is one token short.
    whole = Batch(2 * sequences, prompt, completion - 1, patches)
    counts = count_parameters(trainer.model)
    name = "miniature"
    yield row(name, case, "parameters", memory.trained(shape, config), counts["trained"])
    generating = memory.cache(shape, config, whole) + memory.generation(shape, config, whole)
    generating += memory.pictures(shape, whole)  # the trainer reads them at the same moment
    estimates = {
        **memory.held(shape, config),
        "pictures": memory.pictures(shape, whole),
        "activations": memory.training(shape, config, batch, triton=False),
        "KV cache": memory.cache(shape, config, whole),
        "generating": generating,
    }
    for part, estimate in estimates.items():
        yield row(name, case, f"{part}, bytes", estimate, found[part])


def layers_of_2b() -> Iterator[Row]:
    values = copy.deepcopy(QWEN2_VL_2B)
    values["text_config"] |= {"num_hidden_layers": 2, "vocab_size": 1024, "pad_token_id": 0}
    values["text_config"] |= {"bos_token_id": None, "eos_token_id": None}
    values["vision_config"] |= {"depth": 2}
    tokens = {"image_token_id": 6, "video_token_id": 7}
    model = Qwen2VLForConditionalGeneration(Qwen2VLConfig(**values, **tokens)).train()
    shape, batch = shape_of(model.config), Batch(sequences=2, prompt=220, completion=4, patches=512)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    inputs = pictures_and_words(shape, batch)
    for case, changes in CASES.items():
        config = resolve_config(**changes)
        half = torch.autocast("cpu", torch.bfloat16, config.dtype == "bfloat16")
        model.gradient_checkpointing_disable()
        model.zero_grad()
        if not config.gradient_checkpointing:  # it makes no difference to generating
            cache, peak = generate_once(model, inputs, half, batch)
            estimate = memory.cache(shape, config, batch)
            yield row("2B layers", case, "KV cache, bytes", estimate, cache)
            estimate += memory.generation(shape, config, batch)
            yield row("2B layers", case, "generating, bytes", estimate, peak)
        peak = train_once(model, inputs, half, config.gradient_checkpointing)
        estimate = memory.training(shape, config, batch, triton=False)
        yield row("2B layers", case, "activations, bytes", estimate, peak)


def generate_once(
    model: Any, inputs: dict[str, torch.Tensor], half: Any, batch: Batch
) -> tuple[int, int]:
    """Bytes of the KV cache at its end, and the peak of all that generating makes."""
    words = ("input_ids", "attention_mask", "mm_token_type_ids")
    prompts = inputs | {name: inputs[name][:, : batch.prompt] for name in words}
    sizes, handle = watch_cache(model)
    with torch.no_grad(), half, Alive(model) as alive:
        # The last token is sampled and never read.
        model.generate(**prompts, max_new_tokens=batch.completion + 1, do_sample=False)
    handle.remove()
    return max(sizes), alive.peak


def pictures_and_words(shape: Shape, batch: Batch) -> dict[str, torch.Tensor]:
    """A batch whose second prompt is padded, as prompts of a real batch are."""
    ids = torch.full((batch.sequences, batch.length), 20)
    seen = batch.patches // shape.merge**2
    ids[:, 8 : 8 + seen] = 6
    attention = torch.ones_like(ids)
    attention[1, :4] = 0
    grid = [1, 2 * shape.merge, batch.patches // (2 * shape.merge)]
    return {
        "input_ids": ids,
        "attention_mask": attention,
        "mm_token_type_ids": (ids == 6).int(),
        "pixel_values": torch.randn(batch.sequences * batch.patches, shape.patch),
        "image_grid_thw": torch.tensor([grid] * batch.sequences),
    }


def train_once(model: Any, inputs: dict[str, Any], half: Any, checkpointing: bool) -> float:
    """Peak bytes of a forward and backward pass through TRL's head, where gradients are there."""
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with Alive(model) as alive:
        with half:
            out = model(**inputs, labels=inputs["input_ids"], fused_lm_head=True)
        out.log_probs.sum().backward()
    return alive.peak


def main() -> None:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        write_dataset(data, progress=False)
        for case, changes in CASES.items():
            rows += miniature(case, changes, data, Path(place) / case)
    rows += layers_of_2b()
    # Wang et al. 2024, table 1, and Qwen2-1.5B's model card.
    published = load_shape("Qwen/Qwen2-VL-2B")
    sizes = {"language": (published.language, 1.54e9), "vision": (published.vision, 675e6)}
    for name, (part, known) in sizes.items():
        rows.append(row("Qwen2-VL-2B", "published", f"{name} parameters", part.parameters, known))
    results.write("plan", rows)
    for line in rows:
        print("  ".join(f"{value!s:>22}" for value in line.values()))


if __name__ == "__main__":
    main()
