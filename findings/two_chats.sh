#!/usr/bin/env bash
# Two chats in turn with one Qwen2-VL, each with its own cache: generate() answers one with the other picture's positions.
#
# A picture takes fewer positions than it has tokens. By how many less is kept on the model, not in the cache, from
# the last prompt that was read. A generate() that continues a filled cache takes that number, whoever left it. So a
# second turn differs from the same turn without a cache as soon as a picture of another size was asked about between;
# the call is the documented one, with the whole text and past_key_values. No warning.
#
# Seen with transformers 5.23.0, torch 2.13.0 on 2026-11-30:
#   Qwen2-VL, second turn from its cache, nothing between: logits differ by 6.1e-07 of the largest
#   Qwen2-VL, second turn from its cache, another picture between: logits differ by 4.4e-01 of the largest
#   (Qwen2.5-VL 4.7e-07 and 8.7e-01, Qwen3-VL 4.6e-07 and 9.1e-01)
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
    Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLConfig, Qwen2VLForConditionalGeneration,
    Qwen3VLConfig, Qwen3VLForConditionalGeneration,
)

print(f"transformers {transformers.__version__}, torch {torch.__version__}")
text = dict(
    vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, initializer_range=0.1, eos_token_id=None,
    rope_parameters={"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]})
tower = dict(depth=1, num_heads=2)
ids = dict(image_token_id=60, vision_start_token_id=61, vision_end_token_id=62, video_token_id=63)
FAMILIES = {
    "Qwen2-VL": (Qwen2VLForConditionalGeneration, Qwen2VLConfig, dict(embed_dim=32, hidden_size=64), 1176),
    "Qwen2.5-VL": (Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLConfig, dict(hidden_size=32, out_hidden_size=64), 1176),
    "Qwen3-VL": (Qwen3VLForConditionalGeneration, Qwen3VLConfig, dict(
        hidden_size=32, out_hidden_size=64, num_position_embeddings=64, deepstack_visual_indexes=[0]), 1536),
}


def chat(side, width):
    """A prompt with a picture of side x side tokens."""
    prompt = torch.tensor([[5, 61] + [60] * side**2 + [62, 9, 17, 31]])
    pixels = torch.randn(4 * side**2, width, generator=torch.Generator().manual_seed(side))
    return prompt, dict(pixel_values=pixels, image_grid_thw=torch.tensor([[1, 2 * side, 2 * side]]))


def logits(model, prompt, picture, **more):
    out = model.generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), mm_token_type_ids=(prompt == 60).int(), **picture,
        do_sample=False, max_new_tokens=1, output_logits=True, return_dict_in_generate=True, **more)
    return out.logits[0], out.past_key_values


found = {}
for family, (model_class, config_class, vision, width) in FAMILIES.items():
    torch.manual_seed(0)
    model = model_class(config_class(text_config=text, vision_config=tower | vision, **ids)).float().eval()
    first, picture = chat(2, width)
    turn = torch.cat([first, torch.tensor([[12, 50, 8]])], dim=1)  # the first prompt and a second turn
    alone, _ = logits(model, turn, picture)
    for between in (None, 6):
        _, cache = logits(model, first, picture)
        if between:
            logits(model, *chat(between, width))  # the other chat, in a cache of its own
        again, _ = logits(model, turn, {}, past_key_values=cache)  # its picture is in the cache
        found[family, between] = float((again - alone).abs().max() / alone.abs().max())
        what = "another picture between" if between else "nothing between"
        print(f"{family}, second turn from its cache, {what}: logits differ by {found[family, between]:.1e} of the largest")
near = all(value < 1e-4 for (_, between), value in found.items() if between is None)
far = all(value > 0.01 for (_, between), value in found.items() if between)
raise SystemExit(0 if near and far else "the behaviour has changed")
PY
env/bin/python show.py 2>/dev/null
