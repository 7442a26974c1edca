"""Load models of all families, with their processors, at any scale."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoConfig, PreTrainedTokenizerBase
from transformers.utils import cached_file, logging

from vtkit.config.run_config import RunConfig
from vtkit.errors import UserError, first_line, shorten
from vtkit.files import read_json
from vtkit.hub import is_hub_id, say_local
from vtkit.models import adapters
from vtkit.models.devices import is_out_of_memory, pick_device, require_attention
from vtkit.models.families import family_of, require_family
from vtkit.models.family import Family
from vtkit.models.folders import base_of, family_in, model_type, require_whole
from vtkit.models.inputs import tokenizer_of
from vtkit.models.processors import ImageOnlyProcessor, build_processor, load_parts
from vtkit.models.prompts import TextStaysText, get_template, name_of, one_per_image

logging.disable_progress_bar()  # of loading and saving weights: they hide the ones that matter


def require_model(path: str | Path) -> None:
    """Refuse a local model folder that does not exist or lacks its weights, or its base's."""
    folder = Path(path)
    if folder.exists():
        say_local(str(path))
    if base := base_of(folder):
        return _require_adapter(folder, base)
    if not folder.exists() and is_hub_id(str(path)):
        return  # from_pretrained says what is wrong with it
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder}: no model there (config.json and *.safetensors); rebuild the miniature base "
            "with `python -m vtkit.mini base`, or set `model` to a folder or a hub id"
        )
    # Of another type transformers would build its default, 7 B parameters, and fill memory.
    require_family(model_type(folder), folder / "config.json")


def _require_adapter(folder: Path, base: str) -> None:
    if not (folder / "adapter_model.safetensors").is_file():
        raise UserError(f"{folder}: adapter_model.safetensors is missing; restore the folder")
    try:
        require_whole(base)
        require_model(base)
    except UserError as error:
        raise UserError(
            f"{folder}: the base of this adapter cannot be used ({error}); restore the base, or "
            "set base_model_name_or_path in adapter_config.json to where it is"
        ) from None


def load_processor(
    model: str | Path, *, prompt: str, min_pixels: int | None = None, max_pixels: int | None = None
) -> ImageOnlyProcessor | PreTrainedTokenizerBase:
    """Load the processor of a model, with our chat template, image limits and left padding.

    Args:
        prompt: a name in :data:`vtkit.models.prompts.TEMPLATES`.
        min_pixels, max_pixels: limits on width x height after resizing; without them the folder's.
    """
    require_model(model)
    family = family_in(model)
    template = get_template(prompt, family)
    try:
        image_processor, tokenizer = load_parts(model, family)
        if image_processor is None:
            tokenizer.chat_template = template
            kind = type(tokenizer)  # its name is saved with it
            tokenizer.__class__ = type(kind.__name__, (TextStaysText, kind), {})
            return tokenizer
        sized = family.seen.length
        config = AutoConfig.from_pretrained(base_of(model) or model) if sized else None
    except Exception as error:  # what wrong contents of files lead to
        raise _unreadable(model, "its processor", error) from error
    require_marks(tokenizer, family, model)
    family.seen.layout.limit(image_processor, min_pixels, max_pixels)
    return build_processor(family, image_processor, tokenizer, template, config)


def choose_prompt(model: str | Path, asked: str | None = None) -> str:
    """The prompt to sample from a model with: ``asked``, or the one that it was saved with.

    A note is printed if they differ. Of a template that is none of ours, such as the hub's models
    have, the prompt is ``base``.
    """
    require_model(model)
    quietly = ("missing_entries", "connection_errors", "gated_repo")
    options = {f"_raise_exceptions_for_{what}": False for what in quietly}
    path = cached_file(str(model), "chat_template.jinja", **options)
    own = path and name_of(Path(path).read_text(encoding="utf-8", errors="replace"))
    if asked and own and asked != own:
        print(f"prompt: {model} was saved with {own}, and {asked} is asked for", flush=True)
    return asked or own or "base"


def require_marks(tokenizer: Any, family: Family, folder: str | Path) -> None:
    """Refuse a tokenizer without the special tokens of its family's prompts."""
    known = tokenizer.get_vocab()
    if missing := [mark for mark in family.marks if mark not in known]:
        raise UserError(
            f"{folder}: its tokenizer lacks {', '.join(missing)}, which the prompts of its family "
            "have; restore tokenizer.json, or choose another model"
        )


def require_tokenizer(model: Any, processor: Any, folder: str | Path) -> None:
    """Refuse a tokenizer that is not the model's: it has more tokens, or others for pictures."""
    tokens, known = len(tokenizer_of(processor)), model.get_input_embeddings().num_embeddings
    image = getattr(processor, "image_token_id", None)
    if tokens > known:
        wrong = f"has {tokens:,} tokens and the model {known:,}"
    elif image is not None and image != model.config.image_token_id:
        wrong = f"has {image} for a picture and the model {model.config.image_token_id}"
    else:
        return
    raise UserError(f"{folder}: its tokenizer {wrong}; restore tokenizer.json of this model")


def load_model(
    model: str | Path,
    *,
    dtype: str = "float32",
    quantization: Any = None,
    attention: str = "sdpa",
) -> Any:
    """Load a model from a folder or the hub.

    Args:
        model: with an adapter's folder the result is a ``peft.PeftModel``: the adapter on its base.
        quantization: a ``BitsAndBytesConfig``.
        attention: transformers' ``attn_implementation``.
    """
    require_model(model)
    base, device = base_of(model), pick_device()[0]
    own = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device == "cuda" else device
    where = {"device_map": {"": own}} if quantization else {}  # it cannot be moved later
    with reading_weights(model):
        loaded = read_weights(
            family_in(model).model_class, base or model,
            dtype=getattr(torch, dtype), quantization_config=quantization,
            attn_implementation=attention, **where,
        )  # fmt: skip
        if quantization:
            loaded = adapters.prepare_quantized(loaded, dtype)
        if base:  # not merged: rounding the sum would lose most of so small a difference
            from peft import PeftModel  # slow to import

            with warnings.catch_warnings(action="ignore"):  # of tensors, which are checked below
                loaded = PeftModel.from_pretrained(loaded, str(model), ignore_mismatched_sizes=True)
            loaded.name_or_path = str(model)
            adapters.require_tensors(loaded, model)
        return loaded if quantization else loaded.to(device)


@contextmanager
def reading_weights(folder: str | Path) -> Iterator[None]:
    """Turn whatever goes wrong while a folder's weights are loaded into one line about it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # safetensors, OS and hub errors have no common ancestor
        if not is_out_of_memory(error):
            raise _unreadable(folder, "its weights", error) from error
        raise UserError(
            f"{folder}: too little memory to load its weights; free some, or choose a smaller "
            "profile or an adapter"
        ) from error


def _unreadable(model: str | Path, what: str, error: Exception) -> UserError:
    """One line about a model that cannot be loaded, with the file that is damaged if one is."""
    place = _damaged_file(Path(model)) or model
    return UserError(
        f"{place}: cannot load {what} ({shorten(first_line(error))}); restore or rebuild the folder"
    )


def _damaged_file(folder: Path) -> Path | None:
    """The first file of a model's folder that is not what its name says."""
    for path in sorted(folder.glob("*.json")):
        try:
            if not isinstance(read_json(path), dict):
                return path
            if path.name == "tokenizer.json":
                Tokenizer.from_file(str(path))
        except Exception:  # tokenizers has no class of its own for it
            return path
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt"):  # the header, and whether the rest is as long as it says
                pass
        except Exception:
            return path
    return None


def read_weights(kind: Any, folder: str | Path, **options: Any) -> Any:
    """Load a model of class ``kind``; a UserError names tensors that are missing or do not fit.

    Args:
        options: of transformers' ``from_pretrained``.
    """
    with _quiet():  # it would draw fresh weights for what is missing, and only say so
        model, found = kind.from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    mismatched = [name for name, *_ in found["mismatched_keys"]]
    adapters.refuse_tensors(folder, found["missing_keys"], found["unexpected_keys"], mismatched)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of transformers inside the block."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def load(config: RunConfig, model: str | Path | None = None) -> tuple[Any, Any]:
    """Load model and processor of a run, or of its checkpoint ``model``."""
    folder = model or config.model
    if str(folder) != config.model:
        choose_prompt(folder, config.prompt)
    processor = load_processor(
        folder, prompt=config.prompt, min_pixels=config.min_pixels, max_pixels=config.max_pixels
    )
    if config.max_images > 1:
        processor.chat_template = one_per_image(processor.chat_template)
    require_attention(config.attn_implementation, config.dtype)
    loaded = load_model(
        folder, dtype=adapters.base_dtype(config), quantization=adapters.quantization(config),
        attention=config.attn_implementation,
    )  # fmt: skip
    require_tokenizer(loaded, processor, folder)
    return loaded, processor


def count_parameters(model: torch.nn.Module) -> dict[str, int]:
    """Count parameters: ``total``, ``trained``, ``vision``."""
    named, is_vision = list(model.named_parameters()), family_of(model).is_vision
    return {
        "total": sum(p.numel() for _, p in named),
        "trained": sum(p.numel() for _, p in named if p.requires_grad),
        "vision": sum(p.numel() for name, p in named if is_vision(name)),
    }
