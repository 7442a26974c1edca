"""Find the answer that a completion commits to, its place, and the rule that found it.

An ``<answer>`` block outside the thinking, else an explicit statement ("the answer is left", a
box, bold), else a completion that is nothing but an answer.

    find_answer(" It looks like left. </think> <answer> left </answer>", ["right", "left"])
    # Answer(choice=1, text="left", span=(39, 43), rule="block")
"""

import re
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from vtkit.judging import statements
from vtkit.judging.choices import claims
from vtkit.judging.matching import MAX_PHRASE, Match, match_choice
from vtkit.judging.statements import CONCLUSION, CORRECTION, find_sentences, is_cut_off
from vtkit.judging.styles import is_html
from vtkit.judging.tags import Span, first_turn, take_apart, visible
from vtkit.judging.words import key_words, without_idioms

FOUND_BY = ("block", "boxed", "statement", "bold", "sentence", "bare")
"""Rules that find an answer, the strongest first."""
NOT_FOUND = (
    *("unfinished", "html", "thinking", "none", "contradiction", "retracted"),
    *("hedge", "several", "outside", "rejected", "nothing"),
)
"""Why there is none: thinking never closed, markup, a block only inside the thinking, no trace of
one; two answers that contradict, an answer taken back; or an answer (with a span) that hedges,
names several choices, something outside them, only what it is not, or no choice."""
RULES = FOUND_BY + NOT_FOUND


class Answer(NamedTuple):
    """The answer of a completion, and how it was found."""

    choice: int | None  # position among the choices; None if it commits to none of them
    text: str | None  # the words that decided, as written
    span: tuple[int, int] | None  # their (start, end) in the completion
    rule: str  # one of ``FOUND_BY``; without a choice, one of ``NOT_FOUND``


_MAX_SENTENCES = 8  # the last ones; earlier mentions do not count
_MAX_LINES = 20
_NEAR = 2000  # characters in which remarks about an answer are looked for; bounds the time
_LINE = re.compile(r"\S[^\n]*")
_CLAUSE_END = re.compile(r"[.:;,–—\n]|\s-\s")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,80}>")


def find_answer(completion: str, choices: Sequence[str] = (), *, prefilled: bool = True) -> Answer:
    """Find the answer a completion commits to. Linear in the completion's length; never raises.

    Args:
        choices: their texts, the first one being option A. Without any, ``text`` is the answer.
        prefilled: the prompt ended in ``<think>``, so the completion starts inside the thinking.
    """
    seen, places = visible(completion)
    answer = _Judge(first_turn(seen), tuple(choices), prefilled).answer()
    if answer.span and places is not None:
        start, last = places[answer.span[0]], places[answer.span[1] - 1]
        answer = answer._replace(span=(int(start), int(last) + 1))
    return answer


class _Commitment(NamedTuple):
    start: int
    end: int
    rule: str
    match: Match


class _Judge:
    """Applies the rules, the strongest first, to the parts of one completion."""

    def __init__(self, text: str, choices: tuple[str, ...], prefilled: bool):
        self.text, self.choices = text, choices
        self.parts = take_apart(text, prefilled=prefilled)

    def answer(self) -> Answer:
        parts = self.parts
        if not parts.readable:
            return _none("html" if is_html(self.text[:_NEAR]) else "none")
        if parts.blocks:
            later = [span for span in parts.outside if span[0] >= parts.blocks[-1][1]]
            blocks = [self._block(*block) for block in parts.blocks]
            if self.choices:
                blocks = [block for block in blocks if block.match.why != "nothing"] or blocks
            return self._settle(blocks + self._statements(later))
        if not parts.finished:
            return self._unfinished()
        stated = self._statements(parts.outside)
        return self._settle(stated) if stated else self._own_words()

    def _block(self, start: int, end: int) -> _Commitment:
        stated = statements.find_stated(self.text, start, end)
        found = [self._commit(*span, "block") for *span, _ in stated]
        if found and found[-1].match.why != "nothing":
            return found[-1]
        if end - start > MAX_PHRASE and (concluded := self._conclusions(start, end)):
            return concluded[-1]._replace(rule="block")
        return self._commit(start, end, "block")

    def _statements(self, spans: Sequence[Span]) -> list[_Commitment]:
        """Explicit statements, without those that name nothing ("the answer is in the image")."""
        places = [place for span in spans for place in statements.find_stated(self.text, *span)]
        found = [self._commit(*place) for place in places]
        return [commit for commit in found if not self.choices or commit.match.why != "nothing"]

    def _unfinished(self) -> Answer:
        """Reasoning that was never closed: only its concluding words can be an answer."""
        whole = (0, len(self.text))
        stated = self._statements([whole])
        if stated and not re.search(r"\w", _MARKUP.sub(" ", self.text[stated[-1].end :])):
            return self._settle(stated)
        if is_html(self.text[:_NEAR]):
            return _none("html")
        return self._bare(*whole) or _none("unfinished")

    def _own_words(self) -> Answer:
        """No block, no statement: bold, a bare answer, a conclusion, or what it claims."""
        filled = [span for span in self.parts.outside if self.text[slice(*span)].strip()]
        if not filled:
            return _none("thinking" if self.parts.thought_blocks else "none")
        start, end = filled[-1]
        if is_html(self.text[start : min(end, start + _NEAR)]):
            return _none("html")
        in_bold = statements.find_bold(self.text, start, end)
        bold = [self._commit(*span, "bold") for span in in_bold]
        bold = [commit for commit in bold if commit.match.plain]
        if bold and len({self._key(commit) for commit in bold}) == 1:
            return self._settle(bold)
        bare = self._labelled(start, end) or self._bare(start, end) or self._last_line(start, end)
        if bare:
            return bare
        found = self._conclusions(start, end) or bold or self._sentences(start, end)
        return self._settle(found) if found else _none("none")

    def _labelled(self, start: int, end: int) -> Answer | None:
        """The letter that a completion begins with: "B. There are three umbrellas"."""
        if not self.choices:
            return None
        commit = self._commit_label(start, min(end, start + MAX_PHRASE), "bare")
        return self._settle([commit]) if commit else None

    def _bare(self, start: int, end: int) -> Answer | None:
        """The answer if these words are nothing but one."""
        if end - start > MAX_PHRASE or not self.text[start:end].strip():
            return None
        commit = self._commit(start, end, "bare")
        return self._found(commit) if commit.match.plain or not self.choices else None

    def _last_line(self, start: int, end: int) -> Answer | None:
        """A last line that is nothing but an answer, unless other such lines contradict it."""
        start = max(start, end - _NEAR)
        spans = [match.span() for match in _LINE.finditer(self.text, start, end)]
        lines = [self._commit(*span, "bare") for span in spans[-_MAX_LINES:]]
        if not lines or not lines[-1].match.plain:
            return None
        return self._settle([commit for commit in lines if commit.match.plain])

    def _conclusions(self, start: int, end: int) -> list[_Commitment]:
        """The conclusions of sentences ("..., so the lamp is closer"), in order."""
        found = []
        for span in find_sentences(self.text, start, end):
            rest = statements.after_conclusion(self.text, *span)
            if rest and self._counts(commit := self._commit(*rest, "sentence")):
                found.append(commit)
        return found

    def _sentences(self, start: int, end: int) -> list[_Commitment]:
        """Sentences that claim something about a choice, of a text that does not break off."""
        if is_cut_off(self.text[start:end]):
            return []
        spans = find_sentences(self.text, start, end)[-_MAX_SENTENCES:]
        return list(filter(self._counts, (self._commit(*span, "sentence") for span in spans)))

    def _counts(self, commit: _Commitment) -> bool:
        if commit.match.plain:
            return True
        sentence = without_idioms(self.text[commit.start : commit.end][:MAX_PHRASE])
        claimed = commit.match.why != "nothing" and claims(sentence, self.choices)
        return claimed and statements.is_meant(sentence)

    def _commit(self, start: int, end: int, rule: str) -> _Commitment:
        """Match the words there with the choices: as a whole, or else simplified."""
        match = match_choice(self.text[start:end], self.choices)
        whole = _Commitment(start, end, rule, match)
        clear = match.plain or not self.choices or match.why in ("named", "rejected")
        if clear or end - start > MAX_PHRASE:
            return whole
        return self._commit_label(start, end, rule) or self._simplified(start, end, rule) or whole

    def _commit_label(self, start: int, end: int, rule: str) -> _Commitment | None:
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
        return _Commitment(*letter, rule, named)

    def _simplified(self, start: int, end: int, rule: str) -> _Commitment | None:
        """A phrase without remarks or reasons, or what it corrects or concludes itself to."""
        changes = list(islice(CORRECTION.finditer(self.text, start, end), 20))
        spans = [(change.end(), end) for change in changes[-1:]]
        spans += statements.shortened(self.text, start, end)
        spans.append(statements.after_conclusion(self.text, start, end))
        for span in spans:
            if span is None or not self.text[slice(*span)].strip():
                continue
            commit = self._commit(*span, rule)
            if commit.match.plain or (commit.match.choice is not None and self._counts(commit)):
                return commit
        return None

    def _settle(self, found: list[_Commitment]) -> Answer:
        """The last commitment, if earlier ones agree or were corrected and nothing undoes it."""
        last = found[0]
        for following in found[1:]:
            if self._key(following) != self._key(last):
                between = self.text[max(last.end, following.start - _NEAR) : following.start]
                corrected = CORRECTION.search(between) is not None
                if following.rule != "block" and last.rule != "block":
                    corrected |= CONCLUSION.search(between) is not None
                if not corrected:
                    return _none("contradiction")
            last = following
        return self._second_thoughts(last) or self._found(last)

    def _second_thoughts(self, last: _Commitment) -> Answer | None:
        """Apply remarks after the answer: a correction replaces it, a retraction voids it."""
        after = [span for span in self.parts.outside if span[1] > last.end]
        if not after:
            return None
        start, end = max(after[-1][0], last.end, after[-1][1] - _NEAR), after[-1][1]
        cue = CORRECTION.search(self.text, start, end)
        if cue is None:
            return None
        spans = find_sentences(self.text, cue.end(), end)[:_MAX_SENTENCES]
        if spans and is_cut_off(self.text[:end]):
            spans.pop()
        found = [self._commit(*span, "sentence") for span in spans]
        found = [commit for commit in found if commit.match.choice is not None]
        changed = list(filter(self._counts, found))
        if changed and self._key(changed[-1]) != self._key(last):
            return self._found(changed[-1])
        if not changed and statements.RETRACTION.search(self.text, start, end):
            return _none("retracted")
        return None

    def _key(self, commit: _Commitment) -> object:
        words = self.text[commit.start : commit.end][:MAX_PHRASE]
        return commit.match.choice if self.choices else key_words(words)

    def _found(self, commit: _Commitment) -> Answer:
        text = self.text[commit.start : commit.end]
        start = commit.start + len(text) - len(text.lstrip())
        text = text.strip()
        named = commit.match.choice is not None or not self.choices
        rule = commit.rule if named else commit.match.why
        return Answer(commit.match.choice, text, (start, start + len(text)), rule)


def _none(why: str) -> Answer:
    return Answer(None, None, None, why)
