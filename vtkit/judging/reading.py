"""Read which choice a stretch of a completion commits to, with the remarks around it.

A stretch is read as a whole; else by its letter ("B. There are 3"), by what it corrects itself to,
by its first clause if the rest does not take that back ("cup, as it is nearer than the bottle"; not
"cup, or the bottle"), or by its own conclusion.
"""

import re
from itertools import islice
from typing import NamedTuple

from vtkit.judging import claims, statements, truths
from vtkit.judging.choices import prepare
from vtkit.judging.claims import FIRST_LOOK, OWN_LETTER
from vtkit.judging.matching import MAX_PHRASE, Match, match_choice, mentioned, ruled_out
from vtkit.judging.nearness import is_opposite
from vtkit.judging.statements import CORRECTION
from vtkit.judging.words import key_words, without_idioms, words

_CLAUSE_END = re.compile(r"[.:;,–—\n]|\s-\s")
_MAX_CUTS = 4
_CUT = re.compile(
    r"\s(?=[(\[]\s?\w)|[,;:.!?。，；：](?=\s|$)|\s[-–—](?=\s)|\n"
    r"|\s(?=(?:because|since|given|even\sthough|due\sto|as(?!\s(?:well|good|close|near|likely))|which|while|whereas|where|although|though|but)\s)",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\W{0,3}(?:because|since|given|due\sto|as\s|which|while|whereas|where|for\s|(?:even\s|al)?though"
    r"|the\s(?:\w+\s){1,3}(?:near|beside|behind|by|next\sto|under)\s)",
    re.IGNORECASE,
)
# In remarks that name another choice: it is as good.
_PARITY = re.compile(
    r"\b(?:or|maybe|perhaps|possibly|probably|could|might|may|just as|equally|as (?:well|good|close"
    r"|near|likely|much)|either|both|same|alternatively|likewise|unsure|not sure|uncertain"
    r"|too(?=\W*$)|cannot (?:exclude|rule out)|can't (?:exclude|rule out)|unless)\b",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"\W*(?:or\b|maybe\b|perhaps\b|possibly\b|probably\b|likely\b|not sure|unsure|uncertain|i guess"
    r"|(?:but )?i(?:['’]m| am) (?:\w+ )?(?:not|un)|\?)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\W*(?:no|nope|but|well|wait|actually|sorry|hmm|or rather)?\W*(?:that|this|it)"
    r"(?:['’]s| is| was) (?:wrong|false|incorrect|untrue|not (?:right|correct|true))\b",
    re.IGNORECASE,
)
SECOND_SENTENCE = re.compile(r"[.!?]\s+[A-Z(]|\n\s*\S")
_OWN_WORDS = ("bare", "sentence")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_OTHER_ONE = re.compile(
    r"\b(?:be|so|leav(?:es?|ing)|thus|then|therefore|hence|only|just)\s(?:\w+\s)?(?:the )?"
    r"(?:other|remaining)\b",
    re.IGNORECASE,
)
_REMARK = re.compile(r"^\([^()\n]{1,80}\)[,\s]*")
_SOLE_LETTER = re.compile(r"[\s*(\[]*[A-Za-z][\s*)\]]*")
_BUT = re.compile(r",?\sbut\s|;\s(?=(?:it|this|that) is\b)", re.IGNORECASE)
_LETTER = re.compile(r"(?<![\w'])[B-J](?![\w'])")


class Commitment(NamedTuple):
    """A stretch of a completion and the choice that it commits to."""

    start: int
    end: int
    rule: str
    match: Match
    weak: bool = False  # a heading, a step: whatever is stated outright beats it


class Reader:
    """Reads stretches of one text."""

    def __init__(self, text: str, choices: tuple[str, ...]):
        self.text, self.choices = text, choices

    def commit(self, start: int, end: int, rule: str) -> Commitment:
        """Match the words there with the choices: as a whole, or else simplified."""
        phrase = self.text[start:end]
        match = match_choice(phrase, self.choices)
        whole = Commitment(start, end, rule, match)
        if match.plain or not self.choices or end - start > MAX_PHRASE:
            return whole
        if said := self._verdict(start, end, rule):
            return said
        if match.why == "rejected" and len(self.choices) == 2 and self._is_other(phrase):
            out = ruled_out(phrase.split(" than ")[0], self.choices)
            if len(out) == 1:
                return Commitment(start, end, rule, Match(1 - out.pop(), "named", True))
        if match.why == "named" and self._is_denied(phrase):
            return whole._replace(match=Match(None, "rejected"))
        if match.why in ("named", "rejected"):
            return (self._first_clause(start, end, rule) if rule == "bare" else None) or whole
        return (
            self.commit_label(start, end, rule)
            or self._corrected(start, end, rule)
            or self._first_clause(start, end, rule)
            or self._concluded(start, end, rule)
            or self._turned(start, end, rule)
            or whole
        )

    def _verdict(self, start: int, end: int, rule: str) -> Commitment | None:
        """The yes or no that a sentence opens with: "Yes, there are no people"."""
        if rule == "bare":
            return None
        if stated := truths.said_of_statement(self.text[start:end], self.choices):
            return Commitment(start, end, rule, stated)
        said = truths.opening_verdict(self.text, start, end)
        if said is None or key_words(said[0]) not in prepare(self.choices).keys:
            return None
        return Commitment(*said[1], rule, match_choice(said[0], self.choices))

    def _is_other(self, phrase: str) -> bool:
        """Tell whether what is ruled out leaves the other of two: by "the other", or "farther"."""
        return bool(_OTHER_ONE.search(phrase)) or is_opposite(phrase, self.choices)

    def _is_denied(self, phrase: str) -> bool:
        """Tell whether a phrase ends in "no, that is wrong", and that is no choice."""
        return any(
            _DENIED.match(phrase, mark.end()) for mark in islice(_CLAUSE_END.finditer(phrase), 8)
        ) and not any(_DENIED.search(f"it is {choice}") for choice in self.choices)

    def commit_label(self, start: int, end: int, rule: str) -> Commitment | None:
        """A letter with an explanation that does not name another choice first."""
        parts = statements.labelled(self.text, start, end)
        if parts is None:
            return None
        letter, rest = parts
        named = match_choice(self.text[slice(*letter)], self.choices)
        clause = self.text[slice(*rest)][:MAX_PHRASE]
        other = match_choice(_CLAUSE_END.split(clause.strip(), maxsplit=1)[0], self.choices)
        if named.choice is None or other.choice not in (None, named.choice):
            return None
        if _PARITY.search(clause) and mentioned(clause, self.choices) - {named.choice}:
            return None
        return Commitment(*letter, rule, named)

    def counts(self, commit: Commitment) -> bool:
        """Tell whether a sentence claims what it names, and means it."""
        if commit.match.plain:
            return True
        sentence = self.text[commit.start : commit.end][:MAX_PHRASE]
        return commit.match.why != "nothing" and claims.answers(sentence, self.choices)

    def _corrected(self, start: int, end: int, rule: str) -> Commitment | None:
        changes = list(islice(CORRECTION.finditer(self.text, start, end), 20))
        return self._read(changes[-1].end(), end, rule) if changes else None

    def _concluded(self, start: int, end: int, rule: str) -> Commitment | None:
        rest = statements.after_conclusion(self.text, start, end)
        return self._read(*rest, rule) if rest else None

    def _turned(self, start: int, end: int, rule: str) -> Commitment | None:
        """What follows a "but", if nothing was committed to before: "may be A, but is B"."""
        for cut in list(islice(_BUT.finditer(self.text, start + 1, end), _MAX_CUTS))[-1:]:
            before = self.text[start : cut.start()]
            told = rule == "bare" and SECOND_SENTENCE.search(before)
            if told or _PARITY.search(self.text, cut.end(), end):
                return None
            if FIRST_LOOK.search(before) or not mentioned(before, self.choices):
                return self._read(cut.end(), end, rule)
        return None

    def _read(self, start: int, end: int, rule: str) -> Commitment | None:
        if not self.text[start:end].strip():
            return None
        commit = self.commit(start, end, rule)
        named = commit.match.plain or (commit.match.choice is not None and self.counts(commit))
        return commit if named else None

    def _first_clause(self, start: int, end: int, rule: str) -> Commitment | None:
        """The clause that names a choice if nothing after it takes that back."""
        if rule == "bare" and SECOND_SENTENCE.search(self.text[start:end].strip()):
            return None
        meant = without_idioms(self.text[start:end])
        for cut in islice(_CUT.finditer(self.text, start + 1, end), _MAX_CUTS):
            head, rest = self.text[start : cut.start()], self.text[cut.end() : end]
            commit = Commitment(start, cut.start(), rule, match_choice(head, self.choices))
            if commit.match.choice is None or not meant.startswith(head):
                continue
            if cut[0] in ".:" and _SOLE_LETTER.fullmatch(head):
                return None  # a label, of a list or of what contradicts it
            if (
                commit.match.plain
                and rule in _OWN_WORDS
                and cut[0] in ",.;"
                and not (_REASON.match(rest) or self._is_letter_and_nod(head, rest))
            ):
                continue  # "First, I look at ..."
            if self.counts(commit):
                undone = cut[0] == "?" or self._is_undone(commit.match.choice, cut[0], rest)
                return None if undone else commit
        return None

    def _is_letter_and_nod(self, head: str, rest: str) -> bool:
        """Tell whether a letter and a few words that name no choice are all: "B, obviously"."""
        sole = _SOLE_LETTER.fullmatch(head) is not None and len(rest.split()) <= _MAX_CUTS
        return sole and not mentioned(rest, self.choices)

    def _is_undone(self, choice: int, cut: str, rest: str) -> bool:
        """Tell whether remarks after a choice make another one as good."""
        if _DOUBT.match(rest) or _DENIED.match(rest):
            return True
        others = mentioned(rest, self.choices) - {choice}
        if not others:
            return False
        if _PARITY.search(rest) or (cut == "\n" and OWN_LETTER.match(rest.lstrip())):
            return True
        if prepare(self.choices).kind == "number" and not _LETTER.search(rest):
            inside = cut == ":" or (cut == " " and rest.startswith(("(", "[")))
            return not (inside or self._adds_up(choice, rest) or _REASON.match(rest))
        item = match_choice(_CLAUSE_END.split(rest.strip(), maxsplit=1)[0], self.choices)
        if item.plain and item.choice in others:
            return True
        if _REASON.match(_REMARK.sub("", rest)):
            return False
        if cut in ".!。;\n":
            spans = [found.span() for found in _SENTENCE.finditer(rest)]
            later = Reader(rest, self.choices)
            said = [later.commit(*span, "sentence") for span in spans[:_MAX_CUTS]]
            return any(commit.match.choice in others and later.counts(commit) for commit in said)
        return True

    def _adds_up(self, choice: int, rest: str) -> bool:
        """Tell whether numbers in remarks are the parts of a count: "3 chairs, 2 red, 1 blue"."""
        parts = [
            int(word.text) for word in words(rest) if word.text.isdigit() and len(word.text) < 7
        ]
        return key_words(self.choices[choice]) == (str(sum(parts)),)
