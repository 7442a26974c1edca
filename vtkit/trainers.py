"""TRL's trainers with what Qwen2-VL and a run folder need on top.

Three things differ from stock TRL 1.16 and transformers 5: resuming really loads the weights and
repeats the data order, every completion is kept, and a colocated vLLM gets prompts that it does not
misread (:mod:`vtkit.rollout_engine`). Everything else, the loss included, is TRL's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from transformers import PreTrainedModel
from trl import SFTTrainer

from vtkit import reflection, resampling
from vtkit.inputs import tokenizer_of
from vtkit.naming import resolve
from vtkit.once import OncePerPrompt
from vtkit.rewards import completion_texts, explain, solution_text
from vtkit.rollout_engine import OneTokenPerPicture
from vtkit.rollouts import RolloutWriter


class ExactResume:
    """A resumed run has the checkpoint's weights and sees the data that an unbroken one would."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        # transformers 5 saves Qwen2-VL under its old names and reads them back with strict=False,
        # so that nothing matches and training goes on from the base weights
        # (huggingface/transformers#43701). from_pretrained converts.
        if (
            self.is_deepspeed_enabled
            or self.is_fsdp_enabled
            or not isinstance(self.model, PreTrainedModel)
        ):
            return super()._load_from_checkpoint(
                resume_from_checkpoint, model
            )  # right as it is, for PEFT too
        saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype=self.model.dtype)
        (self.model if model is None else model).load_state_dict(saved.state_dict(), strict=True)

    def _save(self, *args: Any, **kwargs: Any) -> None:
        # How the last batch was padded is no part of a checkpoint, and differs after a resume.
        tokenizer_of(self.processing_class).backend_tokenizer.no_padding()
        super()._save(*args, **kwargs)

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        # TRL draws each epoch's order from one running generator, so a run resumed in a later epoch
        # would start over with the first epoch's order. Seeding by epoch makes the order depend on
        # the epoch alone.
        sampler = super()._get_train_sampler(dataset)
        if getattr(sampler, "generator", None) is not None:
            sampler.set_epoch = lambda epoch: sampler.generator.manual_seed(self.args.seed + epoch)
        return sampler


class RolloutGRPOTrainer(ExactResume, OneTokenPerPicture, OncePerPrompt):
    """GRPOTrainer that stores every completion, judged, with its rewards and advantage.

    Args:
        rollouts: the run's ``rollouts`` folder.
        prefilled: the prompt ends in ``<think>``.
        spare: prompts sampled on top of each batch (:mod:`vtkit.resampling`), of all processes.
        others: see ``trl.GRPOTrainer``.
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
        self.spare = resampling.Spare(self, spare) if spare else None

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
        last = (
            output["completion_ids"].gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        )
        facts = [
            {"tokens": int(n), "finished": int(token) in self.eos_token_ids, **_row_facts(row)}
            for row, n, token in zip(inputs, lengths, last, strict=True)
        ]
        facts = gather_object(facts)
        texts = completion_texts(list(self._logs["completion"])[-len(facts) :])
        for name, share in reflection.shares(texts).items():
            self._metrics["train"][name].append(share)
        if self.accelerator.is_main_process:
            self.rollouts.write(self.state.global_step + 1, self._rollout_rows(facts, texts))
        return output

    def _rollout_rows(self, facts: list[dict[str, Any]], texts: list[str]) -> list[dict[str, Any]]:
        n = len(facts)
        rewards = {name: list(values)[-n:] for name, values in self._logs["rewards"].items()}
        weights = dict(zip(self.reward_func_names, self.reward_weights.tolist(), strict=True))
        advantages = list(self._logs["advantages"])[-n:]
        return [
            {
                **facts[i],
                "group": i // self.num_generations,
                "sample": i % self.num_generations,
                "completion": texts[i],
                "finish_reason": "stop" if facts[i]["finished"] else "length",
                **judge(texts[i], facts[i]["solution"], facts[i]["choices"], self.prefilled),
                **{name: values[i] for name, values in rewards.items()},
                "reward": sum(weights[name] * values[i] for name, values in rewards.items()),
                "advantage": advantages[i],
            }
            for i in range(n)
        ]


def judge(
    completion: str, solution: str, choices: Sequence[str] | None, prefilled: bool
) -> dict[str, Any]:
    """What a completion answers, by the careful rules, whatever the run pays for.

    Returns:
        ``rule``, ``answer`` and ``choice`` of :func:`vtkit.answers.find_answer`; ``correct``, None
        where the solution names none of the choices; ``format_verdict``.
    """
    said = explain(completion, solution, choices, prefilled=prefilled)
    known = not choices or resolve(solution_text(solution), tuple(choices)).choice is not None
    return {
        **{name: said[name] for name in ("rule", "answer", "choice", "format_verdict")},
        "correct": said["accuracy"] == 1.0 if known else None,
    }


def _row_facts(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: row[name] for name in ("task", "question", "choices", "solution")}
    return {"prompt_id": row["id"], **kept}


class BaselineSFTTrainer(ExactResume, SFTTrainer):
    """SFTTrainer with exact resume."""
