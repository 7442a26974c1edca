"""Rollouts by vLLM, whose probabilities differ from the trainer's by rounding.

TRL weighs with the ratio of whole completions and drops large ones: long completions go unlearned.
Here each token has its own ratio, cut at :data:`RATIO` (Yao et al. 2025, "Your Efficient RL
Framework Secretly Brings You Off-Policy RL Training").
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from peft import PeftModel

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError, first_line, quote
from vtkit.models.devices import pick_device
from vtkit.models.prompts import as_text
from vtkit.models.shapes import shape_of
from vtkit.planning import memory
from vtkit.planning.memory import Batch
from vtkit.sampling import vllm_engine

RATIO = 2.0


def mode(config: RunConfig) -> str:
    """``off``, ``colocate`` or ``server``: the result of ``config.vllm`` on this machine."""
    if config.vllm == "off" or config.algorithm != "grpo":
        return "off"
    try:
        _check(config)
    except UserError as error:
        if config.vllm != "auto":
            raise
        print(f"rollouts by transformers: {error}", flush=True)
        return "off"
    return "server" if config.vllm == "server" else "colocate"


def _check(config: RunConfig) -> None:
    if config.adapter == "qlora":
        raise UserError(
            "parameters: vllm: adapters of a base in 4 bits would be rounded away when they are "
            "merged for vLLM; set vllm to off, or adapter to lora"
        )
    if config.vllm == "server" and not config.vllm_url.startswith(("http://", "https://")):
        raise UserError(
            f"parameters: vllm_url: {quote(config.vllm_url)} is not an address such as "
            "http://localhost:8000; `python -m vtkit.sampling` says how to start a server"
        )
    vllm_engine.require()
    if pick_device()[0] == "cpu":
        raise UserError("vLLM samples on a CUDA device, and there is none; set `vllm` to off")


def arguments(config: RunConfig, how: str) -> dict[str, Any]:
    """Arguments of GRPOConfig for a :func:`mode`."""
    if how == "off":
        return {}
    return dict(
        use_vllm=True, vllm_mode=how, vllm_server_base_url=config.vllm_url or None,
        # With top_k the ratio would be the probability of the sampled part (huggingface/trl#6789).
        vllm_importance_sampling_correction=config.top_k == 0,
        vllm_importance_sampling_mode="token_truncate",
        vllm_importance_sampling_clip_max=RATIO,
        vllm_enable_sleep_mode=False,  # the cache is small
        vllm_tensor_parallel_size=1,  # 2 B parameters fit on every card
    )  # fmt: skip


def build_trainer(
    build: Callable[[], Any], args: Any, config: RunConfig, model: Any, processor: Any,
    dataset: Any, total: float,
) -> Any:  # fmt: skip
    """The trainer that ``build()`` returns, with vLLM, if used, prepared before and checked after.

    Args:
        args: TRL's arguments; a GRPOConfig with vLLM is changed in place.
        dataset: has a column ``question``.
        total: bytes of memory that the GPU has.
    """
    if not getattr(args, "use_vllm", False):
        return build()
    prepare_vllm(args, config, model, processor, dataset, total)
    try:
        trainer = build()
    except (ConnectionError, RuntimeError, ValueError) as error:
        if args.vllm_mode == "server":
            raise UserError(
                f"vllm_url: {config.vllm_url}: {first_line(error)}; `python -m vtkit.sampling` "
                "says how to start a server that works"
            ) from error
        if "memory" not in str(error).lower():
            raise
        raise UserError(
            f"parameters: vllm: the engine does not fit on the GPU ({first_line(error)}); lower "
            "per_device_batch_size, set vllm_memory to another share, or vllm to off"
        ) from error
    check_started(trainer, config)
    return trainer


def prepare_vllm(
    args: Any, config: RunConfig, model: Any, processor: Any, dataset: Any, total: float
) -> None:
    """Set what GRPOConfig can only be told once model, processor and questions are loaded."""
    vllm_engine.check_pictures(processor)
    args.generation_kwargs = {"logit_bias": vllm_engine.banned(processor)}
    if args.vllm_mode == "server":
        return
    prompt = longest_prompt(processor, dataset)
    sequences = args.per_device_train_batch_size * args.steps_per_generation
    tool = processor.image_processor
    patches = vllm_engine.picture_tokens(processor) * tool.merge_size**2
    batch = Batch(sequences, prompt, config.max_completion_length, patches)
    args.vllm_max_model_length = batch.length
    bytes_ = memory.engine(shape_of(model.config), config, batch, total)
    args.vllm_gpu_memory_utilization = share = math.ceil(100 * bytes_ / total) / 100
    if share >= 1:
        raise UserError(
            f"parameters: vllm: the engine needs {bytes_ / 1e9:.1f} GB and the GPU has "
            f"{total / 1e9:.1f}; set vllm to off"
        )
    folder = Path(config.run_dir) / "engine"
    with PartialState().main_process_first():
        model.name_or_path = str(vllm_engine.write_folder(config.model, processor, folder))
    print(f"rollouts by vLLM next to the training, on {share:.0%} of the GPU's memory", flush=True)


def longest_prompt(processor: Any, dataset: Any) -> int:
    """Tokens of the longest prompt, with the largest picture that the processor makes."""
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": ""}]}
    frame = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    questions = as_text(processor.tokenizer, dataset["question"][:])
    words = processor.tokenizer([frame, *questions])["input_ids"]
    return len(words[0]) + max(map(len, words[1:])) + vllm_engine.picture_tokens(processor)


def check_started(trainer: Any, config: RunConfig) -> None:
    """Check that the server has our processor; make checkpoints name the real base."""
    if trainer.args.vllm_mode == "server":
        if trainer.accelerator.is_main_process:
            client = trainer.vllm_generation.vllm_client
            served = client.get_server_info()["model_config"]["model"]
            vllm_engine.check_served(served, trainer.processing_class)
    elif isinstance(trainer.model, PeftModel):  # peft took the name that was meant for vLLM
        for adapter in trainer.model.peft_config.values():
            adapter.base_model_name_or_path = config.model


class OneTokenPerPicture:
    """A GRPOTrainer that gives a colocated vLLM one image token for each picture.

    Of TRL 1.16's expanded ones vLLM silently expands the first again (huggingface/trl#6294, #6401).
    """

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any) -> Any:
        if self.use_vllm and self.vllm_mode == "colocate":
            image = self.processing_class.image_token_id
            prompt_ids = [vllm_engine.collapse(tokens, image) for tokens in prompt_ids]
        return super()._generate_single_turn(prompt_ids, *args, **kwargs)
