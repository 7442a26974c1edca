"""Translate a configuration into the arguments of TRL's trainers."""

import importlib.util
import os
from pathlib import Path
from typing import Any

from trl import GRPOConfig, SFTConfig

from vtkit.config.run_config import RunConfig
from vtkit.data.formats import FORMATS
from vtkit.errors import UserError
from vtkit.models.devices import pick_device
from vtkit.runs.surroundings import is_asked_for
from vtkit.sampling.processes import PATIENCE, shard_on_cpus
from vtkit.training import vllm_rollouts
from vtkit.training.trackers import PROJECT, run_name


def trainer_arguments(config: RunConfig, **changes: Any) -> Any:
    """TRL's ``GRPOConfig`` or ``SFTConfig``, on one GPU unless a launcher started more processes.

    Args:
        changes: arguments that replace the configuration's.
    """
    sft = config.algorithm == "sft"
    own = _sft_arguments(config) if sft else _grpo_arguments(config)
    args = (SFTConfig if sft else GRPOConfig)(**_shared_arguments(config) | own | changes)
    if args.n_gpu > 1:  # Trainer would wrap the model in DataParallel, which GRPOTrainer refuses
        print(
            f"{args.n_gpu} GPUs are visible to one process: training on the first. For all of them "
            "see vtkit.training.launch, or: accelerate launch --config_file "
            f"configs/accelerate/ddp.yaml --num_processes {args.n_gpu} -m vtkit.training",
            flush=True,
        )
        args._n_gpu = 1
    shard_on_cpus(args.distributed_state)
    return args


def require_sharding(trainer: Any) -> None:
    """Refuse a trainer without what its launch file asks for: accelerate drops it silently."""
    found = {"FSDP": trainer.is_fsdp_enabled, "DEEPSPEED": trainer.is_deepspeed_enabled}
    for name, there in found.items():
        if is_asked_for(name) and not there:
            raise UserError(
                f"the launch file asks for {name} and accelerate would train without it: one "
                "process has nothing to share out; pass --num_processes 2 or more, or start "
                "training without a launcher"
            )


def _shared_arguments(config: RunConfig) -> dict[str, Any]:
    on_cpu = pick_device()[0] == "cpu"
    if on_cpu and config.dtype == "float16":
        raise UserError(
            "parameters: dtype: float16 trains on a CUDA device only, and there is none; "
            "set dtype to float32, or choose another profile"
        )
    return dict(
        output_dir=str(Path(config.run_dir) / "checkpoints"), seed=config.seed, use_cpu=on_cpu,
        bf16=config.dtype == "bfloat16", fp16=config.dtype == "float16",
        gradient_checkpointing=config.gradient_checkpointing,
        per_device_train_batch_size=config.per_device_batch_size,
        gradient_accumulation_steps=_accumulation(config), max_steps=config.steps,
        lr_scheduler_type=config.lr_scheduler, warmup_steps=config.warmup_steps,
        max_grad_norm=config.max_grad_norm,
        **_optimizer(config), logging_steps=1, logging_nan_inf_filter=False,
        save_strategy="steps", save_steps=config.save_steps,
        report_to=[], run_name=run_name(config), project=PROJECT,
        disable_tqdm=True, dataloader_pin_memory=not on_cpu,
        ddp_timeout=PATIENCE, ddp_find_unused_parameters=False,  # every row has a picture
    )  # fmt: skip


def _optimizer(config: RunConfig) -> dict[str, Any]:
    if config.optimizer == "adamw":
        return {}  # transformers' own choice
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError(
            f"parameters: optimizer: {config.optimizer} needs bitsandbytes, which is not installed;"
            " `pip install -e '.[gpu]'`, or set optimizer to adamw"
        )
    return {"optim": config.optimizer}


def _accumulation(config: RunConfig) -> int:
    completions = config.num_generations * config.prompts_per_step
    at_once = config.per_device_batch_size * int(os.environ.get("WORLD_SIZE", 1))
    if completions % at_once:
        raise UserError(
            f"prompts_per_step x num_generations = {completions} completions a step is not "
            f"a multiple of the {at_once} that fit at once (per_device_batch_size x processes); "
            "change one of them"
        )
    return completions // at_once


def _grpo_arguments(config: RunConfig) -> dict[str, Any]:
    """GRPO as in R1-Zero, where TRL 1.16 has other defaults."""
    return dict(
        learning_rate=config.learning_rate, num_generations=config.num_generations,
        beta=config.beta, loss_type=config.loss_type, scale_rewards=config.scale_rewards,
        epsilon_high=config.epsilon_high, temperature=config.temperature, top_p=1.0,
        top_k=config.top_k, max_completion_length=config.max_completion_length, num_iterations=1,
        # TRL's default multiplies the KL term by the probability ratio, which changes the gradient.
        use_bias_correction_kl=False, mask_truncated_completions=False,
        **vllm_rollouts.arguments(config, vllm_rollouts.mode(config)),
    )  # fmt: skip


def _sft_arguments(config: RunConfig) -> dict[str, Any]:
    pictured = config.train_format == "sat" or FORMATS[config.train_format].pictured
    return dict(  # TRL tokenizes text beforehand, and pictures batch by batch
        learning_rate=config.sft_learning_rate, max_length=None, completion_only_loss=True,
        dataset_kwargs={"skip_prepare_dataset": pictured}, remove_unused_columns=not pictured,
    )  # fmt: skip
