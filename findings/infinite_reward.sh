#!/usr/bin/env bash
# One completion whose reward is -inf silences its whole group in TRL's GRPOTrainer: all advantages are 0.
#
# Log-scores are natural rewards, and the logarithm of a share of 0 is -inf. The group's mean is then -inf
# and its deviation nan; nan is replaced by 0, for the other completions too. The step's loss and gradient
# are 0, nothing is warned of, and frac_reward_zero_std, the metric for groups without a signal, says 0.
# With nan the same group learns, without that completion (0, and left out of mean and deviation), and the
# log says that the reward function returned None, which it did not.
#
# Seen with trl 1.16.0, transformers 5.23.0, torch 2.13.0 on 2026-11-29 (advantages sorted):
#   rewards -2.30, -0.69, -0.11, 0.00 -> advantages [-1.44, 0.08, 0.63, 0.73], zero-std share 0.0, gradient above 0: True
#   rewards -inf, -0.69, -0.11, 0.00 -> advantages [0.0, 0.0, 0.0, 0.0], zero-std share 0.0, gradient above 0: False
#   rewards nan, -0.69, -0.11, 0.00 -> advantages [-1.14, 0.0, 0.43, 0.71], zero-std share 0.0, gradient above 0: True
set -euo pipefail
place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 trl==1.16.0
cat > show.py <<'PY'
import math

from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer

words = {word: number for number, word in enumerate(["<pad>", "<eos>", "a", "b", "c", "d"])}
inner = Tokenizer(models.WordLevel(words, unk_token="a"))
inner.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>")
sizes = {"vocab_size": 6, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
sizes |= {"num_attention_heads": 2, "num_key_value_heads": 2}
tokens = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
model = Qwen2ForCausalLM(Qwen2Config(**sizes, **tokens))
arguments = GRPOConfig(
    "out", max_steps=1, per_device_train_batch_size=4, num_generations=4, max_completion_length=4, use_cpu=True,
    bf16=False, report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True,
)


class Seen(GRPOTrainer):
    def _compute_loss(self, model, inputs):
        self.seen = sorted(round(value, 2) for value in inputs["advantages"].tolist())
        return super()._compute_loss(model, inputs)


def step(worst):
    rewards = [worst, math.log(0.5), math.log(0.9), math.log(1.0)]

    def log_share(completions, **_):
        return rewards

    prompts = Dataset.from_dict({"prompt": ["a b"] * 4})
    trainer = Seen(model, log_share, args=arguments, train_dataset=prompts, processing_class=tokenizer)
    trainer.train()
    logs = trainer.state.log_history[0]
    share, moved = float(logs["frac_reward_zero_std"]), float(logs["grad_norm"]) > 0
    shown = ", ".join(f"{value:.2f}" for value in rewards)
    print(f"rewards {shown} -> advantages {trainer.seen}, zero-std share {share}, gradient above 0: {moved}")
    return trainer.seen, share, moved


sound, infinite, missing = step(math.log(0.1)), step(-math.inf), step(math.nan)
seen = sound[0][0] < -1 and infinite == ([0.0] * 4, 0.0, False) and missing[0].count(0.0) == 1 and missing[2]
raise SystemExit(0 if seen else "the behaviour has changed")
PY
env/bin/python show.py 2>&1 | grep -E "^rewards|changed"
