#!/usr/bin/env bash
# Prompt lookup decoding stops with an error on Qwen3-VL's own chat format, if the picture comes before the question.
#
# It guesses the next tokens from the prompt: what followed the last token there before. The chat format ends in
# "assistant\n", and its first "\n" is the one behind "user", where the picture follows. So the guess is the picture's
# placeholders; they are read together with the prompt, and the model then counts more placeholders than the picture has
# features. With the question first the same call gives what greedy decoding gives. Placeholders are not left out of the
# guesses, and suppress_tokens, which leaves them out, is the way round it.
#
# Seen with transformers 5.23.0, torch 2.13.0 on 2026-11-30 (Qwen2-VL, Qwen2.5-VL and Qwen3-VL alike, in that format):
#   Qwen3-VL, question first: as greedy
#   Qwen3-VL, picture first: ValueError: Image features and image tokens do not match, tokens: 6, features: 4
#   Qwen3-VL, picture first, suppress_tokens: as greedy
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
special = dict(image_token_id=60, vision_start_token_id=61, vision_end_token_id=62, video_token_id=63)
FAMILIES = {
    "Qwen2-VL": (Qwen2VLForConditionalGeneration, Qwen2VLConfig, dict(embed_dim=32, hidden_size=64), 1176),
    "Qwen2.5-VL": (Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLConfig, dict(hidden_size=32, out_hidden_size=64), 1176),
    "Qwen3-VL": (Qwen3VLForConditionalGeneration, Qwen3VLConfig, dict(
        hidden_size=32, out_hidden_size=64, num_position_embeddings=64, deepstack_visual_indexes=[0]), 1536),
}
START, END, USER, ASSISTANT, NEWLINE = 1, 2, 3, 4, 5
picture, question = [61, 60, 60, 60, 60, 62], [9, 17, 31, 23]


def outcome(model, content, width, **more):
    ids = torch.tensor([[START, USER, NEWLINE, *content, END, NEWLINE, START, ASSISTANT, NEWLINE]])
    inputs = dict(
        input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == 60).int(),
        pixel_values=torch.randn(16, width, generator=torch.Generator().manual_seed(0)),
        image_grid_thw=torch.tensor([[1, 4, 4]]), do_sample=False, max_new_tokens=12, **more)
    greedy = model.generate(**inputs)
    try:
        return "as greedy" if torch.equal(model.generate(**inputs, prompt_lookup_num_tokens=3), greedy) else "differs"
    except ValueError as error:
        return f"ValueError: {error}"


found = []
for family, (model_class, config_class, vision, width) in FAMILIES.items():
    torch.manual_seed(0)
    model = model_class(config_class(text_config=text, vision_config=tower | vision, **special)).float().eval()
    model.generation_config.eos_token_id = None
    each = [outcome(model, question + picture, width), outcome(model, picture + question, width),
            outcome(model, picture + question, width, suppress_tokens=[60, 61, 62, 63])]
    found.append(each[0] == each[2] == "as greedy" and each[1].startswith("ValueError: Image features and image tokens"))
    for what, result in zip(("question first", "picture first", "picture first, suppress_tokens"), each):
        print(f"{family}, {what}: {result}")
raise SystemExit(0 if all(found) else "the behaviour has changed")
PY
env/bin/python show.py 2>/dev/null
