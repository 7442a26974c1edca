"""Cut a completion at its second look, or where one could have been, and make the texts put in.

cut_reflection(" It is left. Wait, let me check again. No. </think> ...")
# Cut(before=" It is left.", sentence=" Wait, let me check again.", after=" No. </think> ...")
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

from vtkit.judging.phrases import find_reflections
from vtkit.judging.styles import is_html
from vtkit.models.prompts import PREFILL

_COMMON = 3  # a sentence that fewer questions drew may be about one picture
_MAX_SENTENCE = 200  # characters; longer ones were written without full stops
_BOUNDARY = re.compile(r"(?<=[.!?…])\s+|\s*\n\s*")
_TAG = re.compile(r"\s*<")
_THINKING_END = re.compile(r"\s*<\s*(?:/\s*think|/?\s*answer)", re.IGNORECASE)
# Like all words of placebos, in the miniature's small vocabulary.
_THINGS = ("home", "card", "list", "view", "gallery", "text", "title", "item")


class Cut(NamedTuple):
    """A completion in three parts."""

    before: str  # up to the cut, without white space at its end
    sentence: str  # the reflection with the white space before it; empty without a reflection
    after: str


def cut_reflection(completion: str) -> Cut | None:
    """Cut out the sentence of the first ``NARROW`` phrase.

    It ends at a full stop, a line break or a tag; one of over 200 characters is the phrase alone.
    None if there is no phrase, its sentence was cut off, it comes after the thinking, or the text
    up to it is HTML.

    >>> cut_reflection(" It is left. Wait, let me check again. No. </think> right").sentence
    ' Wait, let me check again.'
    """
    phrases = find_reflections(completion)
    if not phrases:
        return None
    first, last = phrases[0]
    start = max(
        completion.rfind(">", 0, first) + 1,
        *(match.start() for match in _BOUNDARY.finditer(completion, 0, first)),
        0,
    )
    ends = [match.start() for rule in (_BOUNDARY, _TAG) if (match := rule.search(completion, last))]
    stop = min(ends, default=len(completion))
    if stop - start > _MAX_SENTENCE:
        start = len(completion[:first].rstrip())
        stop = last + (completion[last : last + 1] in tuple(",.!?"))
    cut = Cut(completion[:start], completion[start:stop], completion[stop:])
    cut_off = not ends and not cut.after and cut.sentence[-1] not in ".!?…"
    if cut_off or _THINKING_END.search(cut.before) or is_html(cut.before + cut.sentence):
        return None
    return cut


def cut_thinking(completion: str, sentences: int | None = None) -> Cut | None:
    """Cut a completion without reflection after ``sentences``, or where its thinking ends.

    None if the thinking does not end at a tag, says nothing, reflects, or is HTML.
    """
    end = _THINKING_END.search(completion)
    thinking = completion[: end.start()] if end else ""
    if not count_sentences(thinking) or find_reflections(thinking) or is_html(thinking):
        return None
    ends = [
        match.start()
        for match in _BOUNDARY.finditer(thinking)
        if count_sentences(thinking[: match.start()]) == sentences
    ]
    place = min(ends, default=len(thinking))
    return Cut(completion[:place], "", completion[place:])


def count_sentences(text: str) -> int:
    """Count sentences with a word in them, the ``<think>`` aside."""
    prose = text.lstrip().removeprefix(PREFILL)
    return sum(1 for part in _BOUNDARY.split(prose) if re.search(r"\w", part))


def forced_answer(before: str, *, prefilled: bool) -> str:
    """The text that makes a completion answer at once: close open thinking, open the answer."""
    return " </think> <answer>" if prefilled or PREFILL in before else " <answer>"


def commonest_sentence(sentences: Sequence[str]) -> str | None:
    """The commonest of the sentences, the first one of equals, or None if none occurs thrice."""
    counted = Counter(" " + sentence.strip() for sentence in sentences).most_common(1)
    return counted[0][0] if counted and counted[0][1] >= _COMMON else None


def make_placebo(tokenizer: Any, length: int) -> str:
    """Make a sentence that says nothing about any question, of about ``length`` tokens."""
    texts = []
    for text in _neutral_sentences():
        texts.append(text)
        if count_tokens(tokenizer, text) > length:
            return min(texts, key=lambda made: abs(count_tokens(tokenizer, made) - length))
    raise AssertionError("neutral sentences grow without end")


def count_tokens(tokenizer: Any, text: str) -> int:
    """Tokens of a text within a completion."""
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _neutral_sentences() -> Iterator[str]:
    """Each longer than the one before."""
    yield from (" The photo.", " The photo is a view.", " The photo is in a room.")
    for n in count(1):
        listed = "".join(f", a {_THINGS[i % len(_THINGS)]}" for i in range(n))
        yield f" The photo is in a room{listed}."
