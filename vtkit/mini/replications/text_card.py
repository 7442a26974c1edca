"""What the text-only miniature base says before any reinforcement, measured.

    python -m vtkit.mini card text       # measures models/mini-text, writes results/mini-text

The weights are not in the repository, the card is (``card.json`` for tools, ``README.md`` for
readers): who rebuilds the model can compare.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from vtkit.files import atomic_write, read_json, write_json
from vtkit.judging.rewards import accuracy_reward
from vtkit.mini import corpus
from vtkit.mini.cards import pretraining_table, sample_completions, style_rows, style_table
from vtkit.mini.replications import text, text_base
from vtkit.mini.scenes import TASKS
from vtkit.models.loading import count_parameters, load_model, load_processor
from vtkit.models.prompts import PREFILL, conversation
from vtkit.stats import percent, proportion

FOLDER = Path("results/mini-text")


def measure(folder: Path, n: int = 1024, seed: int = 0) -> dict[str, Any]:
    """The behaviour of the text base in ``folder``.

    Returns:
        ``parameters``, ``vocabulary``, ``last_loss``; ``sampled``: as
        :func:`vtkit.mini.cards.style_table`, of ``n`` completions at temperature 1 to new problems, with
        their ``mean_tokens``; ``notes``: share of right conclusions after a careful look under the
        notes' own prompt, by task, that is, whether the skill was learned; ``greedy``: accuracy on
        the test file, by task, and what guessing would score.

    Raises:
        UserError: no finished model there.
    """
    losses = read_json(folder / "pretraining.json")["mean_loss_of_50_steps"]
    model = load_model(folder).eval()
    tokenizer = load_processor(folder, prompt="r1_zero")
    rng = random.Random(f"card-{seed}")
    torch.manual_seed(seed)
    views = [text.make_view(rng) for _ in range(n)]
    questions = [view.question for view in views]
    prompts = [text.document(view, "dialogue", rng)[0] for view in views]
    lengths: list[int] = []

    def say(prompts: Sequence[str]) -> list[str]:
        completions = sample_completions(model, tokenizer, prompts)
        lengths.extend(len(ids) + 1 for ids in tokenizer(completions)["input_ids"])
        return completions

    sampled = style_table(say, prompts, questions, rng, opening=f" {PREFILL}")
    return {
        "parameters": count_parameters(model)["total"],
        "vocabulary": len(tokenizer),
        "last_loss": losses[-1],
        "mean_tokens": round(sum(lengths[:n]) / n, 1),
        "sampled": sampled,
        "notes": _notes(model, tokenizer, views, rng),
        "greedy": _greedy(model, tokenizer),
    }


def _notes(model: Any, tokenizer: Any, views: Sequence[corpus.View], rng: random.Random) -> dict:
    """Shares of right conclusions where the model takes notes, by task."""
    prompts = [f"{text.document(view, 'notes', rng)[0]}Notes: {view.prompt()}\n" for view in views]
    notes = [
        completion.split("\nNotes:")[0]
        for completion in sample_completions(model, tokenizer, prompts)
    ]
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
    completions = sample_completions(model, tokenizer, prompts, greedy=True)
    paid = accuracy_reward(completions, rows["solution"], rows["choices"], prefilled=False)
    chance = sum(1 / len(choices) for choices in rows["choices"]) / len(prompts)
    return {"chance": round(chance, 3), **_by_task([p > 0 for p in paid], rows["task"])}


def _by_task(right: Sequence[bool], tasks: Sequence[str]) -> dict[str, dict]:
    """``{"all": proportion, task: proportion, ...}``."""
    hits = {task: [hit for hit, found in zip(right, tasks, strict=True) if found == task]
            for task in TASKS}  # fmt: skip
    return {"all": proportion(sum(right), len(right))} | {
        task: proportion(sum(among), len(among)) for task, among in hits.items()
    }


def write_card(folder: Path = FOLDER, model_folder: Path = text_base.FOLDER) -> Path:
    """Measure the model in ``model_folder`` and write its card to ``folder``.

    Raises:
        UserError: no finished model there, or the folder cannot be written.
    """
    card = measure(model_folder)
    write_json(folder / "card.json", card)
    with atomic_write(folder / "README.md") as handle:
        handle.write(render(card))
    return folder / "README.md"


def render(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    greedy = card["greedy"]
    tasks = "\n".join(
        f"| {task} | {percent(found)} | {percent(greedy[task])} |"
        for task, found in card["notes"].items()
    )
    return f"""# The text-only miniature base

{card["parameters"]:,} parameters, Qwen2's architecture, {card["vocabulary"]} tokens. Instead of a
picture it reads a sentence for each object. No instruction tuning, no rewards. It is not in the
repository; build it with

    python -m vtkit.mini text       # seed 0; resumes if interrupted

**It was given rare self-correcting traces on purpose**, as the base that sees pictures; it says
nothing about DeepSeek-V3-Base or Qwen2.5.

{pretraining_table(text_base.BATCH, text_base.PHASES, card["last_loss"])}
## Measured behaviour

Completions to the R1-Zero prompt at temperature 1, {card["mean_tokens"]} tokens on average, new scenes,
95 % Wilson intervals:

| style | share | right |
|---|---|---|
{style_rows(card["sampled"])}

Right conclusions of a careful look under the notes' own prompt, and greedy completions to the test file
(chance {greedy["chance"]:.1%}):

| task | notes, right | greedy, right |
|---|---|---|
{tasks}
"""
