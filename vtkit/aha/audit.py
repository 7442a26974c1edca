"""Audit a run's rollouts for second looks: numbers, and the verdict that they allow.

found = audit("runs/visualthinker-mini-s0")        # numbers, as vtkit.stats.proportion has them
verdict(found).kind                                # "absent", "superficial", "amplified", ...
paragraph(found)                                   # Markdown, each number linked to its section
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from vtkit.aha.reflection import annotate, rates
from vtkit.files import write_json
from vtkit.judging.matching import match_choice
from vtkit.judging.phrases import find_reflections
from vtkit.judging.statements import find_sentences
from vtkit.judging.verdict import right_choice
from vtkit.runs import curves, records
from vtkit.runs.rollouts import load_rollouts
from vtkit.stats import Estimate, correlation, paired_difference, percent, points, proportion

FEWEST = 20
"""Pairs or groups below which nothing is concluded from a comparison."""
_THOUGHT_END = "</think>"


class Verdict(NamedTuple):
    """``absent``, ``unclear``, ``superficial``, ``harmful`` or ``amplified``; and a sentence."""

    kind: str
    sentence: str


def audit(run_dir: str | Path, effects: pd.DataFrame | None = None) -> dict[str, Any]:
    """Count all numbers of notebook 04 that a verdict may use, those of ``effects`` included.

    Raises:
        UserError: the run has no metrics or no rollouts.
    """
    windows = load_windows(run_dir)
    return {
        "run": records.describe_run(run_dir),
        "rates": {when: rates(windows[when]) for when in ("start", "end")},
        "onset": curves.find_onset(run_dir),
        "within_groups": {
            "over a guess": within_groups(windows["all"], "reflective", "direct"),
            "over careful steps": within_groups(windows["all"], "reflective", "steps"),
        },
        "second_looks": second_looks(windows["end"]),
        "agreement": agreement(windows["end"]),
        "length_and_accuracy": length_and_accuracy(records.load_metrics(run_dir)),
        "effects": {} if effects is None else _by_arm(effects),
    }


def load_windows(run_dir: str | Path) -> dict[str, pd.DataFrame]:
    """The annotated rollouts of a run's ``start``, ``dip`` and ``end``, and of ``all`` its steps.

    The start is the first three steps, the dip five steps around the shortest mean length, the end
    the last ten. ``attrs["steps"]`` of each window names its steps.

    Raises:
        UserError: the run has no metrics or no rollouts.
    """
    metrics = records.load_metrics(run_dir)
    rollouts = annotate(load_rollouts(run_dir).to_pandas())
    dip, _ = curves.find_dip(metrics[curves.LENGTH])
    steps = {
        "start": list(metrics.index[: curves.START_STEPS]),
        "dip": list(range(dip - 2, dip + 3)),
        "end": list(metrics.index[-curves.END_STEPS :]),
        "all": list(metrics.index),
    }
    windows = {when: rollouts[rollouts["step"].isin(chosen)] for when, chosen in steps.items()}
    for when, frame in windows.items():
        frame.attrs["steps"] = steps[when]
    return windows


def date_events(run_dir: str | Path) -> dict[str, int | None]:
    """The step from which on each event of a run holds, averaged over five steps; None if never.

    Raises:
        UserError: the run has no metrics.
    """
    metrics = records.load_metrics(run_dir)
    smooth = metrics.rolling(curves.AVERAGE_STEPS, min_periods=1, center=True).mean()
    html = metrics["html_share"].head(curves.START_STEPS).mean()
    formed = smooth["rewards/format_reward/mean"]
    return {
        "HTML is half of what it was": curves.since(smooth["html_share"] < html / 2),
        "9 of 10 completions are well formed": curves.since(formed > 0.9),
        "completions are shortest": curves.find_dip(metrics[curves.LENGTH])[0],
        "reflection is clearly above its start": curves.find_onset(run_dir),
    }


def second_looks(frame: pd.DataFrame) -> dict[str, Any]:
    """Compare what reflective completions lean to before the first phrase with their answer.

    Only annotated rollouts that name a choice both before and after count. ``before`` and ``after``
    are proportions right, ``gain`` is their paired difference.
    """
    names = ("kept right", "kept wrong", "wrong to right", "right to wrong")
    seen: Counter[tuple[bool, bool]] = Counter()
    for row in frame[frame["reflective"]].itertuples():
        choices = tuple(row.choices)
        right = right_choice(row.solution, choices)
        place = find_reflections(row.completion)[0][0]
        before = _leaning(row.completion[:place], choices)
        if before is not None and not pd.isna(row.choice):
            seen[before == right, row.choice == right] += 1
    counts = [seen[True, True], seen[False, False], seen[False, True], seen[True, False]]
    n, (kept, failed, helped, hurt) = sum(counts), counts
    return {
        "n": n,
        **dict(zip(names, counts, strict=True)),
        "before": proportion(kept + hurt, n),
        "after": proportion(kept + helped, n),
        "gain": paired_difference(kept, helped, hurt, failed),
    }


def agreement(frame: pd.DataFrame) -> Estimate:
    """Count how often the answer is what the thinking concluded, where both are clear."""
    both = same = 0
    for row in frame.itertuples():
        thought, closed, _ = row.completion.partition(_THOUGHT_END)
        if not closed:
            continue
        concluded = _leaning(thought, tuple(row.choices))
        if concluded is not None and not pd.isna(row.choice):
            both += 1
            same += concluded == row.choice
    return proportion(same, both)


def within_groups(frame: pd.DataFrame, one: str, other: str) -> dict[str, Any] | None:
    """Estimate how much more often one style is right than another *for the same question*.

    Weighted as by Mantel and Haenszel; ``low`` and ``high`` are 95 %, normal. ``n`` are the groups
    with both styles; None where there are fewer than ``FEWEST``.
    """
    frame = frame[frame["style"].isin([one, other])]
    counts = frame.groupby(["step", "group", "style"])["right"].agg(["mean", "size"]).unstack()
    if counts.columns.size < 4 or len(counts := counts.dropna()) < FEWEST:
        return None
    n_one, n_other = counts["size", one], counts["size", other]
    gaps = counts["mean", one] - counts["mean", other]  # of each group
    weights = n_one * n_other / (n_one + n_other)
    gap = float((weights * gaps).sum() / weights.sum())
    error = float(((weights * (gaps - gap)) ** 2).sum() ** 0.5 / weights.sum())
    return {"value": gap, "low": gap - 1.96 * error, "high": gap + 1.96 * error, "n": len(counts)}


def length_and_accuracy(metrics: pd.DataFrame) -> Estimate:
    """Correlate the ranks of mean length and accuracy over the steps from the dip on.

    Steps are not independent, so the interval is too narrow.
    """
    dip, _ = curves.find_dip(metrics[curves.LENGTH])
    after = metrics.loc[dip:]
    accuracy = after.get("rewards/accuracy_reward/mean")
    if accuracy is None:
        return correlation([], [])
    return correlation(after[curves.LENGTH].rank().tolist(), accuracy.rank().tolist())


def verdict(found: dict[str, Any]) -> Verdict:
    """Choose the sentence that the numbers allow.

    absent: reflection at the end is not above the start's interval. harmful: a second look lowers
    accuracy (``force``, or without a causal test, against guesses in the same group); amplified: it
    raises accuracy; superficial: neither; unclear: too few groups to say.
    """
    start, end = (found["rates"][when]["reflect"] for when in ("start", "end"))
    if start["value"] is None or end["value"] is None or end["low"] <= start["high"]:
        return Verdict("absent", "reflection did not rise beyond what chance explains")
    forced = found["effects"].get("force")
    if forced and forced["n"] >= FEWEST:
        if forced["low"] > 0:
            return Verdict("harmful", "it rose, and answering at once would be right more often")
        if forced["high"] < 0:
            return Verdict("amplified", _what_it_buys(found))
        return Verdict("superficial", "it rose, but answering at once does as well")
    guess = found["within_groups"]["over a guess"]
    if guess is None:
        return Verdict("unclear", "it rose, but too few groups have both a second look and a guess")
    if guess["high"] < 0:
        return Verdict("harmful", "it rose, and is right less often than a guess at the question")
    if guess["low"] <= 0:
        return Verdict("superficial", "it rose, but is not clearly better than a guess")
    return Verdict("amplified", "it rose, and is right more often than a guess; no causal test")


def save_audit(run_dir: str | Path, found: dict[str, Any], **more: Any) -> Path:
    """Write ``aha.json``: the verdict, its paragraph in pieces, the numbers, and more of them.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    path = Path(run_dir) / "aha.json"
    sentence = {"verdict": verdict(found)._asdict(), "pieces": pieces(found)}
    write_json(path, sentence | found | more)
    return path


def _what_it_buys(found: dict[str, Any]) -> str:
    """Name what an amplified second look is good for, beyond the careful look.

    ``words`` counts only where the placebo did no harm: a placebo that derails the model flatters
    the reflection that it is compared with.
    """
    arms, steps = found["effects"], found["within_groups"]["over careful steps"]
    fair = "placebo" in arms and arms["placebo"]["high"] >= 0
    if fair and _helps(arms.get("words")):
        return "it rose, it is needed, and its words help beyond the length of what is inserted"
    if steps and steps["low"] > 0:
        return "it rose, it is needed, and beats careful steps without it in the same group"
    needed = "it rose, it is needed"
    if _helps(arms.get("insert")):
        needed += ", and it helps where it is put in"
    return f"{needed}; that its words do it, and not the look that follows them, is not shown"


def _helps(effect: dict[str, Any] | None) -> bool:
    return bool(effect and effect["n"] >= FEWEST and effect["low"] > 0)


def paragraph(found: dict[str, Any], link: Callable[[str], str] | None = None) -> str:
    """Write the verdict in Markdown; ``link`` turns a section's name ("4.4") into a target."""
    return "".join(
        f"[{text}]({link(section)})" if link and section else text
        for text, section in pieces(found)
    )


def pieces(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Split the verdict's paragraph into ``(text, section)``; words have no section."""
    kind, why = verdict(found)
    start, end = (percent(found["rates"][when]["reflect"]) for when in ("start", "end"))
    parts = [(f"{kind.capitalize()}: {why}. Reflection went from ", ""), (start, "4.4")]
    parts += [(" of the rollouts to ", ""), (end, "4.4")]
    if found["onset"]:
        parts += [(", from step ", ""), (str(found["onset"]), "4.2")]
        parts.append((" on clearly above its start", ""))
    looks = found["second_looks"]
    if looks["n"] >= FEWEST:
        parts += [(". Of ", ""), (str(looks["n"]), "4.6"), (" second looks at the end, ", "")]
        parts += [(str(looks["wrong to right"]), "4.6"), (" went from wrong to right and ", "")]
        parts += [(str(looks["right to wrong"]), "4.6"), (" from right to wrong", "")]
    for arm, text in _ARMS.items():
        effect = found["effects"].get(arm)
        if effect and effect["n"] >= FEWEST:
            parts += [(f". {text} changes accuracy by ", ""), (f"{points(effect)} points", "4.7")]
            parts.append((f" (n = {effect['n']})", ""))
    return [*parts, (".", "")]


SECTIONS = {
    "4.2": "#4.2-Three-phases",
    "4.4": "#4.4-How-often-does-it-reflect?",
    "4.6": "#4.6-Before-and-after",
    "4.7": "#4.7-The-causal-test",
}
"""Links to sections of notebook 04."""
_ARMS = {
    "force": "Answering at once, instead of reflecting,",
    "remove": "Taking the sentence away and continuing",
    "insert": "Putting a second look into completions that have none",
    "placebo": "A neutral sentence of the same length in its place",
    "words": "The words of the second look, beyond that neutral sentence,",
}


def _by_arm(effects: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The effects by arm; NaN becomes None, as JSON needs it."""
    rows = effects.assign(value=effects["difference"]).astype(object)
    return rows.where(rows.notna(), None).to_dict("index")


def _leaning(thought: str, choices: tuple[str, ...]) -> int | None:
    """The choice named by the last sentence that names one: "It looks like left." names left."""
    named = [
        match_choice(thought[start:end], choices).choice
        for start, end in find_sentences(thought, 0, len(thought))
    ]
    return next((choice for choice in reversed(named) if choice is not None), None)
