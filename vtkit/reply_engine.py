"""Greedy replies by vLLM, for benchmarks: what :func:`vtkit.generation.stream` is for transformers.

vLLM schedules sequences by itself, so that prompts are neither sorted nor padded here. They are
handed over in portions, each of which is kept before the next begins: a stopped evaluation loses no
more than one. vLLM processes pictures itself, with torchvision: values differ from the PIL ones of
training by rounding (0.005 on average), as they do on the training's own vLLM.
"""

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset

from vtkit import engine
from vtkit.errors import UserError
from vtkit.generation import Reply, progress_bar, to_replies
from vtkit.inputs import encoded_images, message
from vtkit.prompts import one_per_image

_PORTION = 256  # rows; as many sequences as vLLM runs at once by default


class ReplyEngine:
    """A model that vLLM runs, in place of a torch one in :func:`vtkit.cv_bench.evaluate`.

    Args:
        model: folder with whole weights, or a hub id.
        processor: of :func:`vtkit.models.load_processor`; its limits on pictures hold.
        place: folder for what vLLM loads (:func:`vtkit.engine.write_folder`).

    Raises:
        UserError: vLLM is missing or of another version, the model is an adapter, or pictures are
            too large.
    """

    def __init__(self, model: str | Path, processor: Any, place: str | Path):
        engine.require()
        engine.check_pictures(processor)
        self.folder = engine.write_folder(model, processor, place)
        self.llm: Any = None

    def digest(self) -> str:
        """Which weights reply, and that vLLM runs them; reads every file once."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.glob("*.safetensors")):
            with open(path, "rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
        return f"vllm {digest.hexdigest()[:16]}"

    def stream(
        self,
        processor: Any,
        dataset: Dataset,
        *,
        batch_size: int,
        max_new_tokens: int,
        progress: bool = False,
        done: Collection[int] = (),
    ) -> Iterator[dict[int, Reply]]:
        """As :func:`vtkit.generation.stream`; ``batch_size`` 0 leaves the portions to us.

        Raises:
            UserError: the engine does not start, or a prompt is too long for it.
        """
        from vllm import SamplingParams

        ready = set(done)
        todo = iter([row for row in range(len(dataset)) if row not in ready])
        greedy = SamplingParams(
            temperature=0.0, max_tokens=max_new_tokens, logit_bias=engine.banned(processor)
        )
        with progress_bar(len(dataset), len(ready), progress) as advance, _refusals():
            while rows := list(islice(todo, batch_size or _PORTION)):
                if self.llm is None:
                    self.llm = self._start(max(map(len, encoded_images(dataset))))
                prompts = [_prompt(processor, dataset[row]) for row in rows]
                outputs = self.llm.generate(prompts, sampling_params=greedy, use_tqdm=False)
                pairs = zip(rows, outputs, strict=True)
                said = {row: list(output.outputs[0].token_ids) for row, output in pairs}
                yield to_replies(processor, said)
                advance(len(rows))

    def _start(self, pictures: int) -> Any:
        """The engine, for questions with so many pictures at most."""
        from vllm import LLM

        limits = {"image": pictures, "video": 0}
        return LLM(model=str(self.folder), seed=0, limit_mm_per_prompt=limits)


@contextmanager
def _refusals() -> Iterator[None]:
    """What vLLM refuses, in one line; its own are RuntimeError and ValueError."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        about = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"vLLM: {about}; lower --max-pixels, free the GPU, or use --engine transformers"
        ) from error


def _prompt(processor: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Rendered, with one image token for each picture: vLLM expands them itself."""
    messages = message(row)
    pictures = [part["image"] for part in messages[0]["content"] if part["type"] == "image"]
    text = processor.apply_chat_template(
        messages,
        add_generation_prompt=True,
        tokenize=False,
        chat_template=one_per_image(processor.chat_template),
    )
    tokens = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    return {"prompt_token_ids": tokens, "multi_modal_data": {"image": pictures}}
