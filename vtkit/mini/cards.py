"""Measure the miniature models and write their model cards.

Only the base is in the repository. The cards of the others are, too (``card.json`` for tools,
``README.md`` for readers), for comparison with a rebuilt model.
"""

import os
import random
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from itertools import compress, count, islice
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch
from PIL import Image

from vtkit.benchmark.evaluate import evaluate
from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.sat import load_sat
from vtkit.errors import UserError
from vtkit.files import atomic_write, read_json, write_json
from vtkit.judging import judge
from vtkit.mini import base_model, corpus, dataset
from vtkit.mini.measuring import (
    MAX_NEW_TOKENS,
    PicturedQuestion,
    framed,
    mean_tokens,
    measure_answers,
    sample_completions,
    style_table,
)
from vtkit.mini.pretraining import PIXELS
from vtkit.mini.replications import chats, files, instruct, text, text_base
from vtkit.mini.replications.chat_styles import CHAT_STYLES, DEFAULT
from vtkit.mini.scenes import TASKS
from vtkit.models.loading import count_parameters, load_model, load_processor
from vtkit.models.prompts import PREFILL
from vtkit.rendering import templates
from vtkit.stats import Estimate, share

CHAT_STYLE = CHAT_STYLES[DEFAULT]


class Card(NamedTuple):
    """How a model is measured, where its card goes, and where the model is (None: there, too)."""

    measure: Callable[..., dict[str, Any]]
    folder: Path
    model_folder: Path | None


def write_card(
    kind: str, folder: Path | None = None, model_folder: Path | None = None, **options: Any
) -> Path:
    """Measure a model and write its card; :data:`CARDS` has the kinds and default folders.

    Only in its default folder a card is replaced; elsewhere a file that is there is a UserError.
    """
    folder = folder or CARDS[kind].folder
    model_folder = model_folder or CARDS[kind].model_folder or folder
    names = ("README.md", "card.json") if folder != model_folder else ("README.md",)
    for path in (folder / name for name in names if folder != CARDS[kind].folder):
        if os.path.lexists(path):
            raise UserError(f"{path} is there already; name another folder with --folder")
    card = CARDS[kind].measure(model_folder, **options)
    if folder != model_folder:
        write_json(folder / "card.json", card)
    with atomic_write(folder / "README.md") as handle:
        handle.write(render(kind, card))
    return folder / "README.md"


def render(kind: str, card: dict[str, Any]) -> str:
    """Return the card as Markdown."""
    environment = templates(Path(__file__).with_name("templates"))
    environment.globals |= {"base_model": base_model, "corpus": corpus, "text_base": text_base}
    rng = random.Random("card")
    examples = [chats.make_chat(rng, CHAT_STYLE) for _ in range(6)]
    return environment.get_template(f"{kind}.md").render(card=card, chats=examples)


def measure_base(folder: Path, n: int = 1024, seed: int = 0) -> dict[str, Any]:
    """Measure a miniature base on ``n`` questions about new scenes and on the benchmark.

    Returns:
        ``parameters``, ``vocabulary``, ``last_loss``; ``sampled``: :func:`style_table`; ``greedy``:
        scores of :func:`vtkit.benchmark.evaluate.evaluate`.
    """
    model, processor, described = _load(folder, "base")
    rng = _seeded(seed)
    drawn = (corpus.make_view(rng) for _ in count())
    views = list(islice((view for view in drawn if view.question), n))
    prompts = framed("base", [view.prompt() for view in views])
    pictures = [view.draw() for view in views]
    generate = partial(sample_completions, model, processor, pictures=pictures)
    _, sampled = style_table(generate, prompts, [view.asked for view in views], rng)
    dataset.ensure_dataset(dataset.FOLDER)
    with tempfile.TemporaryDirectory() as out:
        greedy = evaluate(
            model, processor, load_cv_bench(dataset.FOLDER), out,
            step=0, prompt="base", batch_size=132, max_new_tokens=MAX_NEW_TOKENS,
        )  # fmt: skip
    return {**described, "sampled": sampled, "greedy": greedy}


def measure_text(folder: Path, n: int = 1024, seed: int = 0) -> dict[str, Any]:
    """Measure a text-only base on ``n`` new problems and on the test file.

    Returns:
        As :func:`measure_base`, with ``mean_tokens`` of the completions; ``notes``: by task, the
        share of right conclusions after a careful look under the prompt of notes; ``greedy``:
        accuracy by task, and ``chance``.
    """
    model, tokenizer, described = _load(folder, "r1_zero")
    rng = _seeded(seed)
    views = [text.make_view(rng) for _ in range(n)]
    questions = [view.asked for view in views]
    prompts = [text.document(view, "dialogue", rng)[0] for view in views]
    generate = partial(sample_completions, model, tokenizer)
    completions, sampled = style_table(generate, prompts, questions, rng, opening=f" {PREFILL}")
    return {
        **described,
        "mean_tokens": mean_tokens(tokenizer, completions),
        "sampled": sampled,
        "notes": _notes(model, tokenizer, views, rng),
        "greedy": _greedy_on_test_file(model, tokenizer),
    }


def measure_instruct(folder: Path, limit: int | None = None) -> dict[str, Any]:
    """Measure an instruct miniature on (``limit``) test rows of each replication.

    Returns ``parameters``, ``vocabulary``, ``last_loss``, :func:`stated` and, as ``measured``,
    :func:`measure_answers` for each ``subject`` and ``prompt``.
    """
    model, processor, described = _load(folder, "instruct")
    measured = [
        {"subject": subject, "prompt": prompt, **measure_answers(model, processor, asked, prompt)}
        for (subject, prompt), asked in load_questions(limit).items()
    ]
    return {**described, "stated": stated(), "measured": measured}


CARDS = {
    "base": Card(measure_base, base_model.FOLDER, None),
    "instruct": Card(measure_instruct, Path("results/mini-instruct"), instruct.FOLDER),
    "text": Card(measure_text, Path("results/mini-text"), text_base.FOLDER),
}


def _load(folder: Path, prompt: str) -> tuple[Any, Any, dict[str, Any]]:
    """A finished model, its processor or tokenizer, and the first numbers of every card."""
    losses = read_json(folder / ("tuning.json" if prompt == "instruct" else "pretraining.json"))
    model = load_model(folder).eval()
    processor: Any = load_processor(folder, prompt=prompt, min_pixels=PIXELS, max_pixels=PIXELS)
    described = {
        "parameters": count_parameters(model)["total"],
        "vocabulary": len(getattr(processor, "tokenizer", processor)),
        "last_loss": losses["mean_loss_of_50_steps"][-1],
    }
    return model, processor, described


def _seeded(seed: int) -> random.Random:
    torch.manual_seed(seed)
    return random.Random(f"card-{seed}")


def _notes(
    model: Any, tokenizer: Any, views: Sequence[corpus.View], rng: random.Random
) -> dict[str, Estimate]:
    """Shares of right conclusions where the model takes notes, by task."""
    prompts = [f"{text.document(view, 'notes', rng)[0]}Notes: {view.prompt()}\n" for view in views]
    right = []
    for completion, view in zip(sample_completions(model, tokenizer, prompts), views, strict=True):
        concluded = corpus.conclusion(view.asked, view.asked.answer)
        right.append(completion.split("\nNotes:")[0].endswith(concluded))
    return _by_task(right, [view.asked.task for view in views])


def _greedy_on_test_file(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Greedy accuracy on the test file, by task, and the accuracy of guessing."""
    text.ensure_files(text.FOLDER)
    rows = pq.read_table(text.FOLDER / "test.parquet").to_pydict()
    prompts = framed("r1_zero", rows["problem"])
    completions = sample_completions(model, tokenizer, prompts, greedy=True)
    judged = map(partial(judge, prefilled=False), completions, rows["solution"], rows["choices"])
    right = [verdict.correct is True for verdict in judged]
    chance = fmean(1 / len(choices) for choices in rows["choices"])
    return {"chance": round(chance, 3), **_by_task(right, rows["task"])}


def _by_task(right: Sequence[bool], tasks: Sequence[str]) -> dict[str, Estimate]:
    """``{"all": proportion, task: proportion, ...}``."""
    of_task = {name: compress(right, [task == name for task in tasks]) for name in TASKS}
    return {name: share(flags) for name, flags in {"all": right, **of_task}.items()}


def stated() -> dict[str, Any]:
    """Return the shares in the instruct miniature's chats, and its training."""
    return {
        "described": chats.DESCRIBED,
        "subjects": CHAT_STYLE.subjects,
        "prompts": CHAT_STYLE.prompts,
        "scene_styles": CHAT_STYLE.scene_styles,
        "maths_styles": CHAT_STYLE.maths_styles,
        "rationale": {
            "opening": chats.OPENING, "restated": chats.RESTATED,
            "plan": 1, "concluded": chats.CONCLUDED,
        },
        "gaps": {"r1_system": chats.R1_GAPS, "others": chats.GAPS},
        "training": {
            "steps": CHAT_STYLE.steps, "batch": instruct.BATCH,
            "learning_rate": instruct.LEARNING_RATE,
        },
    }  # fmt: skip


def load_questions(limit: int | None = None) -> dict[tuple[str, str], list[PicturedQuestion]]:
    """Load test questions by subject and prompt: the replication's and ``instruct_direct``."""
    dataset.ensure_dataset(dataset.FOLDER)
    questions = {
        "sat": [
            PicturedQuestion(row["images"][0], row["question"], row["choices"], row["answer"])
            for row in load_sat(dataset.FOLDER, split="val")
        ],
        "cv-bench": [
            PicturedQuestion(
                row["image"], row["prompt"], row["choices"],
                row["choices"]["ABCDEF".index(row["answer"][1])],
            )
            for row in load_cv_bench(dataset.FOLDER)
        ],
    }  # fmt: skip
    for (world, split), problems in files.draw_problems():
        if split == "test":
            questions[world] = [
                PicturedQuestion(
                    Image.open(BytesIO(dataset.jpeg(problem.draw()))),  # as the file has it
                    problem.text, list(problem.choices), problem.answer,
                )
                for problem in problems
            ]  # fmt: skip
    return {
        (subject, prompt): questions[subject][:limit]
        for subject, prompts in CHAT_STYLE.prompts.items()
        for prompt in (next(iter(prompts)), "instruct_direct")
    }
