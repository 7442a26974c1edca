"""Choose the weights that train: all, one part, or low-rank adapters on a frozen base.

LoRA (Hu et al. 2021) freezes the base in config.dtype, QLoRA (Dettmers et al. 2023) its language
part in 4 bits. What trains is float32.
"""

import importlib.util
import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import BitsAndBytesConfig

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError
from vtkit.models.families import family_of
from vtkit.models.folders import family_in

if TYPE_CHECKING:  # importing peft takes longer than torch and transformers together
    from peft import LoraConfig


def freeze(model: torch.nn.Module, part: str) -> None:
    """Stop a part from training: ``none``, ``vision``, or ``language`` with the embeddings."""
    is_vision = family_of(model).is_vision
    if part != "none" and not any(is_vision(name) for name, _ in model.named_parameters()):
        raise UserError(
            f"parameters: freeze: {part}: the model reads text only and has no parts to freeze; "
            "set freeze to none"
        )
    for name, parameter in model.named_parameters():
        if part != "none" and is_vision(name) == (part == "vision"):
            parameter.requires_grad_(False)


def lora_config(config: RunConfig) -> "LoraConfig | None":
    """The adapters of a run, for TRL's ``peft_config``; None without.

    TRL has to wrap the model itself: one that is wrapped already it copies, as the reference.
    """
    if config.adapter == "none":
        return None
    from peft import LoraConfig

    adapted = family_in(config.model).adapted
    parts = [pattern for part, pattern in adapted.items() if part != config.freeze]
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=0.0,  # the policy that is trained has to be the one that was sampled from
        target_modules="|".join(f"({pattern})" for pattern in parts),
        task_type="CAUSAL_LM",
    )


def quantization(config: RunConfig) -> BitsAndBytesConfig | None:
    """4-bit settings for the base of a QLoRA run, which needs bitsandbytes; None for others."""
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
        # Naming any drops the default, lm_head.
        llm_int8_skip_modules=family_in(config.model).unquantized,
    )


def base_dtype(config: RunConfig) -> str:
    """Precision of the base's weights: float32 where they train, else that of forward passes."""
    # TRL generates without autocast around a model with adapters; float32 would be slow there.
    return "float32" if config.adapter == "none" else config.dtype


def prepare_quantized(model: Any, dtype: str) -> Any:
    """Freeze a quantized base; 2.9 GB for Qwen2-VL-2B.

    Linear layers of the language part are in 4 bits, its embeddings and norms in float32 (the
    residual stream overflows in float16), the vision tower in ``dtype``.
    """
    from peft import prepare_model_for_kbit_training

    model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # TRL does it
    for tower in family_of(model).vision_modules(model):
        tower.to(getattr(torch, dtype))
    for module in model.modules():  # on some CPUs bitsandbytes packs weights anew when it
        if hasattr(module, "support_avx512bf16_for_cpu"):  # evaluates, and cannot train on
            module.support_avx512bf16_for_cpu = False
    return model


def settle(model: Any, config: RunConfig, start: str | Path | None = None) -> None:
    """Make the model of a TRL trainer ready to train; ``start``: a saved adapter's folder."""
    if config.adapter != "none":
        # TRL turns adapters of a quantized base into bfloat16: small updates would be lost, and
        # the float16 scaler refuses their gradients.
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        # It makes outputs of embeddings require gradients, which only reentrant checkpointing
        # needs: the frozen vision tower would be differentiated.
        if hasattr(model.get_base_model(), "_require_grads_hooks"):
            model.get_base_model().disable_input_require_grads()
        # Each saving would write PEFT's own card where the run's belongs.
        model.create_or_update_model_card = lambda *_: None
    check_trained(model, config)
    if start:
        load_adapter(model, start)


def load_adapter(model: Any, folder: str | Path) -> None:
    """Give a model with adapters those of a folder, all of them.

    Raises:
        UserError: the folder lacks some, has others, or of other sizes.
    """
    from peft import load_peft_weights, set_peft_model_state_dict

    require_tensors(model, folder)
    set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))


def require_tensors(model: Any, folder: str | Path) -> None:
    """Refuse a folder whose adapter has other tensors than ``model``'s; peft only warns of some."""
    from peft import get_peft_model_state_dict, load_peft_weights

    saved = {name: value.shape for name, value in load_peft_weights(str(folder), "cpu").items()}
    wanted = {name: value.shape for name, value in get_peft_model_state_dict(model).items()}
    mismatched = {name for name in saved.keys() & wanted.keys() if saved[name] != wanted[name]}
    refuse_tensors(folder, wanted.keys() - saved.keys(), saved.keys() - wanted.keys(), mismatched)


def refuse_tensors(
    folder: str | Path,
    missing: Collection[str],
    unexpected: Collection[str],
    mismatched: Collection[str],
) -> None:
    """Raise a UserError that names the first of these tensors; none, if there are none."""
    kinds = {"missing": missing, "not the model's": unexpected, "of other sizes": mismatched}
    wrong = []
    for kind, found in kinds.items():
        names = ", ".join([*sorted(found)[:3], *(["..."] if len(found) > 3 else [])])
        wrong += [f"{len(found)} {kind} ({names})"] if found else []
    if wrong:
        raise UserError(
            f"{folder}: its weights are not those of the model that its config describes: tensors "
            f"{', '.join(wrong)}; restore or rebuild the folder"
        )


def count_trained(model: torch.nn.Module) -> dict[str, int]:
    """Count the parameters that train, ``language`` and ``vision``, and the ``total`` of all."""
    counts, is_vision = {"language": 0, "vision": 0, "total": 0}, family_of(model).is_vision
    for name, parameter in model.named_parameters():
        packed = getattr(parameter, "quant_state", None)  # two 4-bit numbers share a byte
        n = math.prod(packed.shape) if packed is not None else parameter.numel()
        counts["total"] += n
        if parameter.requires_grad:
            counts["vision" if is_vision(name) else "language"] += n
    return counts


def check_trained(model: torch.nn.Module, config: RunConfig) -> dict[str, int]:
    """Refuse to train nothing, or what should be frozen; returns :func:`count_trained`."""
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
            "train; the model has other names than its family's"
        )
    return counts


def describe_trained(counts: dict[str, int], config: RunConfig) -> str:
    """``trains 18,464,768 of 2,227,450,368 parameters: language 18,464,768, vision 0 (…)``."""
    trained = counts["language"] + counts["vision"]
    return (
        f"trains {trained:,} of {counts['total']:,} parameters: language {counts['language']:,}, "
        f"vision {counts['vision']:,} (adapter: {config.adapter}, freeze: {config.freeze})"
    )
