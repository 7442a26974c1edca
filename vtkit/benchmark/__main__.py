"""Score any checkpoint on CV-Bench, BLINK or VSR, and write the files of an evaluation.

python -m vtkit.benchmark --model runs/x/checkpoints/checkpoint-100 --data data/mini --out out
python -m vtkit.benchmark --model Qwen/Qwen2-VL-2B --benchmark blink --data data/blink --out out

On several GPUs: ``accelerate launch --config_file configs/accelerate/ddp.yaml -m vtkit.benchmark``.
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtkit.commands import Parser, run
from vtkit.errors import UserError
from vtkit.files import require_name
from vtkit.models.prompts import TEMPLATES
from vtkit.rendering import align

if TYPE_CHECKING:
    from datasets import Dataset

NAMES = {"cv_bench": "CV-Bench", "blink": "BLINK", "vsr": "VSR"}


def main(argv: list[str] | None = None) -> int:
    """Entry point of ``python -m vtkit.benchmark``; returns the exit status."""
    return run(_parser(), _score, argv)


def _score(args: argparse.Namespace) -> None:
    from vtkit.benchmark.evaluate import evaluate
    from vtkit.models.devices import pick_device
    from vtkit.models.loading import choose_prompt, load_model, load_processor, require_tokenizer
    from vtkit.runs.checkpoints import step_of
    from vtkit.runs.folder import hold
    from vtkit.runs.leash import end_with_parent
    from vtkit.runs.surroundings import is_main_process
    from vtkit.sampling.processes import leave_others, place, wait_for_others
    from vtkit.sampling.vllm_engine import CompletionEngine

    end_with_parent()
    step = step_of(Path(args.model))
    require_name(args.out, "--out")
    finished = Path(args.out) / f"step-{step:06d}.json"
    if finished.exists():
        raise UserError(f"{finished} is there already; name another folder with --out")
    rows = _rows(args)
    wait_for_others()
    device, reason = pick_device()
    prompt = choose_prompt(args.model, args.prompt)
    processor = load_processor(args.model, prompt=prompt, max_pixels=args.max_pixels)
    dtype = "bfloat16" if device == "cuda" else "float32"
    if args.engine == "vllm":
        if place()[1] > 1:
            raise UserError("--engine vllm: scores in one process; leave out `accelerate launch`")
        folder = Path(args.out) / "engine"
        model = CompletionEngine(args.model, processor, folder, device=device, dtype=dtype)
    else:
        model = load_model(args.model, dtype=dtype)
        require_tokenizer(model, processor, args.model)
    questions = f"{len(rows)} questions with prompt {prompt}"
    if is_main_process():
        print(f"{NAMES[args.benchmark]}: {questions}, {reason}", flush=True)
    with hold(args.out) if is_main_process() else nullcontext():
        result = evaluate(
            model, processor, rows, args.out,
            step=step, prompt=prompt, batch_size=args.batch_size,
            max_new_tokens=args.max_new_tokens,
        )  # fmt: skip
    if is_main_process():
        print(table(result))
        print(f"rows: {finished.with_suffix('.parquet')}", flush=True)
    leave_others()


def table(result: dict[str, Any]) -> str:
    """The result of :func:`vtkit.benchmark.evaluate.score` as text: both judges, with intervals."""
    paper = result["paper"]
    rows = [["", "this kit's judge", "the original's judge"]]
    rows.append(["all", _share(result["accuracy"]), _share(paper["accuracy"])])
    if len(result["tasks"]) > 1:
        for name, share in result["tasks"].items():
            rows.append([name, _share(share), _share(paper["tasks"][name])])
    if result["official"] is not None:
        official = (f"{judged['official']:6.1%}" for judged in (result, paper))
        rows.append(["CV-Bench's formula", *official])
    return (
        f"{align(rows)}\nno answer found: {_share(result['format_failures']).strip()}\n"
        f"guessing scores {result['chance']:.1%}, always (A) {result['always_A']:.1%}; "
        f"{result['n']} questions, {result['mean_tokens']:.0f} tokens a completion"
    )


def _share(share: dict[str, Any]) -> str:
    return f"{share['value']:6.1%} ({share['low']:.1%} to {share['high']:.1%})"


def _rows(args: argparse.Namespace) -> "Dataset":
    """Load the benchmark's rows; options of another benchmark are refused."""
    options: dict[str, Any] = {"rows": args.rows}
    for name, benchmark in (("images", "vsr"), ("single_image", "blink")):
        if getattr(args, name) and args.benchmark != benchmark:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} is for --benchmark {benchmark}; leave it out")
    if args.images:
        options["images"] = args.images
    if args.single_image:
        options["multi_image"] = False
    from vtkit.data.blink_vsr import LOADERS

    rows = LOADERS[args.benchmark](args.data, **options)
    if rows.info.description:
        print(rows.info.description, flush=True)
    return rows


def _parser() -> Parser:
    parser = Parser(
        prog="python -m vtkit.benchmark",
        description="Score a checkpoint. To resume a stopped one, repeat the command.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", required=True, help="folder of a checkpoint, or a hub id")
    parser.add_argument("--data", required=True, help="folder of the benchmark, or its hub id")
    parser.add_argument("--out", required=True, help="folder for the scores")
    parser.add_argument("--benchmark", choices=NAMES, default="cv_bench")
    about = "chat template; default the one that the model was saved with, else base"
    parser.add_argument("--prompt", choices=TEMPLATES, help=about)
    parser.add_argument("--rows", type=_count, default=0, help="questions to ask; default all")
    parser.add_argument(
        "--engine", choices=("transformers", "vllm"), default="transformers",
        help="who generates; vllm has to be installed",
    )  # fmt: skip
    parser.add_argument(
        "--batch-size", type=_count, default=0, help="default 0: as many as fit in memory"
    )
    parser.add_argument("--max-new-tokens", type=_positive, default=1024, help="default 1024")
    parser.add_argument(
        "--max-pixels", type=_positive, help="width x height of a picture; default the model's own"
    )
    parser.add_argument("--images", metavar="FOLDER", help="VSR's pictures; default DATA/images")
    parser.add_argument(
        "--single-image", action="store_true", help="BLINK: drop questions on several pictures"
    )
    return parser


def _count(text: str, minimum: int = 0) -> int:
    if not text.isdecimal() or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"expected a number from {minimum} up, got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    return _count(text, minimum=1)


if __name__ == "__main__":
    sys.exit(main())
