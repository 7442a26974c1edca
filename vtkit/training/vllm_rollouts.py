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
from vtkit.models.inputs import tokenizer_of
from vtkit.models.prompts import as_text
from vtkit.models.shapes import shape_of
from vtkit.planning import memory
from vtkit.planning.memory import Batch
from vtkit.runs.surroundings import is_asked_for
from vtkit.sampling import vllm_engine
from vtkit.training.vllm_weights import own_generation

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
    if config.adapter == "qlora" and is_asked_for("FSDP"):
        raise UserError(
            "parameters: vllm: under FSDP TRL merges adapters for vLLM, which rounds them away in "
            "a base of 4 bits; set vllm to off, or adapter to lora"
        )
    if config.vllm == "server" and not config.vllm_url.startswith(("http://", "https://")):
        raise UserError(
            f"parameters: vllm_url: {quote(config.vllm_url)} is not an address such as "
            "http://localhost:8000; `python -m vtkit.sampling` says how to start a server"
        )
    vllm_engine.require()
    device = pick_device()[0]
    if device == "cpu" and config.vllm == "auto":
        raise UserError("vLLM is for a GPU, and there is none")
    if config.vllm != "server":
        vllm_engine.require_device(device, sleep=config.vllm_sleep)
    elif device == "cpu":
        raise UserError(
            "parameters: vllm: TRL sends a server weights from a CUDA device only, and there is "
            "none; set vllm to off"
        )


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
        vllm_enable_sleep_mode=config.vllm_sleep,
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
        with own_generation(config):
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
    shape, pictures = shape_of(model.config), config.max_images * ("images" in dataset.column_names)
    prompt = longest_prompt(processor, dataset, pictures)
    sequences = args.per_device_train_batch_size * args.steps_per_generation
    patches = pictures * vllm_engine.picture_tokens(processor) * shape.merge**2
    batch = Batch(sequences, prompt, config.max_completion_length, patches)
    args.vllm_max_model_length = batch.length
    bytes_ = memory.engine(shape, config, batch, total)
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


def longest_prompt(processor: Any, dataset: Any, pictures: int) -> int:
    """Tokens of the longest prompt, with ``pictures`` of the largest that the processor makes."""
    tokenizer = tokenizer_of(processor)
    parts = [*[{"type": "image"}] * pictures, {"type": "text", "text": ""}]
    turn = {"role": "user", "content": parts if pictures else ""}
    frame = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    words = tokenizer([frame, *as_text(tokenizer, dataset["question"][:])])["input_ids"]
    room = pictures * vllm_engine.picture_tokens(processor)
    return len(words[0]) + max(map(len, words[1:])) + room


def check_started(trainer: Any, config: RunConfig) -> None:
    """Check that the server has our processor, and a colocated vLLM weights to replace.

    Checkpoints of adapters then name their real base.
    """
    if trainer.args.vllm_mode == "server":
        if trainer.accelerator.is_main_process:
            client = trainer.vllm_generation.vllm_client
            served = client.get_server_info()["model_config"]["model"]
            vllm_engine.check_served(served, trainer.processing_class)
        return
    require_weights(trainer.vllm_generation.llm)
    if isinstance(trainer.model, PeftModel):  # peft took the name that was meant for vLLM
        for adapter in trainer.model.peft_config.values():
            adapter.base_model_name_or_path = config.model


def require_weights(llm: Any) -> None:
    """Refuse an engine that packed its weights away, as vLLM does on a CPU."""
    model = llm.llm_engine.model_executor.driver_worker.model_runner.model
    if any(parameter.numel() == 0 for parameter in model.parameters()):
        raise UserError(
            "parameters: vllm: vLLM packs its weights on a CPU, and no new ones can be sent; set "
            "vllm to off (for tests, tests/engines/setup.sh makes an environment)"
        )


_Mixed: Any = object  # of a mixin, before TRL's trainer


class OneTokenPerPicture(_Mixed):
    """A GRPOTrainer that gives vLLM the pictures that it trains on, colocated with one token each.

    Of TRL 1.16's expanded ones vLLM silently expands the first again (huggingface/trl#6294, #6401).
    """

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: list[list[Any] | None] | None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if self.use_vllm and images:
            images = self._fitted(images)
            if self.vllm_mode == "colocate":
                image = self.processing_class.image_token_id
                prompt_ids = [vllm_engine.collapse(tokens, image) for tokens in prompt_ids]
        return super()._generate_single_turn(prompt_ids, images, *args, **kwargs)

    def _fitted(self, images: list[list[Any] | None]) -> list[list[Any] | None]:
        """Pictures as the processor reads them; those of a group's prompts are one object."""
        distinct = {id(picture): picture for row in images for picture in row or []}
        ready = {
            key: vllm_engine.fitted(self.processing_class, picture)
            for key, picture in distinct.items()
        }
        return [row and [ready[id(picture)] for picture in row] for row in images]
