"""What prose without tags or explicit statements concludes: its sentences, by their roles.

A conclusion beats claims; claims beat what is only said in support. Items of lists, questions,
premises and reasons claim nothing, and a text that gives up has no answer.
"""

import re
from itertools import islice

from vtkit.judging import claims
from vtkit.judging.free import closing_value, ends_in_value
from vtkit.judging.matching import MAX_PHRASE, Match, match_choice
from vtkit.judging.nearness import FARTHER, is_opposite, is_reversed
from vtkit.judging.reading import Commitment, Reader
from vtkit.judging.statements import CODE, after_conclusion, find_sentences, is_cut_off, is_meant
from vtkit.judging.tags import Span
from vtkit.judging.truths import opening_verdict

_MAX_SENTENCES = 8  # the last ones; earlier mentions do not count
_DECIDE = (
    r"(?:tell|told|determine[d]?|say|said|know[n]?|decide[d]?|conclude[d]?|answer(?:ed)?|find|found"
    r"|calculate[d]?|compute[d]?|judged?|identify|identified|give|given|establish(?:ed)?|solved?"
    r"|make out|pick|choose|inferr?(?:ed)?|derive[d]?|verif(?:y|ied))"
)
GIVING_UP = re.compile(
    r"\b(?:cannot|can['’]?t|can not|could not|couldn['’]?t|(?:not|im)\s?possible to|unable to"
    r"|not able to"
    rf"|(?:no|any) way (?:to|of)|(?:hard|difficult) to)\s(?:be\s|reliably\s|really\s)?{_DECIDE}\b"
    r"|\b(?:more|further|additional|another)\s(?:\w+\s)?(?:details?|information|context|data|picture|image)"
    r"\b[^.\n]{0,30}\b(?:needed|required|necessary)\b"
    r"|\b(?:not|isn['’]t|aren['’]t)\s(?:listed\s)?(?:among|one of|in|any of|part of)\s(?:the\s"
    r"|these\s|those"
    r"\s|any of the\s)?(?:given\s|listed\s|answer\s|offered\s)*(?:choices|options|answers|list)\b"
    r"|\bnone of (?:the |these |those |them|your )?(?:\w+\s){0,2}(?:options|choices|answers|A"
    r"|\(A)\b"
    r"|n['’]t \w+ any of (?:those|these|them)\b|\b(?:would|['’]d) (?:have|need) to know\b"
    r"|\bany of (?:the|these|those|them)(?: \w+){0,3} (?:could|might|may)\b"
    r"|\bno (?:given |listed )?(?:option|choice|answer)s?\s(?:fit|match|is\b|appl|agree|work|can)"
    r"|\b(?:do|does)\s?(?:not|n['’]t) (?:match|fit|agree with) any\b"
    r"|\b(?:stays?|remains?) (?:open|unclear|unknown|undecided)\b"
    r"|\b(?:options|choices|question|problem)\b[^.\n]{0,40}\b(?:mistake|error|wrong|incorrect|flawed)\b"
    r"|\b(?:picture|image|photo|figure|diagram)s? (?:is|was|are|were) (?:missing|not\b)"
    r"|\bno (?:picture|image|photo|figure|diagram)s? (?:is|was|are|were|has)\b"
    r"|\b(?:which|what)\b[^.?\n]{0,30}\byou (?:mean|meant|refer)\b"
    r"|\b(?:could|can|would) you (?:please )?(?:clarify|specify)\b"
    r"|\btells us nothing\b|\b(?:not|in)\s?(?:enough|sufficient) (?:information|detail|data"
    r"|context)",
    re.IGNORECASE,
)
_NEXT = re.compile(r"\W*(?:now|next|then|to (?:find|get|calculate|compute))\b", re.IGNORECASE)
_COPIED = re.compile(r"```\w*\n(?:[^\n]*\n){4,40}?```")  # a receipt, a table
_FIRST_THOUGHT = re.compile(
    r"\W*(?:(?:at )?first|initially|originally),?\s(?:(?:i|we|one)\s)(?:\w+\s)?"
    r"(?:thought|assumed|guessed|believed|took|expected|read|had|was|would)\b"
    r"|\W*my (?:first|initial) (?:thought|guess|impression|idea|reading)\b",
    re.IGNORECASE,
)
_POINT = re.compile(
    r"\b(?i:point )?([AB]) (?:is|lies|sits) (?:located |placed )?(?:on|at|in) (?:the|a|an) "
    r"(\w[\w'’ ]{2,30}?)(?=[,.;]|\s(?:and|which|while|behind|in|on|near|at)\b)"
)
_BUT = re.compile(r",\s(?:but|yet|still,)\s")
_MAX_ALONE = 3  # words of a last line that is an answer
_VERDICT = re.compile(r"\W*(?:yes|no|true|false)\W*", re.IGNORECASE)
_NEAR = 2000
_BRANCH = re.compile(r"\b(?:if|otherwise|else|unless)\b", re.IGNORECASE)
_WORD = re.compile(r"\w")
_CHAT = re.compile(
    r"\W*(?:i hope|hope this|let me know|feel free|please|thank|is there anything|if you (?:have"
    r"|need))\b",
    re.IGNORECASE,
)
_ITEM = re.compile(
    r"\s*(?:[-*•+|]\s|\(?\d{1,2}[.)]\s|\*{0,2}\(?[A-J][.):]\s|\*\*[^*\n]{1,40}\*\*\s?[:–—-])"
)
_SUPPORT = re.compile(
    r"\W*(?:(?:this|that) is (?:because|evident|clear|due|shown)|because|the reason"
    r"|(?:as )?(?:you|we|one|it|this) can (?:be )?see[n]?|for (?:example|instance)|e\.g\.|note\b"
    r"|typically|usually|in general|recall|suppose"
    r"|in the (?:first|second|third|fourth|other|upper|lower|next|last|sketch|figure|diagram)\b"
    r"|(?:let|given|we know|we are told)\b)",
    re.IGNORECASE,
)
_BASED = re.compile(
    r"\W*(?:(?:based on|going by|judging (?:by|from)|given|from|considering|looking at"
    r"|by)\s[^,.\n]{2,60},"
    r"|(?:all in all|taken together|in the end),?\s|it follows that\b"
    r"|(?:this|that|which|these|it) (?:\w+ly\s)?(?:puts|places|makes|leaves|shows?|means?"
    r"|suggests?|indicates?|implies|imply|tells us)"
    r"(?: that)?\b)",
    re.IGNORECASE,
)


def gives_up(text: str, start: int, end: int) -> bool:
    """Tell whether words say that there is no answer to give."""
    return GIVING_UP.search(text, start, end) is not None


def beyond_refusals(text: str, start: int, bold: list[Commitment]) -> list[Commitment]:
    """What is bold, without observations in lists of a text that gives up before."""

    def observes(commit: Commitment) -> bool:
        line = max(text.rfind("\n", start, commit.start) + 1, start)
        return _ITEM.match(text, line) is not None and gives_up(text, start, line)

    return [commit for commit in bold if not observes(commit)]


def _after_caveat(text: str, start: int, end: int) -> Span:
    """What follows "it is hard to say without more context, but"."""
    cut = (
        _BUT.search(text, found.end(), end)
        if (found := GIVING_UP.search(text, start, end))
        else None
    )
    return (cut.end(), end) if cut else (start, end)


def find_claims(reader: Reader, start: int, end: int) -> list[Commitment]:
    """The commitments that decide, in order: conclusions, or else claims; none if it gives up."""
    text = reader.text
    spans = [span for span in find_sentences(text, start, end) if _WORD.search(text, *span)]
    spans = [_after_caveat(text, *span) for span in spans]
    low = max(start, end - _NEAR)
    code = [found.span() for each in (CODE, _COPIED) for found in each.finditer(text, low, end)]
    spans = [span for span in spans if not any(low < span[0] < high for low, high in code)]
    items = _items(text, spans)
    open_end = is_cut_off(text[start:end])
    concluded: list[Commitment] = []
    claimed: list[Commitment] = []
    if open_end and spans and _NEXT.match(text, *spans[-1]):
        return []  # an unfinished calculation
    telling = [
        span for span in spans if not (_SUPPORT.match(text, *span) or _CHAT.match(text, *span))
    ]
    recent = len(spans) - _MAX_SENTENCES
    for place, span in enumerate(spans):
        if gives_up(text, *span):
            concluded, claimed = _as_choice(reader, *span), []
            continue
        rest = after_conclusion(text, *span) or _based(text, span)
        if rest and len(reader.choices) == 2 and is_reversed(text[slice(*rest)]):
            before = max(text.rfind(",", span[0], rest[0]), span[0])
            if commit := _claim(reader, span[0], before):  # "A is in front, so B is behind"
                claimed.append(commit)
                continue
        if rest and (span not in items or span in telling[-1:]):
            if commit := _claim(reader, *rest, concluded=span in telling[-1:]):
                concluded.append(commit)
                continue
        broken = open_end and opening_verdict(text, *span) is None
        if broken or span in items or place < recent or _SUPPORT.match(text, *span):
            continue
        if commit := _claim(reader, *span):
            claimed.append(commit)
    if spans and gives_up(text, *spans[-1]):
        return _as_choice(reader, *spans[-1])
    concluded, claimed = _asked(reader, concluded, claimed)
    if telling and not (open_end or telling[-1] in items):
        claimed = _closed(reader, telling, claimed)
    return _outspoken(concluded, claimed) if concluded else _outspoken(claimed, [])


def _items(text: str, spans: list[Span]) -> set[Span]:
    """The sentences on lines of a list, if there are at least two such lines."""
    lines = {span: text.rfind("\n", 0, span[0] + 1) + 1 for span in spans}
    items = {line for line in lines.values() if _ITEM.match(text, line)}
    return {span for span, line in lines.items() if line in items} if len(items) > 1 else set()


def _closed(reader: Reader, telling: list[Span], claimed: list[Commitment]) -> list[Commitment]:
    """The claims, of which the last sentence's beats all but those of the first sentence."""
    start, end = telling[-1]
    if claimed and claimed[-1].start >= start:
        first = [claim for claim in claimed[:-1] if claim.start < telling[0][1]]
        return [claim for claim in first if claim.match.choice is not None] + claimed[-1:]
    if not any(claim.match.choice is not None for claim in claimed):
        before = reader.text[telling[0][0] : start]
        if said := claims.closes(before, reader.text[start:end][:MAX_PHRASE], reader.choices):
            return [Commitment(start, end, "sentence", said)]
    return claimed


def _asked(reader: Reader, *found: list[Commitment]) -> list[list[Commitment]]:
    """Without "so B is the farther one" where another sentence says that A is closer."""
    said = [commit for commits in found for commit in commits]
    reverse = [each for each in said if is_reversed(reader.text[each.start : each.end])]
    straight = {each.match.choice for each in said if each not in reverse} - {None}
    if len(reader.choices) > 2 or not straight:
        return list(found)
    return [[each for each in commits if each not in reverse] for commits in found]


def _outspoken(found: list[Commitment], others: list[Commitment]) -> list[Commitment]:
    """Without what names nothing ("it may be either") before a sentence that names a choice."""
    if any(commit.match.choice is not None for commit in found):
        found = [commit for commit in found if commit.match.why != "several"]
    named = [place for place, commit in enumerate(found) if commit.match.plain]
    if found and found[-1].match.choice is None:
        later = [commit for commit in others if commit.start > found[-1].end and commit.match.plain]
        return later or found
    kept = found[: named[-1]] if named else []
    return [commit for commit in kept if commit.match.choice is not None] + found[len(kept) :]


def _as_choice(reader: Reader, start: int, end: int) -> list[Commitment]:
    """What gives up, where a choice says so: "it cannot be determined"."""
    commit = reader.commit(start, end, "sentence")
    place = commit.match.choice
    offered = place is not None and GIVING_UP.search(reader.choices[place])
    return [commit] if offered else []


def find_last_claims(text: str, start: int, end: int) -> list[Span]:
    """The sentences that conclude, or else all; none if the text gives up or breaks off."""
    spans = [span for span in find_sentences(text, start, end) if _WORD.search(text, *span)]
    spans = [span for span in spans if not _CHAT.match(text, *span)]
    if any(gives_up(text, *span) for span in spans):
        return []
    alone = bool(spans) and len(text[slice(*spans[-1])].split()) <= _MAX_ALONE
    if (
        alone
        and _starts_line(text, spans[-1][0])
        or (spans and _VERDICT.fullmatch(text, *spans[-1]))
    ):
        return spans[-1:]
    if is_cut_off(text[start:end]):
        return []
    concluded = [span for span in map(lambda span: after_conclusion(text, *span), spans) if span]
    valued = [span for span in spans if _states_value(text, *span)]
    if valued and (not concluded or valued[-1][0] > concluded[-1][1] and valued[-1] == spans[-1]):
        return valued
    return concluded or spans


def _states_value(text: str, start: int, end: int) -> bool:
    sentence = text[start:end].strip()
    aside = (
        sentence.startswith(("(", "*(", "|")) or _SUPPORT.match(sentence) or _ITEM.match(sentence)
    )
    return not aside and is_meant(sentence) and ends_in_value(sentence)


def _starts_line(text: str, place: int) -> bool:
    return place == 0 or not text[text.rfind("\n", 0, place) + 1 : place].strip()


def _based(text: str, span: Span) -> Span | None:
    opening = _BASED.match(text, *span)
    return (opening.end(), span[1]) if opening else None


def _claim(reader: Reader, start: int, end: int, *, concluded: bool = False) -> Commitment | None:
    commit, choices = reader.commit(start, end, "sentence"), reader.choices
    sentence = reader.text[start:end][:MAX_PHRASE]
    opposite = len(choices) == 2 and is_reversed(sentence) and not FARTHER.search(sentence)
    if commit.match.why == "rejected" or (opposite and not is_opposite(sentence, choices)):
        return None  # which of two is closer
    if _FIRST_THOUGHT.match(sentence) and not _BUT.search(sentence):
        return None
    if commit.match.choice is not None and reader.counts(commit):
        return commit
    if said := claims.said_of_subject(sentence, choices, branches=_branches(reader.text, start)):
        return commit._replace(match=said)
    if commit.match.why == "nothing" and (said := _said_of_point(reader, start, sentence)):
        return commit._replace(match=said)
    if concluded and commit.match.why == "nothing":  # "a length of 35 kilometres"
        head, _, tail = sentence.rpartition(" of ")
        measured = match_choice(tail, choices)
        if measured.plain and measured.choice is not None and is_meant(head):
            return commit._replace(match=measured)
    if concluded and commit.match.why in ("nothing", "outside"):
        value = match_choice(closing_value(sentence) or "", choices)
        if value.plain and value.choice is not None and is_meant(sentence):
            return commit._replace(match=value)
    if concluded and commit.match.choice is not None:
        if claims.concludes(sentence, commit.match.choice, choices):
            return commit
    return commit if reader.counts(commit) else None


def _said_of_point(reader: Reader, start: int, sentence: str) -> Match | None:
    """What is claimed of a point by what it lies on: "B is on the hand. The hand is closer"."""
    before = reader.text[max(start - _NEAR, 0) : start]
    things = {found[2].lower(): found[1] for found in islice(_POINT.finditer(before), 8)}
    if sorted(things.values()) != ["A", "B"]:
        return None
    for thing, letter in things.items():
        sentence = re.sub(rf"\b(?:the\s)?{re.escape(thing)}\b", letter, sentence, flags=re.I)
    said = match_choice(sentence, reader.choices)
    claimed = said.choice is not None and claims.answers(sentence, reader.choices)
    return said if claimed else None


def _branches(text: str, place: int) -> bool:
    """Tell whether sentences around a place distinguish cases."""
    near = text[max(place - MAX_PHRASE, 0) : place + 2 * MAX_PHRASE]
    return len(list(islice(_BRANCH.finditer(near), 2))) > 1
