"""Measure GRPO steps of Qwen2-VL-2B on this GPU, and the error of vtkit.planning.plan.

    python timings/gpu_2b.py                      # all arms, under 10 minutes on 80 GB
    python timings/gpu_2b.py --arms lora qlora    # on a smaller card
    python timings/gpu_2b.py --tiny --out FOLDER  # a miniature model, also on a CPU, seconds

Each arm is a profile with its trainer, in a separate process: full fine-tuning (gpu80), LoRA
(gpu24), QLoRA (t4), and full fine-tuning with a colocated vLLM where installed. The model has the
published shape and random weights (timings/model_2b.py). The first step warms up and is not
counted, unless there is time for no other. Writes a file for each arm, with date and card, into
results/gpu, and results/gpu/README.md, where an arm that no card has run is "not run".
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the kit of this checkout, installed or not
ARMS = {"full": "gpu80", "lora": "gpu24", "qlora": "t4", "full, vLLM": "gpu80"}
NEEDS = {"qlora": "bitsandbytes", "full, vLLM": "vllm"}
PIXELS = 401_408  # of a picture in all arms: 512 tokens
COLUMNS = {
    "date": "date", "card": "card", "arm": "arm", "steps": "steps measured",
    "completions": "completions a step", "completion_tokens": "tokens each",
    "allocated_gb": "peak memory, GB", "reserved_gb": "reserved, GB", "plan_gb": "`plan`, GB",
    "plan_error_percent": "`plan`'s error, %", "seconds": "s a step",
    "tokens_per_second": "rollout tokens/s", "mfu_percent": "MFU, %",
    "mfu_training_percent": "MFU without rollouts, %",
}  # fmt: skip
NOT_RUN, NOT_KNOWN = "not run", "not known"


# --------------------------------------------------------------------------- one arm, in a process


def settings(arm: str, model: Path, data: Path, run_dir: Path, *, tiny: bool) -> Any:
    """The arm's profile, with the model, data and limits of this measurement."""
    from vtkit.config.recipes import resolve_config

    changes: dict[str, Any] = {
        "model": str(model), "train_data": str(data), "train_rows": 0, "max_pixels": PIXELS,
        "min_pixels": 3136, "vllm": "colocate" if "vLLM" in arm else "off",
    }  # fmt: skip
    if tiny:
        changes |= {
            "max_pixels": 4096, "min_pixels": 4096, "dtype": "float32", "num_generations": 2,
            "prompts_per_step": 2, "per_device_batch_size": 4, "max_completion_length": 12,
            "gradient_checkpointing": False, "lora_rank": 4,
        }  # fmt: skip
    return resolve_config("visualthinker", ARMS[arm], run_dir=run_dir, **changes)


class Watch:
    """Times of a trainer's steps and rollouts; stops it when the next step would be too late.

    Attributes:
        steps: seconds of each; ``rollouts``: (seconds, tokens) of each generation; ``shape``:
            sequences and the longest prompt of a step.
    """

    def __init__(self, trainer: Any, deadline: float):
        from transformers import TrainerCallback

        self.steps: list[float] = []
        self.rollouts: list[tuple[float, int]] = []
        self.shape = (0, 0)
        self.generate = trainer._generate_single_turn
        trainer._generate_single_turn = self._rollout
        watch = self

        class Clock(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                watch.began = now()

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                watch.steps.append(now() - watch.began)
                if time.time() + watch.steps[-1] > deadline:
                    control.should_training_stop = True

        trainer.add_callback(Clock())

    def _rollout(self, prompt_ids: list[list[int]], *args: Any, **kwargs: Any) -> Any:
        began = now()
        completions, logprobs = self.generate(prompt_ids, *args, **kwargs)
        self.rollouts.append((now() - began, sum(map(len, completions))))
        self.shape = (len(prompt_ids), max(map(len, prompt_ids)))
        return completions, logprobs


def now() -> float:
    """Seconds, once the GPU has done what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(arm: str, config: Any, deadline: float) -> dict[str, Any]:
    """Train a few steps of an arm; numbers of its row."""
    import torch
    from transformers import PrinterCallback
    from transformers.trainer_utils import SaveStrategy

    from vtkit.planning.memory import GB
    from vtkit.planning.plan import plan, this_machine
    from vtkit.training.train import make_trainer

    card, memory, on_gpu = this_machine()
    trainer = make_trainer(config)
    trainer.remove_callback(PrinterCallback)
    trainer.args.save_strategy = SaveStrategy.NO  # 26 GB, and nothing of this is to be kept
    watch = Watch(trainer, deadline)
    trainer.train()
    estimate = plan(config, memory, triton=on_gpu).moments
    expected = max(sum(estimate[name].values()) for name in ("training", "generating"))
    allocated = torch.cuda.max_memory_allocated() / GB if on_gpu else None
    reserved = torch.cuda.max_memory_reserved() / GB if on_gpu else None
    return {
        "card": card, **speeds(watch, config, card), "allocated_gb": allocated,
        "reserved_gb": reserved, "plan_gb": expected / GB,
        "plan_error_percent": 100 * (expected / GB / allocated - 1) if allocated else None,
    }  # fmt: skip


def speeds(watch: Watch, config: Any, card: str) -> dict[str, Any]:
    """Means over the steps that count; those that have no known peak have no utilisation."""
    import flops

    from vtkit.models.shapes import load_shape
    from vtkit.planning.memory import Batch

    first = 1 if len(watch.steps) > 1 else 0
    steps, rollouts = watch.steps[first:], watch.rollouts[first:]
    seconds, sampling = fmean(steps), fmean(took for took, _ in rollouts)
    tokens = fmean(tokens for _, tokens in rollouts)
    sequences, prompt = watch.shape
    shape = load_shape(config.model)
    batch = Batch(sequences, prompt, round(tokens / sequences), shape.patches(config.max_pixels))
    work = flops.step(shape, config, batch, engine=config.vllm != "off")
    best = flops.peak(card) if config.dtype != "float32" else None
    return {
        "steps": len(steps), "warm_up_steps": first, "seconds": seconds,
        "rollout_seconds": sampling, "tokens_per_second": tokens / sampling,
        "completions": sequences, "prompt_tokens": prompt, "completion_tokens": batch.completion,
        "flops": work, "peak_flops": best,
        "mfu_percent": best and 100 * sum(work.values()) / seconds / best,
        "mfu_training_percent": best and 100 * work["training"] / (seconds - sampling) / best,
    }  # fmt: skip


# --------------------------------------------------------------------------------- files and table


TITLE = "# GRPO steps at Qwen2-VL-2B's shape"


def write(row: dict[str, Any], out: Path) -> None:
    """Write one arm's file, and the table again."""
    name = "-".join((row["date"], row["card"], row["arm"]))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.json"
    path.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(table(out), encoding="utf-8")


def table(folder: Path) -> str:
    """Make the README.md of a folder: a row for each file, and for each arm without one."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    rows += [{"arm": arm} for arm in ARMS if arm not in {row["arm"] for row in rows}]
    rows.sort(key=lambda row: (list(ARMS).index(row["arm"]), row.get("date", "")))
    lines = [
        TITLE,
        "",
        "Written by `python timings/gpu_2b.py`, which says what is measured and how. The JSON",
        "files in this folder have more: phases of a step, FLOPs, versions.",
        "",
        f"| {' | '.join(COLUMNS.values())} |",
        f"|{'---|' * len(COLUMNS)}",
    ]
    for row in rows:
        empty = NOT_KNOWN if "card" in row else NOT_RUN
        if "failed" in row:
            empty = "failed"
        lines.append(f"| {' | '.join(_cell(row.get(name), empty) for name in COLUMNS)} |")
    failed = [f"{row['date']}, {row['arm']}: {row['failed']}" for row in rows if "failed" in row]
    return "\n".join(lines + [f"\nFailed: {text}" for text in failed]) + "\n"


def _cell(value: Any, empty: str) -> str:
    if value is None:
        return empty
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


# ----------------------------------------------------------------------------------------- command


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    if args.child:
        config = settings(args.arms[0], args.work / "model", args.work / "data",
                          args.work / f"run-{time.time_ns()}", tiny=args.tiny)  # fmt: skip
        config = config.replace(max_steps=args.steps)
        args.child.write_text(json.dumps(measure(args.arms[0], config, args.deadline)))
        return 0
    if not args.tiny and not _has_gpu():
        print("error: no CUDA device found; --tiny --out FOLDER tries this command on a CPU",
              file=sys.stderr)  # fmt: skip
        return 2
    if args.tiny and args.out == HERE.parent / "results" / "gpu":
        print("error: --tiny: is not a result; name another folder with --out", file=sys.stderr)
        return 2
    page = args.out / "README.md"
    if page.exists() and not page.read_text(encoding="utf-8").startswith(TITLE):
        print(f"error: {page} is no table of this script; name another folder with --out",
              file=sys.stderr)  # fmt: skip
        return 2
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        return _arms(args, Path(work))


def _arms(args: argparse.Namespace, work: Path) -> int:
    import model_2b

    end = time.time() + 60 * args.minutes
    print("writing a model with random weights", flush=True)
    model_2b.write_model(work / "model", tiny=args.tiny)
    model_2b.write_data(work / "data", tiny=args.tiny)
    missing = {arm: name for arm, name in NEEDS.items() if not importlib.util.find_spec(name)}
    for arm in set(args.arms) & set(missing):
        print(f"{arm}: skipped, {missing[arm]} is not installed", flush=True)
    todo = [arm for arm in args.arms if arm not in missing]
    for number, arm in enumerate(todo):
        deadline = time.time() + (end - time.time()) / (len(todo) - number)
        print(f"{arm} ({ARMS[arm]}), until {time.strftime('%H:%M:%S', time.localtime(deadline))}",
              flush=True)  # fmt: skip
        row = _header(arm) | _child(args, arm, work, deadline, end)
        write(row, args.out)
    print((args.out / "README.md").read_text() if todo else "nothing to run")
    return 0


def _child(args: Any, arm: str, work: Path, deadline: float, end: float) -> dict[str, Any]:
    """The arm's numbers, or ``{"failed": reason}``: memory of a process that died is free again."""
    result = work / "result.json"
    result.unlink(missing_ok=True)
    command = [
        sys.executable, __file__, "--child", result, "--arms", arm, "--work", work, "--deadline",
        deadline, "--steps", args.steps, *(["--tiny"] if args.tiny else []),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            list(map(str, command)), cwd=HERE.parent, capture_output=True, text=True,
            timeout=max(60, end - time.time()),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"did not end in {args.minutes:g} minutes"}
    if result.is_file():
        return json.loads(result.read_text())
    print(done.stderr, file=sys.stderr)
    lines = done.stderr.strip().splitlines() or ["it said nothing"]
    return {"failed": lines[-1][:300]}


def _header(arm: str) -> dict[str, Any]:
    from vtkit.planning.plan import this_machine
    from vtkit.runs.manifest import git_revision, now, package_versions

    return {
        "date": now()[:10], "card": this_machine()[0], "arm": arm, "profile": ARMS[arm],
        "packages": package_versions(), "git": git_revision(),
    }  # fmt: skip


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    option = parser.add_argument
    option("--arms", nargs="+", choices=ARMS, default=list(ARMS), help="default: all")
    option("--steps", type=int, default=3, choices=range(2, 6), help="of each arm; default 3")
    option("--minutes", type=float, default=9, help="for all arms together; default 9")
    option("--tiny", action="store_true", help="a miniature model: whether this command works")
    option("--out", type=Path, default=HERE.parent / "results" / "gpu", help="folder of results")
    option("--work", type=Path, help="folder for 5 GB of temporary files; default the system's")
    option("--child", type=Path, help=argparse.SUPPRESS)
    option("--deadline", type=float, default=0, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
