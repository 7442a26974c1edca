"""A completion cut into what a reader should tell apart: thinking, answer, second looks.

Viewers elsewhere colour what a regular expression of theirs finds, which need not be what was
rewarded. Here the functions that judge a reply say where its parts are, and whoever draws it needs
no rules: it gets pieces of text, each with its kind.

    reply = " Left. Wait, no. </think> <answer> right </answer>"
    cut(reply, find_answer(reply, ["left", "right"]).span)
    # [("t", " Left. "), ("tr", "Wait"), ("t", ", no."), ("g", " </think> <answer> "),
    #  ("bd", "right"), ("g", " </answer>")]
"""

import re
from itertools import groupby

from vtkit.reflection import find_reflections, is_html
from vtkit.tags import Span, take_apart

KINDS = {
    "t": "thinking",
    "o": "neither thinking nor answer",
    "b": "answer block",
    "g": "tag",
    "d": "the words that decide",
    "r": "reflection",
}
"""What the letters of a piece mean: one of t, o, b, g, then perhaps d, r or both."""

MOST = 8000
"""Characters of a completion that are shown."""

_TAG = re.compile(r"\s{0,9}</?\s?(?:think|answer)\s?>\s{0,9}", re.IGNORECASE)


def cut(
    completion: str, decider: Span | None = None, *, prefilled: bool = True
) -> list[tuple[str, str]]:
    """The pieces of a completion, ``(letters, text)`` in order: its first ``MOST`` characters.

    Phrases in markup are no reflections, as in :func:`vtkit.reflection.is_reflective`.

    Args:
        decider: the span that :func:`vtkit.answers.find_answer` found.
        prefilled: the prompt ended in ``<think>``.
    """
    parts = take_apart(completion, prefilled=prefilled)
    tags = [match.span() for match in _TAG.finditer(completion)]
    reflections = [] if is_html(completion) else find_reflections(completion)
    kinds, marks = ["t"] * len(completion), [""] * len(completion)
    for letter, spans in (("o", parts.outside), ("b", parts.blocks), ("g", tags)):
        for start, end in spans:
            kinds[start:end] = letter * (end - start)
    for letter, spans in (("d", [decider] if decider else []), ("r", reflections)):
        for start, end in spans:
            marks[start:end] = [mark + letter for mark in marks[start:end]]
    shown = zip(kinds, marks, completion[:MOST], strict=False)
    return [
        ("".join(letters), "".join(char for *_, char in run))
        for letters, run in groupby(shown, lambda place: place[:2])
    ]
