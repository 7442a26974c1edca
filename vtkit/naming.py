"""Which of the choices does a short phrase name?

Matching by substring, which published scorers do, takes "a table" for option A, "table lamp" for
"table" and "2 or 3" for 2. Here the phrase is cut into words; whole choices are found in it,
longest first; a choice that is negated ("not left") or only compared with ("closer than the lamp")
is rejected; and a hedge, a list, or a number outside the choices names nothing.

    resolve("(B) right", ("left", "right")).choice      # 1
    resolve("left or right", ("left", "right")).why     # "hedge"
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

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


class _Word(NamedTuple):
    text: str  # normalised; punctuation as itself
    letter: str = ""  # "a".."z" if it can be the letter of an option


_NUMBERS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_ORDINALS = {
    word: place
    for place, words in enumerate(
        ("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th")
    )
    for word in words.split()
}
_OPTION = frozenset({"option", "choice", "letter", "answer"})
_ARTICLES = frozenset({"a", "an", "the"})
_NEGATIONS = frozenset("not never neither nor without except excluding unlike than".split())
_HEDGES = frozenset(
    "or either maybe perhaps possibly probably might could unsure unclear uncertain unknown unable "
    "cannot both none depend perhap".split()
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
    "hand part corner half direction 1 i front under over isn't aren't".split()
)
_NUMBER = re.compile(r"-?\d+(?:[.,/]\d+)*")
# What may stand beside the choice in a phrase that is nothing but its naming.
_PLAIN = frozenset(
    "it it's its is are there that that's this they they're i i'd think say believe answer option "
    "choice letter to on in at of so my final correct be would side hand object 1 total image "
    "picture only just exactly i'll go with . : ! , = yes".split()
)
_FALSE = frozenset("wrong incorrect false impossible".split())
_COPULAS = frozenset("is are was be would must it's that's there's appear seem look".split())

_LATEX = re.compile(r"\\[a-zA-Z]+\*?|\\[()\[\]]|[${}]")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,80}>?")
_TOKEN = re.compile(
    r"[(\[]\s{0,2}(?P<bracketed>[A-Za-z])\s{0,2}[)\]]"
    r"|(?<![\w'])(?P<closed>[A-Za-z])\s?[)\]]"
    r"|(?<![\w.)])-\d+(?:[.,/]\d+)*|\d+(?:[.,/]\d+)+"
    r"|[^\W_]+(?:['’][^\W_]+)*"
    r"|[,;:.?!=~≈<>≥≤\n&+]"
)


def normalize(text: str) -> str:
    """Compatibility forms folded, accents and LaTeX mark-up dropped; case is kept."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).replace("’", "'").replace("−", "-")
        text = "".join(char for char in text if not unicodedata.combining(char))
    return _LATEX.sub(" ", text)


def same_text(first: str, second: str) -> bool:
    """Whether two answers are the same but for case, articles, punctuation and number words."""
    words = key_words(first)
    return bool(words) and words == key_words(second)


def says_something(text: str) -> bool:
    """Whether a sentence asserts ("the lamp is closer"), rather than only mentions."""
    return any(word.text in _COPULAS for word in _words(text[:MAX_PHRASE]))


def resolve(phrase: str, choices: tuple[str, ...]) -> Naming:
    """The one choice that ``phrase`` commits to, by text, letter or ordinal.

    Args:
        phrase: e.g. the content of an ``<answer>`` block; only words count, not their order.
        choices: the choices' texts; the first one has the letter A.
    """
    if len(phrase) > MAX_PHRASE:
        return Naming(None, "nothing")
    index = _index(choices)
    exact = index.exact.get(_bare(phrase))
    if exact is not None:
        return Naming(exact, "named", plain=True)
    words = _words(_TAG.sub(" ", phrase))
    if index.numeric:
        words = _result(words)
    return _Reading(words, index).verdict()


def _result(words: list[_Word]) -> list[_Word]:
    """What follows the last equals sign: "2 + 1 = 3" says 3."""
    for position in range(len(words) - 2, 0, -1):
        if words[position].text == "=" and _NUMBER.fullmatch(words[position + 1].text):
            return words[position + 1 :]
    return words


def _bare(text: str) -> str:
    return " ".join(text.casefold().split()).strip(".!*\"' ")


def _words(text: str) -> list[_Word]:
    words: list[_Word] = []
    for match in _TOKEN.finditer(normalize(text)):
        raw = match.group()
        letter = match["bracketed"] or match["closed"]
        if letter:
            words.append(_Word("@", letter.lower()))
            continue
        word = _fold(raw)
        units = word if word.isdigit() and len(word) == 1 and not raw.isdigit() else ""
        if units and words and re.fullmatch("[2-9]0", words[-1].text) and units != "0":
            words[-1] = _Word(words[-1].text[0] + units)
        else:
            words.append(_Word(word, raw.lower() if len(raw) == 1 and raw.isalpha() else ""))
    return words


@lru_cache(maxsize=8192)
def _fold(raw: str) -> str:
    """One word with number words as digits and plurals as singulars."""
    word = raw.casefold()
    if word in _NUMBERS:
        return str(_NUMBERS[word])
    if word[0].isdigit() or word[0] == "-":
        return _fold_number(word)
    if "'" in word or len(word) < 4:
        return word
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word[:-2] + "y" if word.endswith("ie") and len(word) > 3 else word


def _fold_number(word: str) -> str:
    if re.fullmatch(r"\d{1,3}(,\d{3})+", word):
        word = word.replace(",", "")
    if re.fullmatch(r"\d+\.0+", word):
        word = word[: word.index(".")]
    return (word.lstrip("0") or "0") if word.isdigit() else word


def key_words(text: str) -> tuple[str, ...]:
    """The words of an answer, normalised, without articles and punctuation."""
    words = tuple(
        word.letter if word.text == "@" else word.text
        for word in _words(text)
        if word.text[0].isalnum() or word.text[0] in "@-"
    )
    return tuple(word for word in words if word not in _ARTICLES) or words


class _Index(NamedTuple):
    exact: dict[str, int]
    starts: dict[str, list[tuple[tuple[str, ...], int | None]]]  # longest first; None: ambiguous
    numeric: bool
    size: int


@lru_cache(maxsize=4096)
def _index(choices: tuple[str, ...]) -> _Index:
    exact = {_bare(choice): place for place, choice in enumerate(choices)}
    if len(exact) < len(choices):  # the same choice twice: nobody can tell which one is meant
        exact = {}
    places: dict[tuple[str, ...], int | None] = {}
    for place, choice in enumerate(choices):
        words = key_words(choice)
        if words:
            places[words] = None if words in places else place
    starts: dict[str, list] = {}
    for words in sorted(places, key=len, reverse=True):
        starts.setdefault(words[0], []).append((words, places[words]))
    numeric = any(len(words) == 1 and _NUMBER.fullmatch(words[0]) for words in places)
    return _Index(exact, starts, numeric, len(choices))


class _Reading:
    """One pass over the words of a phrase, collecting what it accepts, rejects and hedges."""

    def __init__(self, words: list[_Word], index: _Index):
        self.words, self.index = words, index
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
        key = word.letter if word.text == "@" else word.text
        for words, place in self.index.starts.get(key, ()):
            end = self._match(position, words)
            if end:
                return self._mention(position, end, place, words)
        ordinal = self._ordinal(position)
        if ordinal:
            return ordinal
        if self._is_letter(position):
            self._letter(position, word.letter)
        elif word.text in _HEDGES or word.text == "?":
            self.hedged = True
        elif self.index.numeric and _NUMBER.fullmatch(word.text):
            self.outside = True
        elif word.text not in _PLAIN and word.text not in _ARTICLES:
            self.plain = False
        return position + 1

    def _match(self, position: int, words: tuple[str, ...]) -> int | None:
        """Position after ``words`` if they stand here, articles aside."""
        for number, wanted in enumerate(words):
            while number and self._text(position) in _ARTICLES and wanted not in _ARTICLES:
                position += 1
            here = self.words[position] if position < len(self.words) else _Word("")
            if wanted != (here.letter if here.text == "@" else here.text):
                return None
            position += 1
        return position

    def _mention(self, start: int, end: int, place: int | None, words: tuple[str, ...]) -> int:
        follower = self._text(end)
        if _NUMBER.fullmatch(words[-1]):
            if self._before(start, 2) & _VAGUE or follower == "+":
                self.hedged = True
            end = self._skip_unit(end)
        elif follower[:1].isalnum() and follower not in _AFTER and not self.words[end].letter:
            if words == ("right",) and follower in _OPTION:  # "the right answer is ..."
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
        if false or self._negated(start):
            self.plain = False
            if place is not None:
                self.rejected.add(place)
        else:
            self.accepted.add(place)

    def _negated(self, start: int) -> bool:
        for back in range(start - 1, max(start - 5, -1), -1):
            text = self.words[back].text
            if text in _STOPS:
                return False
            if text in _NEGATIONS or text.endswith("n't"):
                return True
            if text in ("instead", "rather") and self._text(back + 1) in ("of", "than"):
                return True
        return False

    def _ordinal(self, position: int) -> int | None:
        """Position after "the second option", "option 2" or a bare "second"."""
        text, after = self._text(position), self._text(position + 1)
        if text in ("option", "choice") and after.isdigit():
            place, end = int(after[:4]) - 1, position + 2
        elif text in _ORDINALS and (after in _OPTION or after == "1" or len(self.words) <= 2):
            place, end = _ORDINALS[text], position + 2
        else:
            return None
        if 0 <= place < self.index.size:
            self._record(position, end, place)
        else:
            self.outside = True
        return end

    def _is_letter(self, position: int) -> bool:
        """Whether the word is the letter of an option; the article "a" never is."""
        word = self.words[position]
        if not word.letter:
            return False
        before, after = self._text(position - 1) if position else "", self._text(position + 1)
        if word.text == "@" or len(self.words) == 1 or before in ("option", "choice", "letter"):
            return True
        if word.letter == "a" and after[:1].isalnum():
            return False
        return word.letter in "abcdefgh"

    def _letter(self, position: int, letter: str) -> None:
        place = ord(letter) - ord("a")
        if place < self.index.size:
            self._record(position, position + 1, place)
        else:
            self.outside = True

    def _text(self, position: int) -> str:
        return self.words[position].text if position < len(self.words) else ""

    def _before(self, position: int, count: int) -> set[str]:
        return {word.text for word in self.words[max(position - count, 0) : position]}
