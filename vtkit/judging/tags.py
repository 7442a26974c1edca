"""Take a completion apart by its ``<think>`` and ``<answer>`` tags.

Tags are read as they are meant: in any case, with white space or a letter wrong, unclosed, closed
by an opening tag, or with only one of the pair.
"""

import re
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from vtkit.judging.matching import MAX_PHRASE

Span = tuple[int, int]


def _misspelt(word: str) -> str:
    """Regular expression for ``word`` with at most one letter missing, wrong, extra or swapped."""
    places = range(len(word))
    slips = {word[:i] + "[a-z]?" + word[i + 1 :] for i in places}
    slips |= {word[:i] + "[a-z]" + word[i:] for i in range(len(word) + 1)}
    slips |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in places[:-1]}
    return "|".join(sorted(slips, key=lambda slip: (-len(slip), slip)))


_TAG = re.compile(
    r"(?:(?:<|&lt;|\[(?=/?(?:think|answer)\]))[\s|]{0,2}|^(?=/?answer>))(?P<close>[/\\]{0,2})[\s|]{0,2}(?:(?P<think>(?:"
    + _misspelt("think")
    + r")(?:ing)?)|(?:final[ _-]?)?(?:"
    + _misspelt("answer")
    + r"|ans|solution))(?:[\s/|:]{0,3}(?:>|&gt;|\])|\s(?=[^<>\n]{1,80}</))",
    re.IGNORECASE | re.MULTILINE,
)
# More than this is a page, a loop or an attack; it bounds the time.
_MAX_TAGS = 1000
_MAX_BRACKETS = 5000


@dataclass
class Parts:
    """The parts of a completion.

    ``blocks``: contents of ``<answer>`` blocks outside the thinking, stripped, without empty ones.
    """

    blocks: list[Span] = field(default_factory=list)
    outside: list[Span] = field(default_factory=list)  # text outside thinking and blocks
    finished: bool = True  # the thinking was closed, or there is none
    thought_blocks: list[int] = field(default_factory=list)  # ends of answer tags inside thinking
    samples: bool = False  # there are blocks that are only examples
    readable: bool = True  # False if there are too many tags to be a completion


def take_apart(text: str, *, prefilled: bool) -> Parts:
    """Find the parts of a completion; ``prefilled``: it starts inside the thinking."""
    if text.count("<") > _MAX_BRACKETS:
        return Parts(readable=False)
    tagged = "<" in text or "&lt;" in text or "nswer>" in text or "answer]" in text
    tags = list(islice(_TAG.finditer(text), _MAX_TAGS + 1)) if tagged else []
    if len(tags) > _MAX_TAGS:
        return Parts(readable=False)
    return _Scan(text, tags, prefilled).parts


class _Scan:
    """One pass over the tags. ``mark`` is where the current stretch of text began."""

    def __init__(self, text: str, tags: list[re.Match[str]], prefilled: bool):
        thinks = [tag for tag in tags if tag["think"]]
        self.text, self.parts = text, Parts()
        self.last_close = max((tag.start() for tag in thinks if tag["close"]), default=-1)
        # Without prefill, a completion whose first think tag closes began inside the thinking, too.
        self.thinking = prefilled or bool(thinks and thinks[0]["close"])
        self.parts.finished = self.last_close >= 0 or not (prefilled or thinks)
        self.answering = False
        self.mark = 0
        for tag in tags:
            if tag["think"]:
                self._end(tag.start())
                self._begin(tag.end(), thinking=not tag["close"])
            elif self.thinking and tag.start() < self.last_close:
                self.parts.thought_blocks.append(tag.end())
            else:
                # Thinking that is never closed ends where the answer begins, or on its last line.
                closes_nothing = bool(tag["close"] and not self.answering)
                if closes_nothing and self.thinking:
                    line = _LAST_LINE.search(text, max(self.mark, tag.start() - 80), tag.start())
                    closes_nothing = line is not None
                    self.mark = line.start(1) if line else self.mark
                self._end(tag.start(), as_block=closes_nothing)
                self._begin(tag.end(), answering=not tag["close"])
        self._end(len(text))

    def _begin(self, mark: int, *, thinking: bool = False, answering: bool = False) -> None:
        self.mark, self.thinking, self.answering = mark, thinking, answering

    def _end(self, end: int, *, as_block: bool = False) -> None:
        """File the stretch that ends here; ``as_block``: only its opening tag is missing."""
        content = self.text[self.mark : end]
        if self.answering and _SAMPLE.search(self.text, max(self.mark - 80, 0), self.mark):
            self.parts.samples = True
        elif self.answering or (as_block and len(content) <= MAX_PHRASE):
            start = self.mark + len(content) - len(content.lstrip())
            if content.strip():
                self.parts.blocks.append((start, start + len(content.strip())))
        elif not self.thinking:
            self.parts.outside.append((self.mark, end))


_SAMPLE = re.compile(
    r"\b(?:example|sample|template|placeholder|formatted)\b[^\n.!?<>]{0,40}<[^<>]*>\Z",
    re.IGNORECASE,
)
_LAST_LINE = re.compile(r"\S\s*\n[ \t]*([^\n.!?<>]{1,60}\.?)\s*\Z")  # of thinking, "B</answer>"
_HIDDEN_ASCII = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_IS_HIDDEN = np.zeros(0x10000, bool)  # by code point
for _first, _last in (
    *((0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD)),  # controls
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2064), (0xFEFF, 0xFEFF)),  # zero width, bidi
):
    _IS_HIDDEN[_first : _last + 1] = True
_TURN_MARKS = ("<|im_end|>", "<|endoftext|>", "<|im_start|>")
_NEXT_TURN = re.compile(r"(?:[Uu]ser|[Hh]uman)\s?:")
_QUESTION = re.compile(
    r"^[#* \t]{0,6}(?:(?:Question|Problem|Q)\s?\d{0,3}[*]{0,2}\s?[:.]"
    r"|(?P<next>Next|Another|New|Follow-up)\s(?:question|problem|task|puzzle)\b)",
    re.MULTILINE,
)
_OPTIONS = re.compile(r"^(?:Options|Choices)\s?:", re.MULTILINE)
_RESTATED = re.compile(
    r"\b(?:restate|repeat|rephrase|read|reads|following|here is|the)\b[^\n.!?]*\n*$"
)
_CUT_TAG = re.compile(r"<[\s/|\\]{0,4}[a-zA-Z]{0,8}$")


def visible(text: str) -> tuple[str, np.ndarray | None]:
    """Drop invisible characters, read full-width ones as ASCII; and the places kept (None: all)."""
    if text.isascii() and _HIDDEN_ASCII.search(text) is None:
        return text, None
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    places = np.flatnonzero(~_IS_HIDDEN[np.minimum(codes, 0xFFFF)])
    codes = codes[places]
    codes = np.where((codes >= 0xFF01) & (codes <= 0xFF5E), codes - 0xFEE0, codes)
    return codes.astype(np.uint32).tobytes().decode("utf-32-le", "surrogatepass"), places


def first_turn(text: str) -> str:
    """Drop an invented next turn, and a tag that is cut off at the end."""
    first = len(text) - len(text.lstrip())
    asked = _QUESTION.match(text, first)
    if _NEXT_TURN.match(text, first) or (asked and asked["next"]):
        return ""
    ends = [place for mark in _TURN_MARKS if (place := text.find(mark, first + 1)) > 0]
    speaks = any(name in text for name in ("User", "user", "Human", "human"))
    for turn in islice(_NEXT_TURN.finditer(text, first + 1), 1000) if speaks else ():
        before = text[max(turn.start() - 10, 0) : turn.start()]
        if "\n" in before and not before[before.rindex("\n") :].strip():
            ends.append(turn.start())
            break
    made_up = "\n" in text and _QUESTION.search(text, first + 1)
    restated = made_up and (
        _RESTATED.search(text, max(made_up.start() - 60, 0), made_up.start())
        or ("</" not in text[: made_up.start()] and "</think>" in text[made_up.start() :])
    )
    if made_up and not restated:
        if asked and _OPTIONS.search(text, first, made_up.start()):
            return ""  # the first one is made up, too
        ends.append(made_up.start())
    text = text[: min(ends, default=len(text))].rstrip()
    cut = _CUT_TAG.search(text, max(len(text) - 14, 0))
    return text[: cut.start()] if cut else text
