"""The model card of the miniature base: what it was given, how to rebuild it, and how it behaves.

    python -m vtkit.mini card base            # measures models/mini-base and writes its README.md

Behaviour is measured, never quoted: completions to the R1-Zero prompt at temperature 1, the same with a
second look forced, and greedy accuracy on the miniature benchmark.
"""

import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from vtkit.benchmark.evaluate import evaluate
from vtkit.data.cv_bench import load_cv_bench
from vtkit.files import atomic_write, read_json
from vtkit.judging import Verdict, judge
from vtkit.mini import base_model, corpus, dataset, pretraining
from vtkit.mini.scenes import Question
from vtkit.models.loading import count_parameters, load_model, load_processor
from vtkit.models.prompts import conversation
from vtkit.stats import percent, proportion

MAX_NEW_TOKENS = 128


@torch.inference_mode()
def sample_completions(
    model: Any,
    processor: Any,
    prompts: Sequence[str],
    pictures: Sequence[Any] | None = None,
    *,
    greedy: bool = False,
    batch: int = 128,
) -> list[str]:
    """Completions at temperature 1 over the whole vocabulary, as GRPO samples them, or greedy ones.

    Args:
        processor: or a tokenizer, where there are no pictures.
    """
    draw = {"do_sample": False} if greedy else {"do_sample": True, "temperature": 1.0, "top_k": 0}
    if pictures is not None:
        draw["suppress_tokens"] = [processor.image_token_id]
    completions = []
    for at in range(0, len(prompts), batch):
        part = slice(at, at + batch)
        seen = {} if pictures is None else {"images": list(pictures[part])}
        inputs = processor(text=list(prompts[part]), padding=True, return_tensors="pt", **seen).to(
            model.device
        )
        ids = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, **draw)
        new = ids[:, inputs["input_ids"].shape[1] :]  # (B, completion)
        completions += processor.batch_decode(new, skip_special_tokens=True)
    return completions


def behaviour(model: Any, processor: Any, n: int = 1024, seed: int = 0) -> dict[str, dict]:
    """Share and accuracy of each style of completion, and accuracy when a second look is forced.

    Returns:
        as :func:`style_table`.
    """
    rng = random.Random(f"card-{seed}")
    torch.manual_seed(seed)
    views = []
    while len(views) < n:
        view = corpus.make_view(rng)
        views += [view] if view.question else []
    prompts = [
        processor.apply_chat_template(
            conversation(view.prompt()), add_generation_prompt=True, tokenize=False
        )
        for view in views
    ]
    pictures = [view.draw() for view in views]

    def say(prompts: Sequence[str]) -> list[str]:
        return sample_completions(model, processor, prompts, pictures)

    return style_table(say, prompts, [view.question for view in views], rng)


def style_table(
    say: Callable[[Sequence[str]], list[str]],
    prompts: Sequence[str],
    questions: Sequence[Question],
    rng: random.Random,
    opening: str = "",
) -> dict[str, dict]:
    """Share and accuracy of each style among the completions to ``prompts``.

    Args:
        say: gives one completion to each prompt.
        opening: what a completion has to begin its thinking with, if the prompt does not.

    Returns:
        ``{style: {"share": proportion, "right": proportion}}``, with one more entry,
        ``"second look, forced"``, that has ``right`` alone.
    """
    completions = say(prompts)
    judged = verdicts(completions, questions, prefilled=not opening)
    styles = [verdict.style for verdict in judged]
    table = {}
    for name in sorted(set(styles), key=styles.count, reverse=True):
        among = [verdict.correct is True for verdict in judged if verdict.style == name]
        share, hits = proportion(len(among), len(prompts)), proportion(sum(among), len(among))
        table[name] = {"share": share, "right": hits}
    forced = [
        prompt + opening + corpus.hunch(question, rng)[0] + corpus.WAITS[0]
        for prompt, question in zip(prompts, questions, strict=True)
    ]
    looked = sum(verdict.correct is True for verdict in verdicts(say(forced), questions))
    table["second look, forced"] = {"right": proportion(looked, len(prompts))}
    return table


def verdicts(
    completions: Sequence[str], questions: Sequence[Question], *, prefilled: bool = True
) -> list[Verdict]:
    """The verdict on each question's completion."""
    return [
        judge(completion, question.answer, question.choices, prefilled=prefilled)
        for completion, question in zip(completions, questions, strict=True)
    ]


def write_card(folder: Path = base_model.FOLDER) -> Path:
    """Measure the model in ``folder`` and write ``folder/README.md``.

    Raises:
        UserError: no model there.
    """
    model = load_model(folder).eval()
    processor = load_processor(
        folder, prompt="base", min_pixels=pretraining.PIXELS, max_pixels=pretraining.PIXELS
    )
    table = behaviour(model, processor)
    dataset.ensure_dataset()
    with tempfile.TemporaryDirectory() as out:
        scores = evaluate(
            model,
            processor,
            load_cv_bench(dataset.FOLDER),
            out,
            step=0,
            prompt="base",
            batch_size=132,
            max_new_tokens=MAX_NEW_TOKENS,
        )
    losses = read_json(folder / "pretraining.json")["mean_loss_of_50_steps"]
    with atomic_write(folder / "README.md") as handle:
        handle.write(_card(count_parameters(model)["total"], losses, table, scores))
    return folder / "README.md"


def pretraining_table(batch: int, phases: Sequence[base_model.Phase], last_loss: float) -> str:
    """The card's section on what a base model read."""
    rare = corpus.REFLECTIVE_SHARE, corpus.STEPWISE_SHARE
    shares = "\n".join(
        f"| {task} | {given['html']:.0%} | {given['untagged']:.0%} | {rare[0]:.1%} "
        f"| {rare[1]:.1%} | {1 - sum(given.values()) - sum(rare):.0%} |"
        for task, given in corpus.MIXTURE.items()
    )
    steps = "\n".join(
        f"| {phase.steps} | {phase.limit} | "
        + ", ".join(f"{kind} {share:.0%}" for kind, share in phase.kinds.items())
        + " |"
        for phase in phases
    )
    return f"""## Pre-training

{batch} documents a step, AdamW, peak learning rate {base_model.LEARNING_RATE}, cosine;
loss on what follows a prompt. Last mean loss of 50 steps: {last_loss} nats a token.

| steps | objects, at most | documents |
|---|---|---|
{steps}

How dialogues continue the R1-Zero prompt:

| task | HTML | untagged | hunch + "wait" + careful look | careful steps | hunch |
|---|---|---|---|---|---|
{shares}
"""


def style_rows(table: dict[str, dict]) -> str:
    """Rows of Markdown: style, share, right; of a :func:`style_table`."""
    return "\n".join(
        f"| {name} | {percent(row['share']) if 'share' in row else '-'} | {percent(row['right'])} |"
        for name, row in table.items()
    )


def _card(parameters: int, losses: list[float], table: dict, scores: dict) -> str:
    tasks = "\n".join(f"| {task} | {percent(found)} |" for task, found in scores["tasks"].items())
    return f"""# The miniature base model

{parameters:,} parameters, Qwen2-VL's architecture, byte-level tokenizer, 64 x 64 pixels (16 image
tokens). Pre-trained from scratch on generated pictures by next-token prediction; no instruction
tuning, no rewards. Rebuild it with

    python -m vtkit.mini base        # seed 0; resumes if interrupted

**It was given rare self-correcting traces on purpose.** What reinforcement makes of them shows a
mechanism, amplification; it says nothing about Qwen2-VL-2B, whose traces come from web text.

{pretraining_table(base_model.BATCH, base_model.PHASES, losses[-1])}
## Measured behaviour

Completions to the R1-Zero prompt at temperature 1, new scenes, 95 % Wilson intervals:

| style | share | right |
|---|---|---|
{style_rows(table)}

Greedy on the miniature benchmark: {percent(scores["accuracy"])} right (chance
{scores["chance"]:.1%}), {percent(scores["format_failures"])} without an answer that can be found.

| task | right |
|---|---|
{tasks}
"""
