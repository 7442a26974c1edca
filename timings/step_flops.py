"""Count the FLOPs of a GRPO step of Qwen2-VL-2B as profile gpu80 has it, with torch's counter.

    python timings/step_flops.py     # prints a table and writes timings/step_flops.csv

The trainer's own code runs, by turns with stock TRL's, on a model of the true shape, of which
nothing but shapes is computed: a step of 64 completions of 700 tokens, 8 prompts of 100 tokens and
a picture of 512. Attention is the eager one, since torch does not count a CPU's fused one; its
causal half is not deducted. What is not counted: sampling, the optimizer, anything that is no
matrix product. Both score completions alone, as on a GPU.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_map_only
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2VLForConditionalGeneration
from trl import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

import results
from vtkit.config.recipes import resolve_config
from vtkit.files import ROOT
from vtkit.mini.dataset import ensure_dataset
from vtkit.models.shapes import config_of
from vtkit.training.train import make_trainer

GRID, TEXT, COMPLETION = (1, 32, 64), 100, 700  # patches of a picture; tokens
CASES = {"full": {}, "vision frozen": {"freeze": "vision"}}


class ShapesOnly(TorchDispatchMode):
    """Leaves out the arithmetic of float32 and bfloat16: results have shapes, and any values.

    Whole numbers, on which shapes depend, and float64 are computed, as are views and comparisons.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, returns = kwargs or {}, func._schema.returns
        floats = tree_any(_is_float, (args, kwargs)) or kwargs.get("dtype") in _FLOATS
        view = any(one.alias_info and not one.alias_info.is_write for one in returns)
        if not floats or view or func in _VALUES:
            return func(*args, **kwargs)
        if returns and returns[0].alias_info:  # in place
            return args[0]
        meta = tree_map_only(torch.Tensor, lambda one: one.to("meta"), (args, kwargs))
        meta[1].update({"device": "meta"} if "device" in kwargs or not _tensors(args) else {})
        return tree_map_only(torch.Tensor, _unwritten, func(*meta[0], **meta[1]))


_ATEN = torch.ops.aten
_FLOATS = (torch.float32, torch.bfloat16)
_VALUES = {_ATEN.equal.default, _ATEN._local_scalar_dense.default, _ATEN.index.Tensor}


def _tensors(args: Any) -> bool:
    return tree_any(lambda value: isinstance(value, torch.Tensor), args)


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in _FLOATS


def _unwritten(like: torch.Tensor) -> torch.Tensor:
    """Memory that is not touched, and so takes none."""
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype)


def build_model(freeze: str) -> Qwen2VLForConditionalGeneration:
    """Of Qwen2-VL-2B's shape, its weights not written."""
    config = config_of("Qwen/Qwen2-VL-2B")
    with torch.device("meta"):
        model = Qwen2VLForConditionalGeneration._from_config(config, attn_implementation="eager")
    model.to_empty(device="cpu")
    model.tie_weights()
    model.model.visual.requires_grad_(freeze != "vision")
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    return model.train()


def scored_batch(model: Any, prompts: int, copies: int) -> dict[str, Any]:
    """Completions of all prompts, in TRL's format, each prompt with a picture of its own."""
    config, tokens = model.config, GRID[1] * GRID[2] // 4
    ids = torch.full((prompts * copies, tokens + TEXT), 5)
    ids[:, 1 : 1 + tokens] = config.image_token_id
    ids[:, 0], ids[:, 1 + tokens] = config.vision_start_token_id, config.vision_end_token_id
    ids[:, -1] = torch.arange(prompts).repeat_interleave(copies)
    completions = torch.full((len(ids), COMPLETION), 7)
    pixels = torch.arange(prompts, dtype=torch.float64).repeat_interleave(copies)
    whole = torch.cat([ids, completions], 1)
    return {
        "prompt_ids": ids, "prompt_mask": torch.ones_like(ids),
        "completion_ids": completions, "completion_mask": torch.ones_like(completions),
        "advantages": torch.ones(len(ids)), "num_items_in_batch": torch.tensor(whole.numel()),
        "ref_per_token_logps": torch.zeros_like(completions, dtype=torch.float32),
        "pixel_values": pixels.repeat_interleave(4 * tokens)[:, None].expand(-1, 1176),
        "image_grid_thw": torch.tensor([GRID] * len(ids)), "num_images": [1] * len(ids),
        "mm_token_type_ids": (whole == config.image_token_id).int(),
        "place": torch.arange(len(ids)),
    }  # fmt: skip


@contextmanager
def counting(found: dict[str, float], name: str) -> Iterator[None]:
    """Count the matrix products in the block."""
    with FlopCounterMode(display=False) as counter:
        yield
    found[name] = counter.get_total_flops() / 1e12


def count(trainer: GRPOTrainer, batch: dict[str, Any], *, share: bool) -> dict[str, float]:
    """TF of a step's scoring and training."""
    trainer.share_prompts = share
    trainer._features.forget()
    found: dict[str, float] = {}
    trainer._generate_and_score_completions = lambda _: batch
    trainer._buffered_inputs = None
    trainer._prepare_inputs([])
    ids, mask = (
        torch.cat([batch[f"prompt_{name}"], batch[f"completion_{name}"]], 1)
        for name in ("ids", "mask")
    )
    media = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
    with counting(found, "reference"), torch.no_grad():
        trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, COMPLETION, trainer.args.per_device_train_batch_size,
            **{name: batch[name] for name in media},
        )  # fmt: skip
    found["ratio to vLLM"] = found["reference"]  # the same pass by the policy
    with counting(found, "training"):
        for part in trainer._buffered_inputs:
            trainer.compute_loss(trainer.model, part).backward()
            trainer.model.zero_grad()
    return found


def main() -> None:
    results.no_options(__doc__)
    gpu80 = resolve_config(profile="gpu80")
    names = ("per_device_batch_size", "num_generations", "prompts_per_step", "beta", "loss_type")
    shared = {name: getattr(gpu80, name) for name in names}
    rows = []
    for case, changes in CASES.items():
        with tempfile.TemporaryDirectory() as name:
            data = str(Path(name) / "data")
            ensure_dataset(Path(data))
            config = resolve_config(
                run_dir=Path(name) / "run", model=str(ROOT / "models" / "mini-base"),
                train_data=data, benchmark_data=data, gradient_checkpointing=True,
                train_rows=64, **shared, **changes,
            )  # fmt: skip
            trainer = make_trainer(config)
        trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
        with ShapesOnly():
            trainer.model = build_model(config.freeze)
            trainer.model.gradient_checkpointing_enable()
            batch = scored_batch(trainer.model, gpu80.prompts_per_step, gpu80.num_generations)
            found = {share: count(trainer, batch, share=share) for share in (False, True)}
        for phase in found[True]:
            rows.append({
                "case": case, "phase": phase, "stock TRL, TF": f"{found[False][phase]:.0f}",
                "this kit, TF": f"{found[True][phase]:.0f}",
            })  # fmt: skip
        stock, ours = (sum(found[share].values()) for share in (False, True))
        rows.append({
            "case": case, "phase": "sum", "stock TRL, TF": f"{stock:.0f}",
            "this kit, TF": f"{ours:.0f}",
        })  # fmt: skip
    for line in (rows[0].keys(), *(row.values() for row in rows)):
        print("".join(f"{cell!s:>16}" for cell in line))
    results.write("step_flops", rows)


if __name__ == "__main__":
    main()
