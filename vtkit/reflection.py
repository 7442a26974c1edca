"""What a completion looks like, whether it reflects, and how often that goes with being right.

Reports of an "aha moment" usually show one quote and a rising word count. Here the word lists are
fixed beforehand, with their sources; phrases count as whole words, once an answer; markup never
counts as reflection; and each rate comes with its interval and its n. A phrase is style, not proof:
whether reflecting *helps* is another question.

``rates(load_rollouts(run_dir, steps=range(10)))`` gives the numbers of the first ten steps.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pandas as pd

from vtkit.errors import UserError
from vtkit.rollouts import load_rollouts
from vtkit.stats import proportion

# A hyphen in a phrase also matches a space or nothing (re-check, re check, recheck), a final ``*``
# any ending (rechecking), and a final comma makes it an interjection: "Wait, ..." and "wait!", but
# not "they wait there".
_UNDERSTAND_R1_ZERO = (  # analysis/keyword_count.py of arXiv 2503.20783
    *("re-check*", "re-think*", "re-assess*", "re-evaluat*", "re-examin*", "re-consider*"),
    *("re-analyz*", "double-check*", "check again", "think again", "verify again"),
    "go over the steps",
)
_OAT_ZERO = ("try again",)  # analysis/eval_self_reflect.py adds it; MAYE (arXiv 2504.02587) too
# arXiv 2503.05132, the quoted aha: "But wait! I can think of something else."
_VISUALTHINKER_QUOTE = ("wait,", "but wait")
# Ours: turns of phrase that only a second look uses.
_OURS = ("hold on", "look again", "on second thought*", "second look", "re-count*")

# The authors' own count: issue 12 of their repository, 2025-03-21. (MAYE counts verify, wait, yet.)
_VISUALTHINKER_COUNT = ("aha", "check", "possibl*", "verify", "wait", "yet")
# DeepSeek-R1, Nature 2025, Extended Data Fig. 1, in part: wait, verify and check are above.
_DEEPSEEK_R1 = ("mistake", "however", "but", "retry", "error", "wrong", "evaluate")

NARROW = _UNDERSTAND_R1_ZERO + _OAT_ZERO + _VISUALTHINKER_QUOTE + _OURS
BROAD = NARROW + _VISUALTHINKER_COUNT + _DEEPSEEK_R1

STYLES = ("html", "untagged", "direct", "steps", "reflective")

# Names of one letter must be closed or carry an attribute, or "is a<b here" would be markup. The
# last line is CSS, JavaScript and entities, with which a base model also likes to continue.
_HTML = re.compile(
    r"<!(?:doctype|--)|<\?xml|```html|<p$"
    r"|</?(?:html|head|body|div|span|table|thead|tbody|tr|td|th|ul|ol|li|dl|dt|dd|img|script|style"
    r"|link|meta|title|h[1-6]|br|hr|form|input|button|label|select|option|textarea|nav|section"
    r"|article|header|footer|main|aside|strong|em|font|center|pre|code|iframe|svg|canvas|video"
    r"|audio|source|figure|blockquote|small|sub|sup)(?=[\s/>]|$)"
    r"|</?[abipqu](?:\s*/?>|\s+[\w-]+\s*=)"
    r"|\{\s*[a-z-]+\s*:[^{};]*;|\bfunction(?:\s+\w+)?\s*\(|\bdocument\.\w|&(?:nbsp|lt|gt|amp|quot);",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\w")


def style(text: str) -> str:
    """The one of ``STYLES`` that describes a completion, with or without its ``<think>``.

    html: markup, CSS or script other than think and answer tags, cut off or not. untagged: prose
    without a complete ``<answer>...</answer>``. reflective: answered, with a ``NARROW`` phrase.
    Otherwise steps if the reasoning has more than one sentence, else direct.
    """
    if is_html(text):
        return "html"
    if not _has_answer(text):
        return "untagged"
    if is_reflective(text):
        return "reflective"
    return "steps" if _count_sentences(_reasoning(text)) > 1 else "direct"


def is_html(text: str) -> bool:
    """Whether the text is markup rather than prose."""
    return _HTML.search(text) is not None


def is_reflective(text: str, phrases: tuple[str, ...] = NARROW) -> bool:
    """Whether a prose text (answered or cut off) contains one of ``phrases``; markup never does."""
    return _pattern(phrases).search(text) is not None and not is_html(text)


def find_reflections(text: str, phrases: tuple[str, ...] = NARROW) -> list[tuple[int, int]]:
    """The ``(start, end)`` character spans of the phrases in a text, from left to right."""
    return [match.span() for match in _pattern(phrases).finditer(text)]


def shares(texts: Iterable[str]) -> dict[str, float]:
    """The style columns of ``metrics.csv`` for the completions of one step, at least one."""
    texts = list(texts)
    styles = [style(text) for text in texts]
    return {
        "html_share": styles.count("html") / len(texts),
        "reflection_rate": sum(map(is_reflective, texts)) / len(texts),
        "direct_share": styles.count("direct") / len(texts),
    }


def annotate(frame: pd.DataFrame, phrases: tuple[str, ...] = NARROW) -> pd.DataFrame:
    """A copy with ``style`` (str), ``reflective`` (bool) and ``right`` (bool) for each completion.

    Args:
        frame: rollouts (right means ``accuracy_reward > 0``) or an evaluation's rows (``correct``).

    Raises:
        UserError: the frame has no ``completion``, or neither ``correct`` nor ``accuracy_reward``.
    """
    truth = next((name for name in ("correct", "accuracy_reward") if name in frame), None)
    if "completion" not in frame or truth is None:
        raise UserError(
            f"columns {list(frame.columns)} lack completion, or both correct and accuracy_reward; "
            "read the rows with load_rollouts or from evals/"
        )
    return frame.assign(
        style=[style(text) for text in frame["completion"]],
        reflective=[is_reflective(text, phrases) for text in frame["completion"]],
        right=frame[truth].fillna(0) > 0,
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
    """
    frame = annotate(frame, phrases)
    return pd.DataFrame(
        [_step_row(part) for _, part in frame.groupby("step", sort=True)]
    ).set_index("step")


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
    frame = load_rollouts(run_dir)
    reflective = frame[[is_reflective(text, phrases) for text in frame["completion"]]]
    return annotate(reflective.drop_duplicates("step").head(n).reset_index(drop=True), phrases)


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
        name: _share(frame["style"] == name) for name in ("html", "untagged", "direct", "steps")
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


@lru_cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(_phrase, phrases))})", re.IGNORECASE)


def _phrase(phrase: str) -> str:
    """One phrase as a regular expression that ends at a word's end."""
    words = re.escape(phrase.rstrip("*,")).replace(r"\-", r"[-\s]?").replace(r"\ ", r"\s+")
    if phrase.endswith("*"):
        return rf"{words}\w*"
    return rf"{words}\b" + (r"(?=\s?[,.!?:;…–—-])" if phrase.endswith(",") else "")


def _has_answer(text: str) -> bool:
    lower = text.lower()
    start = lower.find("<answer>")
    return start >= 0 and lower.find("</answer>", start) >= 0


def _reasoning(text: str) -> str:
    """What comes before ``</think>``, or before the answer where the thinking is never closed."""
    lower = text.lower()
    ends = [place for tag in ("</think>", "<answer>") if (place := lower.find(tag)) >= 0]
    return text[: min(ends)].removeprefix("<think>") if ends else text


def _count_sentences(text: str) -> int:
    return sum(1 for part in _SENTENCE_END.split(text) if _WORD.search(part))
