#!/usr/bin/env bash
# transformers' Trainer with save_total_limit deletes copies of checkpoints that people made by hand.
#
# Two functions of one library read the names differently. What resumes (get_last_checkpoint) takes
# "checkpoint-<digits>" alone. What rotates (sort_checkpoints) takes every folder that begins so,
# "checkpoint-1-keep" too, and deletes the oldest, by the time of the folder or else by its number.
#
# Seen with transformers 5.23.0, accelerate 1.15.0, torch 2.13.0 on 2026-11-29:
#   before: ['checkpoint-1-keep']; the last checkpoint by transformers: None
#   after 3 steps with save_total_limit=2: ['checkpoint-2', 'checkpoint-3']
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cat > show.py <<'PY'
import os
import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, labels):
        return {"loss": ((self.weight * x - labels) ** 2).mean()}


os.makedirs("out/checkpoint-1-keep")
with open("out/checkpoint-1-keep/notes.txt", "w") as file:
    file.write("the weights of last year's paper")
print(f"before: {sorted(os.listdir('out'))}; the last checkpoint by transformers:", get_last_checkpoint("out"))
rows = [{"x": torch.tensor([1.0]), "labels": torch.tensor([2.0])}] * 8
arguments = TrainingArguments(
    "out", max_steps=3, save_strategy="steps", save_steps=1, save_total_limit=2, use_cpu=True,
    per_device_train_batch_size=1, report_to=[], disable_tqdm=True, logging_strategy="no",
)
Trainer(Line(), arguments, train_dataset=rows).train()
left = sorted(name for name in os.listdir("out") if name.startswith("checkpoint"))
print("after 3 steps with save_total_limit=2:", left)
raise SystemExit(0 if left == ["checkpoint-2", "checkpoint-3"] else "the behaviour has changed")
PY
env/bin/python show.py
