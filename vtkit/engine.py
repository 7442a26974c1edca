"""vLLM where it is installed: which version, and what it has to be told about Qwen2-VL.

vLLM reads all it knows from a folder, the limits on a picture's size included. Where these are not
the trainer's, pictures become other numbers of tokens and nothing complains; so it gets a folder of
its own (:func:`write_folder`): links to the weights, and the processor that trains.

    python -m vtkit.engine --profile paper          # that folder, and the command to serve it
"""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

from vtkit import adapters
from vtkit.errors import UserError
from vtkit.memory import ENGINE_TOKENS

SUPPORTED = ("0.22.0", "0.31.0")
"""Oldest and newest vLLM that TRL 1.16 knows (trl/import_utils.py)."""
_BAN = -100.0  # of a logit, the least that vLLM's SamplingParams takes
_LINKED = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")


def require() -> None:
    """Refuse to go on without a vLLM that TRL can drive.

    Raises:
        UserError: it is missing or of another version; says how to install the right one.
    """
    remedy = "`pip install -e '.[vllm]'` in an environment of its own (it brings transformers 5.17)"
    if importlib.util.find_spec("vllm") is None:
        raise UserError(f"vLLM is not installed; {remedy}, or set `vllm` to off")
    try:
        version = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"vLLM's version is not known; {remedy}, or set `vllm` to off") from None
    oldest, newest = map(Version, SUPPORTED)
    if not oldest <= Version(Version(version).base_version) <= newest:  # without "+cu129"
        raise UserError(
            f"vLLM {version} is not one that TRL 1.16 drives ({oldest} to {newest}); {remedy}, "
            "or set `vllm` to off"
        )


def collapse(tokens: Sequence[int], image: int) -> list[int]:
    """The tokens with each run of image tokens as one, which is what vLLM expands again.

    Args:
        image: id of the image token. Two pictures are never one run: each has a start and an end.
    """
    return [
        token
        for at, token in enumerate(tokens)
        if token != image or at == 0 or tokens[at - 1] != image
    ]


def banned(processor: Any) -> dict[int, float]:
    """Logit bias against tokens of pictures: a sampled one has no picture behind it, and the
    model's forward pass fails on it. transformers' generation suppresses them, vLLM does not."""
    return dict.fromkeys(sorted({processor.image_token_id, processor.video_token_id}), _BAN)


def picture_tokens(processor: Any) -> int:
    """Tokens of the largest picture that the processor makes."""
    tool = processor.image_processor
    return max(1, tool.size["longest_edge"] // (tool.patch_size * tool.merge_size) ** 2)


def check_pictures(processor: Any) -> None:
    """Refuse pictures that vLLM could not read in one go, as it has to.

    Raises:
        UserError: names the largest limit that works.
    """
    tool, tokens = processor.image_processor, picture_tokens(processor)
    if tokens > ENGINE_TOKENS:
        most = ENGINE_TOKENS * (tool.patch_size * tool.merge_size) ** 2
        raise UserError(
            f"max_pixels: a picture may have {tokens:,} tokens and vLLM reads at most "
            f"{ENGINE_TOKENS:,} at once; set max_pixels to {most} or less"
        )


def write_folder(model: str | Path, processor: Any, folder: str | Path) -> Path:
    """A model folder for vLLM: ``model``'s weights as links, with ``processor`` beside them.

    Args:
        model: folder or hub id; nothing is downloaded that is in the hub's cache already.

    Raises:
        UserError: an adapter, which vLLM would serve without its vision part, or a folder that
            cannot be written.
    """
    if base := adapters.base_of(model):
        raise UserError(
            f"{model}: is an adapter on {base}; vLLM takes whole weights only: use transformers"
        )
    source, folder = _local(model), Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (path for pattern in _LINKED for path in source.glob(pattern)):
            _link(path.resolve(), folder / path.name)
        processor.save_pretrained(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; choose another") from error
    return folder


def _link(target: Path, link: Path) -> None:
    if link.exists() and not link.is_symlink():
        raise UserError(f"{link} is a file of its own; choose a folder without a model in it")
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _local(model: str | Path) -> Path:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), allow_patterns=list(_LINKED)))
    except Exception as error:  # the hub's, requests' and OS errors have no common ancestor
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{model}: cannot be downloaded ({reason}); check the name") from error


def check_served(folder: str, processor: Any) -> None:
    """Refuse a served folder whose pictures are not ours; one that is not here goes unchecked.

    Raises:
        UserError: says how to make the right folder.
    """
    from vtkit.models import load_processor

    if not Path(folder).is_dir():
        print(f"vLLM serves {folder}, which is not on this machine: not checked", flush=True)
        return
    theirs = load_processor(folder, prompt="base").image_processor.size
    ours = processor.image_processor.size
    if dict(theirs) != dict(ours):
        raise UserError(
            f"vllm_url: the server's folder {folder} limits pictures to {dict(theirs)}, this run "
            f"to {dict(ours)}; serve the folder that `python -m vtkit.engine` writes"
        )


def serve_command(folder: str | Path) -> str:
    """How vLLM is started so that TRL can sample from it and send it weights (trl.generation)."""
    return (
        f"VLLM_SERVER_DEV_MODE=1 vllm serve {folder} "
        """--weight-transfer-config '{"backend": "nccl"}' --logprobs-mode processed_logprobs """
        "--max-logprobs -1 --enable-scale-out"
    )


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m vtkit.engine``; returns the exit status."""
    from vtkit.options import friendly

    return friendly(lambda: _main(argv))


def _main(argv: list[str] | None) -> int:
    from vtkit.models import load_processor
    from vtkit.options import Parser, add_config_arguments
    from vtkit.recipes import load_config

    parser = Parser(
        prog="python -m vtkit.engine",
        description="Write the folder that a vLLM server of a run loads; print how to start it.",
    )
    add_config_arguments(parser)
    parser.add_argument("--out", metavar="FOLDER", help="default <run-dir>/engine")
    args = parser.parse_args(argv)
    config = load_config(
        args.recipe, args.profile, seed=args.seed, run_dir=args.run_dir, **dict(args.parameters)
    )
    processor = load_processor(
        config.model, prompt=config.prompt, min_pixels=config.min_pixels,
        max_pixels=config.max_pixels,
    )  # fmt: skip
    check_pictures(processor)
    folder = write_folder(config.model, processor, args.out or Path(config.run_dir) / "engine")
    print(f"on a GPU of its own:\n\n    {serve_command(folder.resolve())}\n")
    print("then train with  -p vllm server -p vllm_url http://HOST:8000")
    return 0


if __name__ == "__main__":
    sys.exit(main())
