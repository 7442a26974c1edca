"""Whether completions reflect, how often, and how often that goes with being right.

Reports of an "aha moment" usually show one quote and a rising word count. Here the word lists are
fixed beforehand, with their sources (:mod:`vtkit.judging.phrases`); a completion counts once, phrases that
it negates or quotes do not, markup never does; and each rate comes with its interval and its n.

Held against 422 completions labelled by hand (``tests/judging/corpus/styles.jsonl``), the flag has a
precision of 0.97, a recall of 0.94 and an F1 of 0.96. The lists grew on that set. On wordings that
were written after the lists, to be hard, they had a precision of 0.90 and a recall of 0.53: a rate
is a lower bound, and a model that learns other words for the same thing seems to reflect less.

What the flag cannot know: a phrase is style, not proof. Whether the writer looked at anything
again, whether the second look is worth something (:mod:`vtkit.aha.interventions` asks that), and
whether a completion without any such phrase was thought over, is not in the words.

    rates(load_rollouts(run_dir, steps=range(10)).to_pandas())  # of the first ten steps
    word_counts(load_rollouts(run_dir).to_pandas())  # by others' lists
"""

from pathlib import Path

import pandas as pd

from vtkit.errors import UserError
from vtkit.judging.phrases import LISTS, NARROW, count_words, find_reflections
from vtkit.judging.styles import STYLES, is_html, is_reflective, style
from vtkit.runs.rollouts import load_rollouts
from vtkit.stats import proportion


def annotate(frame: pd.DataFrame, phrases: tuple[str, ...] = NARROW) -> pd.DataFrame:
    """A copy with ``style`` (str), ``reflective`` (bool) and ``right`` (bool) for each completion.

    Args:
        frame: rollouts or an evaluation's rows. Right means ``correct``; rollouts of older runs do
            not have it, there it means ``accuracy_reward > 0``.

    Raises:
        UserError: the frame has no ``completion``, or neither ``correct`` nor ``accuracy_reward``.
    """
    if "completion" not in frame or not {"correct", "accuracy_reward"} & set(frame):
        raise UserError(
            f"columns {list(frame.columns)} lack completion, or both correct and accuracy_reward; "
            "read the rows with load_rollouts or from evals/"
        )
    return frame.assign(
        style=[style(text) for text in frame["completion"]],
        reflective=[is_reflective(text, phrases) for text in frame["completion"]],
        right=_right(frame),
    )


def rates(
    frame: pd.DataFrame, phrases: tuple[str, ...] = NARROW, *, by: str | None = None
) -> dict[str, dict] | pd.DataFrame:
    """How often completions reflect, and how often they are right when they do.

    The first five are those MAYE prints; the shares of right answers and of styles follow.

    Args:
        frame: rollouts or evaluation rows; see :func:`annotate`.
        phrases: ``NARROW`` or ``BROAD``.
        by: a column to stratify by, such as ``"task"``: hard questions may reflect more and be
            right less, so that the pooled P(right | reflect) can mislead.

    Returns:
        ``{name: {"value", "low", "high", "n"}}`` with 95 % Wilson intervals, n being the
        completions conditioned on (value None when n is 0); with ``by`` a table with the columns
        ``by``, rate, value, low, high and n.
    """
    frame = annotate(frame, phrases)
    if by is None:
        return _rates(frame)
    rows = [
        {by: name, "rate": rate, **numbers}
        for name, part in frame.groupby(by, sort=True)
        for rate, numbers in _rates(part).items()
    ]
    return pd.DataFrame(rows, columns=[by, "rate", "value", "low", "high", "n"])


def by_step(frame: pd.DataFrame, phrases: tuple[str, ...] = NARROW) -> pd.DataFrame:
    """One row a step (the index): shares with intervals, accuracy, and mean lengths in tokens.

    ``*_low`` and ``*_high`` bound the 95 % Wilson interval; a mean over no completions is NaN.
    ``phrases_per_100_tokens`` is :func:`per_100_tokens` of the step.
    """
    frame = annotate(frame, phrases)
    rows = [
        _step_row(part) | {"phrases_per_100_tokens": per_100_tokens(part, phrases)}
        for _, part in frame.groupby("step", sort=True)
    ]
    return pd.DataFrame(rows).set_index("step")


def first_reflections(
    run_dir: str | Path, n: int = 3, phrases: tuple[str, ...] = NARROW
) -> pd.DataFrame:
    """The first reflective rollout, right or wrong, of each of the first ``n`` steps that have one.

    They are taken in stored order, not chosen: a chosen example shows what is possible, the first
    shows what happens.

    Returns:
        At most ``n`` rows of :func:`annotate`; none if the run never reflects.

    Raises:
        UserError: the run has no rollouts.
    """
    frame = load_rollouts(run_dir).to_pandas()
    reflective = frame[[is_reflective(text, phrases) for text in frame["completion"]]]
    return annotate(reflective.drop_duplicates("step").head(n).reset_index(drop=True), phrases)


def per_100_tokens(frame: pd.DataFrame, phrases: tuple[str, ...] = NARROW) -> float:
    """Phrases in 100 tokens of prose, since a longer completion holds more of any word.

    Args:
        frame: rollouts or evaluation rows, with ``completion`` and ``tokens``.

    Returns:
        NaN if nothing is prose.
    """
    prose = frame[[not is_html(text) for text in frame["completion"]]]
    phrases_found = sum(len(find_reflections(text, phrases)) for text in prose["completion"])
    tokens = prose["tokens"].sum()
    return 100 * phrases_found / tokens if tokens else float("nan")


def word_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """What each list of :data:`vtkit.judging.phrases.LISTS` counts, as its authors would: meant or not.

    Args:
        frame: rollouts, with ``step``, ``completion`` and ``tokens``.

    Returns:
        One row a step and list: ``step``, ``list``, ``n`` completions, ``words`` found in them,
        ``answers`` (share of completions with at least one), ``per_100_tokens``.
    """
    rows = []
    for step, part in frame.groupby("step", sort=True):
        for name, phrases in LISTS.items():
            found = [count_words(text, phrases) for text in part["completion"]]
            rows.append(
                {
                    "step": step,
                    "list": name,
                    "n": len(part),
                    "words": sum(found),
                    "answers": sum(1 for count in found if count) / len(part),
                    "per_100_tokens": 100 * sum(found) / max(1, part["tokens"].sum()),
                }
            )
    columns = ["step", "list", "n", "words", "answers", "per_100_tokens"]
    return pd.DataFrame(rows, columns=columns)


def _right(frame: pd.DataFrame) -> pd.Series:
    paid = frame["accuracy_reward"] > 0 if "accuracy_reward" in frame else False
    if "correct" not in frame:
        return paid
    return frame["correct"].where(frame["correct"].notna(), paid).astype(bool)


def _rates(frame: pd.DataFrame) -> dict[str, dict]:
    reflective, right = frame["reflective"], frame["right"]
    result = {
        "reflect": _share(reflective),
        "reflect_given_right": _share(reflective[right]),
        "reflect_given_wrong": _share(reflective[~right]),
        "right_given_reflect": _share(right[reflective]),
        "right_given_none": _share(right[~reflective]),
        "right": _share(right),
    }
    return result | {
        name: _share(frame["style"] == name) for name in STYLES if name != "reflective"
    }


def _step_row(frame: pd.DataFrame) -> dict[str, float]:
    row = {"step": frame["step"].iloc[0], "n": len(frame)}
    for name, flags in (
        ("html_share", frame["style"] == "html"),
        ("reflection_rate", frame["reflective"]),
        ("accuracy", frame["right"]),
    ):
        share = _share(flags)
        row |= {name: share["value"], f"{name}_low": share["low"], f"{name}_high": share["high"]}
    tokens, right, reflective = frame["tokens"], frame["right"], frame["reflective"]
    return row | {
        "direct_share": (frame["style"] == "direct").mean(),
        "untagged_share": (frame["style"] == "untagged").mean(),
        "repetition_share": (frame["style"] == "repetition").mean(),
        "accuracy_reflective": right[reflective].mean(),
        "accuracy_other": right[~reflective].mean(),
        "mean_length": tokens.mean(),
        "mean_length_right": tokens[right].mean(),
        "mean_length_wrong": tokens[~right].mean(),
        "mean_length_wrong_prose": tokens[~right & (frame["style"] != "html")].mean(),
        "finished_share": frame["finished"].mean(),
    }


def _share(flags: pd.Series) -> dict:
    return proportion(int(flags.sum()), len(flags))
