#!/usr/bin/env bash
# TRL splits the reference model as one unit of FSDP 2: each process holds all of it whenever it is used.
#
# GRPO with beta above 0 has a reference model. Under FSDP 2 accelerate splits the policy by transformer block, as
# the launcher's file says, and a process holds a block or two whole at a time. trl.models.prepare_fsdp calls
# fully_shard on the reference's root alone and ignores the same setting: the first operation gathers the whole
# model, in every process, and keeps it until the forward pass is over. What FSDP is chosen for, a model that does
# not fit on one card, is lost in the reference pass: 8.8 GB a card for 2.2 B parameters in float32, not 0.5.
#
# Seen with trl 1.16.0, accelerate 1.15.0, transformers 5.23.0, torch 2.13.0 on 2026-11-30 (two processes, gloo):
#   policy: 20 units of FSDP 2; whole while layer 8 of 16 computes: 7 % of its parameters
#   reference: 1 units of FSDP 2; whole while layer 8 of 16 computes: 100 % of its parameters
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 trl==1.16.0
cat > show.py <<'PY'
import os
import sys
from types import SimpleNamespace

import torch
import torch.distributed as dist
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import Qwen2Config, Qwen2ForCausalLM
from trl.models.utils import prepare_fsdp

os.environ["FSDP_TRANSFORMER_CLS_TO_WRAP"] = "Qwen2DecoderLayer"
plugin = FullyShardedDataParallelPlugin(
    fsdp_version=2, auto_wrap_policy="transformer_based_wrap", reshard_after_forward=True,
    cpu_ram_efficient_loading=False, state_dict_type="FULL_STATE_DICT",
    transformer_cls_names_to_wrap=["Qwen2DecoderLayer"],
)
state = SimpleNamespace(fsdp_plugin=plugin)
accelerator = SimpleNamespace(
    state=state, torch_device_mesh=None, device=torch.device("cpu"), mixed_precision="no",
    is_main_process=False, is_fsdp2=True, parallelism_config=None,
)


def whole(rank, name):
    """Units of FSDP 2, and the share of parameters that are whole while a layer in the middle computes."""
    sizes = dict(vocab_size=64, hidden_size=64, intermediate_size=256, num_hidden_layers=16)
    model = Qwen2ForCausalLM(Qwen2Config(**sizes, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True))
    total, seen = sum(p.numel() for p in model.parameters()), []
    model = prepare_fsdp(model, accelerator) if name == "reference" else fsdp2_prepare_model(accelerator, model)

    def look(*_):
        seen.append(sum(p.numel() for p in model.parameters() if not isinstance(p, DTensor)))

    model.model.layers[8].mlp.register_forward_pre_hook(look)
    with torch.no_grad():
        model(input_ids=torch.zeros(1, 4, dtype=torch.long))
    units = sum(isinstance(module, FSDPModule) for module in model.modules())
    return units, round(100 * seen[0] / total)


def work(rank, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    found = {name: whole(rank, name) for name in ("policy", "reference")}
    if rank == 0:
        for name, (units, share) in found.items():
            print(f"{name}: {units} units of FSDP 2; whole while layer 8 of 16 computes: {share} % of its parameters")
    dist.destroy_process_group()
    units, share = found["reference"]
    if not (units == 1 and share == 100 and found["policy"][0] > 16 and found["policy"][1] < 25):
        sys.exit("the behaviour has changed")


if __name__ == "__main__":
    torch.multiprocessing.spawn(work, args=(29517,), nprocs=2)
PY
env/bin/python show.py
