"""Compare the sampling of 64 completions with ``generate``, in tokens a second.

    python timings/decoding.py           # prints a table and writes timings/decoding.csv

The miniature base model answers 8 questions 8 times each at temperature 1, as in a training step:
by the kit's token loop, which reads a prompt once for its completions and lets those leave that
have ended, and by ``model.generate`` with 64 rows. Each has its own random numbers, so lengths
differ a little; seconds are those of one thread's CPU, the reading of prompts and pictures by the
model included in both. A ratio is taken within a round, over other questions for each.
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
from vtkit.sampling.decoding import Prompts, decode
from vtkit.sampling.generation import banned_of, ends_of
from vtkit.sampling.prefix_cache import distinct
from vtkit.sampling.sampler import InverseCDFSampler

PROMPTS, COPIES, ROUNDS, LIMIT = 8, 8, 9, 128
OURS, THEIRS = "this kit", "model.generate"


def ours(model: Any, processor: Any, inputs: dict[str, Any]) -> int:
    """Tokens that were sampled."""
    rows, copies = distinct(inputs, [1] * len(inputs["input_ids"]))
    numbers = torch.rand(len(copies), LIMIT, dtype=torch.float64).tolist()
    found = decode(
        model,
        Prompts(rows, range(len(copies)), copies, [LIMIT] * len(copies), last=True),
        InverseCDFSampler(numbers, 1.0, 0),
        ends=ends_of(model, processor),
        banned=banned_of(processor),
    )
    return sum(map(len, found))


def theirs(model: Any, processor: Any, inputs: dict[str, Any]) -> int:
    """Tokens that were sampled; those after a completion's end do not count."""
    new = model.generate(
        **inputs, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=LIMIT,
        suppress_tokens=banned_of(processor),
    )[:, inputs["input_ids"].shape[1] :]  # fmt: skip
    ended = torch.isin(new, torch.tensor(ends_of(model, processor)))
    return int((ended.cumsum(1) - ended.int() == 0).sum())


def measure(data: Path) -> list[dict[str, Any]]:
    base = ROOT / "models" / "mini-base"
    model, processor = load_model(base).eval(), load_processor(base, prompt="base")
    questions = load_cv_bench(data, rows=PROMPTS * (ROUNDS + 1))
    speeds: dict[str, list[float]] = {OURS: [], THEIRS: []}
    for start in range(0, len(questions), PROMPTS):
        some = questions.select(range(start, start + PROMPTS))
        turns = [turn for row in some for turn in [message(row)] * COPIES]
        with left_padding(processor), torch.no_grad():
            inputs = dict(batch_inputs(processor, turns, [[]] * len(turns)))
            for name, way in ((OURS, ours), (THEIRS, theirs)):
                torch.manual_seed(start)
                began = time.process_time()
                tokens = way(model, processor, inputs)
                if start:  # the first round warms up
                    speeds[name].append(tokens / (time.process_time() - began))
    ratios = sorted(a / b for a, b in zip(speeds[OURS], speeds[THEIRS], strict=True))
    return [
        {
            "way": name,
            "tokens a second": f"{statistics.median(found):.0f}",
            "times as fast": f"{statistics.median(ratios):.2f}" if name == OURS else "1",
            "lowest": f"{ratios[0]:.2f}" if name == OURS else "",
            "highest": f"{ratios[-1]:.2f}" if name == OURS else "",
        }
        for name, found in speeds.items()
    ]


def main() -> None:
    results.no_options(__doc__)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as data:
        ensure_dataset(data)
        rows = measure(Path(data))
    for line in (rows[0].keys(), *(row.values() for row in rows)):
        print("".join(f"{cell!s:>20}" for cell in line))
    results.write("decoding", rows)


if __name__ == "__main__":
    main()
