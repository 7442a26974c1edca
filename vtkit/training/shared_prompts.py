"""Compute once for each prompt what stock TRL 1.16 computes for each of its completions.

The numbers are TRL's up to rounding. Where this is not possible, TRL's code runs. Delete this file
the day TRL shares prompts.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from trl import GRPOTrainer
from trl.distributed import DistributedBackend
from trl.models import unwrap_model_for_generation
from trl.models.utils import _ForwardRedirection

from vtkit.models.inputs import PER_TOKEN
from vtkit.models.processors import ImageOnlyProcessor
from vtkit.sampling.decoding import Prompts, decode, finite_logits
from vtkit.sampling.picture_features import PictureFeatures, is_frozen
from vtkit.sampling.prefix_cache import PrefixCache, can_share, distinct
from vtkit.sampling.sampler import InverseCDFSampler
from vtkit.training.batches import join, take_rows

# What it costs to begin a forward and a backward pass, in tokens computed meanwhile: 3 ms for the
# miniature on a CPU; more than the padding of any batch on a GPU, where a token takes 30 us.
_BEGINNING = {"cpu": 100}
_BEGINNING_ELSEWHERE = 3000
_PLACE = "place"  # of a row, before TRL shuffles them


class RepeatedRows(torch.utils.data.Dataset[dict[str, Any]]):
    """A data set that decodes the picture of a row once for its copies in a batch."""

    def __init__(self, rows: Any):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.rows[number]

    def __getitems__(self, numbers: list[int]) -> list[dict[str, Any]]:
        fetched = {number: self.rows[number] for number in set(numbers)}
        return [fetched[number] for number in numbers]


class SharedPromptGRPOTrainer(GRPOTrainer):
    """GRPOTrainer that repeats nothing for the copies of a prompt."""

    share_prompts = True  # False: stock TRL samples and scores
    _idle: Sequence[bool] = ()  # of each completion in a loss: it has no gradient
    train_dataset: Any
    _buffered_inputs: Any

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.train_dataset = RepeatedRows(self.train_dataset)
        # Shards of a tower are gathered by all processes at once, so none may leave it out.
        frozen = is_frozen(self.model) and not self.is_fsdp_enabled
        self._features = PictureFeatures(frozen=frozen)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        processor = self.processing_class
        remembers = self.share_prompts and isinstance(processor, ImageOnlyProcessor)
        self._features.forget()
        with processor.remembering() if remembers else nullcontext():
            output = super()._generate_and_score_completions(inputs)
        return {**output, _PLACE: torch.arange(len(inputs))}

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: dict[str, Any],
        *rest: Any,
    ) -> tuple[list[list[int]], Any]:
        if not self._samples():
            with finite_logits(self.model), self._shared_pictures(self.model):
                return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *rest)
        device, pad_token = self.accelerator.device, self._tokenizer.pad_token_id
        masks = [[1] * len(ids) for ids in prompt_ids]
        inputs = {"input_ids": prompt_ids, "attention_mask": masks, **multimodal_fields}
        for name, values in inputs.items():
            if name in PER_TOKEN:
                inputs[name] = _left_padded(values, pad_token if name == "input_ids" else 0)
            elif not isinstance(values, torch.Tensor):
                inputs[name] = torch.as_tensor(np.asarray(values))
        rows, copies = distinct(inputs, images and [len(shown or ()) for shown in images])
        limit = self.max_completion_length
        rows = {name: values.to(device) for name, values in rows.items()}
        # On the CPU, whatever the device: its random state is in every checkpoint.
        numbers = torch.rand(len(copies), limit, dtype=torch.float64).tolist()
        with self._shared_pictures(self.model), unwrap_model_for_generation(
            self.model_wrapped, self.accelerator,
            gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
        ) as model:  # fmt: skip
            completions = decode(
                model, Prompts(rows, range(len(copies)), copies, [limit] * len(copies), last=True),
                InverseCDFSampler(numbers, self.temperature, self.top_k), ends=self.eos_token_ids,
                banned=self.generation_config.suppress_tokens or [],
            )  # fmt: skip
        return completions, None

    def _samples(self) -> bool:
        """Tell whether rollouts are plain samples of a model that is whole on this device."""
        plain = self.top_p == 1.0 and not self.min_p and self.repetition_penalty == 1.0
        special = self.use_vllm or self.args.generation_kwargs or self.tools
        return plain and not special and self._shares()

    def _shares(self) -> bool:
        """Tell whether prompts are shared: by a model that is known, and whole on this device."""
        backend = DistributedBackend(self.accelerator)
        whole = not (backend.is_zero3 or backend.is_fsdp)
        return self.share_prompts and whole and can_share(self.model)

    def _shared_pictures(self, model: Any) -> AbstractContextManager[None]:
        return self._features.shared(model) if self.share_prompts else nullcontext()

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        parts = self._buffered_inputs
        # A step's gradient is the sum over its forward passes, whatever rows each has.
        one_step = parts and len(parts) == self.args.gradient_accumulation_steps > 1
        if parts is before or not one_step or self.loss_type == "bnpo" or not self._shares():
            return inputs
        whole = join(parts)
        order = whole[_PLACE].argsort().tolist()  # copies of a prompt are together
        size = len(order) // len(parts)
        rows = [order[first : first + size] for first in range(0, len(order), size)]
        self._buffered_inputs = [take_rows(whole, some) for some in rows]
        return self._buffered_inputs[self._step % len(rows)]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        # A group that is paid alike has advantages of 0, and its log-probabilities are read only.
        if self.beta == 0 and not self._entropy_bonus_enabled:
            is_zero = inputs["advantages"] == 0
            self._idle = is_zero.reshape(len(is_zero), -1).all(1).tolist()
        try:
            return super()._compute_loss(model, inputs)
        finally:
            self._idle = ()

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor,
        logits_to_keep: int, batch_size: int | None = None, compute_entropy: bool = False,
        compute_aux_loss: bool = False, num_images: Sequence[int] | None = None, **media: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:  # fmt: skip
        """Log-probabilities and entropies (None unless asked for), each (B, logits_to_keep)."""
        # A completion's first token is predicted from the prompt's last one, which is read with it.
        start = input_ids.shape[1] - logits_to_keep - 1
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, **media}
        inputs = {name: value for name, value in inputs.items() if value is not None}
        inner, at_once = self.accelerator.unwrap_model(model), batch_size or len(input_ids)
        shared = self._shares() and not compute_aux_loss
        rows, copies = distinct(_cut(inputs, start), num_images) if shared else ({}, [])
        # A forward pass reads no more tokens than one of TRL's.
        if not shared or len(rows["input_ids"]) * start > at_once * input_ids.shape[1]:
            with self._shared_pictures(inner):
                return super()._get_per_token_logps_and_entropies(
                    model, logits_to_keep=logits_to_keep, batch_size=batch_size, **inputs,
                    compute_entropy=compute_entropy, compute_aux_loss=compute_aux_loss,
                    num_images=num_images,
                )  # fmt: skip
        lengths = attention_mask[:, start + 1 :].sum(1).tolist()
        beginning = _BEGINNING.get(input_ids.device.type, _BEGINNING_ELSEWHERE)
        idle = [row for row, is_idle in enumerate(self._idle) if is_idle]
        if len(idle) == len(lengths):  # a backward pass needs one
            idle.remove(min(idle, key=lengths.__getitem__))
        active = [row for row in range(len(lengths)) if row not in idle]
        trained, read_only = (_parts(lengths, some, at_once, beginning) for some in (active, idle))
        parts = trained + read_only

        def score() -> list[tuple[torch.Tensor, ...]]:
            prefix = PrefixCache(inner, rows, continued=False)
            scored = []
            for number, part in enumerate(parts):
                read = slice(start, start + 1 + max(1, lengths[part[0]]))
                ids, mask = input_ids[part, read], attention_mask[part, read]
                with nullcontext() if number < len(trained) else torch.no_grad():
                    found = prefix.follow(
                        inner, [copies[row] for row in part], ids, mask,
                        labels=ids.masked_fill(mask == 0, -100), fused_lm_head=True,
                    )  # fmt: skip
                scored.append((found.log_probs, *([found.entropy] if compute_entropy else [])))
            return scored

        with self.accelerator.autocast(), self._shared_pictures(inner):
            # DDP and DeepSpeed expect one forward call of theirs for each backward pass.
            scored = score() if model is inner else _ForwardRedirection()(model, inner, score)
        back = torch.tensor(sum(parts, []), device=input_ids.device).argsort()
        logps, *entropies = (
            torch.cat([pad(part, (0, logits_to_keep - part.shape[1])) for part in column])[back]
            for column in zip(*scored, strict=True)
        )
        return logps, entropies[0] if entropies else None, None


def _cut(inputs: dict[str, Any], start: int) -> dict[str, Any]:
    """The first ``start`` tokens of each row."""
    return {**inputs, **{name: inputs[name][:, :start] for name in PER_TOKEN & {*inputs}}}


def _parts(
    lengths: Sequence[int], rows: Sequence[int], most: int, beginning: int
) -> list[list[int]]:
    """Some rows, longest first, in parts of at most ``most`` rows that cost least.

    Args:
        lengths: of all rows.
        beginning: cost of a part, besides that of its rows, each as long as its longest.
    """
    order = sorted(rows, key=lambda row: -lengths[row])
    costs, starts = [0], []  # of the first rows of the order, and where their last part starts
    for stop in range(1, len(order) + 1):
        tries = {
            start: costs[start] + beginning + (stop - start) * lengths[order[start]]
            for start in range(max(0, stop - most), stop)
        }
        starts.append(min(tries, key=tries.__getitem__))
        costs.append(tries[starts[-1]])
    parts, stop = [], len(order)
    while stop:
        parts.append(order[starts[stop - 1] : stop])
        stop = starts[stop - 1]
    return parts[::-1]


def _left_padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    return pad_sequence(list(map(torch.tensor, rows)), True, value, padding_side="left")
