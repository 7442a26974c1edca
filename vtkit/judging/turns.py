"""Find claims that a writer replaces by later ones, without any of the phrases of a second look.

    find_turns("So 4 chairs. The last is a stool. 3 chairs.")      # [(34, 43)]

A turn is a slot (a name, a noun, a subject, the answer) that gets another value than before.
Series, lists, cases and solutions of an equation fill one more than once and do not count.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from vtkit.judging.statements import find_sentences
from vtkit.judging.words import key_words

Span = tuple[int, int]
_MAX_TEXT = 20_000  # characters, and sentences of them; both bound the time
_MAX_SENTENCES = 40
_NUMBER = (
    r"(?:[-−]?\d+(?:[.,:/]\d+)*(?:\s?[°%π])*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty)\b)"
)
_WORD = re.compile(r"\w")
_END = re.compile(r"</think>|<answer>|\n(?:user|human)\s?:", re.IGNORECASE)
_CASES = re.compile(
    r"[|\"“?]|\b(?:if|when|or|either|suppose|let|try|image|frame|view|options?|solutions?|would)\b",
    re.IGNORECASE,
)
# "x = 3 + 2 = 5", "half of 86 is 42": a name and its number.
_SPLIT = re.compile(
    r"[,;:]\s|\.{2,}|\s(?:so|and|gives?|then|which|get|hence|thus|therefore)\s", re.IGNORECASE
)
_SYMBOL = re.compile(
    r"(?:^|[\s$(])(?<!\bat )(?<!\bfor )(?<!\bwith )(?<!\bis )(?<![-+·×*/−]\s)"
    r"([A-Za-z∠]{1,4}\w?)\s*$"
)
_IS = re.compile(
    r"^(?P<name>[^=]{2,40}?)\s(?:is|are|was|makes|gives|equals)\s(?P<rest>.*)", re.DOTALL
)
_ALONE = re.compile(
    rf"[\s$(*]*(?:about |exactly |only |indeed |now |then )?({_NUMBER})"
    r"[\s$]{0,2}(?:[a-z²³]{1,6})?\W*",
    re.IGNORECASE,
)
_AT = re.compile(r"\b(?:at|for|with|where)\s\w{1,3}\s?=", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:\W|so\b|then\b|thus\b|hence\b|therefore\b|now\b|and\b|but\b|the\b|an?\b)+", re.IGNORECASE
)
_NO_NAME = re.compile(
    r"^(?:it|its\b.*|his\b.*|her\b.*|their\b.*|that|this|which|there|they|these|those|one|[^a-z]*)$"
)
# "There are 4 lamps." and "So 3 lamps.": a noun and its number.
_COUNT = re.compile(
    r"\b(?:there\s(?:is|are)|i(?:\s(?:count|see|get)|['’]m\scounting)|so|that\smakes|holds|shows|="
    rf"|(?P<only>only|just))\s(?:\w+\s)?(?P<number>{_NUMBER})\s(?:are\s)?(?P<name>[a-z]{{3,}})",
    re.IGNORECASE,
)
_SHORT = re.compile(
    rf"^\W*(?:(?:so|only|hence)\s)?(?P<number>{_NUMBER})(?:\s(?P<name>[a-z]{{3,}}))?(?:,?\sthen)?\W*$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"\s*\d{1,2}\.\s*")
# "The answer is B" and "**Answer: C**".
_ANSWER = re.compile(
    r"(?:\banswer[*]{0,2}(?:\s?:|\sis)|\\boxed\{)\s*[*(]{0,3}(?P<answer>[A-J]\b|-?\d+(?:[.,/]\d+)*)",
    re.IGNORECASE,
)
_STEPS = re.compile(r"\b(?:first|second|next|step)\b", re.IGNORECASE)
_TOLD = re.compile(
    r"\b(?:if|otherwise|or|might|would|could|user|you|people|they|may)\b|[\"“?]", re.IGNORECASE
)
_MIN_BETWEEN = 40  # characters between two answers; less is a list
# A result that cannot be: "x = −3. A side cannot be −3 long".
_RESULT = re.compile(rf"(?:=|\b(?:so|gives|is|are|makes|to))\s(?P<number>{_NUMBER})[^=\d]*$", re.I)
_CANNOT = re.compile(r"\b(?:can['’]t|cannot|can not|couldn['’]t|nobody|no such|is no)\b", re.I)
# "It looks like a lake. Lakes don't have tides."
_LIKENESS = re.compile(
    r"\b(?:looks? like|(?:it|this|that)(?:['’]s|\sis)|must be)\s(?:an?|the)\s"
    r"(?P<name>[a-z]{3,})\W*$",
    re.IGNORECASE,
)
_IS_NOT = (
    r"\w{0,3}\s(?:(?:do|does|is|are|ca|would|have|has)(?:n['’]t|\snot)|never|cannot"
    r"|ha(?:s|ve)\sno)\b"
)
# "The odd one is the square, no, ..."; "5 times 12 is 60, 60 again."
_MIDWAY = re.compile(
    r"(?<=[a-z0-9°%])(?<!\bis)(?<!\bare)(?<!\band)(?<!thought)(?<!clearly),?\s(?:no|nein|non),\s"
    r"|(?<=[.!])\n\n?(?:hmm?|wait|oops|except)\b(?!,?\slet\sme\s(?:see|think))"
    rf"|,\s{_NUMBER}\sagain(?=[.,\n<])|\b{_NUMBER},\s(?:good|fine|as\s(?:expected|it\sshould))\b",
    re.IGNORECASE,
)
_FIRST_LOOK = re.compile(r"\bat first (?:glance|sight)\b", re.IGNORECASE)
_THEN = re.compile(r"^\W*(?:but|however|actually|yet)\b|\bactually\b", re.IGNORECASE)
# Questions of a writer about what it has just said.
_WH = re.compile(
    r"\W*(?:what|which|who|where|when|how|why|whose|does|do|(?:is|are)\sthere)\b"
    r"|.*(?:\bor\b|[\"“:]|,\s\w+(?:['’]t)?(?:\s\w+)?\?$)",
    re.IGNORECASE,
)
_MAX_QUESTION = 14  # words
# "The man stands in front of the bus. ... He is behind the bus."
_SIDES = ("left right", "front behind", "above below", "open closed", "forward backward")
_OPPOSITE = {word: other for pair in map(str.split, _SIDES) for word, other in (pair, pair[::-1])}
_SUBJECT = re.compile(
    r"^\W*(?:(?:so|then|hence|but|and|no),?\s)?(?P<name>the\s\w+|it|he|she|they)\s"
    r"(?:\w+\s(?:\w+\s){0,3})?(?:is|are|was|went|moved|stands?|sits?|lies|turned|hangs?|faces|points)\s"
    r"(?P<rest>[^.;]*)",
    re.IGNORECASE,
)


class _Sentence(NamedTuple):
    start: int
    end: int
    text: str
    supposes: bool  # a case, a quote or a question

    @property
    def span(self) -> Span:
        return self.start, self.end


def find_turns(text: str) -> list[Span]:
    """Find the ``(start, end)`` spans of later values of a slot, in order. Linear in time."""
    text = text[:_MAX_TEXT]
    end = found.start() if (found := _END.search(text, 1)) else len(text)
    sentences = [
        _Sentence(start, stop, said := text[start:stop], _CASES.search(said) is not None)
        for start, stop in find_sentences(text, 0, end)[:_MAX_SENTENCES]
    ]
    turns = {*_names(sentences), *_counts(sentences), *_sides(sentences), *_answers(text)}
    turns |= {*_denied(sentences), *_doubted(sentences)}
    turns |= {found.span() for found in islice(_MIDWAY.finditer(text, 0, end), 8)}
    return sorted(
        (word.start(), stop) for start, stop in turns if (word := _WORD.search(text, start))
    )


_Sentences = list[_Sentence]


def _names(sentences: _Sentences) -> Iterator[Span]:
    """Names that get another number; three numbers are a series."""
    values: dict[str, list[tuple[str, Span]]] = {}
    for sentence in sentences:
        if sentence.supposes or _AT.search(sentence.text):
            continue
        for clause in _SPLIT.split(sentence.text)[:8]:
            name, number = _setting(clause)
            if name and number:
                values.setdefault(name, []).append((_value(number), sentence.span))
    for given in values.values():
        if len({value for value, _ in given}) == 2:
            yield next(span for value, span in given if value != given[0][0])


def _setting(clause: str) -> tuple[str, str]:
    """The name in a clause and the number that it gets; empty strings if it sets none."""
    first, *others = clause.split("=")
    if others:
        symbol, number = _SYMBOL.search(first), _ALONE.fullmatch(others[-1])
        return (symbol[1], number[1]) if symbol and number else ("", "")
    said = _IS.match(clause)
    number = _ALONE.fullmatch(said["rest"]) if said else None
    if said is None or number is None:
        return "", ""
    name = _LEAD.sub("", said["name"]).strip().lower()
    return ("", "") if _NO_NAME.match(name) else (name, number[1])


def _counts(sentences: _Sentences) -> Iterator[Span]:
    """Nouns of which a short sentence counts fewer than an earlier one did."""
    last: dict[str, float] = {}
    for sentence in sentences:
        if _ITEM.fullmatch(sentence.text):
            continue
        if short := _SHORT.match(sentence.text):
            number = _size(short["number"])
            names = [_noun(short["name"])] if short["name"] else list(last)[-1:]
            if any(number < last.get(name, number) for name in names):
                yield sentence.span
            last.update(dict.fromkeys(names, number))
        elif not sentence.supposes:
            for found in islice(_COUNT.finditer(sentence.text), 4):
                name, number = _noun(found["name"]), _size(found["number"])
                if found["only"] and number < last.get(name, number):
                    yield sentence.span
                last[name] = number


def _sides(sentences: _Sentences) -> Iterator[Span]:
    """Subjects that are first on one side, then on the other."""
    seen: dict[str, set[str]] = {}
    for sentence in sentences:
        said = None if sentence.supposes else _SUBJECT.match(sentence.text)
        if said is None:
            continue
        sides = {word for word in key_words(said["rest"][:100]) if word in _OPPOSITE}
        name = said["name"].lower()
        named = [name] if name.startswith("the ") else list(seen)[:1]
        for each in named:
            before = seen.get(each, set())
            if len(sides) == len(before) == 1 and {_OPPOSITE[word] for word in sides} == before:
                yield sentence.span
        if sides:
            seen[name] = sides


def _answers(text: str) -> Iterator[Span]:
    """Answers that differ from the one before, with prose between them."""
    found = list(islice(_ANSWER.finditer(text), 6))
    for before, after in zip(found, found[1:], strict=False):
        one, other = before["answer"].lower(), after["answer"].lower()
        between = text[before.end() : after.start()]
        around = text[max(before.start() - 40, 0) : after.end()]
        told = _TOLD.search(around) or (other.isdigit() and _STEPS.search(between))
        same = one == other or one.isalpha() != other.isalpha()
        if not (same or told or len(between) < _MIN_BETWEEN):
            yield after.span()


def _denied(sentences: _Sentences) -> Iterator[Span]:
    """Results and likenesses of which the next sentences say that they cannot be."""
    for place, (_, _, said, supposes) in enumerate(sentences):
        rest = sentences[place + 1 : place + 3]
        if _FIRST_LOOK.search(said) and not _TOLD.search(said):
            yield from (later.span for later in rest if _THEN.search(later.text))
        if supposes:
            continue
        result, likeness = _RESULT.search(said), _LIKENESS.search(said)
        for later in rest if result or likeness else ():
            if result and _CANNOT.search(later.text) and _repeats(later.text, result["number"]):
                yield later.span
            if likeness and re.search(rf"\b{likeness['name']}{_IS_NOT}", later.text, re.IGNORECASE):
                yield later.span


def _doubted(sentences: _Sentences) -> Iterator[Span]:
    """Questions that repeat a word of the two sentences before: "A waiter with a newspaper?"."""
    for place, sentence in enumerate(sentences):
        said = sentence.text
        asked = place and said.endswith("?") and len(said.split()) <= _MAX_QUESTION
        before = "".join(earlier.text for earlier in sentences[max(place - 2, 0) : place])
        if not asked or _WH.match(said) or before.rstrip().endswith((":", "?")):
            continue
        if _long_words(said) & _long_words(before):
            yield sentence.span


def _long_words(sentence: str) -> set[str]:
    return {word for word in key_words(sentence) if len(word) > 3}


def _repeats(sentence: str, number: str) -> bool:
    return re.search(rf"(?<![\d.]){re.escape(number.strip())}(?!\d)", sentence) is not None


def _value(number: str) -> str:
    return " ".join(key_words(number.replace("−", "-"))) or number.strip()


def _size(number: str) -> float:
    value = _value(number).replace(",", "")
    return float(value) if re.fullmatch(r"-?\d+(?:\.\d+)?", value) else float("nan")


def _noun(name: str) -> str:
    return "".join(key_words(name))
