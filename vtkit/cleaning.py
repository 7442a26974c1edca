"""A reply as its reader sees it: without invisible characters, and without a made-up next turn.

Zero-width and control characters hide words from a regular expression and not from a reader; a base
model likes to go on with "User: ..." and to answer that too.
"""

import re
from itertools import islice

import numpy as np

_HIDDEN_ASCII = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_IS_HIDDEN = np.zeros(0x10000, bool)  # by code point
for _first, _last in (
    *((0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD)),  # controls
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2064), (0xFEFF, 0xFEFF)),  # zero width, bidi
):
    _IS_HIDDEN[_first : _last + 1] = True
_TURN_MARKS = ("<|im_end|>", "<|endoftext|>", "<|im_start|>")
_NEXT_TURN = re.compile(r"(?:[Uu]ser|[Hh]uman)\s?:")
_CUT_TAG = re.compile(r"<[\s/|\\]{0,4}[a-zA-Z]{0,8}$")


def visible(text: str) -> tuple[str, np.ndarray | None]:
    """The text without invisible characters, full-width ones as ASCII; and where each one stood.

    The places are None where nothing was taken out.
    """
    if text.isascii() and _HIDDEN_ASCII.search(text) is None:
        return text, None
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    places = np.flatnonzero(~_IS_HIDDEN[np.minimum(codes, 0xFFFF)])
    codes = codes[places]
    codes = np.where((codes >= 0xFF01) & (codes <= 0xFF5E), codes - 0xFEE0, codes)
    return codes.astype(np.uint32).tobytes().decode("utf-32-le", "surrogatepass"), places


def first_turn(text: str) -> str:
    """The reply without a made-up next turn, or a tag that was cut off at its end."""
    first = len(text) - len(text.lstrip())
    if _NEXT_TURN.match(text, first):
        return ""
    ends = [place for mark in _TURN_MARKS if (place := text.find(mark, first + 1)) > 0]
    for turn in islice(_NEXT_TURN.finditer(text, first + 1), 1000):
        before = text[max(turn.start() - 10, 0) : turn.start()]
        if "\n" in before and not before[before.rindex("\n") :].strip():
            ends.append(turn.start())
            break
    text = text[: min(ends, default=len(text))].rstrip()
    cut = _CUT_TAG.search(text, max(len(text) - 14, 0))
    return text[: cut.start()] if cut else text
