"""Compare the estimates of vtkit.planning.plan with measurements on a CPU, part by part.

    python timings/plan.py              # prints a table and writes timings/plan.csv

What is measured are tensors (timings/watch.py). "miniature" is the second micro-batch of a real
GRPO step of stock TRL's code, with completions that are all as long as the longest and are scored
alone, and that step's generation. "2B layers" are 2 language and 2 vision layers of Qwen2-VL-2B's
widths, with random weights and 1,024 words. Nothing here was measured on a GPU.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from trl.trainer import utils
from trl.trainer.utils import add_fused_lm_head
from watch import Alive, Row, Watched, row, tensors, watch_cache

import results
from vtkit.config.recipes import resolve_config
from vtkit.mini.dataset import write_dataset
from vtkit.models.loading import count_parameters
from vtkit.models.published import published_config
from vtkit.models.shapes import Shape, load_shape, shape_of
from vtkit.planning import memory
from vtkit.planning.memory import Batch

HERE = Path(__file__).parent
CASES = {
    "float32": {"dtype": "float32", "gradient_checkpointing": False},
    "float32, checkpointing": {"dtype": "float32", "gradient_checkpointing": True},
    "bfloat16": {"dtype": "bfloat16", "gradient_checkpointing": False},
    "bfloat16, checkpointing": {"dtype": "bfloat16", "gradient_checkpointing": True},
}


def miniature(case: str, changes: dict[str, Any], data: Path, run_dir: Path) -> Iterator[Row]:
    config = resolve_config(
        run_dir=run_dir, train_data=str(data), train_rows=64, max_steps=1, prompts_per_step=8,
        per_device_batch_size=32, beta=0.04, **changes,
    )  # fmt: skip
    shape, watched = load_shape(config.model), Watched(config)
    trainer = watched.trainer
    trainer.share_prompts = False  # as under FSDP; timings/shape_2b.py measures shared ones
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
    values = published_config("Qwen/Qwen2-VL-2B")
    del values["model_type"]
    values["text_config"] |= {"num_hidden_layers": 2, "vocab_size": 1024, "pad_token_id": 0}
    values["text_config"] |= {"bos_token_id": None, "eos_token_id": None}
    values["vision_config"] |= {"depth": 2}
    tokens = {"image_token_id": 6, "video_token_id": 7}
    model = Qwen2VLForConditionalGeneration(Qwen2VLConfig(**values, **tokens)).train()
    shape, batch = shape_of(model.config), Batch(sequences=2, prompt=220, completion=4, patches=512)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    # As a trainer of the kit does for its own model.
    utils._CHUNKED_LOGPROB_CHUNK_SIZE, utils._use_triton = shape.vocabulary, lambda device: True
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
        labels = inputs["input_ids"].clone()
        labels[:, : batch.prompt] = -100
        peak = train_once(model, {**inputs, "labels": labels}, half, config.gradient_checkpointing)
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
            out = model(**inputs, fused_lm_head=True)
        out.log_probs.sum().backward()
    return alive.peak


def main() -> None:
    results.no_options(__doc__)
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
