"""Remarks after an answer: do they offer another, give up, or replace it?"""

import re

from vtkit.judging import free, statements
from vtkit.judging.matching import match_choice, mentioned
from vtkit.judging.prose import GIVING_UP, gives_up
from vtkit.judging.statements import CORRECTION, find_sentences

_MAX_SENTENCES = 8
# After an answer: "Or perhaps the bottle."; and what takes nothing back.
_OFFER = re.compile(
    r"\W*(?:(?:or|maybe|perhaps|possibly|alternatively|then again)\b"
    r"|(?:(?:but|though|although|however),? )?(?:it|this|that|the answer) (?:could|might|may)\b)",
    re.IGNORECASE,
)
_RIVAL = re.compile(
    r"\b(?:could|might|may)\s(?:\w+\s){0,3}be\b|\b(?:also|equally|just as)\s(?:possible"
    r"|plausible|likely"
    r"|correct|right|valid|good|an? )|\bpossible\b|\btoo\W*$",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\W*(?:but )?(?:i(?:['’]m| am) (?:\w+ )?(?:not (?:\w+ )?(?:sure|certain)|unsure|uncertain"
    r"|guessing)"
    r"|not sure|unsure|just a guess)\b",
    re.IGNORECASE,
)
_BOTH = re.compile(
    r"\W*(?:both|either|any|each)\b[^.\n]{0,40}\b(?:count|answers?|correct|right|fine)\b", re.I
)
_CAVEAT = re.compile(r"\b(?:exact|precis|certain|sure|100|for sure)", re.IGNORECASE)


def why_undone(
    text: str, choices: tuple[str, ...], chosen: int | None, start: int, end: int
) -> str | None:
    """Why later words undo an answer: they name another outright, or offer one, or give up."""
    for low, high in find_sentences(text, start, end)[:_MAX_SENTENCES]:
        words = text[low:high]
        if statements.CROSS.search(words):
            continue  # ruled out
        if _BOTH.match(words):
            return "hedge"
        if not choices:
            if _OFFER.match(words) and free.states_value(_OFFER.sub("", words, count=1)):
                return "hedge"
            continue
        offered = GIVING_UP.search(choices[chosen or 0])
        if gives_up(text, low, high) and not (offered or _CAVEAT.search(words)):
            return "retracted"
        other = match_choice(words, choices)
        if other.plain and other.choice not in (None, chosen):
            return None if CORRECTION.search(text, start, high) else "contradiction"
        if _UNSURE.match(words):
            return "hedge"
        offers = _OFFER.match(words) or _RIVAL.search(words)
        if offers and mentioned(words, choices) - {chosen}:
            return "hedge"
    return None


def replaces(text: str, start: int, end: int) -> bool:
    """Tell whether a sentence after a correction is a value of its own: "That makes it 9"."""
    sentence = text[start:end]
    stated = free.states_value(sentence) or free.is_verdict(sentence)
    return stated and statements.is_meant(sentence)
