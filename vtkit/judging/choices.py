"""The choices of a question, prepared for finding them in words."""

import re
from functools import lru_cache
from typing import NamedTuple

from vtkit.judging.words import DIRECTIONS, NUMBER, key_words


class Choices(NamedTuple):
    """An index of the choices, made by :func:`prepare`.

    ``starts``: first word of each choice -> its words and position, the longest choice first; the
    position is None where two choices have the same words. ``kind``: ``number``, ``direction``
    (left, right, above, below), ``thing``, or else ``phrase`` ("rotated left by 57 degrees").
    """

    exact: dict[str, int]  # each choice as a whole, in lower case, and its position
    starts: dict[str, list[tuple[tuple[str, ...], int | None]]]
    keys: tuple[tuple[str, ...], ...]  # the words of each choice
    kind: str
    size: int
    texts: tuple[str, ...]  # the choices in lower case


@lru_cache(maxsize=4096)
def prepare(choices: tuple[str, ...]) -> Choices:
    exact = {bare(choice): place for place, choice in enumerate(choices)}
    exact.pop("", None)
    if len(exact) < len(choices):
        exact = {}  # the same choice twice: which is meant cannot be known
    keys = tuple(key_words(choice) for choice in choices)
    places: dict[tuple[str, ...], int | None] = {}
    for place, key in enumerate(keys):
        if key:
            places[key] = None if key in places else place
    for place, key in enumerate(keys):  # "night stand" is also written "nightstand"
        if len(key) > 1:
            places.setdefault(("".join(key),), place)
    starts: dict[str, list[tuple[tuple[str, ...], int | None]]] = {}
    for key in sorted(places, key=len, reverse=True):
        starts.setdefault(key[0], []).append((key, places[key]))
    return Choices(exact, starts, keys, _kind(keys), len(choices), tuple(map(bare, choices)))


def bare(text: str) -> str:
    """A whole text made comparable: case, white space and marks around it do not count."""
    return " ".join(text.casefold().split()).strip(".!。*\"' ")


_HAN = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]+")


@lru_cache(maxsize=4096)
def _han(choices: tuple[str, ...]) -> re.Pattern[str] | None:
    names = sorted(filter(_HAN.fullmatch, choices), key=len, reverse=True)
    whole = [name for name in names if len(name) > 1]
    return re.compile("|".join(["不[是在]", "です", *whole])) if names else None


def set_apart(phrase: str, choices: tuple[str, ...]) -> str:
    """Put spaces around choices in Chinese, Japanese or Korean, where they are parts of words."""
    names = None if phrase.isascii() else _han(choices)
    return names.sub(r" \g<0> ", phrase) if names else phrase


_LABEL = re.compile(r"\s*[(\[]?([A-Za-z]|\d(?=[.)]\s))[)\].:]{1,2}\s*(.+)", re.DOTALL)
_LETTER = re.compile(r"[\s*(\[<]{0,4}([A-Za-z])[\s*)\]>.:]{0,4}")


def by_letter(phrase: str, index: Choices) -> int | None:
    """The place of a letter that is all of a phrase, or is before its choice: "(I)", "B. lamp"."""
    label = _LETTER.fullmatch(phrase) or _LABEL.fullmatch(phrase)
    if label is None:
        return None
    place = int(label[1]) - 1 if label[1].isdigit() else ord(label[1].lower()) - ord("a")
    if not 0 <= place < index.size:
        return None
    alone = label.re is _LETTER
    return place if alone or bare(label[2]) == index.texts[place] else None


def _kind(keys: tuple[tuple[str, ...], ...]) -> str:
    if any(len(key) == 1 and NUMBER.fullmatch(key[0]) for key in keys):
        return "number"
    if all(set(key) <= DIRECTIONS for key in keys):
        return "direction"
    return "phrase" if any(set(key) & _NO_NOUNS for key in keys) else "thing"


_NO_NOUNS = DIRECTIONS | frozenset(
    "yes no true false further farther away toward backward forward up down rotated moved turned "
    "degree same".split()
)
