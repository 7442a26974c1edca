"""Which of the choices does a short phrase name?

Matching by substring, which published scorers do, takes "a table" for option A, "table lamp" for
"table" and "2 or 3" for 2. Here the phrase is cut into words; whole choices are found in it,
longest first; a choice that is negated ("not left") or only compared with ("closer than the lamp")
is rejected; and a hedge, a list, or a number outside the choices names nothing.

    resolve("(B) right", ("left", "right")).choice      # 1
    resolve("left or right", ("left", "right")).why     # "hedge"
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from vtkit.words import ARTICLES, NUMBER, Word, key_words, words

MAX_PHRASE = 600
"""Longer phrases are no answer: a commitment fits in a few hundred characters."""


@dataclass(frozen=True)
class Naming:
    """The verdict on one phrase.

    choice: position of the named choice, or None.
    why: ``named``; or why not: ``nothing`` (no choice occurs), ``hedge``, ``several``, ``outside``
        (a number or letter beyond the choices), ``rejected`` (the only one mentioned is negated).
    plain: whether the phrase consists of nothing but the naming ("it is the lamp").
    """

    choice: int | None
    why: str
    plain: bool = False


_ORDINALS = {
    word: place
    for place, same in enumerate(
        ("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th")
    )
    for word in same.split()
}
_OPTION = frozenset({"option", "choice", "letter", "answer"})
_NEGATIONS = frozenset("not never neither nor without except excluding unlike than".split())
_HEDGES = frozenset(
    "or either maybe perhap possibly probably might could unsure unclear uncertain unknown unable "
    "cannot both none depend".split()
)
# Only before a number: "about 3" hedges, "about the lamp" does not.
_VAGUE = frozenset(
    "about around approximately approx roughly nearly almost over under between least most more "
    "less fewer ~ ≈ > < ≥ ≤".split()
)
_STOPS = frozenset({",", ";", ":", ".", "?", "!", "\n", "but", "="})
# What may follow a choice that is a thing. Any other word makes it part of another name: with the
# choice "table", "table lamp" is not the table.
_AFTER = frozenset(
    "is are was were be has have had of to in on at by from with and or but because since so which "
    "that who when while if then as than not it its this here there where appear seem look lie sit "
    "stand closer close near nearer nearest closest further farther left right above below behind "
    "located position placed situated highlighted annotated marked shown would should must side "
    "hand part corner half direction 1 i front under over isn't aren't instead again".split()
)
# After these "a" is a letter: no noun begins so.
_NO_NOUN = frozenset("is are was and or nor but because since not isn't would should as".split())
# What may stand beside the choice in a phrase that is nothing but its naming.
_PLAIN = frozenset(
    "it it's its is are there that that's this they they're i i'd think say believe answer option "
    "choice letter to on in at of so my final correct be would must should side hand object 1 "
    "total image picture only just exactly i'll go with therefore thu hence wait no actually sorry "
    "correction hmm oop rather instead then . : ! , = yes".split()
) | {"\n"}
_FALSE = frozenset("wrong incorrect false impossible".split())
_COPULAS = frozenset("is are was be would must it's that's there's appear seem look".split())
_NO_NOTHING = frozenset("idea answer clue way other option choice longer doubt".split())
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,80}>?")


def resolve(phrase: str, choices: tuple[str, ...]) -> Naming:
    """The one choice that ``phrase`` commits to, by text, letter or ordinal.

    Args:
        phrase: e.g. the content of an ``<answer>`` block; which choice comes first never matters.
        choices: the choices' texts; the first one has the letter A.
    """
    if len(phrase) > MAX_PHRASE:
        return Naming(None, "nothing")
    index = _index(choices)
    exact = index.exact.get(_bare(phrase))
    if exact is not None:
        return Naming(exact, "named", plain=True)
    found = words(_TAG.sub(" ", phrase))
    return _Reading(_result(found) if index.numeric else found, index).verdict()


def says_something(sentence: str) -> bool:
    """Whether a sentence asserts ("the lamp is closer"), rather than only mentions."""
    return any(word.text in _COPULAS for word in words(sentence[:MAX_PHRASE]))


def _result(found: list[Word]) -> list[Word]:
    """What follows the last equals sign: "2 + 1 = 3" says 3."""
    for position in range(len(found) - 2, 0, -1):
        if found[position].text == "=" and NUMBER.fullmatch(found[position + 1].text):
            return found[position + 1 :]
    return found


def _bare(text: str) -> str:
    return " ".join(text.casefold().split()).strip(".!*\"' ")


class _Index(NamedTuple):
    exact: dict[str, int]
    starts: dict[str, list[tuple[tuple[str, ...], int | None]]]  # longest first; None: ambiguous
    numeric: bool
    size: int


@lru_cache(maxsize=4096)
def _index(choices: tuple[str, ...]) -> _Index:
    exact = {_bare(choice): place for place, choice in enumerate(choices)}
    exact.pop("", None)
    if len(exact) < len(choices):  # the same choice twice: nobody can tell which one is meant
        exact = {}
    places: dict[tuple[str, ...], int | None] = {}
    for place, choice in enumerate(choices):
        key = key_words(choice)
        if key:
            places[key] = None if key in places else place
    starts: dict[str, list] = {}
    for key in sorted(places, key=len, reverse=True):
        starts.setdefault(key[0], []).append((key, places[key]))
    numeric = any(len(key) == 1 and NUMBER.fullmatch(key[0]) for key in places)
    return _Index(exact, starts, numeric, len(choices))


class _Reading:
    """One pass over the words of a phrase, collecting what it accepts, rejects and hedges."""

    def __init__(self, found: list[Word], index: _Index):
        self.words, self.index = found, index
        self.accepted: set[int | None] = set()
        self.rejected: set[int] = set()
        self.outside = self.hedged = False
        self.plain = True

    def verdict(self) -> Naming:
        position = 0
        while position < len(self.words):
            position = self._step(position)
        chosen = self.accepted
        if self.hedged:
            return Naming(None, "hedge")
        if self.outside:
            return Naming(None, "several" if chosen else "outside")
        if len(chosen) > 1 or None in chosen or chosen & self.rejected:
            return Naming(None, "several")
        if chosen:
            return Naming(chosen.pop(), "named", self.plain and not self.rejected)
        return Naming(None, "rejected" if self.rejected else "nothing")

    def _step(self, position: int) -> int:
        word = self.words[position]
        for key, place in self.index.starts.get(self._spelt(position), ()):
            end = self._match(position, key)
            if end:
                return self._mention(position, end, place, key)
        end = self._ordinal(position) or self._nothing(position)
        if end:
            return end
        if self._is_letter(position):
            self._accept_letter(position, word.letter)
        elif word.text in _HEDGES or word.text == "?":
            self.hedged = True
        elif self.index.numeric and NUMBER.fullmatch(word.text):
            self.outside = True
        elif word.text not in _PLAIN and word.text not in ARTICLES:
            self.plain = False
        return position + 1

    # ---------------------------------------------------------------- a choice by its text

    def _match(self, position: int, key: tuple[str, ...]) -> int | None:
        """Position after the words of a choice if they stand here, articles aside."""
        for number, wanted in enumerate(key):
            while number and self._text(position) in ARTICLES and wanted not in ARTICLES:
                position += 1
            if wanted != self._spelt(position):
                return None
            position += 1
        return position

    def _mention(self, start: int, end: int, place: int | None, key: tuple[str, ...]) -> int:
        follower = self._text(end)
        if NUMBER.fullmatch(key[-1]):
            before = {word.text for word in self.words[max(start - 2, 0) : start]}
            if before & _VAGUE or follower == "+":
                self.hedged = True
            end = self._skip_unit(end)
        elif follower[:1].isalnum() and follower not in _AFTER and not self.words[end].letter:
            if key == ("right",) and follower in _OPTION:  # "the right answer is ..."
                return end
            self.plain = False
            if follower not in self.index.starts:
                return end + 1
        self._record(start, end, place)
        return end

    def _skip_unit(self, end: int) -> int:
        """Past what is counted: "3 red chairs" is as plain as "3"."""
        for _ in range(2):
            text = self._text(end)
            known = _HEDGES | _AFTER | _NEGATIONS | self.index.starts.keys()
            if not text[:1].isalpha() or text in known or self.words[end].letter:
                break
            end += 1
        return end

    def _record(self, start: int, end: int, place: int | None) -> None:
        after, later = self._text(end), self._text(end + 1)
        false = after in _FALSE or after.endswith("n't")
        if after in _COPULAS:
            false = later in _FALSE or later == "not"
        if false or self._is_negated(start):
            self.plain = False
            if place is not None:
                self.rejected.add(place)
        else:
            self.accepted.add(place)

    def _is_negated(self, start: int) -> bool:
        for back in range(start - 1, max(start - 5, -1), -1):
            text = self.words[back].text
            if text in _STOPS:
                return False
            if text in _NEGATIONS or text.endswith("n't"):
                return True
            if text in ("instead", "rather") and self._text(back + 1) in ("of", "than"):
                return True
        return False

    # ------------------------------------------------- by place, by letter, by being nothing

    def _ordinal(self, position: int) -> int | None:
        """Position after "the second option", "option 2" or a bare "second"."""
        text, after = self._text(position), self._text(position + 1)
        if text in ("option", "choice") and after.isdigit():
            place = int(after[:4]) - 1
        elif text in _ORDINALS and (after in _OPTION or after == "1" or self._is_alone()):
            place = _ORDINALS[text]
        else:
            return None
        if 0 <= place < self.index.size:
            self._record(position, position + 2, place)
        else:
            self.outside = True
        return position + 2

    def _is_alone(self) -> bool:
        return sum(w.text[0].isalnum() and w.text not in ARTICLES for w in self.words) == 1

    def _nothing(self, position: int) -> int | None:
        """Position after "none" or the "no" of "no chairs", where 0 is a choice."""
        text, after = self._text(position), self._text(position + 1)
        zero = next((place for key, place in self.index.starts.get("0", ()) if len(key) == 1), None)
        if zero is None:
            return None
        counted = after[:1].isalpha() and after not in _AFTER | _NO_NOTHING
        if (text == "none" and after != "of") or (text == "no" and counted):
            self.accepted.add(zero)
            return position + 1 + counted
        return None

    def _is_letter(self, position: int) -> bool:
        """Whether the word is the letter of an option; the article "a" never is."""
        word = self.words[position]
        before, after = self._text(position - 1) if position else "", self._text(position + 1)
        if word.text == "@" or (word.letter and before in ("option", "choice", "letter")):
            return True
        if word.letter == "a" and after[:1].isalnum() and after not in _NO_NOUN:
            return bool(self.words[position + 1].letter)
        return bool(word.letter) and (word.letter in "abcdefgh" or len(self.words) == 1)

    def _accept_letter(self, position: int, letter: str) -> None:
        place = ord(letter) - ord("a")
        if place < self.index.size:
            self._record(position, position + 1, place)
        else:
            self.outside = True

    def _text(self, position: int) -> str:
        return self.words[position].text if position < len(self.words) else ""

    def _spelt(self, position: int) -> str:
        """The word, or the letter in brackets, as a choice would have it."""
        word = self.words[position] if position < len(self.words) else Word("")
        return word.letter if word.text == "@" else word.text
