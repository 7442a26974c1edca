#!/usr/bin/env bash
# On a CPU transformers ignores ddp_timeout: processes wait half an hour for a silent one, whatever it says.
#
# TrainingArguments passes ddp_timeout to accelerate for a GPU, and leaves it out with use_cpu. So a small value does
# not end a stuck test run early, and a large one does not keep processes waiting while the first one is busy for
# longer than gloo's 30 minutes. Nothing is warned of. accelerate takes the timeout if it is asked directly.
#
# Seen with transformers 5.23.0, accelerate 1.15.0, torch 2.13.0 on 2026-11-30 (two processes, gloo):
#   TrainingArguments(use_cpu=True, ddp_timeout=5), the other comes 12 s late: waited, no error
#   PartialState(cpu=True, timeout=5 s), the other comes 12 s late: error after 5 s
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 accelerate==1.15.0
cat > show.py <<'PY'
import sys
import time
from datetime import timedelta

import torch.distributed as dist
from accelerate import PartialState
from transformers import TrainingArguments

if sys.argv[1] == "transformers":
    TrainingArguments("out", use_cpu=True, ddp_timeout=5).device
    asked = "TrainingArguments(use_cpu=True, ddp_timeout=5)"
else:
    PartialState(cpu=True, timeout=timedelta(seconds=5))
    asked = "PartialState(cpu=True, timeout=5 s)"
dist.barrier()
began = time.monotonic()
if dist.get_rank() == 1:
    time.sleep(12)
try:
    dist.barrier()
    said = "waited, no error"
except RuntimeError:
    said = f"error after {time.monotonic() - began:.0f} s"
if dist.get_rank() == 0:
    print(f"{asked}, the other comes 12 s late: {said}", flush=True)
PY
export OMP_NUM_THREADS=1
env/bin/python -c "import accelerate, torch, transformers; print(f'transformers {transformers.__version__}, accelerate {accelerate.__version__}, torch {torch.__version__}')"
for way in transformers accelerate; do
    env/bin/python -m torch.distributed.run --standalone --nproc-per-node 2 show.py "$way" 2>/dev/null | tee "$way.txt" || true
done
grep -q "waited, no error" transformers.txt && grep -q "error after 5 s" accelerate.txt
