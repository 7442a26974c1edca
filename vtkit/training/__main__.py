"""Train one recipe into a run folder, or write a run's model card."""

import argparse
import signal
import sys
from pathlib import Path

from vtkit.commands import Parser, add_config_arguments, config_settings, large_imports, run
from vtkit.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Run ``python -m vtkit.training``; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["card"]:
        program, description = "python -m vtkit.training card", "Write a run's model card."
        parser = Parser(prog=program, description=description)
        parser.add_argument("run_dir", help="folder of a run that has a checkpoint")
        parser.add_argument(
            "--push", metavar="USER/NAME", help="upload the checkpoint with its card"
        )
        return run(parser, _card, argv[1:])
    parser = Parser(
        prog="python -m vtkit.training",
        description="Train one recipe into a run folder.",
        epilog="python -m vtkit.training card RUN writes the model card of a trained run.",
    )
    add_config_arguments(parser)
    return run(parser, _train, argv)


def _train(args: argparse.Namespace) -> None:
    from vtkit.runs.leash import end_with_parent
    from vtkit.runs.surroundings import is_main_process, require_surroundings

    end_with_parent()
    require_surroundings(alone=False)
    from vtkit.config.recipes import resolve_config

    config = resolve_config(**config_settings(args))  # mistakes are found before the long imports
    with large_imports():
        from vtkit.sampling.processes import leave_others
        from vtkit.training.train import train, train_or_launch

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of a scheduler, or of launch
    checkpoint = train_or_launch(config) if config.launcher else train(config)
    if is_main_process():
        print(f"trained: {checkpoint}", flush=True)
    leave_others()


def _card(args: argparse.Namespace) -> None:
    from vtkit.config.run_config import read_config
    from vtkit.runs.checkpoints import trained_checkpoint
    from vtkit.runs.marks import damage, read_mark
    from vtkit.training.model_card import push, write_card

    folder = Path(args.run_dir)
    config = read_config(folder / "config.yaml").replace(run_dir=str(folder))
    checkpoint = trained_checkpoint(folder / "checkpoints")
    if wrong := damage(checkpoint, read_mark(checkpoint).files):
        raise UserError(f"{checkpoint}: {wrong}; train the run again: it uses an older one")
    print(write_card(config, checkpoint))
    if args.push:
        print(push(checkpoint, args.push))


if __name__ == "__main__":
    sys.exit(main())
