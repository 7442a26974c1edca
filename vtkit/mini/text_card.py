"""What the text-only miniature base says before any reinforcement, measured.

    python -m vtkit.mini.text_card       # measures models/mini-text, writes its card.json

The weights are not in the repository, the card is: who rebuilds the model can compare.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from transformers import AutoTokenizer, Qwen2ForCausalLM

from vtkit.cli import friendly
from vtkit.files import read_json, write_json
from vtkit.mini import corpus, text, text_base
from vtkit.mini.card import sample_replies, style_table
from vtkit.mini.scenes import TASKS
from vtkit.prompts import PREFILL, conversation
from vtkit.rewards import accuracy_reward
from vtkit.stats import proportion


def measure(folder: Path, n: int = 1024, seed: int = 0) -> dict[str, Any]:
    """The behaviour of the text base in ``folder``.

    Returns:
        ``sampled``: as :func:`vtkit.mini.card.style_table`, of ``n`` replies at temperature 1 to
        new problems, with their ``mean_tokens``; ``notes``: share of right conclusions after a
        careful look under the notes' own prompt, by task, that is, whether the skill was learned;
        ``greedy``: accuracy on the test file, by task, and what guessing would score.

    Raises:
        UserError: no finished model there.
    """
    losses = read_json(folder / "pretraining.json")["mean_loss_of_50_steps"]
    model = Qwen2ForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    rng = random.Random(f"card-{seed}")
    torch.manual_seed(seed)
    views = [text.make_view(rng) for _ in range(n)]
    questions = [view.question for view in views]
    prompts = [text.document(view, "dialogue", rng)[0] for view in views]
    lengths: list[int] = []

    def say(prompts: Sequence[str]) -> list[str]:
        replies = sample_replies(model, tokenizer, prompts)
        lengths.extend(len(ids) + 1 for ids in tokenizer(replies)["input_ids"])
        return replies

    sampled = style_table(say, prompts, questions, rng, opening=f" {PREFILL}")
    return {
        "last_loss": losses[-1],
        "mean_tokens": round(sum(lengths[:n]) / n, 1),
        "sampled": sampled,
        "notes": _notes(model, tokenizer, views, rng),
        "greedy": _greedy(model, tokenizer),
    }


def _notes(model: Any, tokenizer: Any, views: Sequence[corpus.View], rng: random.Random) -> dict:
    """Shares of right conclusions where the model takes notes, by task."""
    prompts = [f"{text.document(view, 'notes', rng)[0]}Notes: {view.prompt()}\n" for view in views]
    notes = [reply.split("\nNotes:")[0] for reply in sample_replies(model, tokenizer, prompts)]
    right = [
        note.endswith(corpus.conclusion(view.question, view.question.answer))
        for note, view in zip(notes, views, strict=True)
    ]
    return _by_task(right, [view.question.task for view in views])


def _greedy(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Greedy accuracy on the test file, by task, and what guessing would score."""
    text.ensure_files(text.FOLDER)
    rows = pq.read_table(text.FOLDER / "test.parquet").to_pydict()
    prompts = tokenizer.apply_chat_template(
        [conversation(problem) for problem in rows["problem"]],
        add_generation_prompt=True, tokenize=False,
    )  # fmt: skip
    replies = sample_replies(model, tokenizer, prompts, greedy=True)
    paid = accuracy_reward(replies, rows["solution"], rows["choices"], prefilled=False)
    chance = sum(1 / len(choices) for choices in rows["choices"]) / len(prompts)
    return {"chance": round(chance, 3), **_by_task([p > 0 for p in paid], rows["task"])}


def _by_task(right: Sequence[bool], tasks: Sequence[str]) -> dict[str, dict]:
    """``{"all": proportion, task: proportion, ...}``."""
    hits = {task: [hit for hit, found in zip(right, tasks, strict=True) if found == task]
            for task in TASKS}  # fmt: skip
    return {"all": proportion(sum(right), len(right))} | {
        task: proportion(sum(among), len(among)) for task, among in hits.items()
    }


def main() -> int:
    """Entry point of ``python -m vtkit.mini.text_card``."""
    parser = argparse.ArgumentParser(description="Measure the text-only miniature base.")
    parser.add_argument("--folder", type=Path, default=text_base.FOLDER)
    args = parser.parse_args()

    def command() -> int:
        card = args.folder / "card.json"
        write_json(card, measure(args.folder))
        print(f"wrote {card}")
        return 0

    return friendly(command)


if __name__ == "__main__":
    sys.exit(main())
