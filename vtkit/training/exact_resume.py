"""Make a resumed run end as an unbroken one, or tell why it cannot here."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError, first_line
from vtkit.models.adapters import require_tensors
from vtkit.models.devices import is_out_of_memory, pick_device
from vtkit.models.inputs import tokenizer_of
from vtkit.models.loading import read_weights, reading_weights
from vtkit.runs.marks import unproven

_Mixed: Any = object  # of a mixin, before TRL's trainer


class ExactResume(_Mixed):
    """A trainer that resumes with the checkpoint's weights and an unbroken run's order of data."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        # transformers 5 saves Qwen2-VL under its old names and reads them back with strict=False:
        # nothing matches and training resumes from the base weights
        # (huggingface/transformers#43701). from_pretrained converts. PEFT and shards load rightly.
        sharded = self.is_deepspeed_enabled or self.is_fsdp_enabled
        with reading_weights(resume_from_checkpoint):
            if sharded or not isinstance(self.model, PreTrainedModel):
                if not sharded:
                    require_tensors(self.model, resume_from_checkpoint)
                return super()._load_from_checkpoint(resume_from_checkpoint, model)
            kind, dtype = type(self.model), self.model.dtype
            saved = read_weights(kind, resume_from_checkpoint, dtype=dtype).state_dict()
            (self.model if model is None else model).load_state_dict(saved, strict=True)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _reading(checkpoint, "optimizer.pt, scheduler.pt"):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with _reading(checkpoint, "rng_state*.pth"):
            super()._load_rng_state(checkpoint)

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        # How the last batch was padded is no part of a checkpoint, and differs after a resume.
        tokenizer_of(self.processing_class).backend_tokenizer.no_padding()
        # Put together from parts, a tied matrix comes twice, and would be saved twice.
        for name in getattr(self.model, "all_tied_weights_keys", {}):
            (state_dict or {}).pop(name, None)
        super()._save(output_dir, state_dict)

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        # TRL draws each epoch's order from one running generator: a run resumed in a later epoch
        # would start over with the first epoch's order. Seeded by epoch, it depends on that alone.
        sampler = super()._get_train_sampler(dataset)
        if getattr(sampler, "generator", None) is not None:
            sampler.set_epoch = lambda epoch: sampler.generator.manual_seed(self.args.seed + epoch)
        return sampler


@contextmanager
def _reading(checkpoint: str | None, names: str) -> Iterator[None]:
    """Turn what goes wrong while files of a checkpoint are read into one line about them."""
    try:
        yield
    except Exception as error:  # pickle's, torch's and what wrong contents lead to
        if is_out_of_memory(error):
            raise
        raise UserError(
            f"{checkpoint}: cannot read {names} ({first_line(error)}); rename this folder, and an "
            "older checkpoint is used"
        ) from error


SAME = (
    "stopped and started again it ends with the same bytes, given the same versions, threads and "
    "processes"
)
CUDA = "kernels of a GPU add up in varying order: last digits differ, and then sampled completions"
VLLM = (
    "vLLM samples in batches that depend on its timing, with random numbers that no checkpoint "
    "holds: completions differ"
)


def exactness(
    config: RunConfig,
    *,
    vllm: bool = False,
    rewards: Mapping[str, Sequence[Any]] | None = None,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Tell whether resume is ``exact``, here and with or without vLLM, and the ``reason``.

    Args:
        rewards: versions of the reward files, of :func:`vtkit.runs.manifest.note_rewards`.
        checkpoint: that the run resumes from.
    """
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if checkpoint and (parts := unproven(checkpoint, processes)):
        reason = f"{checkpoint} has no hashes of {', '.join(parts)}, which were not checked"
        return {"exact": False, "reason": reason}
    for name, found in (rewards or {}).items():
        if len(found) > 1:
            changed = f"{name} was changed after step {found[-1]['after_step']}"
            return {"exact": False, "reason": f"{changed}: another version paid the steps before"}
    if config.algorithm == "grpo" and vllm:
        return {"exact": False, "reason": VLLM}
    if pick_device()[0] == "cuda":
        return {"exact": False, "reason": CUDA}
    return {"exact": True, "reason": SAME}


def describe_resume(found: dict[str, Any]) -> str:
    """The line about resuming that a training prints at its start."""
    return f"{'exact resume' if found['exact'] else 'resume is not exact'}: {found['reason']}"
