"""The card of the instruct miniature: what it was taught, and how it behaves.

    python -m vtkit.mini card instruct      # measures the model, writes results/mini-instruct

The model is not in the repository, its card is: ``card.json`` for tools, ``README.md`` for readers.
Behaviour is measured on the test rows of each world, under the prompt its replication uses.
"""

import random
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from itertools import compress
from operator import not_
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from PIL import Image

from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.sat import load_sat
from vtkit.files import atomic_write, read_json, write_json
from vtkit.judging.rewards import accuracy_reward
from vtkit.judging.styles import STYLES, is_reflective, style
from vtkit.judging.verdict import check_format
from vtkit.mini import dataset
from vtkit.mini.cards import sample_completions
from vtkit.mini.pretraining import PIXELS
from vtkit.mini.replications import chats, files, instruct
from vtkit.mini.replications.chat_styles import CHAT_STYLES, DEFAULT
from vtkit.mini.replications.problems import Problem
from vtkit.models.loading import count_parameters, load_model, load_processor
from vtkit.stats import percent, proportion

FOLDER = Path("results/mini-instruct")
MANNER = CHAT_STYLES[DEFAULT]


class Asked(NamedTuple):
    """A question of a test file; ``choices`` is empty for an open one."""

    picture: Image.Image
    question: str
    choices: list[str]
    answer: str


def questions(limit: int | None = None) -> dict[tuple[str, str], list[Asked]]:
    """The test questions by subject and prompt: the replication's, and the one without thinking.

    Args:
        limit: at most so many of each subject.
    """
    dataset.ensure_dataset()
    sat = [
        Asked(row["images"][0], row["question"], row["choices"], row["answer"])
        for row in load_sat(dataset.FOLDER, split="val")
    ]
    bench = [
        Asked(
            row["image"], row["prompt"], row["choices"],
            row["choices"]["ABCDEF".index(row["answer"][1])],
        )
        for row in load_cv_bench(dataset.FOLDER)
    ]  # fmt: skip
    asked = {"sat": sat, "cv-bench": bench}
    for (world, split), problems in files.draw_problems():
        if split == "test":
            asked[world] = [_asked(problem) for problem in problems]
    return {
        (subject, prompt): asked[subject][:limit]
        for subject, prompts in MANNER.prompts.items()
        for prompt in (next(iter(prompts)), "instruct_direct")
    }


def _asked(problem: Problem) -> Asked:
    picture = Image.open(BytesIO(dataset.jpeg(problem.draw())))  # as the file has it
    return Asked(picture, problem.text, list(problem.choices), problem.answer)


def behaviour(
    model: Any, processor: Any, asked: Sequence[Asked], prompt: str, seed: int = 0
) -> dict[str, Any]:
    """How the model answers: ``styles``, ``format`` and ``reflective`` as proportions of sampled
    completions, ``tokens`` their mean length with the end token, ``tokens_tagged`` and
    ``tokens_untagged`` that of those in good format and of the others (None if there are none),
    accuracy ``sampled`` and ``greedy``.
    """
    torch.manual_seed(seed)
    before, after = chats.frame(prompt)
    prompts = [before + one.question + after for one in asked]
    pictures = [one.picture for one in asked]
    sampled, greedy = (
        sample_completions(model, processor, prompts, pictures, greedy=greedy)
        for greedy in (False, True)
    )
    n, styles = len(asked), Counter(map(style, sampled))
    lengths = [len(ids) + 1 for ids in processor.tokenizer(sampled)["input_ids"]]
    good = [check_format(completion, prefilled=False) == "good" for completion in sampled]
    return {
        "styles": {name: proportion(styles[name], n) for name in STYLES if styles[name]},
        "format": proportion(sum(good), n),
        "reflective": proportion(sum(map(is_reflective, sampled)), n),
        "tokens": _mean(lengths),
        "tokens_tagged": _mean(list(compress(lengths, good))),
        "tokens_untagged": _mean(list(compress(lengths, map(not_, good)))),
        "sampled": proportion(_right(sampled, asked), n),
        "greedy": proportion(_right(greedy, asked), n),
    }


def _mean(lengths: Sequence[int]) -> float | None:
    return round(fmean(lengths), 1) if lengths else None


def _right(completions: Sequence[str], asked: Sequence[Asked]) -> int:
    solutions = [f"<answer>{one.answer}</answer>" for one in asked]
    choices = [one.choices for one in asked]
    return int(
        sum(accuracy_reward(completions, solution=solutions, choices=choices, prefilled=False))
    )


def stated() -> dict[str, Any]:
    """What the code says the model is taught: :mod:`vtkit.mini.replications.chats`'s shares, the training."""
    return {
        "described": chats.DESCRIBED,
        "subjects": chats.SUBJECTS,
        "prompts": MANNER.prompts,
        "scene_styles": MANNER.scene_styles,
        "maths_styles": MANNER.maths_styles,
        "rationale": {
            "opening": chats.OPENING,
            "restated": chats.RESTATED,
            "plan": 1,
            "concluded": chats.CONCLUDED,
        },
        "gaps": {"r1_system": chats.R1_GAPS, "others": chats.GAPS},
        "training": {
            "steps": MANNER.steps,
            "batch": instruct.BATCH,
            "learning_rate": instruct.LEARNING_RATE,
        },
    }


def write_card(
    folder: Path = FOLDER, model_folder: Path = instruct.FOLDER, limit: int | None = None
) -> Path:
    """Measure the model in ``model_folder`` and write its card to ``folder``.

    Args:
        limit: as for :func:`questions`.

    Raises:
        UserError: no model there, or the folder cannot be written.
    """
    model = load_model(model_folder).eval()
    processor = load_processor(
        model_folder, prompt="instruct", min_pixels=PIXELS, max_pixels=PIXELS
    )
    measured = [
        {"subject": subject, "prompt": prompt, **behaviour(model, processor, asked, prompt)}
        for (subject, prompt), asked in questions(limit).items()
    ]
    card = {
        "parameters": count_parameters(model)["total"],
        "vocabulary": len(processor.tokenizer),
        "last_loss": read_json(model_folder / "tuning.json")["mean_loss_of_50_steps"][-1],
        "stated": stated(),
        "measured": measured,
    }
    write_json(folder / "card.json", card)
    with atomic_write(folder / "README.md") as handle:
        handle.write(render(card))
    return folder / "README.md"


def render(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    said = card["stated"]

    def shares(given: dict[str, float]) -> str:
        return ", ".join(f"{name!r} {share:.0%}" for name, share in given.items())

    prompts = "\n".join(
        f"| {subject} | {share:.0%} | {shares(said['prompts'][subject])} |"
        for subject, share in said["subjects"].items()
    )
    rows = "\n".join(
        f"| {row['subject']} | {row['prompt']} | {row['tokens']} | {row['tokens_tagged'] or ''} "
        f"| {row['tokens_untagged'] or ''} | {percent(row['format'])} | "
        + ", ".join(f"{name} {found['value']:.0%}" for name, found in row["styles"].items())
        + f" | {percent(row['sampled'])} | {percent(row['greedy'])} "
        + f"| {percent(row['reflective'])} |"
        for row in card["measured"]
    )
    rng = random.Random("card")
    shown = [chats.make_chat(rng, MANNER) for _ in range(6)]
    examples = "\n".join(
        f"* {one.subject}, {one.prompt}: {one.question!r}\n  {one.completion!r}" for one in shown
    )
    return f"""# The instruct miniature

The miniature base ({card["parameters"]:,} parameters with {card["vocabulary"]} tokens) after
supervised tuning on chats: {said["training"]["steps"]} steps of {said["training"]["batch"]}
exchanges, peak learning rate {said["training"]["learning_rate"]}, last mean loss
{card["last_loss"]} nats a token. It is not in the repository; build it with

    python -m vtkit.mini instruct        # seed 0; resumes if interrupted

**Its data are generated after what supervised data of instruct models look like, and its shares
after what is published of the untrained Qwen2-VL-2B-Instruct** (sources in `vtkit/mini/replications/chat_styles.py`,
where the two other manners are, too). They were set before any reinforcement run from this model.

## What it was taught

{said["described"]:.0%} of the exchanges describe a figure and no more. Of the others:

| questions | share | under the prompts |
|---|---|---|
{prompts}

Styles of answers: {shares(said["scene_styles"])}; to mathematics
{shares(said["maths_styles"])}; `instruct_direct` has the bare answer alone. All answers are right.
Sentences of a rationale: {shares(said["rationale"])}; a chatty answer, which has no tags, has all
of them. Between the tags: under `r1_system` {shares(said["gaps"]["r1_system"])}, otherwise
{shares(said["gaps"]["others"])}. Nobody looks twice.

{examples}

## Measured behaviour

What is published of the untrained model, and is to be found again below: few completions in the asked
format; those without tags twice as long or more; and bare answers (`instruct_direct`) at least as
often right. The first two are met under every prompt. Bare answers come within the intervals of
reasoned ones on scenes and stay behind on geometry and mathematics, where the lessons' worked
solutions help.

Test rows of each world; sampled at temperature 1 unless it says greedy; 95 % Wilson intervals.
Tokens: of all completions, of those in the asked format, of the others.

| questions | prompt | tokens | with tags | without | good format | styles | right | right, greedy \
| reflective |
|---|---|---|---|---|---|---|---|---|---|
{rows}
"""
