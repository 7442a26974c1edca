"""Measure how often completions reflect, and how that relates to being right.

On 422 hand-labelled completions the flag has precision 0.97 and recall 0.94; on wordings written
after the lists recall is 0.53, so a rate is a lower bound.

    rates(load_rollouts(run_dir, steps=range(10)).to_pandas())  # of the first ten steps
"""

from pathlib import Path

import pandas as pd

from vtkit.errors import UserError
from vtkit.judging.phrases import NARROW, find_reflections
from vtkit.judging.styles import STYLES, is_reflective
from vtkit.runs.rollouts import fill_verdicts, load_rollouts
from vtkit.stats import Estimate, share


def annotate(frame: pd.DataFrame, phrases: tuple[str, ...] = NARROW) -> pd.DataFrame:
    """Add ``style`` (str), ``reflective`` (bool) and ``right`` (bool) to a copy of the rows.

    Stored styles and flags (those of ``NARROW``) are read, not judged again. Right means
    ``correct``; where a run did not store it, ``accuracy_reward > 0``.

    Raises:
        UserError: the frame has no ``completion``, or neither ``correct`` nor ``accuracy_reward``.
    """
    if "completion" not in frame or not {"correct", "accuracy_reward"} & set(frame):
        raise UserError(
            f"columns {list(frame.columns)} lack completion, or both correct and accuracy_reward; "
            "read the rows with load_rollouts or from evals/"
        )
    frame = fill_verdicts(frame)
    if frame.attrs.get("phrases", NARROW) != phrases:
        frame["reflective"] = [is_reflective(text, phrases) for text in frame["completion"]]
        frame.attrs["phrases"] = phrases
    return frame.assign(right=_right(frame))


def rates(
    frame: pd.DataFrame, phrases: tuple[str, ...] = NARROW, *, by: str | None = None
) -> dict[str, Estimate] | pd.DataFrame:
    """Count how often rollouts or evaluation rows reflect, and are right when they do.

    The first five rates are those MAYE prints; the shares of right answers and of styles follow.

    Args:
        by: a column to stratify by, such as ``"task"``: if hard questions reflect more and are
            right less, the pooled P(right | reflect) misleads.

    Returns:
        ``{name: {"value", "low", "high", "n"}}`` with 95 % Wilson intervals, n being the
        completions conditioned on (value None when n is 0); with ``by`` as a table.
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
    """Make a table with one row a step: shares with intervals, accuracy, mean lengths in tokens.

    ``*_low`` and ``*_high`` bound the 95 % Wilson interval; a mean over no completions is NaN.
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
    """Take the first reflective rollout in stored order of the first ``n`` steps that have one."""
    frame = annotate(load_rollouts(run_dir).to_pandas(), phrases)
    reflective = frame[frame["reflective"]]
    return reflective.drop_duplicates("step").head(n).reset_index(drop=True)


def per_100_tokens(frame: pd.DataFrame, phrases: tuple[str, ...] = NARROW) -> float:
    """Count phrases in 100 tokens of prose, NaN without any: a longer text holds more phrases."""
    prose = frame[fill_verdicts(frame)["style"] != "html"]
    count = sum(len(find_reflections(text, phrases)) for text in prose["completion"])
    tokens = prose["tokens"].sum()
    return 100 * count / tokens if tokens else float("nan")


def _right(frame: pd.DataFrame) -> pd.Series:
    paid = frame["accuracy_reward"] > 0 if "accuracy_reward" in frame else False
    if "correct" not in frame:
        return paid
    return frame["correct"].where(frame["correct"].notna(), paid).astype(bool)


def _rates(frame: pd.DataFrame) -> dict[str, Estimate]:
    reflective, right = frame["reflective"], frame["right"]
    result = {
        "reflect": share(reflective),
        "reflect_given_right": share(reflective[right]),
        "reflect_given_wrong": share(reflective[~right]),
        "right_given_reflect": share(right[reflective]),
        "right_given_none": share(right[~reflective]),
        "right": share(right),
    }
    others = [name for name in STYLES if name != "reflective"]
    return result | {name: share(frame["style"] == name) for name in others}


def _step_row(frame: pd.DataFrame) -> dict[str, float]:
    row = {"step": frame["step"].iloc[0], "n": len(frame)}
    for name, flags in (
        ("html_share", frame["style"] == "html"),
        ("reflection_rate", frame["reflective"]),
        ("accuracy", frame["right"]),
    ):
        found = share(flags)
        row |= {name: found["value"], f"{name}_low": found["low"], f"{name}_high": found["high"]}
    for name in ("direct", "untagged", "repetition"):
        row[f"{name}_share"] = (frame["style"] == name).mean()
    tokens, right, reflective = frame["tokens"], frame["right"], frame["reflective"]
    return row | {
        "accuracy_reflective": right[reflective].mean(),
        "accuracy_other": right[~reflective].mean(),
        "mean_length": tokens.mean(),
        "mean_length_right": tokens[right].mean(),
        "mean_length_wrong": tokens[~right].mean(),
        "mean_length_wrong_prose": tokens[~right & (frame["style"] != "html")].mean(),
        "finished_share": frame["finished"].mean(),
    }
