"""Write the folder that a vLLM server of a run loads; print how to start it."""

import argparse
import sys
from pathlib import Path

from vtkit.commands import Parser, add_config_arguments, config_settings, run


def main(argv: list[str] | None = None) -> int:
    """Run ``python -m vtkit.sampling``; returns the exit status."""
    parser = Parser(
        prog="python -m vtkit.sampling",
        description="Write the folder that a vLLM server of a run loads; print how to start it.",
    )
    add_config_arguments(parser)
    parser.add_argument("--out", metavar="FOLDER", help="default <run-dir>/engine")
    return run(parser, _write, argv)


def _write(args: argparse.Namespace) -> None:
    from vtkit.config.recipes import resolve_config

    config = resolve_config(**config_settings(args))  # mistakes are found before the long imports
    from vtkit.models.loading import load_processor
    from vtkit.sampling.vllm_engine import (
        check_pictures,
        require_proven,
        serve_command,
        write_folder,
    )

    require_proven(config.model)
    processor = load_processor(
        config.model, prompt=config.prompt, min_pixels=config.min_pixels,
        max_pixels=config.max_pixels,
    )  # fmt: skip
    check_pictures(processor)
    folder = write_folder(config.model, processor, args.out or Path(config.run_dir) / "engine")
    print(f"on a separate GPU:\n\n    {serve_command(folder.resolve(), config)}\n")
    print("then train with  -p vllm server -p vllm_url http://HOST:8000")


if __name__ == "__main__":
    sys.exit(main())
