#!/usr/bin/env bash
# A model whose weights FSDP 2 split is saved with its tied matrix twice: embedding and head, one after the other.
#
# What save_pretrained is given then is a state dict of whole tensors that torch put together, each in memory of its own.
# transformers leaves tied weights out where two names share memory, so it finds nothing to leave out. The model loads
# as before, and the file is larger by vocabulary x width: 0.93 GB for Qwen2-VL-2B in float32, a quarter for small models.
# transformers' Trainer saves in this way with FSDP and with DeepSpeed. The kit drops the second one.
#
# Seen with transformers 5.23.0, torch 2.13.0 on 2026-11-30 (two processes, gloo, tie_word_embeddings true):
#   before it is split: 14 tensors, 629 kB, lm_head.weight in the file: False
#   after: 15 tensors, 1141 kB, lm_head.weight in the file: True
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0
cat > show.py <<'PY'

import os

import torch
import torch.distributed as dist
import transformers
from safetensors import safe_open
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from transformers import Qwen2Config, Qwen2ForCausalLM

dist.init_process_group("gloo")
first = dist.get_rank() == 0
torch.manual_seed(0)
sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2}
model = Qwen2ForCausalLM(Qwen2Config(vocab_size=2000, tie_word_embeddings=True, **sizes))


def report(when, folder):
    path = f"{folder}/model.safetensors"
    with safe_open(path, "pt") as file:
        names = list(file.keys())
    twice, size = "lm_head.weight" in names, os.path.getsize(path) // 1000
    print(f"{when}: {len(names)} tensors, {size} kB, lm_head.weight in the file: {twice}")
    return twice


if first:
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    model.save_pretrained("before")
    once = report("before it is split", "before")
fully_shard(model)
whole = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
if first:
    model.save_pretrained("after", state_dict=whole)
    assert (once, report("after", "after")) == (False, True)
dist.barrier()
dist.destroy_process_group()
PY
env/bin/python -m torch.distributed.run --standalone --nproc-per-node 2 show.py 2>/dev/null
