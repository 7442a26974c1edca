"""timings/step_flops.py: shapes alone have the FLOPs of real arithmetic; the committed table."""

import csv
import sys
from contextlib import nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from vtkit.files import ROOT
from vtkit.models.loading import load_model
from vtkit.models.shapes import load_shape

sys.path.insert(0, str(ROOT / "timings"))

import step_flops  # noqa: E402


def test_shapes_alone_have_the_flops_of_real_arithmetic(random_base):
    counts, patch = [], load_shape(str(random_base)).patch
    for mode in (nullcontext(), step_flops.ShapesOnly()):
        model = load_model(random_base).train()
        model.set_attn_implementation("eager")
        model.gradient_checkpointing_enable()
        ids = torch.full((2, 60), 20)
        ids[:, 5:21] = model.config.image_token_id
        with mode, FlopCounterMode(display=False) as counter:
            model(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False,
                mm_token_type_ids=(ids == model.config.image_token_id).int(), labels=ids,
                pixel_values=torch.ones(2 * 64, patch),
                image_grid_thw=torch.tensor([[1, 8, 8]] * 2),
            ).loss.backward()  # fmt: skip
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_a_step_costs_half_of_stock_trls():
    with open(ROOT / "timings" / "step_flops.csv", newline="") as handle:
        sums = [row for row in csv.DictReader(handle) if row["phase"] == "sum"]
    assert [row["case"] for row in sums] == list(step_flops.CASES)
    for row in sums:
        assert float(row["this kit, TF"]) <= 1130 < float(row["stock TRL, TF"]) / 1.5
