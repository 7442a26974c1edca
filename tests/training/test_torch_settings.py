"""Do attention and optimizer settings train as they say, with the memory that the plan counts?"""

import importlib.util

import pytest
import torch
from transformers import PrinterCallback

from vtkit.config.recipes import resolve_config
from vtkit.errors import UserError
from vtkit.models import devices
from vtkit.models.loading import load
from vtkit.models.shapes import load_shape
from vtkit.planning import memory
from vtkit.training.train import make_trainer

BITSANDBYTES = importlib.util.find_spec("bitsandbytes") is not None


@pytest.fixture
def small(mini_data) -> dict:
    """Settings of two short steps of the committed miniature."""
    sizes = {"num_generations": 4, "prompts_per_step": 2, "per_device_batch_size": 8}
    sizes |= {"max_steps": 2, "max_completion_length": 12, "train_rows": 8}
    return {"train_data": str(mini_data), **sizes}


def trained(small: dict, run_dir, **changes):
    """A trainer after its steps, and its configuration."""
    config = resolve_config(run_dir=run_dir, **{**small, **changes})
    trainer = make_trainer(config, save_strategy="no")
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer, config


@pytest.mark.slow
def test_attention_written_out_trains_as_torchs_does(small, tmp_path):
    logs = {}
    for name in ("sdpa", "eager"):
        trainer, _ = trained(small, tmp_path / name, attn_implementation=name)
        assert trainer.model.config._attn_implementation == name
        logs[name] = trainer.state.log_history[0]
    for value in ("loss", "grad_norm", "reward", "completions/mean_length", "entropy"):
        assert logs["eager"][value] == pytest.approx(logs["sdpa"][value], rel=1e-4), value


@pytest.mark.slow
@pytest.mark.skipif(not BITSANDBYTES, reason="needs bitsandbytes")
@pytest.mark.parametrize("name", ["adamw_8bit", "paged_adamw_8bit"])
@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
def test_moments_in_8_bits_take_what_the_plan_counts(name, small, tmp_path):
    trainer, config = trained(small, tmp_path, optimizer=name)
    stored = {
        id(parameter): [state[key] for key in state if key.startswith(("state", "absmax"))]
        for parameter, state in trainer.optimizer.state.items()
    }
    named = dict(trainer.model.named_parameters())
    for parameter_name, parameter in named.items():
        in_8_bits = parameter.numel() >= 4096 and "embed_tokens" not in parameter_name
        kinds = {tensor.dtype for tensor in stored[id(parameter)]}
        assert (torch.uint8 in kinds) == in_8_bits, parameter_name
    measured = sum(tensor.nbytes for tensors in stored.values() for tensor in tensors)
    planned = memory.moments(load_shape(config.model), config)
    assert planned == pytest.approx(measured, rel=0.02)
    plain = memory.moments(load_shape(config.model), config.replace(optimizer="adamw"))
    assert plain == 8 * sum(parameter.numel() for parameter in named.values()) > 2 * planned


def test_an_8_bit_optimizer_without_bitsandbytes_is_one_line(small, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="optimizer: adamw_8bit needs bitsandbytes, which is not"):
        trained(small, tmp_path, optimizer="adamw_8bit")


def test_flash_attention_where_it_cannot_run_is_one_line(small, tmp_path, monkeypatch):
    config = resolve_config(run_dir=tmp_path, **small, attn_implementation="flash_attention_2")
    with pytest.raises(UserError, match="the package flash-attn, which is not installed; set it"):
        load(config)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(devices, "pick_device", lambda: ("cpu", "no CUDA device found"))
    with pytest.raises(UserError, match="runs on a CUDA device only, and there is none"):
        devices.require_attention("flash_attention_2", "bfloat16")
    monkeypatch.setattr(devices, "pick_device", lambda: ("cuda", "found"))
    with pytest.raises(UserError, match="computes in 16 bits, and dtype is float32"):
        devices.require_attention("flash_attention_2", "float32")
    devices.require_attention("flash_attention_2", "bfloat16")
