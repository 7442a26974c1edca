"""Make the miniature's data and models, and measure them.

python -m vtkit.mini data                 # SAT and CV-Bench (or: data problems, data text)
python -m vtkit.mini base                 # a model: base, instruct or text
python -m vtkit.mini card base            # measure a model, write its card
"""

import argparse
import sys
from pathlib import Path

from vtkit.commands import Parser, run
from vtkit.mini import base_model, cards, dataset
from vtkit.mini.replications import chat_styles, files, instruct, text, text_base

DATA = {
    "scenes": (dataset.write_dataset, dataset.FOLDER),
    "problems": (files.write_problems, dataset.FOLDER),
    "text": (text.write_files, text.FOLDER),
}
MODELS = {
    "base": (base_model.pretrain, None, "a miniature base (about 25 minutes on 2 cores)"),
    "instruct": (instruct.tune, None, "the instruct miniature (about 10 minutes on 2 cores)"),
    "text": (
        text_base.pretrain_text, text_base.FOLDER,
        "the text-only miniature base (about 8 minutes on 2 cores)",
    ),
}  # fmt: skip
"""The function that makes a model, the folder (None: the function's), and a description."""


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m vtkit.mini``; returns the exit status."""
    return run(_parser(), _make, argv)


def _make(args: argparse.Namespace) -> None:
    options = vars(args)
    what, kind = options.pop("what"), options.pop("kind", None)
    if what == "data":
        write, folder = DATA[kind]
        for path in write(args.folder or folder, seed=args.seed).values():
            print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    elif what == "card":
        print(f"wrote {cards.write_card(kind, **options)}")
    else:
        build, folder, _ = MODELS[what]
        print(f"saved {build(**options | {'folder': args.folder or folder})}")


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
    data.add_argument("--seed", type=int, default=0, help="another world (default: %(default)s)")
    for name, (_, folder, about) in MODELS.items():
        model = commands.add_parser(name, help=f"build {about}")
        model.add_argument(
            "--folder", type=Path,
            help=f"where to save it (default: {folder or 'its own, under models/'})",
        )  # fmt: skip
        model.add_argument(
            "--seed", type=int, default=0,
            help="seed of weights and documents (default: %(default)s)",
        )  # fmt: skip
        if name == "base":
            model.add_argument(
                "--corpus", choices=base_model.CORPORA, default="default",
                help="what it reads; two are for controls (default: %(default)s)",
            )  # fmt: skip
        if name == "instruct":
            model.add_argument(
                "--base", type=Path, default=base_model.FOLDER,
                help="what to tune (default: %(default)s)",
            )  # fmt: skip
            model.add_argument(
                "--manner", choices=chat_styles.CHAT_STYLES, default=chat_styles.DEFAULT,
                help="how it answers, see vtkit/mini/replications/chat_styles.py "
                "(default: %(default)s)",
            )  # fmt: skip
    card = commands.add_parser("card", help="measure a model, write its card")
    kinds = card.add_subparsers(dest="kind", required=True, metavar="MODEL")
    for name, card in cards.CARDS.items():
        kind = kinds.add_parser(name, help=f"default folder: {card.folder}")
        kind.add_argument("--folder", type=Path, help=f"where to write (default: {card.folder})")
        if card.model_folder:
            kind.add_argument(
                "--model", type=Path, default=card.model_folder, dest="model_folder",
                metavar="FOLDER",
                help="what to measure (default: %(default)s)",
            )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
