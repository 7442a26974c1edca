#!/usr/bin/env bash
# TRL scores tokens in a buffer for 32,768 words, however few the model knows.
#
# Versions: trl 1.16.0, transformers 5.23.0, torch 2.13.0, Python 3.11 or 3.12.
#
# GRPO's and SFT's log-probabilities come from a fused output layer that works in tiles of at most 4,096 tokens by 32,768
# words. The buffer of a tile is made in full even where the vocabulary is a fraction of that: a model of bytes,
# amino acids or chords with 570 tokens gets 537 MB where 9 MB hold all logits. Rows of a tile are
# 131 kB apart, so on a CPU each touches pages of its own, and the step is slower, too: in a supervised step of a model with a
# million parameters the buffer was a quarter of the time and of the memory. The kit narrows the tile.
#
# Output seen:
#   logits: 4096 x 570, 9.3 MB
#   buffer: 4096 x 32768, 536.9 MB
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 trl==1.16.0
cat > "$folder/buffer.py" <<'PYTHON'
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM
from trl.trainer.utils import add_fused_lm_head

config = Qwen2Config(
    vocab_size=570, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    pad_token_id=0, bos_token_id=None, eos_token_id=0,
)
model = Qwen2ForCausalLM(config)
add_fused_lm_head(model)
ids = torch.randint(1, 570, (32, 129))
empty, shapes = torch.empty, []


def noted(*args, **options):
    made = empty(*args, **options)
    shapes.append(tuple(made.shape))
    return made


torch.empty = noted
with torch.no_grad():
    found = model(input_ids=ids, labels=ids, fused_lm_head=True)
torch.empty = empty
stock = model(input_ids=ids, labels=ids).loss
assert torch.allclose(found.loss, stock, atol=1e-4)
tokens, words = max(shapes, key=lambda shape: torch.Size(shape).numel())
print(f"logits: {tokens} x 570, {tokens * 570 * 4 / 1e6:.1f} MB")
print(f"buffer: {tokens} x {words}, {tokens * words * 4 / 1e6:.1f} MB")
assert (tokens, words) == (4096, 32768)
PYTHON
"$folder/env/bin/python" "$folder/buffer.py"
