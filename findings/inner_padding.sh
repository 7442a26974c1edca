#!/usr/bin/env bash
# Masked padding inside a text changes the answer of Qwen3.5, and of no family before it.
#
# A batch of chats has it: the answers of one turn end at different places, are padded, and the next turn follows. The
# mask and the positions leave the padding out, which is exact for attention. Qwen3.5's linear layers set a masked
# token's input to 0, but still take a step for it: what was stored fades once more, and the convolution over the last
# 4 tokens sees zeros instead of words. With padding on the left, where nothing is stored yet, all is exact; so a test
# with left padding finds nothing. No warning.
#
# Seen with transformers 5.23.0, torch 2.13.0 on 2026-11-30:
#   Qwen3-VL, 4 masked tokens between the turns: logits differ by 4.2e-07 of the largest (Qwen2-VL 3.6e-07)
#   Qwen3.5, 4 masked tokens on the left: logits differ by 4.5e-07 of the largest
#   Qwen3.5, 4 masked tokens between the turns: logits differ by 1.3e+00 of the largest
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0
cat > show.py <<'PY'
import torch
import transformers
from transformers import (
    Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen3_5Config, Qwen3_5ForConditionalGeneration, Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

print(f"transformers {transformers.__version__}, torch {torch.__version__}")
SIZES = dict(vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=16, pad_token_id=0, initializer_range=0.1)
ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
PLAIN = SIZES | dict(rope_parameters=ROPE)
LINEAR = SIZES | dict(
    head_dim=32, rope_parameters=ROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.25},
    linear_key_head_dim=16, linear_value_head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4,
    layer_types=["linear_attention", "full_attention"])
TOWER = dict(depth=1, num_heads=2, hidden_size=64)  # text is enough to show it
FAMILIES = {
    "Qwen2-VL": (Qwen2VLForConditionalGeneration, Qwen2VLConfig, PLAIN, dict(embed_dim=32)),
    "Qwen3-VL": (Qwen3VLForConditionalGeneration, Qwen3VLConfig, PLAIN,
                 dict(out_hidden_size=64, num_position_embeddings=64, deepstack_visual_indexes=[0])),
    "Qwen3.5": (Qwen3_5ForConditionalGeneration, Qwen3_5Config, LINEAR,
                dict(out_hidden_size=64, num_position_embeddings=64)),
}
first, second = [5, 9, 23, 41, 7, 33], [12, 50, 8]  # two turns of one chat
PLACES = {"on the left": [0] * 4 + first + second, "between the turns": first + [0] * 4 + second}


@torch.no_grad()
def last_logits(model, row):
    ids = torch.tensor([row])
    mask = (ids != 0).long()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[0, -1]


found = {}
for family, (model_class, config_class, text, tower) in FAMILIES.items():
    torch.manual_seed(0)
    model = model_class(config_class(text_config=text, vision_config=TOWER | tower)).float().eval()
    alone = last_logits(model, first + second)
    for place, row in PLACES.items():
        found[family, place] = float((last_logits(model, row) - alone).abs().max() / alone.abs().max())
        print(f"{family}, 4 masked tokens {place}: logits differ by {found[family, place]:.1e} of the largest")
changed = found.pop(("Qwen3.5", "between the turns"))
raise SystemExit(0 if changed > 0.01 and max(found.values()) < 1e-4 else "the behaviour has changed")
PY
env/bin/python show.py 2>/dev/null
