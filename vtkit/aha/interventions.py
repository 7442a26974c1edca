"""The causal test: change a completion at its second look, continue it, compare accuracy.

A completion to a held-out question is cut; from the cut the model continues twice, with two texts
put in (:data:`vtkit.aha.pairs.ARMS`) and the same random numbers. Notebook 04 explains the design.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pyarrow as pa
from datasets import Dataset

from vtkit.aha import cuts
from vtkit.aha.cuts import Cut, cut_reflection, cut_thinking
from vtkit.aha.pairs import ARMS, KINDS, SCHEMA, effects, load_pairs, remarks, save_pairs
from vtkit.data.rows import load_benchmark_rows
from vtkit.errors import UserError, resumable
from vtkit.judging import is_reflective, judge
from vtkit.judging.verdict import benchmark_solution
from vtkit.models.inputs import tokenizer_of
from vtkit.models.loading import load
from vtkit.models.prompts import check_rendering, get_template, is_prefilled
from vtkit.runs.checkpoints import last_checkpoint
from vtkit.sampling.generation import generate
from vtkit.sampling.sampler import Sampling
from vtkit.stats import points

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig

REFLECTION = " Wait, let me check again."
"""Inserted where no reflection of the model is common enough."""
MODEL_ARMS = {"trained": ("force", "remove"), "base": ("insert", "placebo", "words")}
"""The arms that each model of a run can answer: the first two need completions that reflect."""
_CUTTERS = {"reflective": cut_reflection, "other": cut_thinking}  # by kind of completion
_ASKED_AT_ONCE = 64  # questions; fixed, so that the batch size decides nothing
_Draw = Callable[[Sequence[int], Sequence[str], Sequence[str]], list[str]]


class _Unit(NamedTuple):
    row: int  # of the data set
    kind: str
    cut: Cut


def run_interventions(
    model: Any,
    processor: Any,
    rows: Dataset,
    *,
    prompt: str,
    batch_size: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    n: int = 200,
    tries: int = 4,
    seed: int = 0,
    arms: Sequence[str] = tuple(ARMS),
    save: str | Path | None = None,
) -> pd.DataFrame:
    """Ask, cut, continue twice, judge: one row a pair of all ``arms`` (``SCHEMA``).

    ``force`` and ``remove`` take completions that reflect, cut before the sentence of the first
    ``NARROW`` phrase. The others take completions that do not, cut after as many sentences as
    usually precede this model's reflections. ``attrs`` holds the settings and what was put in.

    Args:
        rows: of :func:`vtkit.data.cv_bench.load_cv_bench`.
        max_new_tokens: of a completion and, anew, of what follows a cut.
        n: pairs in an arm, at most; there are fewer if the model hardly ever (or always) reflects.
        tries: completions drawn to a question, at most.
        seed: of the choice of questions and of all random numbers; the batch size has no effect.
        save: parquet file for the pairs. If it exists, it is read and nothing is drawn.

    Raises:
        UserError: no such prompt, a template that loses the picture, a full disk, or a ``save``
            that holds pairs of other settings.
    """
    settings: dict[str, Any] = {
        "prompt": prompt,
        "n": n,
        "tries": tries,
        "seed": seed,
        "questions": len(rows),
    }
    settings |= {"temperature": temperature, "top_k": top_k, "max_new_tokens": max_new_tokens}
    settings["arms"] = [arm for arm in ARMS if arm in arms]
    if save and Path(save).exists():
        return _load_same(Path(save), settings)
    get_template(prompt)
    pictures = {"image", "images"} & set(rows.column_names)
    check_rendering(processor, rows["prompt"][:1], pictures=len(pictures))
    asked = rows.select_columns([*pictures, "prompt"])
    limits = {"batch_size": batch_size, "max_new_tokens": max_new_tokens}

    def draw(numbers: Sequence[int], keys: Sequence[str], beginnings: Sequence[str]) -> list[str]:
        sampling = Sampling(temperature, top_k, [f"{seed}-{key}" for key in keys])
        inputs = model, processor, asked.select(numbers)
        completions = generate(
            *inputs, beginnings=beginnings, sampling=sampling, progress=True, **limits
        )
        return [completion.text for completion in completions]

    found, drawn = _find(draw, settings)
    reflective = list(found["reflective"].values())
    facts = {"completions": drawn, **_insertions(tokenizer_of(processor), reflective)}
    cutters = _CUTTERS | {"other": partial(cut_thinking, sentences=facts["after"])}
    units = [
        _Unit(row, kind, cut)
        for kind in dict.fromkeys(KINDS[arm] for arm in settings["arms"])
        for row, completion in found[kind].items()
        if (cut := cutters[kind](completion))
    ]
    pairs = _continue(draw, rows, units, settings["arms"], facts, prefilled=is_prefilled(prompt))
    frame = pa.Table.from_pylist(pairs, SCHEMA).to_pandas()
    frame.attrs = {"settings": settings, **facts}
    if save:
        save_pairs(save, frame)
    return frame


def _find(draw: _Draw, settings: dict[str, Any]) -> tuple[dict[str, dict[int, str]], int]:
    """Completions of each kind by row, at most ``n``; and how many were drawn for them."""
    order = list(range(settings["questions"]))
    random.Random(f"interventions-{settings['seed']}").shuffle(order)
    found: dict[str, dict[int, str]] = {kind: {} for kind in _CUTTERS}
    needed = [found[kind] for kind in {KINDS[arm] for arm in settings["arms"]}]
    drawn = 0
    for attempt in range(settings["tries"]):
        waiting = iter(order)
        while lacking := [kept for kept in needed if len(kept) < settings["n"]]:
            useful = (row for row in waiting if any(row not in kept for kept in lacking))
            asked = list(islice(useful, _ASKED_AT_ONCE))
            if not asked:
                break
            # These words name random streams: others would draw other completions.
            keys = [f"{row}-reply-{attempt}" for row in asked]
            for row, completion in zip(asked, draw(asked, keys, [""] * len(asked)), strict=True):
                drawn += 1
                for kind, cutter in _CUTTERS.items():
                    if len(found[kind]) < settings["n"] and cutter(completion):
                        found[kind].setdefault(row, completion)
    return found, drawn


def _insertions(tokenizer: Any, reflective: Sequence[str]) -> dict[str, Any]:
    """The reflection to insert, its placebo, and after how many sentences of a completion."""
    own_cuts = [cut for text in reflective if (cut := cut_reflection(text))]
    own = cuts.commonest_sentence([cut.sentence for cut in own_cuts])
    before = [cuts.count_sentences(cut.before) for cut in own_cuts]
    inserted = own or REFLECTION
    tokens = cuts.count_tokens(tokenizer, inserted)
    placebo = cuts.make_placebo(tokenizer, tokens)
    return {
        "own": own is not None,
        "after": max(median_low(before), 1) if before else None,
        "inserted": inserted,
        "inserted_tokens": tokens,
        "placebo": placebo,
        "placebo_tokens": cuts.count_tokens(tokenizer, placebo),
    }


def _continue(
    draw: _Draw,
    rows: Dataset,
    units: Sequence[_Unit],
    arms: Sequence[str],
    facts: dict[str, Any],
    *,
    prefilled: bool,
) -> list[dict[str, Any]]:
    """Continue each unit from each text that its arms put in, and judge: rows of ``SCHEMA``."""
    added: dict[tuple[_Unit, str], str] = {}
    for unit in units:
        texts = {
            "forced": cuts.forced_answer(unit.cut.before, prefilled=prefilled),
            "own": unit.cut.sentence,
            "nothing": "",
            "inserted": facts["inserted"],
            "placebo": facts["placebo"],
        }
        names = [name for arm in arms if KINDS[arm] == unit.kind for name in ARMS[arm]]
        added |= {(unit, name): texts[name] for name in names}
    begun = [unit.cut.before + text for (unit, _), text in added.items()]
    keys = [f"{unit.row}-{unit.kind}" for unit, _ in added]  # one a unit: the same random numbers
    continued = draw([unit.row for unit, _ in added], keys, begun) if added else []
    questions = rows.select_columns(["idx", "task", "choices", "answer"])
    sides = {
        side: _side(questions[side[0].row], start, text, rest, prefilled)
        for (side, text), start, rest in zip(added.items(), begun, continued, strict=True)
    }
    return [
        _pair(arm, questions[unit.row], unit, *(sides[unit, name] for name in ARMS[arm]))
        for arm in arms
        for unit in units
        if unit.kind == KINDS[arm]
    ]


def _side(
    question: dict[str, Any], start: str, text: str, rest: str, prefilled: bool
) -> dict[str, Any]:
    """One side of a pair: ``start``, which ends in the ``text`` put in, and the rest."""
    solution = benchmark_solution(question["choices"], question["answer"])
    verdict = judge(start + rest, solution, question["choices"], prefilled=prefilled)
    return {
        "adds": text,
        "text": rest,
        "answer": verdict.answer,
        "correct": verdict.correct,
        "reflects": is_reflective(rest),
    }


def _pair(
    arm: str,
    question: dict[str, Any],
    unit: _Unit,
    treated: dict[str, Any],
    control: dict[str, Any],
) -> dict[str, Any]:
    return {
        "arm": arm,
        "idx": question["idx"],
        "task": question["task"],
        "prefix": unit.cut.before,
        **{f"treated_{name}": value for name, value in treated.items()},
        **{f"control_{name}": value for name, value in control.items()},
    }


def _load_same(path: Path, settings: dict[str, Any]) -> pd.DataFrame:
    pairs = load_pairs(path)
    for name, value in settings.items():
        if (stored := pairs.attrs["settings"].get(name)) != value:
            pairs_of = f"it holds pairs of {stored!r}, not {value!r}"
            raise UserError(f"{path}: {name}: {pairs_of}; delete it or save to another file")
    return pairs


@resumable()
def run_causal_test(config: "RunConfig", folder: Path, n: int) -> dict[str, pd.DataFrame]:
    """The causal test of a run: pairs by model, ``trained`` and ``base``, of those that there are.

    Args:
        folder: the run folder, or a replay; pairs are kept in its ``interventions``.
        n: pairs in each arm; other numbers of pairs than the kept ones are made again. 0 reads what
            is kept and runs nothing. Without a checkpoint, or for a replay, nothing is run either.
    """
    checkpoint = last_checkpoint(Path(config.run_dir) / "checkpoints")
    weights = {"trained": checkpoint, "base": config.model}
    possible = n > 0 and checkpoint is not None and folder == Path(config.run_dir)
    found = {}
    for name, arms in MODEL_ARMS.items():
        file = folder / "interventions" / f"{name}.parquet"
        if possible:
            if file.exists() and (old := load_pairs(file).attrs["settings"]["n"]) != n:
                print(f"{file} has {old} pairs an arm; it is made again with {n}")
                file.unlink()
            found[name] = run_interventions(
                *load(config, weights[name]), load_benchmark_rows(config.to_dict()),
                prompt=config.prompt, arms=arms, n=n, seed=config.seed, save=file,
                temperature=config.temperature, top_k=config.top_k,
                batch_size=config.eval_batch_size, max_new_tokens=config.max_completion_length,
            )  # fmt: skip
        elif file.exists():
            found[name] = load_pairs(file)
    return found


def compare_arms(tested: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """The effects of all arms of :func:`run_causal_test`, one row an arm; None without any pairs.

    Prints the remarks that belong below the table, model by model.
    """
    for name, pairs in tested.items():
        print(f"{name} model:", *remarks(pairs), sep="\n- ")
    return pd.concat([effects(pairs) for pairs in tested.values()]) if tested else None


def describe_effects(effects: pd.DataFrame) -> pd.DataFrame:
    """The effects of :func:`compare_arms` for readers, differences in points."""
    arms = effects.assign(value=effects["difference"]).to_dict("records")
    table = effects[["n", "treated", "control", "treated_reflects", "control_reflects"]].round(2)
    table["difference, points"] = [points(arm) for arm in arms]
    return table.join(effects[["helped", "hurt"]])
