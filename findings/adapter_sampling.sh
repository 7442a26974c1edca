#!/usr/bin/env bash
# GRPO in bf16: with adapters TRL samples in float32, and trains in 16 bits; without adapters it does both in 16 bits.
#
# accelerate puts autocast around the forward of the outermost model. With peft that is the PeftModel, and its generate
# calls the model inside, around which there is none. TRL loads weights in float32, whichever way they train, so sampling
# reads twice the bytes, multiplies in float32, and takes its tokens from other probabilities than those that are trained;
# bf16=True says the opposite. Nothing warns. The kit gives an adapter's frozen base 16-bit weights.
#
# Seen with trl 1.16.0, transformers 5.23.0, accelerate 1.15.0, peft 0.21.2, torch 2.13.0 on 2026-11-30:
#   without adapters: weights float32, products in sampling ['bfloat16'], in training ['bfloat16']
#   with adapters: weights float32, products in sampling ['float32'], in training ['bfloat16']
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check \
  torch==2.13.0 transformers==5.23.0 trl==1.16.0 accelerate==1.15.0 peft==0.21.2
cat > show.py <<'PY'
import accelerate
import peft
import torch
import transformers
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer

words = {word: number for number, word in enumerate(["<pad>", "<eos>", "a", "b", "c", "d"])}
inner = Tokenizer(models.WordLevel(words, unk_token="a"))
inner.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>")
tokenizer.save_pretrained("model")
sizes = {"vocab_size": 6, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 1}
Qwen2ForCausalLM(Qwen2Config(**sizes, bos_token_id=None)).to(torch.bfloat16).save_pretrained("model")


def train(adapters):
    arguments = GRPOConfig(
        "out", max_steps=1, per_device_train_batch_size=4, num_generations=4, max_completion_length=4, use_cpu=True,
        bf16=True, gradient_checkpointing=False, report_to=[], save_strategy="no", disable_tqdm=True)
    trainer = GRPOTrainer(
        "model", lambda completions, **_: [0.0, 1.0, 0.0, 1.0], args=arguments, processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["a b"] * 4}), peft_config=adapters)
    seen = {"sampling": set(), "training": set()}
    layer = next(module for name, module in trainer.model.named_modules() if name.endswith("up_proj"))
    layer.register_forward_hook(
        lambda _, __, output: seen["training" if torch.is_grad_enabled() else "sampling"].add(output.dtype))
    trainer.train()
    kinds = {when: sorted(str(dtype).removeprefix("torch.") for dtype in dtypes) for when, dtypes in seen.items()}
    what = "with adapters" if adapters else "without adapters"
    print(f"{what}: weights {str(layer.weight.dtype).removeprefix('torch.')}, products in sampling "
          f"{kinds['sampling']}, in training {kinds['training']}")
    return kinds["sampling"], kinds["training"]


print(f"trl {trl.__version__}, transformers {transformers.__version__}, accelerate {accelerate.__version__}, "
      f"peft {peft.__version__}, torch {torch.__version__}")
full, adapted = train(None), train(peft.LoraConfig(target_modules=["q_proj", "v_proj"]))
seen = full == (["bfloat16"], ["bfloat16"]) and adapted == (["float32"], ["bfloat16"])
raise SystemExit(0 if seen else "the behaviour has changed")
PY
env/bin/python show.py 2>/dev/null | grep -E "^trl|^with"
