"""Find the phrases with which a writer takes a second look.

The lists are in ``phrases.yaml``, each with its source. :func:`find_reflections` leaves out phrases
that the writer negates, quotes, or says of somebody else.

    find_reflections("It is 3. Wait, is it?", NARROW)     # [(9, 13)]
    count_words("Wait! They wait.", LISTS["maye"])        # 2: meant or not
"""

import math
import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import yaml

from vtkit.judging.turns import find_turns

_FILE = yaml.safe_load(Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8"))
LISTS = {name: tuple(entry["phrases"]) for name, entry in _FILE["lists"].items()}
"""All lists by name; the file explains the notation."""
SOURCES = {name: entry["source"] for name, entry in _FILE["lists"].items()}
NARROW = tuple(dict.fromkeys(phrase for name in _FILE["narrow"] for phrase in LISTS[name]))
"""Phrases that are used for hardly anything but a second look."""
BROAD = tuple(dict.fromkeys(sum((LISTS[name] for name in _FILE["broad_adds"]), NARROW)))
"""With the single words that others count, which mostly mean something else."""
# Keeps the length of the text.
_CAPITALS = [chr(code) for code in range(0x24F + 0x300) if len(chr(code).lower()) == 1]
_LOWER = {ord(letter): letter.lower() for letter in _CAPITALS} | {0x2019: "'"}
_NOTATION = {"(": "(?:", ")": ")", "|": "|", "*": r"\w*", "-": r"[-\s]?", " ": r"\s+"}
_GAPS = {"...": r"(?:\s+[\w'-]+){0,4}?", "~": r"[^.!?\n]{0,60}?"}
_ITEM = re.compile(r"(?:\([^()]*\)|[^\s()])+")
_WORD = re.compile(r"[\w']*")
_PAUSE = r"(?=[*_]{0,2}(?:\s?[,.!?:;…–—\-，。！？、]|\s*(?:\n|\Z)))"
_NEAR = 80  # characters around a phrase in which its clause is looked for
_CLAUSE_END = re.compile(r"[.,;:!?…\n—–()<>，。！？；]")
_AND_SO = r"let|so|but|because|since|and|forget|hesitate|only|just"
# Denied ("no need to double-check"), or said of or to others ("you may want to recheck", "readers
# should"), where no new clause begins between that word and the phrase.
_FAR = rf"(?:'\w+)?(?:\s+(?!(?:{_AND_SO})\b)[\w'-]+){{0,5}}\s*\Z"
_DENIED = re.compile(
    r"\b(?:no|not|never|without|nothing|nobody|hardly|cannot|neither|nor|instead|rather|\w+n't|always)"
    rf"{_FAR}|\b(?:if|be|being)\s*\Z"
)
_OF_OTHERS = re.compile(
    r"\b(?:you|they|he|she|who|users?|people|customers?|readers?|students?|viewers?|everyone"
    rf"|asks?|asked|tells?|told|says?|please|happy|glad){_FAR}"
)
_TO_OTHERS = re.compile(r"\byou(?:rs?)?\b")
# Asked of a reader: "Double-check that the valve is closed".
_ASKING = re.compile(r"(?!\w+ing\b)(?:re|double|check|verify|count|look|think|go|try).*", re.DOTALL)
_ASKED = re.compile(r"\s+(?:that|your|all|any|every|each|if|whether|before)\b")
_SHORT = 1_000  # characters of a text whose phrases are remembered
_SENTENCE_END = re.compile(r"[.!?\n]")
_PLAN = re.compile(r"\b(?:plan:|first,? i(?:'ll| will)\b|i (?:will|'ll) first\b)")
_THING = re.compile(r"\s+(?:patterns?|marks?|box|boxes|lists?|factors?|fluid|tape|pen)\b")
# Steps ("Recalculate the price with ...") and what others did ("the board re-evaluated it").
_ADVICE = re.compile(r"re-?(?:calculate|compute)")
_BY_OTHERS = re.compile(r"re-?\w+ed")
_FIRST_PERSON = re.compile(r"\b(?:i|we|my|our|let|having|have)\b|\bi'|\bwe'")
_NOT_NEEDED = re.compile(
    r"(?:\s+[\w'-]+){0,3}?\s+(?:is|was|seems|would be)\s+(?:not\s+(?:needed|necessary|required)"
    r"|unnecessary|needless)\b"
)
_QUOTE = re.compile(
    r"(?<![^\n])(?:user|human|question|q):[^\n]{1,200}"  # a made-up turn
    r"|(\b\w+)(?:\W{1,4}\1\b){3,}"  # "wait, wait, wait, wait"
    r"|(?<!\w)\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|«[^»\n]{1,200}»|「[^」\n]{1,200}」"
    r"|(?<![\w'])'(?=\w)[^\n]{1,200}?(?<=\S)'(?!\w)"
)


def find_reflections(text: str, phrases: tuple[str, ...] = NARROW) -> list[tuple[int, int]]:
    """Find the ``(start, end)`` spans of phrases that are meant, in order. Linear in time.

    With this kit's lists also those of claims that later ones replace (:mod:`.turns`).

    >>> text = " It is left. Wait, let me check again. It is right."
    >>> [text[start:end] for start, end in find_reflections(text)]
    ['Wait', 'check again', 'It is right.']
    """
    return list(_found(text, phrases) if len(text) <= _SHORT else _found.__wrapped__(text, phrases))


@lru_cache(maxsize=20_000)  # a report and an audit ask several times about each completion of a run
def _found(text: str, phrases: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    lower = text.translate(_LOWER)
    spans = [match.span() for match in _pattern(phrases).finditer(lower)]
    if phrases[: len(NARROW)] == NARROW:
        spans = sorted({*spans, *find_turns(text)})
    if not spans:
        return ()
    quotes = [match.span() for match in _QUOTE.finditer(lower)]
    return tuple(
        (start, end)
        for start, end in spans
        if not _is_quoted(quotes, start) and _is_meant(lower, start, end)
    )


def count_words(text: str, phrases: tuple[str, ...]) -> int:
    """Count how often phrases occur, meant or not, as others do."""
    return sum(1 for _ in _pattern(phrases).finditer(text.translate(_LOWER)))


def _is_quoted(quotes: list[tuple[int, int]], place: int) -> bool:
    before = bisect_right(quotes, (place, math.inf)) - 1
    return before >= 0 and place < quotes[before][1]


def _is_meant(lower: str, start: int, end: int) -> bool:
    before = _CLAUSE_END.split(lower[max(0, start - _NEAR) : start])[-1]
    phrase, after = lower[start:end], lower[end : end + _NEAR]
    if phrase.endswith("?") and " or " in phrase:
        return False  # between options
    sentence = _SENTENCE_END.split(lower[max(0, start - 2 * _NEAR) : start])[-1]
    if (
        _DENIED.search(before)
        or _PLAN.search(sentence)
        or _NOT_NEEDED.match(after)
        or _THING.match(after)
    ):
        return False
    if _FIRST_PERSON.search(phrase):
        return True
    if phrase.startswith("re") and (_ADVICE if not before.strip() else _BY_OTHERS).fullmatch(
        phrase
    ):
        return _FIRST_PERSON.search(before) is not None
    asks = _ASKING.fullmatch(phrase) and _ASKED.match(after) and not _FIRST_PERSON.search(before)
    return not (asks or _TO_OTHERS.search(phrase) or _OF_OTHERS.search(before))


@lru_cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """All phrases as one expression, by first letter and word: many branches at a word are slow."""
    by_letter: dict[str, dict[str, list[str]]] = {}
    for phrase in phrases:
        for opening in _openings(phrase):
            letter, before, rest = _expression(opening)
            word = next(_WORD.finditer(rest))[0]  # perhaps empty
            by_word = by_letter.setdefault(letter, {})
            by_word.setdefault(before + word, []).append(rest.removeprefix(word))
    branches = [
        letter + _any_of(word + _any_of(rests) for word, rests in by_word.items())
        for letter, by_word in by_letter.items()
    ]
    words = [branch for branch in branches if _is_spaced(branch[0])]
    signs = [branch for branch in branches if not _is_spaced(branch[0])]
    begins = r"\b(?<!\w')"  # "we're examining" is no re-examining
    return re.compile("|".join([begins + _any_of(words)] * bool(words) + signs))


def _any_of(ways: Iterable[str]) -> str:
    return f"(?:{'|'.join(ways)})"


def _openings(phrase: str) -> list[str]:
    """The phrase with each of the words that it may begin with."""
    group = re.match(r"([,+]?)\(([^()]*)\)( ?)(.*)", phrase)
    if not group:
        return [phrase]
    comma, ways, space, rest = group.groups()
    return [
        opening
        for way in ways.split("|")
        for opening in _openings(comma + (way + space if way else "") + rest)
    ]


def _expression(phrase: str) -> tuple[str, str, str]:
    """A phrase in the file's notation: its first letter, and what is before and after it."""
    body = phrase.strip(",+").removesuffix("?")
    letter = body[0]
    words = "".join(map(_words, _ITEM.findall(body))).removeprefix(r"\s+" + letter)
    gap = r"[ \t]" if _is_spaced(letter) else ""
    before = rf"(?<!\w{gap}{letter})" if phrase.startswith(",") else ""
    if phrase.startswith("+"):
        before = rf"(?<=[-.!…;–—]{gap}{letter})"
    after = _PAUSE if phrase.endswith(",") else r"\s?\?" if phrase.endswith("?") else ""
    edge = r"\b" if _is_spaced(letter) and body[-1] not in "*!" else ""
    return letter, before, words + edge + after


def _is_spaced(letter: str) -> bool:
    """Tell whether a letter's script has spaces between words; Chinese, Japanese have none."""
    return letter < "\u2e80"


def _words(item: str) -> str:
    """One item of a phrase with the white space before it."""
    if item in _GAPS:
        return _GAPS[item]
    optional = item.startswith("(") and item.endswith("|)")
    item = item[:-2] + ")" if optional else item
    words = "".join(_NOTATION.get(letter, re.escape(letter)) for letter in item)
    return rf"(?:\s+{words})?" if optional else rf"\s+{words}"
