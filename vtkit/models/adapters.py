"""Which weights train: all of them, one part, or low-rank adapters on a frozen base.

The original's ``freeze_vision`` and ``freeze_llm`` change nothing: its code assigns False to
``module.requires_grad_``, a method. Here freezing is real, and :func:`check_trained` counts what
would train before the first step.

========== ============================== ==============================================
adapter    frozen base                    trains (the part that ``freeze`` does not name)
========== ============================== ==============================================
``none``   the part that freeze names     the weights themselves, float32
``lora``   everything, in config.dtype    adapters (Hu et al. 2021), float32
``qlora``  everything, its language       the same (Dettmers et al. 2023)
           part in 4 bits
========== ============================== ==============================================

A checkpoint of a run with an adapter holds the adapter alone and the name of its base;
:func:`vtkit.models.loading.load_model` puts both together.
"""

import importlib.util
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    load_peft_weights,
    prepare_model_for_kbit_training,
    set_peft_model_state_dict,
)
from transformers import BitsAndBytesConfig

from vtkit.errors import UserError
from vtkit.files import read_json

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig


# Every linear layer of a part, attention and MLP: adapting attention alone falls behind full
# fine-tuning (Dettmers et al. 2023, section 4). Not lm_head: TRL multiplies by its weight
# directly, so that an adapter there would never train; nor embeddings, which it is tied to.
# Regular expressions rather than `all-linear`, which takes both parts and, on other models, more.
TARGETS = {
    "language": r"model\.(language_model\.)?layers\.\d+\.(self_attn\.[qkvo]_proj"
    r"|mlp\.(gate|up|down)_proj)",
    "vision": r"model\.visual\.(blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])|merger\.mlp\.[02])",
}
"""Modules that get an adapter: of Qwen2-VL, whose vision part ends with the merger, and of the
text-only Qwen2, which is all language."""
# Full names: "visual" alone matches nothing in transformers 5, and naming anything drops the
# default, which spares lm_head.
UNQUANTIZED = ["model.visual", "lm_head"]


def is_vision(name: str) -> bool:
    """Whether a parameter belongs to the vision tower with its merger; all others are language."""
    return ".visual." in f".{name}"


def freeze(model: torch.nn.Module, part: str) -> None:
    """Stop a part from training: ``none``, ``vision`` or ``language``.

    The language part has the embeddings and the tied output layer.

    Raises:
        UserError: the model has one part only.
    """
    if part != "none" and not any(is_vision(name) for name, _ in model.named_parameters()):
        raise UserError(
            f"parameters: freeze: {part}: the model reads text only and has no parts to freeze; "
            "set freeze to none"
        )
    for name, parameter in model.named_parameters():
        if part != "none" and is_vision(name) == (part == "vision"):
            parameter.requires_grad_(False)


def lora_config(config: "RunConfig") -> LoraConfig | None:
    """The adapters of a run, for TRL's ``peft_config``; None without.

    TRL wraps the model itself: given a model that is wrapped already, it takes the adapter for a
    pre-trained one, and keeps a copy of it as the reference. Its own stays one adapter, which is
    switched off for the reference's log-probabilities, so that beta costs no second model.
    """
    if config.adapter == "none":
        return None
    parts = [pattern for part, pattern in TARGETS.items() if part != config.freeze]
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=0.0,  # the policy that is trained has to be the one that was sampled from
        target_modules="|".join(f"({pattern})" for pattern in parts),
        task_type="CAUSAL_LM",
    )


def quantization(config: "RunConfig") -> BitsAndBytesConfig | None:
    """How the base of a QLoRA run is loaded; None for other runs.

    Raises:
        UserError: bitsandbytes is not installed.
    """
    if config.adapter != "qlora":
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            "parameters: adapter: qlora needs bitsandbytes, which is not installed; "
            "`pip install -e '.[gpu]'` on a machine with CUDA, or set adapter to lora"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",  # for weights that are normally distributed
        bnb_4bit_use_double_quant=True,  # 0.37 bits a weight less
        bnb_4bit_compute_dtype=getattr(torch, config.dtype),
        llm_int8_skip_modules=UNQUANTIZED,
    )


def base_dtype(config: "RunConfig") -> str:
    """Precision of the base's weights: float32 where they train, else that of forward passes.

    A frozen weight needs no float32 copy for small updates, and TRL generates without autocast
    around a model with adapters: float32 there would be slow.
    """
    return "float32" if config.adapter == "none" else config.dtype


def local_device() -> dict[str, str]:
    """Where a quantized model goes, which cannot be moved later: the GPU of this process."""
    cuda = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return {"": cuda if torch.cuda.is_available() else "cpu"}


def prepare_quantized(model: Any, dtype: str) -> Any:
    """A quantized base as it trains, and as it is scored: frozen, in three precisions.

    Linear layers of the language part in 4 bits; its embeddings and norms in float32, as peft
    prepares them, and with them the sums that run through all layers and that float16 overflows;
    the vision tower in ``dtype``, which autocast would make of it anyway. 2.9 GB for Qwen2-VL-2B.
    """
    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # TRL does it
    if hasattr(model.model, "visual"):
        model.model.visual.to(getattr(torch, dtype))
    for module in model.modules():  # on some CPUs bitsandbytes packs weights anew when it
        if hasattr(module, "support_avx512bf16_for_cpu"):  # evaluates, and cannot train on
            module.support_avx512bf16_for_cpu = False
    return model


def settle_adapter(model: Any) -> None:
    """Undo two things that TRL's constructor does to a model with adapters.

    It turns the adapters of a quantized base into bfloat16, in which small updates are lost (three
    significant digits) and whose gradients the float16 scaler does not take. And it makes the
    outputs of embeddings and of the patch embedding require gradients, which only reentrant
    checkpointing needs (neither uses it by default): the frozen vision tower would be
    differentiated for nothing.
    """
    if not isinstance(model, PeftModel):
        return
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if hasattr(model.get_base_model(), "_require_grads_hooks"):
        model.get_base_model().disable_input_require_grads()


def count_trained(model: torch.nn.Module) -> dict[str, int]:
    """Numbers of parameters that train: ``language``, ``vision``; ``total`` of all there are."""
    counts = {"language": 0, "vision": 0, "total": 0}
    for name, parameter in model.named_parameters():
        n = _size(parameter)
        counts["total"] += n
        if parameter.requires_grad:
            counts["vision" if is_vision(name) else "language"] += n
    return counts


def _size(parameter: torch.nn.Parameter) -> int:
    """Numbers in a parameter; two 4-bit ones share a byte."""
    state = getattr(parameter, "quant_state", None)
    return math.prod(state.shape) if state is not None else parameter.numel()


def check_trained(model: torch.nn.Module, config: "RunConfig") -> dict[str, int]:
    """Refuse to train nothing, or what was to be frozen; returns :func:`count_trained`.

    Raises:
        UserError: says which, with the counts.
    """
    counts = count_trained(model)
    asked = f"adapter: {config.adapter}, freeze: {config.freeze}"
    if counts["language"] + counts["vision"] == 0:
        raise UserError(
            f"parameters: {asked}: none of {counts['total']:,} parameters would train; "
            "set freeze to another part, or `model` to a whole model"
        )
    if counts.get(config.freeze):
        raise UserError(
            f"parameters: {asked}: {counts[config.freeze]:,} {config.freeze} parameters would "
            "train; the model has other names than Qwen2-VL's"
        )
    return counts


def describe_trained(counts: dict[str, int], config: "RunConfig") -> str:
    """``trains 18,464,768 of 2,227,450,368 parameters: language 18,464,768, vision 0 (…)``."""
    trained = counts["language"] + counts["vision"]
    return (
        f"trains {trained:,} of {counts['total']:,} parameters: language {counts['language']:,}, "
        f"vision {counts['vision']:,} (adapter: {config.adapter}, freeze: {config.freeze})"
    )


def base_of(folder: str | Path) -> str | None:
    """The base that a folder's adapter belongs to, a folder or a hub id; None for other folders.

    Raises:
        UserError: the folder's adapter_config.json is damaged.
    """
    path = Path(folder) / "adapter_config.json"
    if not path.is_file():
        return None
    config = read_json(path)
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not isinstance(base, str) or not base:
        raise UserError(f"{path}: base_model_name_or_path is missing; set it to the base model")
    return base


def require_whole(model: str | Path) -> None:
    """Refuse to start a run from an adapter: TRL would make it the frozen reference's part.

    Raises:
        UserError: names the base.
    """
    if base := base_of(model):
        raise UserError(f"{model}: is an adapter, not a base to train; set `model` to {base}")


def attach(model: Any, folder: str | Path) -> PeftModel:
    """The adapter of ``folder`` on its base, not merged: rounding a sum to 16 or 4 bits would lose
    most of what so small a difference says."""
    return PeftModel.from_pretrained(model, str(folder))


def start_from(model: PeftModel, folder: str | Path) -> None:
    """Give a model's own adapter the weights of another of the same shape, saved in ``folder``."""
    set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))
