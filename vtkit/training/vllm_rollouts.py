"""Rollouts by vLLM: which of TRL's settings are set, and why.

``vllm: colocate`` keeps an engine on each training GPU, ``server`` asks one on GPUs of its own, and
``auto`` is colocate where vLLM and a GPU are there. Sampled is the same policy; what differs is how
its numbers are rounded, so that probabilities of vLLM and of the trainer are not quite equal. TRL
weighs with their ratio. By default it takes the ratio of a whole completion and drops those above a
limit: over 700 tokens a mean difference of 0.002 in log-probability is a ratio of 4, so that long
answers go unlearned in silence, and length is what R1-Zero is about. Here each token has a ratio of
its own, cut at :data:`RATIO` (Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You
Off-Policy RL Training"): every token of every completion counts.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from peft import PeftModel

from vtkit.errors import UserError, first_line
from vtkit.models.loading import pick_device
from vtkit.models.shapes import shape_of
from vtkit.planning import memory
from vtkit.planning.memory import Batch
from vtkit.sampling import vllm_engine

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig


RATIO = 2.0


def mode(config: "RunConfig") -> str:
    """``off``, ``colocate`` or ``server``: what ``config.vllm`` comes to on this machine.

    Raises:
        UserError: vLLM was asked for and cannot be used; says why and what to change.
    """
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


def _check(config: "RunConfig") -> None:
    if config.adapter == "qlora":
        raise UserError(
            "parameters: vllm: adapters of a base in 4 bits would be rounded away when they are "
            "merged for vLLM; set vllm to off, or adapter to lora"
        )
    if config.vllm == "server" and not config.vllm_url.startswith(("http://", "https://")):
        raise UserError(
            f"parameters: vllm_url: {config.vllm_url!r} is no address such as "
            "http://localhost:8000; `python -m vtkit.sampling` says how to start a server"
        )
    vllm_engine.require()
    if pick_device()[0] == "cpu":
        raise UserError("vLLM samples on a CUDA device, and there is none; set `vllm` to off")


def arguments(config: "RunConfig", how: str) -> dict[str, Any]:
    """Of GRPOConfig; ``how`` as :func:`mode` says. The rest takes a model: :func:`prepare_vllm`.

    With ``top_k`` the engine samples from a part of the distribution, which the trainer takes for
    the whole: its ratio would be that part's probability, a weight that transformers' rollouts do
    not have (huggingface/trl#6789). So there is none, as in the original.
    """
    if how == "off":
        return {}
    return dict(
        use_vllm=True, vllm_mode=how, vllm_server_base_url=config.vllm_url or None,
        vllm_importance_sampling_correction=config.top_k == 0,
        vllm_importance_sampling_mode="token_truncate",
        vllm_importance_sampling_clip_max=RATIO,
        # Level 2 drops weights that the next step sends anew anyway; but the cache is small.
        vllm_enable_sleep_mode=False,
        vllm_tensor_parallel_size=1,  # 2 B parameters fit on every card
    )  # fmt: skip


def prepare_vllm(
    args: Any, config: "RunConfig", model: Any, processor: Any, dataset: Any, total: float
) -> None:
    """What GRPOConfig can only be told once model, processor and questions are there.

    Args:
        args: the GRPOConfig, changed in place; nothing without vLLM.
        dataset: has a column ``question``.
        total: bytes of memory that the GPU has.

    Raises:
        UserError: pictures that are too large for vLLM, or a GPU that is too small.
    """
    if not getattr(args, "use_vllm", False):
        return
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
    args.vllm_gpu_memory_utilization = math.ceil(100 * bytes_ / total) / 100
    if args.vllm_gpu_memory_utilization >= 1:
        raise UserError(
            f"parameters: vllm: the engine needs {bytes_ / 1e9:.1f} GB and the GPU has "
            f"{total / 1e9:.1f}; set vllm to off"
        )
    folder = Path(config.run_dir) / "engine"
    with PartialState().main_process_first():
        model.name_or_path = str(vllm_engine.write_folder(config.model, processor, folder))
    share = args.vllm_gpu_memory_utilization
    print(f"rollouts by vLLM beside the training, on {share:.0%} of the GPU's memory", flush=True)


def longest_prompt(processor: Any, dataset: Any) -> int:
    """Tokens of the longest prompt, with the largest picture that the processor makes."""
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": ""}]}
    frame = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    words = processor.tokenizer([frame, *dataset["question"]])["input_ids"]
    return len(words[0]) + max(map(len, words[1:])) + vllm_engine.picture_tokens(processor)


@contextmanager
def starting(config: "RunConfig", args: Any) -> Iterator[None]:
    """While TRL's trainer is made, and with it the engine: what vLLM refuses becomes one line.

    Raises:
        UserError: no server answers, or the engine does not fit beside the training.
    """
    try:
        yield
    except (ConnectionError, RuntimeError, ValueError) as error:
        if not args.use_vllm:
            raise
        about = first_line(error)
        if args.vllm_mode == "server":
            raise UserError(
                f"vllm_url: {config.vllm_url}: {about}; `python -m vtkit.sampling` says how to "
                "start a server that works"
            ) from error
        if "memory" not in str(error).lower():
            raise
        raise UserError(
            f"parameters: vllm: the engine does not fit on the GPU ({about}); lower "
            "per_device_batch_size, set vllm_memory to another share, or vllm to off"
        ) from error


def check_started(trainer: Any, config: "RunConfig") -> None:
    """Once the trainer is there: the server has our processor, a checkpoint names the real base.

    Raises:
        UserError: the server's folder makes other pictures.
    """
    if not getattr(trainer.args, "use_vllm", False):
        return
    if trainer.args.vllm_mode == "server":
        if trainer.accelerator.is_main_process:
            client = trainer.vllm_generation.vllm_client
            served = client.get_server_info()["model_config"]["model"]
            vllm_engine.check_served(served, trainer.processing_class)
    elif isinstance(trainer.model, PeftModel):  # peft took the name that was meant for vLLM
        for adapter in trainer.model.peft_config.values():
            adapter.base_model_name_or_path = config.model


class OneTokenPerPicture:
    """Of GRPOTrainer: a colocated vLLM is given one image token for each picture.

    TRL 1.16 hands it prompts whose image tokens are expanded already, and vLLM expands the first of
    them again: the model sees n features followed by n - 1 bare image tokens, and says nothing
    (huggingface/trl#6294, #6401). A server gets features apart and needs the expanded run.
    """

    def _generate_single_turn(self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any) -> Any:
        if self.use_vllm and self.vllm_mode == "colocate":
            image = self.processing_class.image_token_id
            prompt_ids = [vllm_engine.collapse(tokens, image) for tokens in prompt_ids]
        return super()._generate_single_turn(prompt_ids, *args, **kwargs)
