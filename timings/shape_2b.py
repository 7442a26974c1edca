"""Measure the memory of Qwen2-VL-2B's whole shape on a CPU against vtkit.planning.plan, by part.

    python timings/shape_2b.py --device cpu         # an hour or more; writes timings/shape_2b.csv
    python timings/shape_2b.py --device cpu --fill  # some minutes; the same, products left out
    python timings/shape_2b.py --fill --blocks 2    # 2 of the 28 blocks and 2 of the 32
    python timings/shape_2b.py --tiny               # the miniature in its place; writes nothing

A case is a profile with all 60 blocks, random weights and pictures of its full size: one GRPO step
of two completions, and greedy answers to four questions. "tensors" is the peak of what operations
made, "process" how much more the process held than before (timings/watch.py).

Few CPUs multiply in bfloat16 (avx512_bf16, amx_bf16): on others it is up to 180 times as slow as
float32. With --fill products and attention are filled with a number instead: results are
meaningless, sizes the same.
"""

import argparse
import datetime
import fcntl
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import model_2b
import torch
from watch import Row, Watched, row, tensors, watch_cache, watching

import results
from vtkit.config.recipes import resolve_config
from vtkit.config.run_config import RunConfig
from vtkit.data.rows import load_training_rows
from vtkit.models.prompts import to_conversations
from vtkit.models.shapes import load_shape
from vtkit.planning import memory
from vtkit.planning.memory import Batch
from vtkit.sampling.generation import generate

CASES: dict[str, dict[str, Any]] = {
    "gpu24": {},
    "t4": {"dtype": "bfloat16"},  # float16 trains on a GPU only
}
STEP = {"max_steps": 1, "prompts_per_step": 1, "num_generations": 2, "per_device_batch_size": 2}
TOKENS, QUESTIONS = 16, 4
LOCK = Path(tempfile.gettempdir()) / "shape_2b.lock"


def measure(profile: str, config: RunConfig) -> Iterator[Row]:
    """Rows of one case: what is held, a step, scoring."""
    shape, watched = load_shape(config.model), Watched(config)
    trainer = watched.trainer
    model = trainer.model
    trainer.train()
    patches = shape.patches(config.max_pixels)
    sequences, prompt, completion = watched.shapes
    batch = Batch(sequences, prompt, completion, patches, distinct=1)
    # The last token is sampled and never read, so the cache is one token short.
    whole = Batch(sequences, prompt, completion - 1, patches)
    slots = trainer.optimizer.state.values()
    held = memory.held(shape, config)
    moments = {
        "training": memory.training(shape, config, batch, triton=False),
        "generating": memory.cache(shape, config, whole)
        + memory.generation(shape, config, whole, prompts=1)
        + memory.pictures(shape, whole),  # the trainer reads them at the same moment
    }
    optimizer = tensors(tensor for slot in slots for tensor in slot.values())
    yield row(profile, "tensors", "weights", held["weights"], tensors(_stored(model)))
    yield row(profile, "tensors", "gradients", held["gradients"], watched.found["gradients"])
    yield row(profile, "tensors", "optimizer", held["optimizer"], optimizer)
    yield row(
        profile, "tensors", "pictures", memory.pictures(shape, whole), watched.found["pictures"]
    )
    cache = memory.cache(shape, config, whole)
    yield row(profile, "tensors", "KV cache", cache, watched.found["KV cache"])
    found = {"training": watched.found["activations"], "generating": watched.found["generating"]}
    asked = Batch(QUESTIONS, prompt, TOKENS - 1, patches)
    rows = to_conversations(load_training_rows(config.replace(train_rows=QUESTIONS).to_dict()))
    sizes, handle = watch_cache(model)
    limits = {"batch_size": QUESTIONS, "max_new_tokens": TOKENS}
    with watching(model) as (alive, process):
        generate(model, trainer.processing_class, rows, **limits)
    handle.remove()
    yield row(
        profile, "tensors", "KV cache, scoring", memory.cache(shape, config, asked), max(sizes)
    )
    moments["scoring"] = memory.cache(shape, config, asked)
    moments["scoring"] += memory.generation(shape, config, asked) + memory.pictures(shape, asked)
    found["scoring"], watched.process["scoring"] = alive.peak, process.grown
    for moment, estimate in moments.items():
        yield row(profile, "tensors", moment, estimate, found[moment])
        yield row(profile, "process", moment, estimate, watched.process[moment])


def _stored(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Parameters, and the scales of those in 4 bits."""
    for parameter in model.parameters():
        yield parameter
        state = getattr(parameter, "quant_state", None)
        if state is not None:
            yield from (state.absmax, state.code)
            if state.nested:
                yield from (state.state2.absmax, state.state2.code)


def fill_products() -> torch.library.Library:
    """Fill bfloat16 products until the result is dropped; see the top of this file."""
    library = torch.library.Library("aten", "IMPL")

    def product(a: torch.Tensor, b: torch.Tensor, *, out: Any = None) -> torch.Tensor:
        out = a.new_empty(a.shape[0], b.shape[1]) if out is None else out
        if a.dtype != torch.bfloat16:
            return torch.addmm(out, a, b, beta=0, out=out)
        return out.fill_(0.01)

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        sequences, heads, tokens, width = query.shape
        result = query.new_full((sequences, tokens, heads, width), 0.01)
        norms = torch.zeros(sequences, tokens, heads, dtype=torch.float32)
        return result.transpose(1, 2), norms.transpose(1, 2)

    def backward(_: Any, *inputs: torch.Tensor, **__: Any) -> tuple[torch.Tensor, ...]:
        return tuple(torch.full_like(tensor, 0.01) for tensor in inputs[:3])

    library.impl("mm", product, "CPU")
    library.impl("mm.out", product, "CPU")
    library.impl("addmm", lambda bias, a, b, **_: product(a, b).add_(bias), "CPU")
    library.impl("_scaled_dot_product_flash_attention_for_cpu", attention, "CPU")
    library.impl("_scaled_dot_product_flash_attention_for_cpu_backward", backward, "CPU")
    return library


def settings(profile: str, work: Path, *, tiny: bool) -> RunConfig:
    """The profile with the smallest step, on the made model and data."""
    changes: dict[str, Any] = {"model": str(work / "model"), "train_data": str(work / "data")}
    changes |= STEP | CASES[profile] | {"max_completion_length": TOKENS, "vllm": "off"}
    changes |= {"train_rows": 8}
    if tiny:
        changes |= {"max_pixels": 4096, "min_pixels": 4096}
    return resolve_config("visualthinker", profile, run_dir=work / profile, **changes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    option = parser.add_argument
    option("--device", choices=("cpu",), default="cpu", help="for a GPU: timings/gpu_2b.py")
    option("--fill", action="store_true", help="fill products instead of computing them")
    option("--blocks", type=int, default=0, help="of each part; default all, 28 and 32")
    option("--tiny", action="store_true", help="the miniature: whether this command works")
    option("--cases", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    option("--work", type=Path, help="folder for 5 GB of temporary files; default the system's")
    option("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        library = fill_products() if args.fill else None
        config = settings(args.cases[0], args.work, tiny=args.tiny)
        args.child.write_text(json.dumps(list(measure(args.cases[0], config))))
        del library
        return
    with open(LOCK, "w") as lock, tempfile.TemporaryDirectory(dir=args.work) as place:
        fcntl.flock(lock, fcntl.LOCK_EX)  # 12 GB of memory: one at a time on a machine
        work, rows = Path(place), []
        model_2b.write_model(work / "model", tiny=args.tiny, blocks=args.blocks)
        model_2b.write_data(work / "data", tiny=args.tiny)
        for case in args.cases:  # each in a process, whose memory is free again
            options = ["--cases", case, "--work", work, "--child", work / "rows.json"]
            options += [f"--{name}" for name in ("fill", "tiny") if getattr(args, name)]
            subprocess.run([sys.executable, __file__, *map(str, options)], check=True)
            rows += json.loads((work / "rows.json").read_text())
    today = {"date": datetime.date.today().isoformat()}
    today |= {"products": "filled" if args.fill else "computed", "blocks": args.blocks or "all"}
    rows = [today | line for line in rows]
    for line in rows:
        print("  ".join(f"{value!s:>20}" for value in line.values()))
    if not args.tiny:
        results.write("shape_2b", rows)


if __name__ == "__main__":
    main()
