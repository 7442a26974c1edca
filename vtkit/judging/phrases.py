"""Find the phrases with which a writer takes a second look.

The lists are in ``phrases.yaml``, each with its source. :func:`find_reflections` leaves out phrases
that the writer negates, quotes, or says of somebody else.

    find_reflections("It is 3. Wait, is it?", NARROW)     # [(9, 13)]
    count_words("Wait! They wait.", LISTS["maye"])        # 2: meant or not
"""

import re
from bisect import bisect_right
from functools import lru_cache
from pathlib import Path

import yaml

_FILE = yaml.safe_load(Path(__file__).with_name("phrases.yaml").read_text(encoding="utf-8"))
LISTS = {name: tuple(entry["phrases"]) for name, entry in _FILE["lists"].items()}
"""All lists by name; the file explains the notation."""
SOURCES = {name: entry["source"] for name, entry in _FILE["lists"].items()}
NARROW = tuple(dict.fromkeys(phrase for name in _FILE["narrow"] for phrase in LISTS[name]))
"""Phrases that are used for hardly anything but a second look."""
BROAD = tuple(dict.fromkeys(sum((LISTS[name] for name in _FILE["broad_adds"]), NARROW)))
"""With the single words that others count, which mostly mean something else."""
# Keeps the length of the text.
_LOWER = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ\N{RIGHT SINGLE QUOTATION MARK}", "abcdefghijklmnopqrstuvwxyz'"
)
_NOTATION = {"(": "(?:", ")": ")", "|": "|", "*": r"\w*", "-": r"[-\s]?", " ": r"\s+"}
_ITEM = re.compile(r"(?:\([^()]*\)|[^\s()])+")
_PAUSE = r"(?=[*_]{0,2}(?:\s?[,.!?:;…–—\-，。！？、]|\s*(?:\n|\Z)))"
_NEAR = 80  # characters around a phrase in which its clause is looked for
_CLAUSE_END = re.compile(r"[.,;:!?…\n—–()，。！？；]")
_AND_SO = r"let|so|but|because|since|and|forget|hesitate|only|just"
# Denied ("no need to double-check"), or done by others ("you may want to recheck"), where no new
# clause begins between that word and the phrase.
_NOT_MEANT = re.compile(
    r"\b(?:no|not|never|without|nothing|nobody|hardly|cannot|neither|nor|instead|rather|\w+n't"
    r"|always|you|they|he|she|who|users?|people|customers?|asks?|asked|tells?|told|says?|please)"
    rf"(?:\s+(?!(?:{_AND_SO})\b)[\w'-]+){{0,5}}\s*\Z|\b(?:if|be|being)\s*\Z"
)
# Steps ("Recalculate the price with ...") and what others did ("the board re-evaluated it").
_ADVICE = re.compile(r"re-?(?:calculate|compute)")
_BY_OTHERS = re.compile(r"re-?\w+ed")
_FIRST_PERSON = re.compile(r"\b(?:i|we|my|our|let|having|have)\b|\bi'|\bwe'")
_NOT_NEEDED = re.compile(
    r"(?:\s+[\w'-]+){0,3}?\s+(?:is|was|seems|would be)\s+(?:not\s+(?:needed|necessary|required)"
    r"|unnecessary|needless)\b"
)
_QUOTE = re.compile(
    r"(?<!\w)\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|«[^»\n]{1,200}»|「[^」\n]{1,200}」"
    r"|(?<![\w'])'(?=\w)[^\n]{1,200}?(?<=\S)'(?!\w)"
)


def find_reflections(text: str, phrases: tuple[str, ...] = NARROW) -> list[tuple[int, int]]:
    """Find the ``(start, end)`` spans of phrases that are meant, in order. Linear in time."""
    lower = text.translate(_LOWER)
    spans = [match.span() for match in _pattern(phrases).finditer(lower)]
    if not spans:
        return []
    quotes = [match.span() for match in _QUOTE.finditer(lower)]
    return [
        (start, end)
        for start, end in spans
        if not _is_quoted(quotes, start) and _is_meant(lower, start, end)
    ]


def count_words(text: str, phrases: tuple[str, ...]) -> int:
    """Count how often phrases occur, meant or not, as others do."""
    return sum(1 for _ in _pattern(phrases).finditer(text.translate(_LOWER)))


def _is_quoted(quotes: list[tuple[int, int]], place: int) -> bool:
    before = bisect_right(quotes, (place,)) - 1
    return before >= 0 and place < quotes[before][1]


def _is_meant(lower: str, start: int, end: int) -> bool:
    before = _CLAUSE_END.split(lower[max(0, start - _NEAR) : start])[-1]
    phrase = lower[start:end]
    if phrase.startswith("re") and (_ADVICE if not before.strip() else _BY_OTHERS).fullmatch(
        phrase
    ):
        return _FIRST_PERSON.search(before) is not None
    after = lower[end : end + _NEAR]
    return not _NOT_MEANT.search(before) and not _NOT_NEEDED.match(after)


@lru_cache
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """All phrases as one expression, by first letter: a hundred branches at each word are slow."""
    by_letter: dict[str, list[str]] = {}
    for phrase in phrases:
        for opening in _openings(phrase):
            letter, rest = _expression(opening)
            by_letter.setdefault(letter, []).append(rest)
    branches = [f"{letter}(?:{'|'.join(rests)})" for letter, rests in by_letter.items()]
    words = [branch for branch in branches if branch[0].isascii()]
    signs = [branch for branch in branches if not branch[0].isascii()]  # without spaces between
    begins = r"\b(?<!\w')"  # "we're examining" is no re-examining
    return re.compile("|".join([rf"{begins}(?:{'|'.join(words)})"] * bool(words) + signs))


def _openings(phrase: str) -> list[str]:
    """The phrase with each of the words that it may begin with."""
    group = re.match(r"(,?)\(([^()]*)\)( ?)(.*)", phrase)
    if not group:
        return [phrase]
    comma, ways, space, rest = group.groups()
    return [
        opening
        for way in ways.split("|")
        for opening in _openings(comma + (way + space if way else "") + rest)
    ]


def _expression(phrase: str) -> tuple[str, str]:
    """A phrase in the file's notation: its first letter, and the rest as a regular expression."""
    body = phrase.strip(",").removesuffix("?")
    letter, *_ = body
    words = "".join(map(_words, _ITEM.findall(body))).removeprefix(r"\s+" + letter)
    gap = r"[ \t]" if body.isascii() else ""
    before = rf"(?<!\w{gap}{letter})" if phrase.startswith(",") else ""
    after = _PAUSE if phrase.endswith(",") else r"\s?\?" if phrase.endswith("?") else ""
    edge = r"\b" if body.isascii() and body[-1] not in "*!" else ""
    return letter, before + words + edge + after


def _words(item: str) -> str:
    """One item of a phrase with the white space before it."""
    if item == "...":
        return r"(?:\s+[\w'-]+){0,4}?"
    optional = item.startswith("(") and item.endswith("|)")
    item = item[:-2] + ")" if optional else item
    words = "".join(_NOTATION.get(letter, re.escape(letter)) for letter in item)
    return rf"(?:\s+{words})?" if optional else rf"\s+{words}"
