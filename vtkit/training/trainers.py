"""TRL's trainers with exact resume, stored rollouts, shared prompts and spare prompts.

Everything else, the loss included, is TRL's.
"""

import math
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from trl import SFTTrainer
from trl.trainer import utils

from vtkit.data.pictures import naming_rows
from vtkit.judging import judge, shares
from vtkit.judging.rewards import completion_texts
from vtkit.runs.rollout_store import RolloutWriter, verdict_columns
from vtkit.training import dynamic_sampling
from vtkit.training.exact_resume import ExactResume
from vtkit.training.shared_prompts import RepeatedRows, SharedPromptGRPOTrainer
from vtkit.training.vllm_rollouts import OneTokenPerPicture


class _NoCard:
    """Leaves out TRL's card in ``checkpoints``; see :mod:`vtkit.training.model_card`."""

    def create_model_card(self, *_: Any, **__: Any) -> None:
        pass


_WIDEST_TILE: int = utils._CHUNKED_LOGPROB_CHUNK_SIZE
_compacts: Any = utils._use_triton  # where TRL scores completions alone
_Mixed: Any = object  # of a mixin, before TRL's trainer


class _NamesRows(_Mixed):
    """A trainer that names the row of a picture that it cannot decode."""

    def __init__(self, *args: Any, train_dataset: Any, **kwargs: Any):
        with naming_rows(train_dataset):  # it looks at the first row
            super().__init__(*args, train_dataset=train_dataset, **kwargs)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        data = self.train_dataset
        with naming_rows(data.rows if isinstance(data, RepeatedRows) else data):
            return super().train(*args, **kwargs)


class _SmallOutputLayer(_Mixed):
    """A trainer that scores the tokens of completions alone, in tiles no wider than the vocabulary.

    TRL's buffer is as wide as a tile: for the miniature's 570 tokens 57 times as large as needed.
    Without Triton it scores prompts and padding, too, for devices that compile each shape anew.
    """

    def __init__(self, *args: Any, model: Any, **kwargs: Any):
        words = len(model.get_output_embeddings().weight)
        utils._CHUNKED_LOGPROB_CHUNK_SIZE = min(_WIDEST_TILE, words)
        utils._use_triton = lambda device: device.type in ("cpu", "cuda") or _compacts(device)
        super().__init__(*args, model=model, **kwargs)


class RolloutGRPOTrainer(
    _NoCard, _NamesRows, _SmallOutputLayer, ExactResume, OneTokenPerPicture, SharedPromptGRPOTrainer
):
    """GRPOTrainer that stores every completion, judged, with its rewards and advantage.

    Args:
        rollouts: the run's ``rollouts`` folder.
        prefilled: the prompt ends in ``<think>``.
        spare: prompts sampled on top of each batch, of all processes.
    """

    def __init__(
        self,
        *args: Any,
        rollouts: str | Path,
        prefilled: bool = True,
        spare: int = 0,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.rollouts, self.prefilled = RolloutWriter(rollouts), prefilled
        self.spare = dynamic_sampling.SparePrompts(self, spare) if spare else None

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if self.spare is None or not self.model.training:
            return self._generate_and_record(inputs)
        output = self._generate_and_record(inputs + self.spare.draw(inputs))
        return self.spare.keep(output, len(inputs))

    def _generate_and_record(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        if not self.model.training:
            return output
        lengths = output["completion_mask"].sum(dim=1)  # (B,), tokens with the end-of-text token
        places = (lengths - 1).clamp(min=0).unsqueeze(1)
        last = output["completion_ids"].gather(1, places).squeeze(1)
        facts = [
            {"tokens": int(n), "finished": int(token) in self.eos_token_ids, **_row_facts(row)}
            for row, n, token in zip(inputs, lengths, last, strict=True)
        ]
        facts = gather_object(facts)
        texts = completion_texts(list(self._logs["completion"])[-len(facts) :])
        for name, share in shares(texts).items():
            self._metrics["train"][name].append(share)
        if self.accelerator.is_main_process:
            self.rollouts.write(self.state.global_step + 1, self._rollout_rows(facts, texts))
        return output

    def _rollout_rows(self, facts: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]:
        n = len(facts)
        rewards = {name: list(values)[-n:] for name, values in self._logs["rewards"].items()}
        weights = dict(zip(self.reward_func_names, self.reward_weights.tolist(), strict=True))
        advantages = list(self._logs["advantages"])[-n:]
        verdicts = [
            judge(text, row["solution"], row["choices"], prefilled=self.prefilled)
            for text, row in zip(texts, facts, strict=True)
        ]
        return [
            {
                **facts[i],
                "group": i // self.num_generations,
                "sample": i % self.num_generations,
                "completion": texts[i],
                "finish_reason": "stop" if facts[i]["finished"] else "length",
                **verdict_columns(verdicts[i]),
                **{name: values[i] for name, values in rewards.items()},
                "reward": _total([weights[name] * values[i] for name, values in rewards.items()]),
                "advantage": advantages[i],
            }
            for i in range(n)
        ]


def _total(rewards: list[float]) -> float:
    """Their sum as in TRL: what does not apply, NaN, is left out; NaN if nothing does."""
    paid = [reward for reward in rewards if not math.isnan(reward)]
    return sum(paid) if paid else math.nan


def _row_facts(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: row[name] for name in ("task", "question", "choices", "solution")}
    return {"prompt_id": row["id"], **kept}


class BaselineSFTTrainer(_NoCard, _NamesRows, _SmallOutputLayer, ExactResume, SFTTrainer):
    """SFTTrainer with exact resume, whose steps do not depend on how they are divided.

    By a flag of their models' classes transformers would let each part of a step of Qwen2.5-VL and
    its successors weigh the same, however few tokens it has.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # TRL's loss is divided by the tokens of the step
