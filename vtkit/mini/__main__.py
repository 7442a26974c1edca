"""Make the miniature's data and models, and measure them: python -m vtkit.mini data"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from vtkit.commands import Parser, run, seed_number
from vtkit.mini.replications.chat_styles import CHAT_STYLES, DEFAULT

DATA = ("scenes", "problems", "text")
MODELS = {
    "base": (None, "a miniature base (about 25 minutes on 2 cores)"),
    "instruct": (None, "the instruct miniature (about 10 minutes on 2 cores)"),
    "text": ("models/mini-text", "the text-only miniature base (about 8 minutes on 2 cores)"),
}
"""The folder of a model (None: it depends on other options), and a description."""
CORPORA = ("default", "no_long_traces", "long_traces_no_better")
CARDS = {
    "base": ("models/mini-base", None),
    "instruct": ("results/mini-instruct", "models/mini-instruct"),
    "text": ("results/mini-text", "models/mini-text"),
}
"""Where a card is written, and where the model is (None: there, too)."""


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m vtkit.mini``; returns the exit status."""
    return run(_parser(), _make, argv)


def _make(args: argparse.Namespace) -> None:
    # Here, not above: --help loads no library.
    from vtkit.runs.leash import end_with_parent

    end_with_parent()
    options = {name: value for name, value in vars(args).items() if value is not None}
    what, kind = options.pop("what"), options.pop("kind", None)
    if (what, kind) == ("data", DATA[0]):  # most often, and without models, which take seconds
        from vtkit.mini.dataset import write_dataset

        _show(write_dataset(**options))
        return
    from vtkit.mini import base_model, cards
    from vtkit.mini.replications import files, instruct, text, text_base

    if what == "card":
        print(f"wrote {cards.write_card(kind, **options)}")
    elif what == "data":
        writers = (files.write_problems, text.write_files)
        _show(dict(zip(DATA[1:], writers, strict=True))[kind](**options))
    else:
        builders: tuple[Callable[..., Path], ...]
        builders = (base_model.pretrain, instruct.tune, text_base.pretrain_text)
        print(f"saved {dict(zip(MODELS, builders, strict=True))[what](**options)}")


def _show(paths: dict[str, Path]) -> None:
    for path in paths.values():
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def _parser() -> Parser:
    parser = Parser(prog="python -m vtkit.mini", description="Make the miniature's files.")
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    data = commands.add_parser("data", help="write data in the published schemas")
    data.add_argument(
        "kind", nargs="?", choices=DATA, default="scenes",
        help="SAT and CV-Bench, the other replications' files, or scenes in words "
        "(default: %(default)s)",
    )  # fmt: skip
    data.add_argument("--folder", type=Path, help="where to write (default: under data/mini)")
    data.add_argument(
        "--seed", type=seed_number, default=0, help="another world (default: %(default)s)"
    )
    for name, (folder, about) in MODELS.items():
        model = commands.add_parser(name, help=f"build {about}")
        model.add_argument(
            "--folder", type=Path, default=folder,
            help=f"where to save it (default: {folder or 'its own, under models/'})",
        )  # fmt: skip
        model.add_argument(
            "--seed", type=seed_number, default=0,
            help="seed of weights and documents (default: %(default)s)",
        )  # fmt: skip
        if name == "base":
            model.add_argument(
                "--corpus", choices=CORPORA, default="default",
                help="what it reads; two are for controls (default: %(default)s)",
            )  # fmt: skip
            model.add_argument(
                "--family", metavar="TYPE",
                help="its architecture, see docs/families.md (default: the original's)",
            )  # fmt: skip
        if name == "instruct":
            model.add_argument(
                "--base", type=Path, default="models/mini-base",
                help="what to tune (default: %(default)s)",
            )  # fmt: skip
            model.add_argument(
                "--manner", choices=CHAT_STYLES, default=DEFAULT,
                help="how it answers, see vtkit/mini/replications/chat_styles.py "
                "(default: %(default)s)",
            )  # fmt: skip
    card = commands.add_parser("card", help="measure a model, write its card")
    kinds = card.add_subparsers(dest="kind", required=True, metavar="MODEL")
    for name, (folder, model_folder) in CARDS.items():
        kind = kinds.add_parser(name, help=f"default folder: {folder}")
        kind.add_argument(
            "--folder", type=Path, default=folder, help="where to write (default: %(default)s)"
        )
        if model_folder:
            kind.add_argument(
                "--model", type=Path, default=model_folder, dest="model_folder",
                metavar="FOLDER",
                help="what to measure (default: %(default)s)",
            )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
