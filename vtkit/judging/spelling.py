r"""One spelling for each number and each mathematical sign, whatever a value is written in.

in_digits("minus one and a half"), in_digits("五分之二")     # "-1 1/2", "2/5"
spelt("2 × √3")                                          # "2 * \\sqrt{3}"
"""

import re
import unicodedata

from vtkit.judging.words import with_digits

_DIGITS = dict(
    zip(
        "one two three four five six seven eight nine ten eleven twelve".split(),
        map(str, range(1, 13)),
        strict=True,
    )
)
_PARTS = {"quarter": 4, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_SCALES = {"thousand": 1000, "million": 1000000, "billion": 1000000000}
# Spellings of one thing, in this order.
_SPELLINGS = [
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"\\(?:text\w{0,2}|math\w\w|operatorname|mbox|f?boxed|fbox)\s?\{([^{}]*)\}", r" \1 "),
        (r"\\[()\[\],;:!$ ]|\\(?:q?quad|left|right|displaystyle)\b|[`$]|__|\*\*\s*$|^\s*\*\*", " "),
        (r"\\[dt]frac\b", r"\\frac"),
        (r"\\(?:cdot|times|ast)\b|[×·⋅∙∗]|(?<=\d)\s?[xX](?=\s?10\s?\^)", "*"),
        (r"\\div\b|[÷⁄]", "/"),
        (r"[−–—﹣]", "-"),
        (r"\*\*", "^"),
        (r"\^\s?\{?\s?(?:\\circ|∘|°)\s?\}?|\\(?:circ|deg(?:ree)?)\b|[º˚]", "°"),
        (r"\\%|％", "%"),
        (r"\\f?boxed\s?\{([^{}]*)$", r" \1"),
        (r"√|\\surd\b|(?<![\\A-Za-z])sqrt\b|\b(?:square )?root of\b|\broot(?=\s\d)", r"\\sqrt"),
        (r"∛", r"\\sqrt[3]"),
        (r"π|(?<![A-Za-z\\])[Pp]i(?![A-Za-z])", r"\\pi "),
        (r"∠|\\angle\b|\\triangle\b|△", ""),
        (r"(?<=\d),(?=\d{3}(?!\d))"  # thousands
         r"|(?<=\d)(?<![\d.]\d{4})[ \u00a0\u202f](?=\d{3}(?:[ \u00a0\u202f]\d{3})*(?![\d.]))", ""),
        (r"(?<![\d(,.])(\d+),(\d{1,2})(?=\s?(?:[kcmd]?m|k?g|[mc]?l|€|°|%)(?![A-Za-z]))",
         r"\1.\2"),  # 2,5 kg
        (r"°\s?C\b|(?:°|\bdegrees?)\s?[Cc]elsius\b|℃", "celsius"),
        (r"°\s?F\b|(?:°|\bdegrees?)\s?[Ff]ahrenheit\b|℉", "fahrenheit"),
        (r"\b(\d+(?:\.\d+)?)[eE]([+-]?\d+)\b", r"\1*10^{\2}"),
        (r"\\frac\s?(\d)\s?(\d)", r"\\frac{\1}{\2}"),
        (r"\^\s?(-?\d+(?:\.\d+)?|[a-z])(?![\w}])", r"^{\1}"),
        (r"(\\sqrt(?:\[\d\])?)\s?(\d+(?:\.\d+)?|[a-z]\b|\\pi)", r"\1{\2}"),
    )
]  # fmt: skip
_IN_WORDS = [
    (re.compile(pattern, re.IGNORECASE), instead)
    for pattern, instead in (
        (r"\b(?:minus|negative)\s(?=\w)|负(?=\s?\d)", "-"),
        (r"\b(?=\d)(\d[\d.,]*\s?(?:degrees?|°C?)?) below zero\b", r"-\1"),
        (r"\b(?:and )?(?:(?:one |a )half|half an?(?= hour))\b", " 1/2"),
        (r"\b(?:one|a) quarter\b", "1/4"),
        (r"\b(?:one|a) third\b", "1/3"),
        (rf"\b({'|'.join(_DIGITS)})"
         rf"(?=[\s-](?:{'|'.join(_PARTS)}|(?:and )?\s?1/|percent|degree)|\W*$)",
         lambda word: _DIGITS[word[1].lower()]),
        (rf"\b(\d+)[\s-]({'|'.join(_PARTS)})s?\b",
         lambda part: f"{part[1]}/{_PARTS[part[2].lower()]}"),
        (r"\b(\d+(?:\.\d+)?) (thousand|million|billion)\b",
         lambda scaled: f"{scaled[1]}*{_SCALES[scaled[2].lower()]}"),
        (r"(\d*)\.(\d*)\s?(?:\\(?:overline|bar|dot)\s?\{(\d+)\}|\((\d+)\))",
         lambda found: _recurring(*found.groups())),
        (r"^\s*\\?\$\s?(\d[\d.,]*)\s*$", r"\1 dollars"),
    )
]  # fmt: skip
_POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_VULGAR = str.maketrans(
    {
        char: " " + unicodedata.normalize("NFKC", char).replace("\N{FRACTION SLASH}", "/")
        for char in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
    }
)
_POINT = re.compile(r"^[A-Z](?=\s?\(\s?-?[\d.]+\s?,)")
_PLUS_MINUS = re.compile(r"^([^±,]*)(?:±|\\pm\b)([^±,]+)$")


def in_digits(text: str) -> str:
    """Number words, Chinese numerals, recurring decimals and plus-minus in plain digits."""
    text = with_digits(text)
    for pattern, instead in _IN_WORDS:
        text = pattern.sub(instead, text)
    return _PLUS_MINUS.sub(r"\1+\2, \1-\2", _POINT.sub("", text))


def _recurring(whole: str, places: str, block: str | None, bracketed: str | None) -> str:
    r"""A recurring decimal as a fraction: ``0.\overline{3}`` is 3/9."""
    period = block or bracketed or ""
    above = int((whole or "0") + places + period) - int((whole or "0") + places)
    return f"{above}/{(10 ** len(period) - 1) * 10 ** len(places)}"


def spelt(text: str) -> str:
    """One spelling for each sign, and explicit braces."""
    text = _RAISED.sub(lambda found: "^{" + found[0].translate(_POWERS) + "}", text)
    text = text.translate(_VULGAR)
    for pattern, instead in _SPELLINGS:
        text = pattern.sub(instead, text)
    end = "!" if re.search(r"\d!\W*$", text) else ""
    return " ".join(_braced(text).split()).lstrip(" :;,\"'“”").rstrip(" .:;,!?。\"'“”") + end


def _braced(text: str) -> str:
    r"""``\sqrt(…)`` and ``^(…)`` with braces instead."""
    result = list(text)
    for found in re.finditer(r"(?:\\sqrt(?:\[\d\])?|\^)\s?\(", text):
        end = closed_at(text, found.end() - 1)
        if end is not None:
            result[found.end() - 1], result[end] = "{", "}"
    return "".join(result)


def closed_at(text: str, start: int) -> int | None:
    """Where the bracket at ``start`` is closed."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth == 0:
            return place
    return None
