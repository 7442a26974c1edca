"""Match a short phrase with the choice that it names.

Whole choices are looked for among the phrase's words, longest first. A choice that is negated
("not left") or only compared with ("closer than the lamp") is rejected; a hedge, a list, or a
number outside the choices names nothing.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from vtkit.judging import words
from vtkit.judging.choices import Choices, bare, by_letter, prepare, set_apart
from vtkit.judging.values import has_variables, read_value, same_quantity

MAX_PHRASE = 600
"""Longer phrases are not answers."""


@dataclass(frozen=True)
class Match:
    """The verdict on one phrase.

    ``why``: ``named``; or why not: ``nothing`` (no choice occurs), ``hedge``, ``several``,
    ``outside`` (a number or letter beyond the choices), ``rejected`` (the only one is negated).
    """

    choice: int | None  # position of the named choice
    why: str
    plain: bool = False  # the phrase is nothing but the choice's name ("it is the lamp")


MAX_MENTIONS = 3  # "left left left left" is a loop, not an answer
SKIPPED = words.ARTICLES | {",", "\n", "("}
_TRUE = frozenset("correct right true".split())
_NO_NOUN_HERE = frozenset("first second close closer near also too".split())
_ENDS_NAME = words.AFTER | words.HEDGES | words.ARTICLES
_ENDS_UNIT = _ENDS_NAME | words.NEGATIONS
_NOT_COUNTED = words.AFTER | words.NO_NOTHING
_DENIED = words.FALSE | {"not", "farther", "further"}
_ADVERBS = {"thus", "then", "therefore", "also", "clearly", "much", "slightly", "a", "the", "1"}
_FARTHEST = {"farthest", "furthest"}
_UNITS = frozenset("percent meter metre cm mm km m kg gram g degree minute liter litre".split())
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,80}>?")


@lru_cache(8192)  # loops, and letters, come again and again
def match_choice(phrase: str, choices: tuple[str, ...], *, lettered: bool = True) -> Match:
    """Find the one choice that ``phrase`` commits to, by text, letter or ordinal.

    ``lettered``: False if the choices were not shown, so no letter or ordinal can mean one.

    >>> match_choice("(B) right", ("left", "right")).choice
    1
    >>> match_choice("left or right", ("left", "right")).why
    'hedge'
    >>> match_choice("not left", ("left", "right")).why
    'rejected'
    """
    if len(phrase) > MAX_PHRASE:
        return Match(None, "nothing")
    index, phrase = prepare(choices), set_apart(phrase, choices)
    exact = index.exact.get(bare(phrase))
    if exact is None and lettered:
        exact = by_letter(phrase, index)
    if exact is not None:
        return Match(exact, "named", plain=True)
    if by_value := _by_value(phrase, choices):
        return by_value
    found = _joined(words.words(words.without_idioms(_TAG.sub(" ", phrase))), index)
    found = _result(found) if index.kind == "number" else found
    match = _Reading(found, index, index.size if lettered else 0).verdict()
    return _partly(found, index) if lettered and match.why == "nothing" else match


def mentioned(phrase: str, choices: tuple[str, ...]) -> set[int]:
    """The places of all choices that a phrase names, unless it negates them or only compares."""
    reading = _read(phrase, choices)
    named = {place for place in reading.accepted if place is not None}
    return (named | reading.doubtful) - reading.rejected


def ruled_out(phrase: str, choices: tuple[str, ...]) -> set[int]:
    """The places of the choices that a phrase negates."""
    return _read(phrase, choices).rejected


def _read(phrase: str, choices: tuple[str, ...]) -> "_Reading":
    index, phrase = prepare(choices), set_apart(phrase, choices)
    found = words.words(words.without_idioms(_TAG.sub(" ", phrase[:MAX_PHRASE])))
    reading = _Reading(_joined(found, index), index, index.size)
    reading.verdict()
    return reading


def _by_value(phrase: str, choices: tuple[str, ...]) -> Match | None:
    """The one choice with the value that is all of a phrase; None if words are to be read."""
    if phrase.isalnum() or (value := read_value(phrase)) is None:
        return None
    if value.form == "=":
        return Match(None, "outside")
    meant = [read_value(choice) for choice in choices]
    if has_variables(value) and not any(each and has_variables(each) for each in meant):
        return None  # letters of options
    fits = [place for place, each in enumerate(meant) if each and same_quantity(value, each)]
    if len(fits) == 1:
        return Match(fits[0], "named", plain=True)
    return Match(None, "several" if fits else "outside")


def _joined(found: list[words.Word], index: Choices) -> list[words.Word]:
    """Two words that together are a choice's one word: "night stand" is "nightstand"."""
    whole = {key[0] for key in index.keys if len(key) == 1 and len(key[0]) > 4}
    result: list[words.Word] = []
    for word in found:
        if result and result[-1].text + word.text in whole:
            result[-1] = words.Word(result[-1].text + word.text)
        else:
            result.append(word)
    return result


def _result(found: list[words.Word]) -> list[words.Word]:
    """The words after the last equals sign: "2 + 1 = 3" says 3; "A = 60, B = 70" neither."""
    signs = [position for position, word in enumerate(found) if word.text == "="]
    between = found[signs[0] : signs[-1]] if signs else []
    if any(word.text[0].isalpha() or word.text == "," for word in between):
        return found
    for position in range(len(found) - 2, 0, -1):
        if found[position].text == "=" and words.NUMBER.fullmatch(found[position + 1].text):
            return found[position + 1 :]
    return found


def _partly(found: list[words.Word], index: Choices) -> Match:
    """A choice by a part that no other has: "lamp" among "table" and "table lamp"."""
    parts = tuple(
        word.text for word in found if word.text[0].isalnum() and word.text not in words.ARTICLES
    )
    fits = [
        place
        for place, key in enumerate(index.keys)
        if any(key[at : at + len(parts)] == parts for at in range(len(key) - len(parts) + 1))
    ]
    if len(fits) == 1 and any(len(word) > 2 and not words.NUMBER.fullmatch(word) for word in parts):
        return Match(fits[0], "named", plain=True)
    return Match(None, "nothing")


class _Reading:
    """One pass over the words of a phrase, collecting what it accepts, rejects and hedges."""

    def __init__(self, found: list[words.Word], index: Choices, letters: int):
        self.words, self.index, self.letters = found, index, letters
        self.accepted: set[int | None] = set()
        self.rejected: set[int] = set()
        self.doubtful: set[int] = set()
        self.outside = self.hedged = False
        self.plain = True
        self.mentions = 0
        self.numeric = index.kind == "number"

    def verdict(self) -> Match:
        position = 0
        while position < len(self.words):
            position = self._step(position)
        chosen = self.accepted
        if self.hedged:
            return Match(None, "hedge")
        if self.outside:
            return Match(None, "several" if chosen else "outside")
        if len(chosen) > 1 or None in chosen or chosen & self.rejected:
            return Match(None, "several")
        if chosen and self.doubtful - chosen - self.rejected:
            return Match(None, "several")
        if chosen:
            return Match(next(iter(chosen)), "named", self.plain)
        return Match(None, "rejected" if self.rejected else "nothing")

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
            self._accept_place(position, position + 1, ord(word.letter) - ord("a"))
        elif word.text in words.HEDGES or word.text == "?":
            self.hedged = True
        elif self.numeric and words.NUMBER.fullmatch(word.text):
            self.outside = True
        elif self.numeric and word.text in words.ROUGH:
            pass  # a hedge, or not, of what follows
        elif word.text not in words.PLAIN and word.text not in words.ARTICLES:
            self.plain = False
        elif word.text == "there" and not self.numeric:  # "there is a lamp" is no choice of it
            self.plain = False
        return position + 1

    def _match(self, position: int, key: tuple[str, ...]) -> int | None:
        """Position after the words of a choice if they are here, articles and commas aside."""
        for number, wanted in enumerate(key):
            while number and self._text(position) in SKIPPED and wanted not in words.ARTICLES:
                position += 1
            if wanted != self._spelt(position):
                return None
            position += 1
        return position

    def _mention(self, start: int, end: int, place: int | None, key: tuple[str, ...]) -> int:
        follower = self._text(end)
        followed = follower[:1].isalnum()
        if words.NUMBER.fullmatch(key[-1]):
            before = {word.text for word in self.words[max(start - 2, 0) : start]}
            percent = place is not None and self.index.texts[place].endswith("%")
            measured = percent or "." in key[-1] or follower in _UNITS
            if before & (words.VAGUE - words.ROUGH if measured else words.VAGUE) or follower == "+":
                self.hedged = True
            end = self._skip_unit(end)
        elif key[-1] in ("above", "below"):  # a thing follows
            self.plain &= not followed or follower in words.AFTER
        elif followed and follower not in _ENDS_NAME and not self.words[end].letter:
            self.plain = False
            if follower not in self.index.starts:
                if place is not None and not self._is_negated(start):
                    self.doubtful.add(place)  # part of another name, or not
                return end + 1
        self._record(start, end, place)
        return end

    def _skip_unit(self, end: int) -> int:
        """Past what is counted: "3 red chairs" is as plain as "3"."""
        for _ in range(2):
            text = self._text(end)
            known = text in _ENDS_UNIT or text in self.index.starts
            if not text[:1].isalpha() or known or self.words[end].letter:
                break
            end += 1
        return end

    def _record(self, start: int, end: int, place: int | None) -> None:
        after, later = self._text(end), self._text(end + 1)
        false = after in words.FALSE or after.endswith("n't")
        if after in words.COPULAS or (after == "the" and later in _DENIED):
            place_after = end + 1
            while later in _ADVERBS:
                place_after += 1
                later = self._text(place_after)
            false = later in _DENIED or (later in _FARTHEST and self.index.size == 2)
        elif after in (":", "("):  # "A: incorrect"
            false = later in words.FALSE or (later == "not" and self._text(end + 2) in _TRUE)
        if false or self._is_negated(start):
            if place is not None:
                self.rejected.add(place)
        else:
            self.accepted.add(place)
            self.mentions += 1
            self.plain &= self.mentions <= MAX_MENTIONS

    def _is_negated(self, start: int) -> bool:
        for back in range(start - 1, max(start - 5, -1), -1):
            text = self.words[back].text
            if text in words.STOPS:
                return False
            if text in words.NEGATIONS or text.endswith("n't"):
                return True
            if text in ("instead", "rather") and self._text(back + 1) in ("of", "than"):
                return True
        return False

    def _ordinal(self, position: int) -> int | None:
        """Position after "the second option", "option 2" or a bare "second"."""
        text, after = self._text(position), self._text(position + 1)
        if text in ("option", "choice") and after.isdigit():
            place = int(after[:4]) - 1
        elif text in words.ORDINALS and (after in words.OPTION or after == "1" or self._is_alone()):
            place = words.ORDINALS[text] if text != "last" else self.letters - 1
        else:
            return None
        return self._accept_place(position, position + 2, place)

    def _is_alone(self) -> bool:
        return sum(w.text[0].isalnum() and w.text not in words.ARTICLES for w in self.words) == 1

    def _nothing(self, position: int) -> int | None:
        """Position after "none" or the "no" of "no chairs", where 0 is a choice."""
        text, after = self._text(position), self._text(position + 1)
        zero = next((place for key, place in self.index.starts.get("0", ()) if len(key) == 1), None)
        if zero is None:
            return None
        counted = after[:1].isalpha() and after not in _NOT_COUNTED
        if (text == "none" and after != "of") or (text == "no" and counted):
            self.accepted.add(zero)
            return position + 1 + counted
        return None

    def _is_letter(self, position: int) -> bool:
        """Tell whether the word is the letter of an option; the article "a" never is."""
        word = self.words[position]
        before, after = self._text(position - 1) if position else "", self._text(position + 1)
        if word.text == "@" or (word.letter and before in ("option", "choice", "letter")):
            return True
        if word.letter == "a" and after[:1].isalnum() and after not in words.NO_NOUN:
            if after in _NO_NOUN_HERE or after.isdigit():  # "A first, B second"; "a first look"
                return any(word.letter and word.letter in "bcdefgh" for word in self.words)
            return bool(self.words[position + 1].letter)
        known = word.letter and (word.letter in "abcdefgh" or len(self.words) == 1)
        begins = position == 0 and after in (".", ":")  # not the pronoun "I"
        return bool(known or (word.letter and begins and ord(word.letter) - 97 < self.letters))

    def _accept_place(self, start: int, end: int, place: int) -> int:
        if 0 <= place < self.letters:
            self._record(start, end, place)
        else:
            self.outside = True
        return end

    def _text(self, position: int) -> str:
        return self.words[position].text if position < len(self.words) else ""

    def _spelt(self, position: int) -> str:
        """The word, or the letter in brackets, as a choice would have it."""
        word = self.words[position] if position < len(self.words) else words.Word("")
        return word.letter if word.text == "@" else word.text
