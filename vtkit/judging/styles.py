"""Class a completion into one of six styles, by rules on its form alone.

style(" It looks like left. </think> <answer> left </answer>")     # "direct"
"""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from vtkit.judging.phrases import NARROW, find_reflections

STYLES = ("html", "repetition", "untagged", "direct", "steps", "reflective")
# Names of one letter must be closed or carry an attribute, or "is a<b here" would be markup. The
# last line is CSS, JavaScript and entities, with which a base model also likes to continue.
_HTML = re.compile(
    r"<!(?:doctype|--)|<\?xml|```html|<p$"
    r"|</?(?:html|head|body|div|span|table|thead|tbody|tr|td|th|ul|ol|li|dl|dt|dd|img|script|style"
    r"|link|meta|title|h[1-6]|br|hr|form|input|button|label|select|option|textarea|nav|section"
    r"|article|header|footer|main|aside|strong|em|font|center|pre|code|iframe|svg|canvas|video"
    r"|audio|source|figure|blockquote|small|sub|sup)(?=[\s/>]|$)"
    r"|</?[abipqu](?:\s*/?>|\s+[\w-]+\s*=)"
    r"|\{\s*[a-z-]+\s*:[^{};]*;|\bfunction(?:\s+\w+)?\s*\([^()\n]{0,80}\)\s*\{|\bdocument\.\w|&(?:nbsp|lt|gt|amp|quot);",
    re.IGNORECASE,
)
_TAG_LOOP = re.compile(r"(<[a-z/]{1,10}\s{0,2})\1{2,}", re.IGNORECASE)  # "<th<th<th"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_WORD = re.compile(r"\w")
# Chinese has no spaces, and a loop may have no words: its letters, long words in parts, emoji and
# rows of signs count as words, too.
_TOKEN = re.compile(
    r"[^\W\u4e00-\u9fff]{1,12}|[\u4e00-\u9fff\u2600-\u27bf\U0001f000-\U0001faff]|[^\w\s]{4,12}"
)
_RUN = 8  # words in a row that prose hardly ever says three times
_TIMES = 3
_LOOP_WORDS = 20  # fewer are emphasis, not a loop


@lru_cache(4096)
def classify(text: str) -> tuple[str, bool]:
    """:func:`style` and :func:`is_reflective` of a completion."""
    found = style(text)
    if found in ("untagged", "repetition"):
        return found, is_reflective(text)
    return found, found == "reflective"


def style(text: str) -> str:
    """The one of ``STYLES`` that describes a completion, with or without its ``<think>``.

    html: markup, CSS or script other than think and answer tags, cut off or not. repetition: most
    of its words are a loop. untagged: prose without a complete ``<answer>...</answer>``.
    reflective: answered, with a ``NARROW`` phrase that is meant. Otherwise steps if the reasoning
    has more than one sentence, else direct.

    >>> style("<div>It is left.</div>")
    'html'
    """
    if is_html(text):
        return "html"
    if find_loop(text):
        return "repetition"
    if not _has_answer(text):
        return "untagged"
    if find_reflections(text):
        return "reflective"
    return "steps" if _count_sentences(_reasoning(text)) > 1 else "direct"


def is_html(text: str) -> bool:
    """Tell markup, CSS or script from prose: the one definition of HTML in this package."""
    return _HTML.search(_TAG_LOOP.sub("", text)) is not None


def is_reflective(text: str, phrases: tuple[str, ...] = NARROW) -> bool:
    """Tell whether a text takes a second look: prose with one of the phrases outside any loop."""
    found = find_reflections(text, phrases)
    if not found or is_html(text):
        return False
    loop = find_loop(text)
    return not loop or any(start not in loop for start, _ in found)


def find_loop(text: str) -> set[int]:
    """Find where the words begin that a degenerate text repeats; empty if it is not one.

    A word is in a loop if one of the runs of eight words around it occurs three times. They must be
    more than half of all words, and at least 20. Linear in time and memory.
    """
    words = _TOKEN.findall(text)
    # Even if the other half is all different, a loop leaves few different words.
    if len(words) < _LOOP_WORDS or len(set(words)) > 0.7 * len(words):
        return set()
    runs = list(zip(*(words[shift:] for shift in range(_RUN)), strict=False))
    counts = Counter(runs)
    looping: list[int] = []
    until = 0
    for place, run in enumerate(runs):
        if counts[run] >= _TIMES:
            looping.extend(range(max(place, until), place + _RUN))
            until = place + _RUN
    if len(looping) < max(_LOOP_WORDS, len(words) / 2):
        return set()
    starts = [token.start() for token in _TOKEN.finditer(text)]
    return {starts[place] for place in looping}


def _has_answer(text: str) -> bool:
    lower = text.lower()
    start = lower.find("<answer>")
    return start >= 0 and lower.find("</answer>", start) >= 0


def _reasoning(text: str) -> str:
    """What comes before ``</think>``, or before the answer where the thinking is never closed."""
    lower = text.lower()
    ends = [place for tag in ("</think>", "<answer>") if (place := lower.find(tag)) >= 0]
    return text[: min(ends)].removeprefix("<think>") if ends else text


def _count_sentences(text: str) -> int:
    return sum(1 for part in _SENTENCE_END.split(text) if _WORD.search(part))


def shares(texts: Iterable[str]) -> dict[str, float]:
    """The style columns of ``metrics.csv`` for the completions of one step, at least one.

    >>> {name: share for name, share in shares(["It is left.", "<p>left</p>"]).items() if share}
    {'html_share': 0.5}
    """
    styles, reflective = zip(*map(classify, texts), strict=True)
    return {
        "html_share": styles.count("html") / len(styles),
        "reflection_rate": sum(reflective) / len(styles),
        "direct_share": styles.count("direct") / len(styles),
    }
