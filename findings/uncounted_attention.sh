#!/usr/bin/env bash
# torch's FLOP counter leaves out attention on a CPU, without a word.
#
# scaled_dot_product_attention runs a fused kernel on a CPU, of which FlopCounterMode has no formula: it counts 0, forward
# and backward. The same call by the "math" kernel, or on the meta device, is counted. A model counted on a CPU thus has
# fewer FLOPs than on a GPU; nothing says which operators had no formula.
#
# Seen with torch 2.13.0 on 2026-11-30: fused 0, math 12582912, meta 12582912
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
cat > show.py <<'PY'
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode


def count(kernel, device):
    q, k, v = (torch.ones(2, 4, 64, 32, device=device, requires_grad=True) for _ in range(3))
    with sdpa_kernel(kernel), FlopCounterMode(display=False) as counter:
        scaled_dot_product_attention(q, k, v).sum().backward()
    return counter.get_total_flops()


fused, math = (count(kernel, "cpu") for kernel in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH))
meta = count(SDPBackend.MATH, "meta")
print(f"torch {torch.__version__}: fused {fused}, math {math}, meta {meta}")
raise SystemExit(0 if fused == 0 and math == meta == 12 * 2 * 4 * 64 * 64 * 32 else "the behaviour has changed")
PY
env/bin/python show.py
