"""The causal test: what happens to accuracy when a second look is taken away, or put in.

That reflective completions are right more often proves nothing: easy questions may invite reflection,
and a completion that reflects is also a completion that reasons. To show a cause one has to intervene. Other
kits count words; this one changes the text in the middle of a completion and lets the model go on.

*The pair.* A model completions to a held-out question. The completion is cut; what stands before the cut is
kept. From there the model goes on twice, with two different texts put in, with the same sampler and
the same random numbers. Both completions are judged by the rules that judge the benchmark. Nothing but
the text put in differs, so a difference in accuracy is its effect. Each arm is such a pair:

    arm      treated: put in at the cut      control: put in     the difference says
    force    "</think> <answer>"             its reflection      what is lost if it answers at once
    remove   nothing                         its reflection      whether that sentence was needed
    insert   a reflection                    nothing             whether a second look would help
    placebo  a neutral sentence as long      nothing             what any interruption does
    words    a reflection                    the neutral one     what its words add to mere length

``force`` and ``remove`` take completions that reflect, cut before the sentence of the first phrase in
:data:`vtkit.judging.phrases.NARROW`. The others take completions that do not, cut where this model puts its
reflections: after as many sentences as usually stand before them (unknown: where thinking ends).
HTML, completions without an end of thinking, and phrases after it are left out.

*Why the control is drawn again.* The completion's own outcome is there already, but it comes from a
completion that was picked for what it says, and the treated one would be a new draw: luck on one side
only. Both sides are drawn anew from one cut, so however completions are picked, it favours neither.

*Why new completions.* Rollouts of the last training steps come from several models, on questions these
were trained on, eight to a question. Here every completion is of the model that is tested, on held-out
questions, and a question serves an arm once, so that pairs are independent. Questions that did not
serve are asked again, ``tries`` times at most, until the arm has ``n``. So the effect is an average
over questions on which this model does (force, remove) or does not reflect, not over all.

*Why the same random numbers.* A completion takes one number a token, and both completions of a pair take the
same ones. Each is still a fair draw; the luck that both share cancels out.

*What the arms do not say.* ``force`` takes away all thinking after the cut, not a sentence alone,
and a forced answer cannot fail the format. After ``remove`` the model may reflect all the same, and
the control of ``insert`` may by itself: :func:`vtkit.aha.pairs.effects` counts how often. Where nearly
all do, ``remove`` says no more than that the habit does not hang on one sentence. What is inserted
is the run's own commonest reflection, yet these completions did not ask for it, and may have looked
with care already: a model that was trained to reflect is better asked before its training. A
placebo that does harm has derailed the model, and then ``words`` flatters the reflection: read the
two together. With five intervals of 95 %, an audit of a model in which nothing has an effect shows
one that misses zero about once in five times.

    rows = load_cv_bench("data/mini")
    pairs = run_interventions(model, processor, rows, prompt="base", max_new_tokens=128, ...)
    effects(pairs)     # one row an arm: n, accuracies, difference and its 95 % interval
    remarks(pairs)     # what was put in and where, which arms fell short, and what to beware of
"""

import random
from collections.abc import Callable, Mapping, Sequence
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
from vtkit.benchmark.evaluate import is_correct
from vtkit.data.rows import load_benchmark_rows
from vtkit.errors import UserError
from vtkit.judging.answers import find_answer
from vtkit.judging.styles import is_reflective
from vtkit.models.inputs import tokenizer_of
from vtkit.models.loading import load
from vtkit.models.prompts import check_rendering, get_template, is_prefilled
from vtkit.runs.checkpoints import last_checkpoint
from vtkit.sampling.generation import generate
from vtkit.sampling.sampler import Sampling

if TYPE_CHECKING:
    from vtkit.config.run_config import RunConfig

REFLECTION = " Wait, let me check again."
"""Inserted where the model has no reflection of its own that is common enough."""
MODEL_ARMS = {"trained": ("force", "remove"), "base": ("insert", "placebo", "words")}
"""The arms that each model of a run can answer: the first two need completions that reflect."""
_CUTTERS = {"reflective": cut_reflection, "other": cut_thinking}  # by kind of completion
_ASKED_AT_ONCE = 64  # questions; fixed, so that the batch size decides nothing
_Draw = Callable[[Sequence[int], Sequence[str], Sequence[str]], list[str]]


class _Unit(NamedTuple):
    """A cut completion: ``row`` of the data set, and the kind of completion."""

    row: int
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
    """Ask, cut, go on twice, judge: the pairs of all arms.

    Args:
        rows: of :func:`vtkit.data.cv_bench.load_cv_bench`.
        prompt: name of the processor's chat template.
        max_new_tokens: of a completion and, anew, of what follows a cut.
        temperature, top_k: as in training, so that these are the completions which it rewarded.
        n: pairs in an arm, at most; there are fewer if the model hardly ever (or always) reflects.
        tries: completions drawn to a question, at most.
        seed: which questions, and all random numbers; the batch size has no say.
        arms: names of ``ARMS``. A model that hardly reflects needs many tries for the first two,
            one that nearly always does for the others.
        save: parquet file to leave the pairs in. If it is there, it is read and nothing is drawn.

    Returns:
        One row a pair with the columns of ``SCHEMA``; ``attrs`` holds the settings and what was
        put in (see :func:`vtkit.aha.pairs.remarks`).

    Raises:
        UserError: no such prompt, a template that loses the picture, a full disk, or a ``save``
            that holds pairs of other settings.
    """
    settings = {"prompt": prompt, "n": n, "tries": tries, "seed": seed, "questions": len(rows)}
    settings |= {"temperature": temperature, "top_k": top_k, "max_new_tokens": max_new_tokens}
    settings["arms"] = [arm for arm in ARMS if arm in arms]
    if save and Path(save).exists():
        return _load_same(Path(save), settings)
    get_template(prompt)
    pictures = {"image", "images"} & set(rows.column_names)
    check_rendering(processor, rows["prompt"][:1], pictures=len(pictures))
    asked = rows.select_columns([*pictures, "prompt"])

    def draw(numbers: Sequence[int], keys: Sequence[str], beginnings: Sequence[str]) -> list[str]:
        completions = generate(
            model,
            processor,
            asked.select(numbers),
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            beginnings=beginnings,
            sampling=Sampling(temperature, top_k, [f"{seed}-{key}" for key in keys]),
        )
        return [completion.text for completion in completions]

    found, drawn = _find(draw, settings)
    facts = {
        "completions": drawn,
        **_puts_in(tokenizer_of(processor), list(found["reflective"].values())),
    }
    units = [
        _Unit(
            row,
            kind,
            cut_reflection(completion)
            if kind == "reflective"
            else cut_thinking(completion, facts["after"]),
        )
        for kind in {KINDS[arm]: None for arm in settings["arms"]}
        for row, completion in found[kind].items()
    ]
    pairs = _go_on(draw, rows, units, settings["arms"], facts, prefilled=is_prefilled(prompt))
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
        while lacking := [
            completions for completions in needed if len(completions) < settings["n"]
        ]:
            useful = (
                row for row in waiting if any(row not in completions for completions in lacking)
            )
            asked = list(islice(useful, _ASKED_AT_ONCE))
            if not asked:
                break
            keys = [f"{row}-completion-{attempt}" for row in asked]
            for row, completion in zip(asked, draw(asked, keys, [""] * len(asked)), strict=True):
                drawn += 1
                for kind, cutter in _CUTTERS.items():
                    if len(found[kind]) < settings["n"] and cutter(completion):
                        found[kind].setdefault(row, completion)
    return found, drawn


def _puts_in(tokenizer: Any, reflective: Sequence[str]) -> dict[str, Any]:
    """The reflection to insert, its placebo, and after how many sentences of a completion."""
    own_cuts = [cut_reflection(completion) for completion in reflective]
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


def _go_on(
    draw: _Draw,
    rows: Dataset,
    units: Sequence[_Unit],
    arms: Sequence[str],
    facts: dict[str, Any],
    *,
    prefilled: bool,
) -> list[dict[str, Any]]:
    """Continue each unit from each text that its arms put in, and judge: rows of ``SCHEMA``."""
    added = {}
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
    keys = [f"{unit.row}-{unit.kind}" for unit, _ in added]  # one a unit: the same dice
    goes_on = draw([unit.row for unit, _ in added], keys, begun) if added else []
    questions = rows.select_columns(["idx", "task", "choices", "answer"])
    sides = {
        side: _side(questions[side[0].row], start, text, more, prefilled)
        for (side, text), start, more in zip(added.items(), begun, goes_on, strict=True)
    }
    return [
        _pair(arm, questions[unit.row], unit, *(sides[unit, name] for name in ARMS[arm]))
        for arm in arms
        for unit in units
        if unit.kind == KINDS[arm]
    ]


def _side(question: dict, start: str, text: str, more: str, prefilled: bool) -> dict[str, Any]:
    """One completion of a pair: ``start`` up to and with what was put in, ``more`` what followed."""
    answer = find_answer(start + more, question["choices"], prefilled=prefilled)
    right = is_correct(start + more, question["choices"], question["answer"], prefilled=prefilled)
    return {
        "adds": text,
        "text": more,
        "answer": answer.text,
        "correct": right,
        "reflects": is_reflective(more),
    }


def _pair(arm: str, question: dict, unit: _Unit, treated: dict, control: dict) -> dict[str, Any]:
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
        stored = pairs.attrs["settings"].get(name)
        if stored != value:
            raise UserError(
                f"{path}: {name}: it holds pairs of {stored!r}, not {value!r}; "
                "delete it or save to another file"
            )
    return pairs


def run_causal_test(config: "RunConfig", folder: Path, n: int) -> dict[str, pd.DataFrame]:
    """The causal test of a run: the last checkpoint's arms and the base model's.

    Args:
        folder: the run folder, or a replay; pairs are kept in its ``interventions``.
        n: pairs in each arm; 0 reads what is kept and runs nothing. Without a checkpoint, or for a
            replay, nothing is run either.

    Returns:
        Pairs by model, ``trained`` and ``base``, of those that there are.
    """
    checkpoint = last_checkpoint(Path(config.run_dir) / "checkpoints")
    weights = {"trained": checkpoint, "base": config.model}
    possible = n > 0 and checkpoint is not None and folder == Path(config.run_dir)
    found = {}
    for name, arms in MODEL_ARMS.items():
        file = folder / "interventions" / f"{name}.parquet"
        if possible:
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
