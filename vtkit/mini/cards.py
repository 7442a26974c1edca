"""Measure the miniature models and write their model cards.

    python -m vtkit.mini card base            # measures models/mini-base, writes its README.md
    python -m vtkit.mini card instruct        # writes results/mini-instruct (or: text)

Only the base is in the repository. The cards of the others are, too (``card.json`` for tools,
``README.md`` for readers), for comparison with a rebuilt model.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from itertools import compress
from operator import not_
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch
from PIL import Image

from vtkit.benchmark.evaluate import evaluate
from vtkit.data.cv_bench import load_cv_bench
from vtkit.data.sat import load_sat
from vtkit.files import atomic_write, read_json, write_json
from vtkit.judging import Verdict, judge
from vtkit.judging.styles import STYLES
from vtkit.mini import base_model, corpus, dataset
from vtkit.mini.pretraining import PIXELS
from vtkit.mini.replications import chats, files, instruct, text, text_base
from vtkit.mini.replications.chat_styles import CHAT_STYLES, DEFAULT
from vtkit.mini.scenes import TASKS, Question
from vtkit.models.loading import count_parameters, load_model, load_processor
from vtkit.models.prompts import PREFILL, conversation
from vtkit.rendering import templates
from vtkit.stats import proportion

MAX_NEW_TOKENS = 128
CHAT_STYLE = CHAT_STYLES[DEFAULT]


class Card(NamedTuple):
    """How a model is measured, where its card goes, and where the model is (None: there, too)."""

    measure: Callable[..., dict[str, Any]]
    folder: Path
    model_folder: Path | None


class PicturedQuestion(NamedTuple):
    """A question of a test file with its picture; ``choices`` is empty for an open one."""

    picture: Image.Image
    question: str
    choices: list[str]
    answer: str


def write_card(
    kind: str, folder: Path | None = None, model_folder: Path | None = None, **options: Any
) -> Path:
    """Measure a model and write its card.

    Args:
        kind: one of :data:`CARDS`, which has the default folders.
        options: for the function that measures.

    Raises:
        UserError: no finished model there, or the folder cannot be written.
    """
    folder = folder or CARDS[kind].folder
    model_folder = model_folder or CARDS[kind].model_folder or folder
    card = CARDS[kind].measure(model_folder, **options)
    if folder != model_folder:
        write_json(folder / "card.json", card)
    with atomic_write(folder / "README.md") as handle:
        handle.write(render(kind, card))
    return folder / "README.md"


def render(kind: str, card: dict[str, Any]) -> str:
    """The card as Markdown."""
    environment = templates(Path(__file__).with_name("templates"))
    environment.globals |= {"base_model": base_model, "corpus": corpus, "text_base": text_base}
    return environment.get_template(f"{kind}.md").render(card=card, chats=_chats)


def _chats() -> list[chats.Chat]:
    rng = random.Random("card")
    return [chats.make_chat(rng, CHAT_STYLE) for _ in range(6)]


def measure_base(folder: Path, n: int = 1024, seed: int = 0) -> dict[str, Any]:
    """Measure a miniature base.

    Returns:
        ``parameters``, ``vocabulary``, ``last_loss``; ``sampled``: :func:`style_table` of ``n``
        completions to questions on new scenes; ``greedy``: the scores of the miniature benchmark
        (:func:`vtkit.benchmark.evaluate.evaluate`).

    Raises:
        UserError: no finished model there.
    """
    model, processor, described = _load(folder, "base")
    rng = _seeded(seed)
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

    def generate(prompts: Sequence[str]) -> list[str]:
        return sample_completions(model, processor, prompts, pictures)

    sampled = style_table(generate, prompts, [view.question for view in views], rng)
    dataset.ensure_dataset()
    with tempfile.TemporaryDirectory() as out:
        greedy = evaluate(
            model, processor, load_cv_bench(dataset.FOLDER), out,
            step=0, prompt="base", batch_size=132, max_new_tokens=MAX_NEW_TOKENS,
        )  # fmt: skip
    return {**described, "sampled": sampled, "greedy": greedy}


def measure_text(folder: Path, n: int = 1024, seed: int = 0) -> dict[str, Any]:
    """Measure a text-only base.

    Returns:
        ``parameters``, ``vocabulary``, ``last_loss``; ``sampled``: :func:`style_table` of ``n``
        completions to new problems, and their ``mean_tokens``; ``notes``: by task, the share of
        right conclusions after a careful look under the prompt of notes; ``greedy``: accuracy on
        the test file, by task, and ``chance``.

    Raises:
        UserError: no finished model there.
    """
    model, tokenizer, described = _load(folder, "r1_zero")
    rng = _seeded(seed)
    views = [text.make_view(rng) for _ in range(n)]
    questions = [view.question for view in views]
    prompts = [text.document(view, "dialogue", rng)[0] for view in views]
    lengths: list[int] = []

    def generate(prompts: Sequence[str]) -> list[str]:
        completions = sample_completions(model, tokenizer, prompts)
        lengths.extend(_count_tokens(tokenizer, completions))
        return completions

    sampled = style_table(generate, prompts, questions, rng, opening=f" {PREFILL}")
    return {
        **described,
        "mean_tokens": _mean(lengths[:n]),
        "sampled": sampled,
        "notes": _notes(model, tokenizer, views, rng),
        "greedy": _greedy_on_test_file(model, tokenizer),
    }


def measure_instruct(folder: Path, limit: int | None = None) -> dict[str, Any]:
    """Measure an instruct miniature on the test rows of each replication.

    Args:
        limit: questions of each subject; None for all.

    Returns:
        ``parameters``, ``vocabulary``, ``last_loss``, ``stated`` (:func:`stated`) and ``measured``
        (:func:`measure_answers` for each ``subject`` and ``prompt``).

    Raises:
        UserError: no finished model there.
    """
    model, processor, described = _load(folder, "instruct", losses="tuning.json")
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


def _load(
    folder: Path, prompt: str, losses: str = "pretraining.json"
) -> tuple[Any, Any, dict[str, Any]]:
    """A finished model, its processor or tokenizer, and the first numbers of every card."""
    last_loss = read_json(folder / losses)["mean_loss_of_50_steps"][-1]
    model = load_model(folder).eval()
    processor = load_processor(folder, prompt=prompt, min_pixels=PIXELS, max_pixels=PIXELS)
    described = {
        "parameters": count_parameters(model)["total"],
        "vocabulary": len(getattr(processor, "tokenizer", processor)),
        "last_loss": last_loss,
    }
    return model, processor, described


def _seeded(seed: int) -> random.Random:
    torch.manual_seed(seed)
    return random.Random(f"card-{seed}")


# --- completions and what they are worth ----------------------------------------------------------


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
    """Sample completions at temperature 1 over the whole vocabulary, as GRPO does, or greedily.

    Args:
        processor: or a tokenizer, if there are no pictures.
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


def style_table(
    generate: Callable[[Sequence[str]], list[str]],
    prompts: Sequence[str],
    questions: Sequence[Question],
    rng: random.Random,
    opening: str = "",
) -> dict[str, dict]:
    """Measure share and accuracy of each style, and the accuracy when a second look is forced.

    Args:
        generate: gives a completion for each prompt.
        opening: opens the thinking of a completion if the prompt does not.

    Returns:
        ``{style: {"share": proportion, "right": proportion}}``; the entry
        ``"second look, forced"`` has ``right`` only.
    """
    completions = generate(prompts)
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
    looked = verdicts(generate(forced), questions)
    table["second look, forced"] = {"right": _share_right(looked)}
    return table


def verdicts(
    completions: Sequence[str],
    questions: Sequence[Question | PicturedQuestion],
    *,
    prefilled: bool = True,
) -> list[Verdict]:
    """The verdict on each question's completion."""
    return [
        judge(completion, question.answer, question.choices, prefilled=prefilled)
        for completion, question in zip(completions, questions, strict=True)
    ]


def _share_right(judged: Sequence[Verdict]) -> dict[str, Any]:
    return proportion(sum(verdict.correct is True for verdict in judged), len(judged))


def _count_tokens(tokenizer: Any, completions: Sequence[str]) -> list[int]:
    """Tokens of each completion, with the end token."""
    return [len(ids) + 1 for ids in tokenizer(completions)["input_ids"]]


def _mean(lengths: Sequence[int]) -> float | None:
    return round(fmean(lengths), 1) if lengths else None


# --- the text-only base ---------------------------------------------------------------------------


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


def _greedy_on_test_file(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Greedy accuracy on the test file, by task, and the accuracy of guessing."""
    text.ensure_files(text.FOLDER)
    rows = pq.read_table(text.FOLDER / "test.parquet").to_pydict()
    prompts = tokenizer.apply_chat_template(
        [conversation(problem) for problem in rows["problem"]],
        add_generation_prompt=True, tokenize=False,
    )  # fmt: skip
    completions = sample_completions(model, tokenizer, prompts, greedy=True)
    judged = map(partial(judge, prefilled=False), completions, rows["solution"], rows["choices"])
    right = [verdict.correct is True for verdict in judged]
    chance = sum(1 / len(choices) for choices in rows["choices"]) / len(prompts)
    return {"chance": round(chance, 3), **_by_task(right, rows["task"])}


def _by_task(right: Sequence[bool], tasks: Sequence[str]) -> dict[str, dict]:
    """``{"all": proportion, task: proportion, ...}``."""
    hits = {name: [hit for hit, task in zip(right, tasks, strict=True) if task == name]
            for name in TASKS}  # fmt: skip
    return {"all": proportion(sum(right), len(right))} | {
        task: proportion(sum(among), len(among)) for task, among in hits.items()
    }


# --- the instruct miniature -----------------------------------------------------------------------


def stated() -> dict[str, Any]:
    """The shares in the instruct miniature's chats, and its training."""
    return {
        "described": chats.DESCRIBED,
        "subjects": chats.SUBJECTS,
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
    """The test questions by subject and prompt: the replication's and ``instruct_direct``."""
    dataset.ensure_dataset()
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


def measure_answers(
    model: Any, processor: Any, questions: Sequence[PicturedQuestion], prompt: str, seed: int = 0
) -> dict[str, Any]:
    """Ask all questions under one prompt, sampled and greedy.

    Returns:
        Proportions ``styles``, ``format`` (good) and ``reflective`` of sampled completions; their
        mean length ``tokens`` with the end token, ``tokens_tagged`` of those in good format and
        ``tokens_untagged`` of the others (None if there are none); accuracy ``sampled`` and
        ``greedy``.
    """
    torch.manual_seed(seed)
    before, after = chats.frame(prompt)
    prompts = [before + question.question + after for question in questions]
    pictures = [question.picture for question in questions]
    sampled, greedy = (
        sample_completions(model, processor, prompts, pictures, greedy=greedy)
        for greedy in (False, True)
    )
    judged = verdicts(sampled, questions, prefilled=False)
    n, styles = len(questions), Counter(verdict.style for verdict in judged)
    lengths = _count_tokens(processor.tokenizer, sampled)
    good = [verdict.format == "good" for verdict in judged]
    return {
        "styles": {name: proportion(styles[name], n) for name in STYLES if styles[name]},
        "format": proportion(sum(good), n),
        "reflective": proportion(sum(verdict.reflective for verdict in judged), n),
        "tokens": _mean(lengths),
        "tokens_tagged": _mean(list(compress(lengths, good))),
        "tokens_untagged": _mean(list(compress(lengths, map(not_, good)))),
        "sampled": _share_right(judged),
        "greedy": _share_right(verdicts(greedy, questions, prefilled=False)),
    }
