"""Where a text states an answer in words: "the answer is left", a box, bold, its last sentence.

Only places are found here, not which choice they name (:mod:`vtkit.naming`). Peers look for one
phrase and take the letter after it, so that "the answer is below" is option B; here the whole rest
of the sentence counts, up to its reasons.
"""

import re
from itertools import islice

Span = tuple[int, int]

# The end of a long text is enough: the last word is what counts. It also bounds the time.
_TAIL = 10_000
_MAX_STATEMENTS = 300

_SAID = re.compile(
    r"\b(?:answer|ans|option|choice|response|result|solution)(?:\s(?:to|for)\s\w{1,4}\squestion)?"
    r"[*_`\"]{0,3}(?:\s{1,3}(?:is|was|(?:would|should|must|will)\sbe)\b\s{0,3}:?"
    r"|\s{0,3}(?:=|:|->|→|[-–—](?=\s)))"
    r"|\banswer[*_`\"]{0,3}\s{0,3}\n"
    r"|\banswer\s{1,3}(?=[(\[]\s?[a-z]\s?[)\]])"
    r"|\bI(?:['’]ll|['’]d|\swould|\swill|)\s(?:choose|pick|select|answer|say|go\swith)\b\s?:?",
    re.IGNORECASE,
)
_SAID_AFTER = re.compile(
    r"\s(?:is|would be)\s{1,3}(?:(?:the\s|my\s)?(?:correct\s|right\s|best\s|final\s)?"
    r"(?:answer|option|choice)\b|correct\b)",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\f?boxed\s?\{")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
# A full stop after a single letter does not end "B. left".
_END = re.compile(
    r"(?<![\s(*][A-Za-z])(?<!^[A-Za-z])[.!](?=\s|$|[*\"'])|\n|;|</?(?:p|div|li|td|tr|h\d|br|body)\b",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|since|given|due\sto|as\s(?:the|it))\b|,\s(?:as|which|while)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?![\s*]|$)[^.!?\n]+)*[.!?]*")

_FALSE = r"(?:that|this|it)(?:['’]s| is| was) (?:wrong|incorrect|not (?:right|correct|true))"
_TAKEN_BACK = (
    r"scratch that|(?:take|taking) (?:that|it) back|mistaken?|i was wrong|not so sure|" + _FALSE
)
RETRACTION = re.compile(rf"\b(?:{_TAKEN_BACK})", re.IGNORECASE)
CORRECTION = re.compile(
    rf"\b(?:{_TAKEN_BACK}|wait|actually|corrections?|correcting|sorry|on second thoughts?|instead"
    r"|reconsider\w*|changed? my mind|let me (?:re|correct|check)|no,|hmm|oops|rather)",
    re.IGNORECASE,
)
CONCLUSION = re.compile(r"\b(?:so|thus|therefore|hence|final(?:ly)?|conclu\w+)\b", re.IGNORECASE)


def find_stated(text: str, start: int, end: int) -> list[tuple[int, int, str]]:
    """``(start, end, "statement" or "boxed")`` of what explicit statements say, in order."""
    start = max(start, end - _TAIL)
    found = [(*_box(text, match.end(), end), "boxed") for match in _all(_BOXED, text, start, end)]
    for match in _all(_SAID, text, start, end):
        found.append((*_rest(text, match.end(), end), "statement"))
    for match in _all(_SAID_AFTER, text, start, end):
        before = max(match.start() - 120, start)
        cut = max(text.rfind(mark, before, match.start()) for mark in ".\n;:!?>,")
        found.append((max(cut + 1, before), match.start(), "statement"))
    return sorted(one for one in found if text[one[0] : one[1]].strip())


def find_bold(text: str, start: int, end: int) -> list[Span]:
    """What stands in bold (``**left**``), in order."""
    return [match.span(1) for match in _all(_BOLD, text, max(start, end - _TAIL), end)]


def find_sentences(text: str, start: int, end: int) -> list[Span]:
    """Sentences and lines, in order."""
    return [match.span() for match in _all(_SENTENCE, text, max(start, end - _TAIL), end)]


def without_reasons(text: str, start: int, end: int) -> Span:
    """A phrase ("left because ...") without its reasons."""
    reason = _REASON.search(text, start + 1, end)
    return (start, reason.start()) if reason else (start, end)


def _all(pattern: re.Pattern, text: str, start: int, end: int) -> list[re.Match]:
    return list(islice(pattern.finditer(text, start, end), _MAX_STATEMENTS))


def _box(text: str, start: int, end: int) -> Span:
    """From an opening brace to the one that closes it; an empty span if none does."""
    depth = 1
    for place in range(start, min(end, start + 200)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return start, place
    return start, start


def _rest(text: str, start: int, end: int) -> Span:
    """What follows "the answer is", up to the end of the sentence."""
    window = text[start : min(end, start + 200)]
    skipped = len(window) - len(window.lstrip(' \t\n*_`":'))
    window = window[skipped:]
    stop = _END.search(window, 1)
    return start + skipped, start + skipped + (stop.start() if stop else len(window))
