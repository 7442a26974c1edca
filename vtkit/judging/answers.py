"""Find the answer that a completion commits to, its place, and the rule that found it.

An ``<answer>`` block outside the thinking, else an explicit statement ("the answer is left", a
box, bold), else a completion that is nothing but an answer.

    find_answer(" It looks like left. </think> <answer> left </answer>", ["right", "left"])
    # Answer(choice=1, text="left", span=(39, 43), rule="block")
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from vtkit.judging import free, prose, remarks, statements
from vtkit.judging.choices import prepare
from vtkit.judging.claims import FIRST_LOOK
from vtkit.judging.matching import MAX_PHRASE, Match, match_choice
from vtkit.judging.reading import SECOND_SENTENCE, Commitment, Reader
from vtkit.judging.statements import CONCLUSION, CORRECTION, find_sentences, is_cut_off
from vtkit.judging.styles import is_html
from vtkit.judging.tags import Span, first_turn, take_apart, visible

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


_MAX_SENTENCES = 8
_MAX_LINES = 20
_MAX_BARE = 6  # words of an answer without choices that is all of a completion
_NEAR = 2000  # characters in which remarks about an answer are looked for; bounds the time
_LINE = re.compile(r"\S[^\n]*")
_PLACEHOLDER = re.compile(
    r"\W*(?:(?:your|the|my) )?(?:final )?(?:answer|choice|value)?(?: (?:goes )?here)?\W*",
    re.IGNORECASE,
)
_LABEL_OF = re.compile(
    r"\s*(?!(?:wrong|incorrect|excluded|other|not)\s)(?:[a-z]+\s)?"
    r"(?:type|name|colou?r|kind|shape|category|style):\s(?=[^\n]+\s*$)",
    re.IGNORECASE,
)
_PARAGRAPH = re.compile(r"\s*<p>(?:[^<>]|</?(?:b|i|em|strong)>)*</p>\s*")
_LIKELY = re.compile(r"\s*(?:probably|(?:most|very)\slikely)\s(?=\w)", re.IGNORECASE)
_BREAK = re.compile(r"[\s,:;!?….–—-]*")
_IS_RIGHT = re.compile(r"\s(?:is|would be)\s{1,3}right\b(?! (?:one|answer|option|choice))")
_NEXT_STEP = re.compile(r"\b(?:second(?:ly)?|next|then|step)\b", re.IGNORECASE)
_ELSE = re.compile(r"[,.;]\s+or\s", re.IGNORECASE)
_BRACKETED = re.compile(r"\s*<\s?[A-Z]\s?>\s*")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,80}>")


def find_answer(completion: str, choices: Sequence[str] = (), *, prefilled: bool = True) -> Answer:
    """Find the answer a completion commits to. Linear in the completion's length; never raises.

    Args:
        choices: their texts, the first one being option A. Without any, ``text`` is the answer.
        prefilled: the prompt ended in ``<think>``, so the completion starts inside the thinking.

    >>> find_answer(" So </think> the answer is <answer>12</answer>").text
    '12'
    """
    seen, places = visible(completion)
    answer = _Judge(first_turn(seen), tuple(choices), prefilled).answer()
    if answer.span and places is not None:
        start, last = places[answer.span[0]], places[answer.span[1] - 1]
        answer = answer._replace(span=(int(start), int(last) + 1))
    return answer


_UNMATCHED = Match(None, "nothing")


class _Judge:
    """Applies the rules, the strongest first, to the parts of one completion."""

    def __init__(self, text: str, choices: tuple[str, ...], prefilled: bool):
        self.text, self.choices = text, choices
        self.parts = take_apart(text, prefilled=prefilled)
        self.reader = Reader(text, choices)

    def answer(self) -> Answer:
        parts = self.parts
        if not parts.readable:
            return _none("html" if is_html(self.text[:_NEAR]) else "none")
        if parts.samples and not parts.blocks:
            return _none("none")
        if parts.blocks:
            later = [span for span in parts.outside if span[0] >= parts.blocks[-1][1]]
            blocks = [self._block(*block) for block in parts.blocks]
            blocks = [block for block in blocks if not self._is_empty(block)] or blocks
            return self._settle(blocks + self._statements(later))
        if not parts.finished:
            return self._unfinished()
        stated = self._statements(parts.outside)
        return self._settle(stated) if stated else self._own_words()

    def _is_empty(self, block: Commitment) -> bool:
        if self.choices:
            return block.match.why == "nothing"
        return _PLACEHOLDER.fullmatch(self.text, block.start, block.end) is not None

    def _block(self, start: int, end: int) -> Commitment:
        if self.choices and (likely := _LIKELY.match(self.text, start, end)):
            start = likely.end()
        stated = self._stated(start, end)
        found = [
            self.reader.commit(first, last, "block")
            for first, last, kind in stated
            if kind != "weak"
        ]
        if found and found[-1].match.why != "nothing" and not self._contradiction(found):
            return found[-1]
        if end - start > MAX_PHRASE and (said := prose.find_claims(self.reader, start, end)):
            return said[-1]._replace(rule="block")
        return self.reader.commit(start, end, "block")

    def _statements(self, spans: Sequence[Span]) -> list[Commitment]:
        """Explicit statements, without those that name nothing ("the answer is in the image").

        What may be a heading or a step does not count before what is stated outright.
        """
        places = [place for span in spans for place in self._stated(*span)]
        found: list[Commitment] = []
        for start, end, kind in places:
            commit = self.reader.commit(start, end, "boxed" if kind == "boxed" else "statement")
            dropped = ("nothing", "several") if kind == "ticked" else ("nothing",)
            if self.choices and commit.match.why in dropped:
                continue
            if not self.choices and self._leads_on(start, end):
                continue
            if kind != "weak":
                found = [earlier for earlier in found if not earlier.weak]
            found.append(commit._replace(weak=kind == "weak"))
        return found

    def _stated(self, start: int, end: int) -> list[tuple[int, int, str]]:
        """The explicit statements; "it is right" is none where right is a choice."""
        found = statements.find_stated(self.text, start, end)
        if "right" not in prepare(self.choices).exact:
            return found
        return [place for place in found if not _IS_RIGHT.match(self.text, place[1])]

    def _leads_on(self, start: int, end: int) -> bool:
        """Tell whether a heading is followed by prose: "Answer: To find the area, look at ..."."""
        said = self.text[start:end]
        return len(said.split()) > _MAX_BARE and not free.states_value(said)

    def _unfinished(self) -> Answer:
        """Reasoning that was never closed: only its concluding words can be an answer."""
        whole = (0, len(self.text))
        stated = self._statements([whole])
        if stated and self._is_last_word(stated[-1].end):
            return self._settle(stated)
        if self._is_page(0, len(self.text)):
            return _none("html")
        bare = None if SECOND_SENTENCE.search(self.text.strip()) else self._bare(*whole)
        return bare or _none("unfinished")

    def _is_last_word(self, place: int) -> bool:
        """Tell whether nothing follows but the rest of a sentence that is not cut off."""
        rest = _MARKUP.sub(" ", self.text[place : place + MAX_PHRASE]).strip()
        if not re.search(r"\w", rest):
            return True
        whole = rest.startswith(",") and rest.endswith(".") and not re.search(r"[.!?]\s|\n", rest)
        return whole and not CORRECTION.search(rest)

    def _own_words(self) -> Answer:
        """No block, no statement: bold, a bare answer, a conclusion, or what it claims."""
        filled = [span for span in self.parts.outside if self.text[slice(*span)].strip()]
        if not filled:
            return _none("thinking" if self.parts.thought_blocks else "none")
        start, end = filled[-1]
        if self._is_page(start, end):
            return _none("html")
        if not self.choices:
            return self._free_words(start, end)
        in_bold = statements.find_bold(self.text, start, end)
        bold = [self.reader.commit(*span, "bold") for span in in_bold]
        bold = [commit for commit in bold if self._is_emphasised(commit)]
        bold = prose.beyond_refusals(self.text, start, bold)
        if bold and all(self._agree(commit, bold[0]) for commit in bold):
            return self._settle(bold)
        bare = self._labelled(start, end) or self._bare(start, end) or self._last_line(start, end)
        if bare:
            return bare
        found = prose.find_claims(self.reader, start, end) or bold
        return self._settle(found) if found else _none("none")

    def _is_emphasised(self, commit: Commitment) -> bool:
        """Tell whether words in bold are an answer, or a line that claims one; no first look."""
        if not commit.match.plain:
            line = self.text[commit.start - 3 : commit.end + 3].strip()
            claimed = line.startswith("**") and line.endswith(".**") and self.reader.counts(commit)
            return claimed and commit.match.choice is not None
        before = self.text[max(commit.start - 60, 0) : commit.start]
        cut = max(before.rfind(mark) for mark in ".\n,:!?") + 1
        return FIRST_LOOK.search(before, cut) is None

    def _free_words(self, start: int, end: int) -> Answer:
        """Without choices: the only thing in bold, or the last sentence that concludes."""
        bold = [
            Commitment(*span, "bold", _UNMATCHED)
            for span in statements.find_bold(self.text, start, end)
            if not self.text[slice(*span)].endswith(":")
        ]
        if bold and all(self._agree(commit, bold[0]) for commit in bold):
            return self._settle(bold[-1:])
        whole = self.text[start:end].strip() if end - start <= MAX_PHRASE else ""
        refused = SECOND_SENTENCE.search(whole) or prose.gives_up(whole, 0, len(whole))
        if 0 < len(whole.split()) <= _MAX_BARE and not refused:
            return self._settle([Commitment(start, end, "bare", _UNMATCHED)])
        spans = prose.find_last_claims(self.text, start, end)
        if not spans:
            return _none("none")
        start, end = spans[-1]
        if value := free.closing_value(self.text[start:end]):
            start = self.text.rindex(value, start, end)
            end = start + len(value)
        return self._settle([Commitment(start, end, "sentence", _UNMATCHED)])

    def _is_page(self, start: int, end: int) -> bool:
        """Tell HTML from prose, and from a letter in brackets: "<B>"."""
        text = self.text[start : min(end, start + _NEAR)]
        if len(text) <= MAX_PHRASE and _PARAGRAPH.fullmatch(text):
            return False
        return is_html(text) and _BRACKETED.fullmatch(text) is None

    def _labelled(self, start: int, end: int) -> Answer | None:
        """The letter that a completion begins with: "B. There are three umbrellas"."""
        if not self.choices:
            return None
        commit = self.reader.commit_label(start, min(end, start + MAX_PHRASE), "bare")
        return self._settle([commit]) if commit else None

    def _bare(self, start: int, end: int) -> Answer | None:
        """The answer if these words are nothing but one."""
        if end - start > MAX_PHRASE or not self.text[start:end].strip():
            return None
        if self.choices and (label := _LABEL_OF.match(self.text, start, end)):
            start = label.end()
        commit = self.reader.commit(start, end, "bare")
        return self._found(commit) if commit.match.plain or not self.choices else None

    def _last_line(self, start: int, end: int) -> Answer | None:
        """A last line that is nothing but an answer, unless other such lines contradict it."""
        start = max(start, end - _NEAR)
        spans = [match.span() for match in _LINE.finditer(self.text, start, end)]
        lines = [self.reader.commit(*span, "bare") for span in spans[-_MAX_LINES:]]
        if not lines or not lines[-1].match.plain:
            return None
        return self._settle([commit for commit in lines if commit.match.plain])

    def _settle(self, found: list[Commitment]) -> Answer:
        """The last commitment, if earlier ones agree or were corrected and nothing undoes it."""
        if self._contradiction(found):
            return _none("contradiction")
        return self._second_thoughts(found[-1]) or self._found(found[-1])

    def _contradiction(self, found: list[Commitment]) -> bool:
        """Tell whether one disagrees with the one before, and nothing between them corrects it."""
        for last, following in pairwise(found):
            if not self._agree(following, last):
                between = self.text[max(last.end, following.start - _NEAR) : following.start]
                corrected = CORRECTION.search(between) is not None
                if following.rule != "block" and last.rule != "block":
                    corrected |= CONCLUSION.search(between) is not None
                if following.rule == last.rule == "boxed":
                    corrected |= _NEXT_STEP.search(between) is not None
                if not corrected or _ELSE.search(between):
                    return True
        return False

    def _second_thoughts(self, last: Commitment) -> Answer | None:
        """Apply remarks after the answer: a correction replaces it, a retraction voids it."""
        thought = [place for place in self.parts.thought_blocks[-1:] if place > last.end]
        if thought:  # it thinks again, and answers there
            line = self.text[thought[0] : thought[0] + MAX_PHRASE].split("<", 1)[0]
            if match_choice(line, self.choices).choice != last.match.choice:
                return _none("contradiction")
        after = [span for span in self.parts.outside if span[1] > last.end]
        if not after:
            return None
        start, end = max(after[-1][0], last.end, after[-1][1] - _NEAR), after[-1][1]
        if why := remarks.why_undone(self.text, self.choices, last.match.choice, start, end):
            return _none(why)
        cue = CORRECTION.search(self.text, start, end)
        if cue is None:
            return None
        resumed = next(_BREAK.finditer(self.text, cue.end(), end)).end()  # perhaps at once
        spans = find_sentences(self.text, resumed, end)[:_MAX_SENTENCES]
        if spans and is_cut_off(self.text[:end]):
            spans.pop()
        found = [self.reader.commit(*span, "sentence") for span in spans]
        if self.choices:
            found = [commit for commit in found if commit.match.choice is not None]
            changed = list(filter(self.reader.counts, found))
        else:
            changed = [each for each in found if remarks.replaces(self.text, each.start, each.end)]
        if changed and not self._agree(changed[-1], last):
            return self._found(changed[-1])
        if not changed and statements.RETRACTION.search(self.text, start, end):
            return _none("retracted")
        return None

    def _agree(self, one: Commitment, other: Commitment) -> bool:
        if self.choices:
            return one.match.choice == other.match.choice
        said = [self.text[commit.start : commit.end][:MAX_PHRASE] for commit in (one, other)]
        return free.says(*said) or free.says(*said[::-1])

    def _found(self, commit: Commitment) -> Answer:
        text = self.text[commit.start : commit.end]
        start = commit.start + len(text) - len(text.lstrip())
        text = text.strip()
        named = commit.match.choice is not None or not self.choices
        rule = commit.rule if named else commit.match.why
        return Answer(commit.match.choice, text, (start, start + len(text)), rule)


def _none(why: str) -> Answer:
    return Answer(None, None, None, why)
