#!/usr/bin/env bash
# Four rows at once, or four times one row with gradient accumulation: for Qwen2-VL the same gradient, for its successors not.
#
# Trainer divides by the trained tokens of the whole step only where the model's class lets it. Qwen2.5-VL, Qwen3-VL and
# Qwen3.5 say accepts_loss_kwargs = False, although their forward takes num_items_in_batch and uses it rightly; so each
# part of a step weighs the same, however few tokens it has. Nothing is logged. trl 1.16.0's SFTTrainer asks the same
# flag. A comparison of families on one recipe, or of two batch splits on one family, compares two losses.
#
# Seen with transformers 5.23.0, accelerate 1.15.0, torch 2.13.0 on 2026-11-30:
#   Qwen2-VL: gradients differ by 1.3e-07 of their size; its forward can do it: True
#   Qwen2.5-VL: gradients differ by 1.3 of their size; its forward can do it: True (Qwen3-VL and Qwen3.5 alike)
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cat > show.py <<'PY'
import accelerate
import torch
import transformers
from transformers import (
    Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLConfig, Qwen2VLForConditionalGeneration,
    Qwen3_5Config, Qwen3_5ForConditionalGeneration, Qwen3VLConfig, Qwen3VLForConditionalGeneration,
    Trainer, TrainingArguments, set_seed,
)

print(f"transformers {transformers.__version__}, accelerate {accelerate.__version__}, torch {torch.__version__}")
SIZES = dict(vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=16)
ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
PLAIN = SIZES | dict(rope_parameters=ROPE)
LINEAR = SIZES | dict(
    head_dim=32, rope_parameters=ROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.25},
    linear_key_head_dim=16, linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4,
    layer_types=["linear_attention", "full_attention"])
TOWER = dict(depth=1, num_heads=2)
FAMILIES = {  # text rows are enough: the towers take no part
    "Qwen2-VL": (Qwen2VLForConditionalGeneration, Qwen2VLConfig, PLAIN, dict(embed_dim=32, hidden_size=64)),
    "Qwen2.5-VL": (Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLConfig, PLAIN, dict(hidden_size=32, out_hidden_size=64)),
    "Qwen3-VL": (Qwen3VLForConditionalGeneration, Qwen3VLConfig, PLAIN,
                 dict(hidden_size=32, out_hidden_size=64, num_position_embeddings=64, deepstack_visual_indexes=[0])),
    "Qwen3.5": (Qwen3_5ForConditionalGeneration, Qwen3_5Config, LINEAR,
                dict(hidden_size=32, out_hidden_size=64, num_position_embeddings=64)),
}
ids = torch.randint(1, 60, (4, 24), generator=torch.Generator().manual_seed(0))
labels = ids.clone()
for row, answer in enumerate((1, 2, 4, 20)):  # trained tokens of each row
    labels[row, :-answer] = -100
rows = [dict(input_ids=ids[row], labels=labels[row], attention_mask=torch.ones(24).long()) for row in range(4)]


def gradient(family, at_once):
    """The gradient of one step over the four rows, as plain gradient descent at a rate of 1 applies it."""
    model_class, config_class, text, tower = FAMILIES[family]
    set_seed(0)
    model = model_class(config_class(text_config=text, vision_config=TOWER | tower)).float()
    before = torch.cat([weight.detach().flatten().clone() for weight in model.parameters()])
    arguments = TrainingArguments(
        "out", per_device_train_batch_size=at_once, gradient_accumulation_steps=4 // at_once, max_steps=1, optim="sgd",
        learning_rate=1.0, lr_scheduler_type="constant", max_grad_norm=0, use_cpu=True, report_to=[],
        save_strategy="no", disable_tqdm=True)
    Trainer(model, arguments, train_dataset=rows).train()
    return before - torch.cat([weight.detach().flatten() for weight in model.parameters()]), model


found = {}
for family in FAMILIES:
    (whole, _), (parts, model) = gradient(family, 4), gradient(family, 1)
    found[family] = float((whole - parts).norm() / whole.norm())
    with torch.no_grad():
        taken = [model(**{key: value[None] for key, value in row.items()}, num_items_in_batch=27).loss for row in rows]
        together = model(**{key: torch.stack([row[key] for row in rows]) for key in rows[0]}).loss
    able = abs(float(sum(taken) - together)) < 1e-4
    print(f"{family}: gradients differ by {found[family]:.2g} of their size; its forward can do it: {able}")
    found[family] = found[family] if able else -1
exact = found.pop("Qwen2-VL")
raise SystemExit(0 if 0 <= exact < 1e-4 and min(found.values()) > 0.05 else "the behaviour has changed")
PY
env/bin/python show.py 2>/dev/null | grep -E "^transformers|^Qwen"
