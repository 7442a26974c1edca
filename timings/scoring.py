"""Compare the scoring of a benchmark with batches of prompts in file order.

    python timings/scoring.py           # prints a table and writes timings/scoring.csv

The miniature base model answers the same questions of the miniature CV-Bench in each way, by turns
in one run, greedily. Answers have to be the same, but for ties: where logits of two tokens differ
by rounding alone, which one is larger depends on the CPU and the batch. Times are CPU seconds of
one thread, the median of three rounds, and ratios are taken within a round. The number of forward
passes shows the gain where a pass costs the same for any number of rows, as on a GPU. A prompt that
is read again counts as one more prompt.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import results
from vtkit.data.cv_bench import load_cv_bench
from vtkit.files import ROOT
from vtkit.mini.dataset import ensure_dataset
from vtkit.models.inputs import batch_inputs, left_padding, message
from vtkit.models.loading import load_model, load_processor
from vtkit.sampling.generation import Completion, generate

OURS = "this kit, batches of 64"
BATCHES = {"file order, batches of 64": 64, "file order, batches of 8": 8, "one by one": 1}
"""8 is what the original's README says."""
QUESTIONS, ROUNDS, LIMIT = 528, 3, 128  # all of them
TIES = 3  # answers that may differ


def textbook(model: Any, processor: Any, rows: Any, batch_size: int) -> list[Completion]:
    """A loop over ``model.generate``, each batch until its longest completion has ended."""
    completions, end = [], model.generation_config.eos_token_id
    end = [end] if isinstance(end, int) else end
    with left_padding(processor):
        for start in range(0, len(rows), batch_size):
            stop = min(start + batch_size, len(rows))
            batch = [message(row) for row in rows.select(range(start, stop))]
            inputs = batch_inputs(processor, batch, [[]] * len(batch))
            new = model.generate(
                **inputs, do_sample=False, max_new_tokens=LIMIT,
                suppress_tokens=[processor.image_token_id, processor.video_token_id],
            )[:, inputs["input_ids"].shape[1] :].tolist()  # fmt: skip
            for tokens in new:
                stops = [tokens.index(token) + 1 for token in end if token in tokens]
                tokens = tokens[: min(stops, default=len(tokens))]
                text = processor.tokenizer.decode(tokens, skip_special_tokens=True)
                completions.append(Completion(text, len(tokens)))
    return completions


class Passes:
    """Counts a model's forward passes and the prompts among them."""

    def __init__(self, model: Any):
        self.forward = self.prompts = 0
        model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, model: Any, args: Any, inputs: dict[str, Any]) -> None:
        self.forward += 1
        if inputs.get("pixel_values") is not None or inputs["input_ids"].shape[1] > 1:
            self.prompts += len(inputs["input_ids"])


def measure(data: Path) -> list[dict[str, Any]]:
    base = ROOT / "models" / "mini-base"
    model, processor = load_model(base).eval(), load_processor(base, prompt="base")
    rows = load_cv_bench(data, rows=QUESTIONS).select_columns(["image", "prompt"])
    ways = {
        OURS: lambda: generate(model, processor, rows, batch_size=64, max_new_tokens=LIMIT),
        **{
            name: lambda size=size: textbook(model, processor, rows, size)
            for name, size in BATCHES.items()
        },
    }
    passes = Passes(model)
    textbook(model, processor, rows.select(range(8)), 8)  # warm up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    counts: dict[str, tuple[int, int]] = {}
    answers: dict[str, list[Completion]] = {}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            passes.forward = passes.prompts = 0
            began = time.process_time()
            answers[name] = way()
            seconds[name].append(time.process_time() - began)
            counts[name] = passes.forward, passes.prompts
            assert _others(answers[name], answers[OURS]) <= TIES, f"{name}: other answers"
    return [
        {
            "way": name,
            "questions per second": f"{QUESTIONS / statistics.median(times):.1f}",
            "times as long as ours": f"{_ratio(times, seconds[OURS]):.2f}",
            "forward passes": counts[name][0],
            "prompts read": counts[name][1],
            "other answers than ours": _others(answers[name], answers[OURS]),
        }
        for name, times in seconds.items()
    ]


def _others(one: list[Completion], other: list[Completion]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _ratio(times: list[float], ours: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(times, ours, strict=True))


def main() -> None:
    results.no_options(__doc__)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as data:
        ensure_dataset(data)
        rows = measure(Path(data))
    print(f"{QUESTIONS} questions")
    for line in (rows[0].keys(), *(row.values() for row in rows)):
        print("".join(f"{cell!s:>26}" for cell in line))
    results.write("scoring", rows)


if __name__ == "__main__":
    main()
