"""Read the yes or no, true or false, that a sentence says of its question or statement."""

import re

from vtkit.judging.choices import prepare
from vtkit.judging.claims import TENTATIVE
from vtkit.judging.matching import Match
from vtkit.judging.statements import is_meant
from vtkit.judging.words import key_words

_VERDICT = re.compile(
    r"[\s*_>]*(yes|no|true|false|ja|nein|oui|non|sí|да|нет)\**\s?[,.;:–—]\**\s", re.IGNORECASE
)
_TENTATIVE_VERDICT = re.compile(
    r"^\W*(?:or|and|but)\b"
    r"|^\W*i (?:can(?:not|['’]t)|am unable to) (?:see|view) (?:the |any |this )?"
    r"(?:image|picture|photo)s?\b"
    r"|\b(?:maybe|perhaps|possibly|might|unsure|uncertain|not sure|unless|if)\b",
    re.IGNORECASE,
)
_OTHER_VERDICT = {
    word: re.compile(rf"\b(?:{pattern}|wait|actually|correction|sorry|not sure)\b", re.IGNORECASE)
    for word, pattern in (
        ("yes", r"no(?=\W*$|\s?[,.;:–—])"),
        ("no", "yes"),
        ("true", "(?:false|untrue)"),
        ("false", "true"),
    )
}


_STATEMENT = re.compile(
    r"\b(?:the|this|that)\s(?:given\s)?(?:statement|claim|assertion|description|caption)"
    r"(?:\s[\"“][^\"“”\n]{1,80}[\"”])?\s(?:is|was)\s[*_]{0,3}(?P<said>(?:not\s)?\w+)[*_]{0,3}(?=[.,;]|$)"
    r"|\b(?:statement|claim|assertion)\s(?P<holds>(?:does\snot\s)?holds?)\b"
    r"|\banswer\b[^.\n]{0,80}\sis\s(?:in\sthe\s)?(?P<sign>negative|affirmative)\W*$",
    re.IGNORECASE,
)
_TRUE = frozenset("correct true right accurate valid hold holds affirmative".split())
_FALSE = frozenset("incorrect false wrong inaccurate invalid untrue negative".split())


def said_of_statement(sentence: str, choices: tuple[str, ...]) -> Match | None:
    """The yes or no, true or false, that a sentence says in other words: "it does not hold"."""
    places = {key[0]: place for place, key in enumerate(prepare(choices).keys) if len(key) == 1}
    found = (
        _STATEMENT.search(sentence.replace("n't ", " not ").replace("n’t ", " not "))
        if len(places) == 2
        else None
    )
    if not found or TENTATIVE.search(sentence) or not is_meant(sentence):
        return None
    _, denied, word = (found["said"] or found["holds"] or found["sign"]).lower().rpartition("not ")
    if word not in _TRUE | _FALSE:
        return None
    true = (word in _TRUE) != bool(denied)
    wanted = ("yes", "true") if true else ("no", "false")
    place = next((places[each] for each in wanted if each in places), None)
    return None if place is None else Match(place, "named", plain=True)


def opening_verdict(text: str, start: int, end: int) -> tuple[str, tuple[int, int]] | None:
    """The yes or no that a sentence opens with, and its span, if the rest does not undo it."""
    said = _VERDICT.match(text, start, end)
    if said is None:
        return None
    rest = text[said.end() : end]
    if _TENTATIVE_VERDICT.search(rest) or _OTHER_VERDICT[key_words(said[1])[0]].search(rest):
        return None
    return said[1], said.span(1)
