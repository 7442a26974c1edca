"""The final answer a reply commits to, where it stands, and by which rule it was found.

Published scorers take the first ``<answer>`` block of the whole text, or any word of it. Here only
the reply's last word counts, not its reasoning: an ``<answer>`` block outside the thinking wins
(misspelt, unclosed and line-broken tags read as meant), else an explicit statement ("the answer is
left", a box, bold), else a reply that is nothing but an answer. One extractor serves the rewards,
the scorer and the audit, so that they cannot disagree.

    find_answer(" It looks like left. </think> <answer> left </answer>", ["right", "left"])
    # Answer(choice=1, text="left", span=(39, 43), rule="block")
"""

import re
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from vtkit.naming import MAX_PHRASE, Naming, key_words, resolve, says_something

FOUND_BY = ("block", "boxed", "statement", "bold", "sentence", "bare")
"""Rules that find an answer, the strongest first."""

NOT_FOUND = (
    *("unfinished", "html", "thinking", "none", "contradiction", "retracted"),
    *("hedge", "several", "outside", "rejected", "nothing"),
)
"""Why there is none: thinking never closed, markup, a block only inside the thinking, no trace of
one; two answers that contradict, an answer taken back; or an answer (then there is a span) that
hedges, names several choices, something outside them, only what it is not, or no choice at all."""

RULES = FOUND_BY + NOT_FOUND


class Answer(NamedTuple):
    """What a reply answers.

    choice: position among the choices, or None if the reply commits to none of them.
    text: the words that decided, as written; None if there are none.
    span: their ``(start, end)`` in the reply.
    rule: one of ``FOUND_BY``; without a choice, one of ``NOT_FOUND``.
    """

    choice: int | None
    text: str | None
    span: tuple[int, int] | None
    rule: str


def _misspelt(word: str) -> str:
    """Regular expression for ``word`` with at most one letter missing, wrong, extra or swapped."""
    places = range(len(word))
    slips = {word[:i] + "[a-z]?" + word[i + 1 :] for i in places}
    slips |= {word[:i] + "[a-z]" + word[i:] for i in range(len(word) + 1)}
    slips |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in places[:-1]}
    return "|".join(sorted(slips, key=lambda slip: (-len(slip), slip)))


_TAG = re.compile(
    r"<[\s|]{0,2}(?P<close>[/\\]?)[\s|]{0,2}(?:(?P<think>(?:" + _misspelt("think") + r")(?:ing)?)"
    r"|(?:final[ _-]?)?(?:" + _misspelt("answer") + r"|ans))[\s/|:]{0,3}>",
    re.IGNORECASE,
)
# More tags than this are no reply but a loop or an attack; it bounds the time.
_MAX_TAGS = 1000
# Statements are looked for in the end of a long reply: the last word is what counts.
_TAIL = 10_000
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
)
_NEW_TURN = re.compile(r"<\|(?:im_end|endoftext|im_start)\|>|\n\s{0,9}(?:[Uu]ser|[Hh]uman)\s?:")
_CUT_TAG = re.compile(r"<[\s/|\\]{0,4}[a-zA-Z]{0,8}$")
_HTML = re.compile(
    r"<!(?:doctype|--)|</?(?!(?:b|i|u|em|strong|br|code|sub|sup)\b)"
    r"[a-z][a-z0-9]{0,12}(?:\s[^<>]{0,200})?/?(?:>|$)",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,80}>")
_STATEMENT = re.compile(
    r"\b(?:answer|option|choice|response|result|solution)(?:\s(?:to|for)\s(?:the|this)\squestion)?"
    r"[*_`\"]{0,3}(?:\s{1,3}(?:is|was|(?:would|should|must|will)\sbe)\b\s{0,3}:?|\s{0,3}(?:=|:|->|→))"
    r"|\banswer\s{1,3}(?=[(\[]\s?[a-z]\s?[)\]])"
    r"|\bI(?:['’]ll|\s+would|\s+will)?\s+(?:choose|pick|select|answer|go\s+with)\b\s?:?",
    re.IGNORECASE,
)
_REVERSED = re.compile(
    r"\s(?:is|would be)\s+(?:(?:the\s+)?(?:correct\s+|right\s+|best\s+|final\s+|my\s+)?"
    r"(?:answer|option|choice)\b|correct\b)",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\f?boxed\s?\{")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_PHRASE_END = re.compile(
    r"(?<![\s(][A-Za-z])(?<!^[A-Za-z])[.!](?=\s|$|[*\"'])|\n|;|<"
    r"|\b(?:because|since|given|due to|as the|as it)\b|,\s+(?:as|which|so|and the|while)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?!\s|$)[^.!?\n]+)*[.!?]*")
_FALSE = r"(?:that|this|it)(?:['’]s| is| was) (?:wrong|incorrect|not (?:right|correct|true))"
_RETRACTION = re.compile(
    r"\b(?:scratch that|take (?:that|it) back|mistaken?|i was wrong|" + _FALSE + ")", re.IGNORECASE
)
_CORRECTION = re.compile(
    r"\b(?:wait|actually|scratch that|take (?:that|it) back|corrections?|correcting|mistaken?|sorry"
    r"|i was wrong|on second thoughts?|instead|reconsider\w*|changed? my mind|let me (?:re|correct)"
    r"|no,|hmm|oops|rather|" + _FALSE + ")",
    re.IGNORECASE,
)
_CONCLUSION = re.compile(r"\b(?:so|thus|therefore|hence|final(?:ly)?|conclu\w+)\b", re.IGNORECASE)
_MAX_SENTENCES = 4


def find_answer(reply: str, choices: Sequence[str] = (), *, prefilled: bool = True) -> Answer:
    """The answer a reply commits to. Linear in the length of the reply; never raises.

    Args:
        reply: the completion as generated.
        choices: the choices' texts, the first one being option A. Without any, ``choice`` stays
            None and ``text`` is the answer.
        prefilled: the prompt ended in ``<think>``, so that the reply starts inside the thinking.
    """
    kept = None
    if _HIDDEN.search(reply):
        kept = [place for place, char in enumerate(reply) if not _HIDDEN.match(char)]
        reply = "".join([reply[place] for place in kept])
    answer = _Reply(reply, tuple(choices), prefilled).answer()
    if kept and answer.span:
        answer = answer._replace(span=(kept[answer.span[0]], kept[answer.span[1] - 1] + 1))
    return answer


class _Commitment(NamedTuple):
    start: int
    end: int
    rule: str
    naming: Naming


class _Reply:
    """A reply taken apart into its thinking, its ``<answer>`` blocks and the text around them."""

    def __init__(self, text: str, choices: tuple[str, ...], prefilled: bool):
        turn = _NEW_TURN.search(text, 1)  # what follows is a conversation the model made up
        text = text[: turn.start()] if turn else text
        cut = _CUT_TAG.search(text, max(len(text) - 14, 0))
        self.text = text[: cut.start()] if cut else text
        self.choices = choices
        self.blocks: list[tuple[int, int]] = []
        self.outside: list[tuple[int, int]] = []
        self.finished = not prefilled
        self.thought_blocks = False
        tags = list(islice(_TAG.finditer(self.text), _MAX_TAGS + 1))
        self.looping = len(tags) > _MAX_TAGS
        if not self.looping:
            self._split(tags, prefilled)

    def _split(self, tags: list[re.Match], prefilled: bool) -> None:
        think = [tag for tag in tags if tag["think"]]
        last_close = max((tag.start() for tag in think if tag["close"]), default=-1)
        self.finished |= last_close >= 0
        # A reply to another prompt whose first tag closes the thinking began inside it as well.
        inside = prefilled or bool(think and think[0]["close"])
        mark, block = 0, None  # where the text outside, and where the open block, began
        for tag in tags:
            if tag["think"]:
                if block is not None:
                    self._add_block(block, tag.start())
                elif not inside:
                    self.outside.append((mark, tag.start()))
                inside, mark, block = not tag["close"], tag.end(), None
            elif inside and tag.start() < last_close:
                self.thought_blocks = True
            elif tag["close"]:
                if block is None and not inside and self._is_short(mark, tag.start()):
                    self._add_block(mark, tag.start())  # only the opening tag is missing
                elif block is not None:
                    self._add_block(block, tag.start())
                inside, mark, block = False, tag.end(), None
            else:
                if block is not None:
                    self._add_block(block, tag.start())
                elif not inside:
                    self.outside.append((mark, tag.start()))
                # Thinking that is never closed ends where the answer begins.
                inside, mark, block = False, tag.end(), tag.end()
        if block is not None:
            self._add_block(block, len(self.text))
        elif not inside:
            self.outside.append((mark, len(self.text)))

    def _is_short(self, start: int, end: int) -> bool:
        return end - start <= MAX_PHRASE and bool(self.text[start:end].strip())

    def _add_block(self, start: int, end: int) -> None:
        content = self.text[start:end]
        if content.strip():
            start += len(content) - len(content.lstrip())
            self.blocks.append((start, start + len(content.strip())))

    # ---------------------------------------------------------------- what it commits to

    def answer(self) -> Answer:
        if self.looping:
            return Answer(None, None, None, "none")
        if self.blocks:
            after = self.blocks[-1][1]
            return self._settle([self._block(*block) for block in self.blocks] + [
                found for start, end in self.outside if start >= after
                for found in self._statements(start, end)
            ])
        if not self.finished:
            return self._unfinished()
        stated = [found for start, end in self.outside for found in self._statements(start, end)]
        if stated:
            return self._settle(stated)
        return self._plain()

    def _block(self, start: int, end: int) -> _Commitment:
        stated = self._statements(start, end)
        if stated:
            last = stated[-1]
            return _Commitment(last.start, last.end, "block", last.naming)
        return _Commitment(start, end, "block", resolve(self.text[start:end], self.choices))

    def _unfinished(self) -> Answer:
        """Reasoning that was never closed: only its concluding words can be an answer."""
        end = len(self.text)
        stated = self._statements(0, end)
        if stated and not re.search(r"\w", _MARKUP.sub(" ", self.text[stated[-1].end :])):
            return self._settle(stated)
        if _HTML.search(self.text[:_TAIL]):
            return Answer(None, None, None, "html")
        bare = self._bare(0, end)
        return bare or Answer(None, None, None, "unfinished")

    def _plain(self) -> Answer:
        """No block, no statement: a bare answer or a few sentences in the reply's own words."""
        filled = [part for part in self.outside if self.text[slice(*part)].strip()]
        if not filled:
            return Answer(None, None, None, "thinking" if self.thought_blocks else "none")
        start, end = filled[-1]
        if any(_HTML.search(self.text[a : min(b, a + _TAIL)]) for a, b in filled):
            return Answer(None, None, None, "html")
        bold = [found for part in filled for found in self._bold(*part)]
        if bold:
            return self._settle(bold)
        bare = self._bare(start, end)
        if bare or end - start > MAX_PHRASE:
            return bare or Answer(None, None, None, "none")
        sentences = self._sentences(start, end)
        return self._settle(sentences) if sentences else Answer(None, None, None, "none")

    def _bare(self, start: int, end: int) -> Answer | None:
        if not self._is_short(start, end):
            return None
        naming = resolve(self.text[start:end], self.choices)
        if self.choices and not (naming.plain and naming.choice is not None):
            return None
        return self._found(_Commitment(start, end, "bare", naming))

    def _sentences(self, start: int, end: int) -> list[_Commitment]:
        spans = [match.span() for match in _SENTENCE.finditer(self.text, start, end)]
        found = [
            _Commitment(a, b, "sentence", resolve(self.text[a:b], self.choices))
            for a, b in spans
            if says_something(self.text[a:b])
        ]
        found = [sentence for sentence in found if sentence.naming.why != "nothing"]
        return found if len(spans) <= _MAX_SENTENCES else []

    # ------------------------------------------------------------------------ statements

    def _statements(self, start: int, end: int) -> list[_Commitment]:
        """Explicit statements between two places, in order; those that name nothing left out."""
        start = max(start, end - _TAIL)
        spans = [
            (*self._boxed(match.end(), end), "boxed") for match in self._all(_BOXED, start, end)
        ]
        for match in self._all(_STATEMENT, start, end):
            spans.append((*self._phrase(match.end(), end), "statement"))
        for match in self._all(_REVERSED, start, end):
            before = max(match.start() - 120, start)
            cut = max(self.text.rfind(mark, before, match.start()) for mark in ".\n;:!?>")
            spans.append((max(cut + 1, before), match.start(), "statement"))
        found = [
            _Commitment(a, b, rule, resolve(self.text[a:b], self.choices))
            for a, b, rule in sorted(spans)
            if self.text[a:b].strip()
        ]
        return [one for one in found if not self.choices or one.naming.why != "nothing"]

    def _all(self, pattern: re.Pattern, start: int, end: int) -> list[re.Match]:
        return list(islice(pattern.finditer(self.text, start, end), _MAX_TAGS))

    def _bold(self, start: int, end: int) -> list[_Commitment]:
        start = max(start, end - _TAIL)
        found = [
            _Commitment(*match.span(1), "bold", resolve(match[1], self.choices))
            for match in self._all(_BOLD, start, end)
        ]
        return [one for one in found if one.naming.plain]

    def _boxed(self, start: int, end: int) -> tuple[int, int]:
        """From the opening brace of a box to the brace that closes it."""
        depth = 1
        for place in range(start, min(end, start + 200)):
            depth += {"{": 1, "}": -1}.get(self.text[place], 0)
            if depth == 0:
                return start, place
        return start, start

    def _phrase(self, start: int, end: int) -> tuple[int, int]:
        """The words after "the answer is", up to the end of the sentence or its reasons."""
        window = self.text[start : min(end, start + 200)]
        skipped = len(window) - len(window.lstrip(" \t\n*_`\":"))
        stop = _PHRASE_END.search(window, skipped + 1)
        return start + skipped, start + (stop.start() if stop else len(window))

    # -------------------------------------------------------------------------- verdicts

    def _settle(self, found: list[_Commitment]) -> Answer:
        """The last commitment, if earlier ones agree or were corrected and nothing undoes it."""
        last = found[0]
        for following in found[1:]:
            if self._key(following) != self._key(last):
                between = self.text[max(last.end, following.start - 2000) : following.start]
                corrected = _CORRECTION.search(between) is not None
                if following.rule != "block" and last.rule != "block":
                    corrected |= _CONCLUSION.search(between) is not None
                if not corrected:
                    return Answer(None, None, None, "contradiction")
            last = following
        return self._second_thoughts(last) or self._found(last)

    def _second_thoughts(self, last: _Commitment) -> Answer | None:
        """What a reply adds to its answer: a correction replaces it, a retraction voids it."""
        after = next((part for part in reversed(self.outside) if part[1] > last.end), None)
        if after is None:
            return None
        start, end = max(after[0], last.end, after[1] - 2000), after[1]
        cue = _CORRECTION.search(self.text, start, end)
        if cue is None:
            return None
        changed = [
            one for one in self._sentences(cue.start(), end) if one.naming.choice is not None
        ]
        if changed and self._key(changed[-1]) != self._key(last):
            return self._found(changed[-1])
        if not changed and _RETRACTION.search(self.text, start, end):
            return Answer(None, None, None, "retracted")
        return None

    def _key(self, one: _Commitment) -> object:
        if self.choices:
            return one.naming.choice
        return key_words(self.text[one.start : one.end][:MAX_PHRASE])

    def _found(self, one: _Commitment) -> Answer:
        text = self.text[one.start : one.end]
        start = one.start + len(text) - len(text.lstrip())
        text = text.strip()
        rule = one.rule if one.naming.choice is not None or not self.choices else one.naming.why
        return Answer(one.naming.choice, text, (start, start + len(text)), rule)
