"""The weights of a vLLM that samples for a trainer: their precision, and each step's new ones.

TRL 1.16 leaves dtype and seed to defaults, merges adapters into the model that trains, and lets
vLLM keep what it read of a picture with older weights. Here they are the run's, the model stays as
it is, and pictures are read again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from peft import PeftModel
from peft.utils.integrations import dequantize_module_weight
from trl.generation import vllm_generation
from trl.trainer import grpo_trainer

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.models.families import family_of
from vtkit.sampling.vllm_engine import picture_limits

_SEEDS = 2**32  # numpy takes no larger one


@contextmanager
def own_generation(config: RunConfig) -> Iterator[None]:
    """Have GRPOTrainer, which takes no other class, sample with :class:`Generation`."""
    with _replaced(grpo_trainer, "VLLMGeneration", lambda _: partial(Generation, config)):
        yield


class Generation(vllm_generation.VLLMGeneration):
    """TRL's vLLM for a run, in its dtype and with its seed, and nothing kept of older weights."""

    def __init__(self, config: RunConfig, **options: Any):
        self._run = config
        super().__init__(**options)

    def _init_vllm(self) -> None:
        with _replaced(vllm_generation, "LLM", lambda stock: partial(_start, stock, self._run)):
            super()._init_vllm()

    def sync_weights(self) -> None:
        """Send the weights; where the vision part trains, forget what was read of pictures."""
        super().sync_weights()
        is_vision = family_of(self.model).is_vision
        seeing = [p for name, p in self.model.named_parameters() if is_vision(name)]
        if not any(parameter.requires_grad for parameter in seeing):
            return
        if self.mode == "colocate":
            self.llm.llm_engine.reset_encoder_cache()
        elif self.accelerator.is_main_process:
            _reset_server(self.vllm_client)

    def _iter_named_params(self) -> Iterator[tuple[str, torch.Tensor]]:
        if isinstance(self.model, PeftModel) and not (self._dist.is_fsdp or self._dist.is_zero3):
            return merged(self.model)
        return super()._iter_named_params()


def _start(stock: Callable[..., Any], config: RunConfig, **options: Any) -> Any:
    """Start vLLM as TRL asks, with what TRL does not ask for.

    TRL's seed is the number of the process alone. Left to itself, vLLM takes bfloat16 for float32,
    keeps room for videos, and expects a base in 4 bits to be sent in these 4 bits.
    """
    own = {
        "dtype": config.dtype,
        "seed": (config.seed + options["seed"]) % _SEEDS,
        "limit_mm_per_prompt": picture_limits(config.max_images),
        "quantization": None,
    }
    return stock(**options | own)


@torch.no_grad()
def merged(model: PeftModel) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each weight of the base by its name, with what the adapters add, one at a time.

    The model stays as it is. peft's merging rounds the base there and back: one in 16 bits drifts
    with each step, and the steps of one in 4 bits are lost.
    """
    base = model.get_base_model()
    for name, parameter in base.named_parameters():
        if model.prefix in name:
            continue
        owner, _, kind = name.rpartition(".")
        quantized = hasattr(parameter, "quant_state")
        value = dequantize_module_weight(base.get_submodule(owner)) if quantized else parameter.data
        adapted = owner.removesuffix(".base_layer")
        if adapted != owner and kind == "weight":
            layer = base.get_submodule(adapted)
            for adapter in layer.active_adapters:
                value = value + layer.get_delta_weight(adapter)
        yield f"{adapted}.{kind}", value


def _reset_server(client: Any) -> None:
    response = client.session.post(f"{client.base_url}/reset_encoder_cache")
    if response.status_code != 200:
        raise UserError(
            f"vllm_url: {client.base_url} cannot forget pictures read with older weights (status "
            f"{response.status_code}); restart it as `python -m vtkit.sampling` says, or set "
            "freeze to vision"
        )


@contextmanager
def _replaced(module: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Put ``make(stock)`` in the place of a module's ``stock`` inside the block."""
    stock = getattr(module, name)
    setattr(module, name, make(stock))
    try:
        yield
    finally:
        setattr(module, name, stock)
