"""A stand-in for vLLM, from its documented behaviour: what it is asked is checked and kept.

A prompt of token ids with pictures has one image token for each, which the engine replaces by as
many as the picture has (docs.vllm.ai, "Multi-Modal Data Processing": prompt replacement). The
folder's own processor says how many.
"""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from vtkit.models.loading import load_processor

IMAGE = "<|image_pad|>"


class SamplingParams:
    """Keeps what it is given; a wrong name would be refused by the real one too."""

    NAMES = (
        "n", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens",
        "logprobs", "logit_bias", "seed", "stop",
    )  # fmt: skip

    def __init__(self, **values: Any):
        assert not set(values) - set(self.NAMES), values
        assert all(-100 <= bias <= 100 for bias in values.get("logit_bias", {}).values())
        self.values = values


class LLM:
    """Completes with ``completion(prompt)``, token ids; tests read the class attributes.

    Attributes:
        started: keyword arguments of each engine; ``calls``: (prompts, sampling values) of each
            ``generate``; ``expanded``: prompts as a model would see them; ``weights``: what
            ``load_weights`` was sent; ``asked``: resets, sleeps and wakings, in order;
            ``parameters``: those that the engine's model has.
    """

    started: list[dict[str, Any]] = []
    calls: list[tuple[list[dict[str, Any]], dict[str, Any]]] = []
    expanded: list[list[int]] = []
    weights: dict[str, Any] = {}
    asked: list[str] = []
    parameters: list[Any] = []
    completion: Callable[[dict[str, Any]], list[int]] = staticmethod(lambda prompt: [20, 0])
    logprob = -1.0

    def __init__(self, model: str, **settings: Any):
        self.started.append({"model": model, **settings})
        self.processor = load_processor(model, prompt="base")
        model = SimpleNamespace(
            load_weights=self.weights.update, parameters=lambda: self.parameters
        )
        worker = SimpleNamespace(model_runner=SimpleNamespace(model=model))
        self.llm_engine = SimpleNamespace(
            model_executor=SimpleNamespace(driver_worker=worker),
            reset_encoder_cache=lambda: self.asked.append("reset_encoder_cache"),
        )

    def generate(
        self, prompts: list[dict[str, Any]], *, sampling_params: SamplingParams, use_tqdm: bool
    ) -> list[Any]:
        asleep = self.started[-1].get("enable_sleep_mode") and not self.weights
        assert not asleep, "weights are lost in sleep"
        self.calls.append((prompts, sampling_params.values))
        return [self._answer(prompt) for prompt in prompts]

    def reset_prefix_cache(self) -> None:
        self.asked.append("reset_prefix_cache")

    def sleep(self, level: int) -> None:
        """Give memory back; at level 2 the weights are lost, and have to be sent again."""
        self.asked.append(f"sleep {level}")
        self.weights.clear()

    def wake_up(self, tags: list[str]) -> None:
        self.asked.append(f"wake {' '.join(tags)}")

    def _answer(self, prompt: dict[str, Any]) -> Any:
        self.expanded.append(self._expand(**prompt))
        tokens = type(self).completion(prompt)
        known = [{token: SimpleNamespace(rank=1, logprob=self.logprob)} for token in tokens]
        output = SimpleNamespace(token_ids=tuple(tokens), logprobs=known)
        return SimpleNamespace(prompt_token_ids=prompt["prompt_token_ids"], outputs=[output])

    def _expand(
        self, prompt_token_ids: list[int], multi_modal_data: dict[str, Any] | None = None
    ) -> list[int]:
        if multi_modal_data is None:
            return prompt_token_ids
        pictures = multi_modal_data["image"]
        pictures = list(pictures) if isinstance(pictures, list) else [pictures]
        tool = self.processor.image_processor
        whole: list[int] = []
        for token in prompt_token_ids:
            n = 1
            if token == self.processor.image_token_id and pictures:
                picture = pictures.pop(0)
                assert not tool.do_resize, "pictures come fitted"
                n = picture.height * picture.width // (tool.patch_size * tool.merge_size) ** 2
            whole += [token] * n
        assert not pictures, "a picture without an image token"
        return whole


def module(device: str = "cuda") -> ModuleType:
    """``vllm`` for ``sys.modules``, built for ``device``, with an LLM that has seen nothing."""
    fresh = {"started": [], "calls": [], "expanded": [], "weights": {}, "asked": []}
    found = ModuleType("vllm")
    found.LLM, found.SamplingParams = type("LLM", (LLM,), fresh), SamplingParams
    found.platforms = ModuleType("vllm.platforms")
    found.platforms.current_platform = SimpleNamespace(
        device_type=device, is_sleep_mode_available=lambda: device == "cuda"
    )
    return found
