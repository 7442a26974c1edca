"""Whether a run that is stopped and started again ends as one that never was, and if not, why.

Weights, optimizer, learning rate, random numbers, data order, metrics and rollouts are restored
everywhere. What remains is whether the same sums come out the same twice.
"""

from typing import Any

from transformers import PreTrainedModel

from vtkit.config.run_config import RunConfig
from vtkit.models.inputs import tokenizer_of
from vtkit.models.loading import pick_device


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


SAME = (
    "stopped and started again it ends with the same bytes, given the same versions, threads and "
    "processes"
)
CUDA = (
    "kernels of a GPU add up in varying order, so that last digits differ, and after them the "
    "sampled completions"
)
VLLM = (
    "vLLM samples in batches that depend on its timing, with random numbers that no checkpoint "
    "holds, so that the completions differ"
)


def exactness(config: RunConfig, *, vllm: bool = False) -> dict[str, Any]:
    """``exact`` and the ``reason`` for it, in words.

    Args:
        vllm: completions are sampled by vLLM.
    """
    if config.algorithm == "grpo" and vllm:
        return {"exact": False, "reason": VLLM}
    if pick_device()[0] == "cuda":
        return {"exact": False, "reason": CUDA}
    return {"exact": True, "reason": SAME}


def describe_resume(found: dict[str, Any]) -> str:
    """The line that a training begins with."""
    return f"{'exact resume' if found['exact'] else 'resume is not exact'}: {found['reason']}"
