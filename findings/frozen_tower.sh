#!/usr/bin/env bash
# Adapters in the language part alone, with gradient checkpointing: the frozen vision tower is gone through backwards.
#
# enable_input_require_grads makes the output of "the input embeddings" require gradients. It does so for every model
# inside the model, and a vision tower's input embeddings are its patches. So each block of a tower of which nothing
# trains is computed once more and gradients of its activations are taken, all the way to the patches, where they are
# dropped. Without checkpointing nothing of this happens. trl 1.16.0 calls it for every adapter that it trains with
# checkpointing, which is its default. The adapters' gradients are right; the work is for nothing.
#
# Seen with torch 2.13.0, transformers 5.23.0, peft 0.21.2 on 2026-11-30:
#   trainable weights in the tower 0; a block's forward calls, backward calls: without (1, 0), with checkpointing (2, 1)
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 peft==0.21.2
cat > show.py <<'PY'
import warnings

warnings.simplefilter("ignore")
import peft
import torch
import transformers
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

print("torch", torch.__version__, "transformers", transformers.__version__, "peft", peft.__version__)
torch.manual_seed(0)
rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
text = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, rope_parameters=rope)
config = Qwen2VLConfig(
    text_config=text, vision_config=dict(depth=2, embed_dim=32, hidden_size=32, num_heads=2),
    image_token_id=60, vision_start_token_id=61, vision_end_token_id=62, video_token_id=63)
ids = torch.tensor([[61, 60, 60, 60, 60, 62, 5, 6]])
inputs = dict(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == 60).int(), labels=ids,
              pixel_values=torch.randn(16, 1176), image_grid_thw=torch.tensor([[1, 4, 4]]))
found = []
for checkpointing in (False, True):
    adapters = peft.LoraConfig(target_modules=r".*language_model.*\.(q_proj|v_proj)")
    model = peft.get_peft_model(Qwen2VLForConditionalGeneration(config), adapters).train()
    tower = model.get_base_model().model.visual
    trains = sum(weight.requires_grad for weight in tower.parameters())
    if checkpointing:
        model.get_base_model().gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    forward, backward = [], []
    tower.blocks[0].mlp.register_forward_pre_hook(lambda *_: forward.append(1))
    tower.blocks[0].mlp.fc1.register_full_backward_hook(lambda *_: backward.append(1))
    model(**inputs).loss.backward()
    found.append((len(forward), len(backward)))
    print(f"checkpointing {checkpointing}: trainable weights in the tower {trains}; forward, backward calls {found[-1]}")
raise SystemExit(0 if trains == 0 and found == [(1, 0), (2, 1)] else "the behaviour has changed")
PY
env/bin/python show.py
