r"""Read a phrase that is nothing but a value, and compare values as values.

Numbers, fractions, mixed numbers, powers, roots, pi, percent, units, points, lists and equations,
in plain text, Unicode or LaTeX. Only what is made of such signs gets to the LaTeX parser.

    same_value(read_value("x = 0.25 cm"), read_value(r"\frac{1}{4}"))     # True
    read_value("the lamp")                                                # None
"""

import re
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from vtkit.judging.expressions import NUMBER, as_fraction, same
from vtkit.judging.spelling import closed_at, in_digits, spelt

MAX_VALUE = 80
"""Longer phrases are not read as values: the parser takes its time."""
_MAX_DEPTH = 6  # of brackets: the parser's time doubles with each


class Value(NamedTuple):
    """What a phrase says: ``items`` in LaTeX, one unless it is a point, a list or an equation."""

    items: tuple[str, ...]
    form: str = ""  # ``()``, ``[]`` or ``{}`` around items, ``:`` of a ratio, ``=`` of an equation
    unit: str = ""
    name: str = ""  # ``x`` of "x = 6"


_UNITS = {
    name: line.split()[0]
    for line in (
        "% percent", "° degree degrees deg 度", "mm millimeters millimetres millimeter millimetre",
        "cm centimeters centimetres centimeter centimetre 厘米", "dm decimeters decimetres 分米",
        "m meters metres meter metre 米", "km kilometers kilometres kilometer kilometre 千米 公里",
        "in inches inch", "ft feet foot", "yd yards yard", "mi miles mile", "g grams gram 克",
        "kg kilograms kilogram 千克 公斤", "lb lbs pounds pound",
        "l L liters litres liter litre 升",
        "ml mL milliliters millilitres milliliter millilitre 毫升", "s sec seconds second 秒",
        "min minutes minute 分钟", "h hr hrs hours hour 小时", "dollar dollars USD 元",
        "unit units",
        "Hz", "J", "kJ", "Pa", "kPa", "N", "V", "A", "W", "kW", "mol", "K", "rad radians",
        "km/h", "mph", "m/s", "day days", "year years", "cent cents ¢", "€", "£", "celsius",
        "fahrenheit", "t tonnes tonne tons ton",
    )
    for name in line.split()
}  # fmt: skip
_SIZES = {
    name: (dimension, size)
    for dimension, sizes in {
        "length": "mm 0.001 cm 0.01 dm 0.1 m 1 km 1000",
        "mass": "g 1 kg 1000 t 1000000",
        "volume": "ml 0.001 l 1",
        "time": "s 1 min 60 h 3600 day 86400",
        "money": "cent 1 dollar 100",
    }.items()
    for name, size in zip(sizes.split()[::2], sizes.split()[1::2], strict=True)
}
_UNIT = re.compile(
    r"(?<=[\w)}\]\s])\s*(?P<power>square|sq\.?|cubic|平方|立方)?\s?(?P<unit>"
    + "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
    + r")(?:\s?\^\s?\{?(?P<raised>[23])\}?|(?<=m)(?P<bare>[23]))?$"
)
_POWER_WORDS = {"cubic": "3", "立方": "3"}
_MIXED = re.compile(
    r"(?<![\d.}])(\d+)(?:\s+(?:and\s+)?(\d+)\s?/\s?(\d+)|\s*\\frac\{(\d+)\}\{(\d+)\})(?![\d.])"
)
# What a value may be called: x, AB, x_1, f(x), \theta, ∠A; or in words, "the area of the square".
_SYMBOL = re.compile(
    r"(?:[A-Za-z]|[A-Z]{2,4}|\\[a-z]+)\s?'?(?:_\s?(?:\w|\{[\w ,]+\}))?\s?(?:\([A-Za-z]\))?\s?°?"
)
_WORDS = re.compile(r"[A-Za-z]{2,12}(?:\s[A-Za-z]{1,12}){0,6}")
_SIGNS = re.compile(
    r"(?:[\s\d.+*/^()!{}|-]"
    r"|\\(?:frac|sqrt(?:\[\d\])?|pi|infty|alpha|beta|gamma|theta|phi|lambda|mu|sigma|omega"
    r"|sin|cos|tan|log|ln|exp)(?![a-z])"
    r"|(?<![A-Za-z])(?:[xyz]{2,3}|ab|bc|ac|abc|mn|pq|[A-Za-z])(?![A-Za-z]))+"
)
_BROKEN = re.compile(r"[\d.)]\s+[\d.]|\d\.(?!\d)|\.\d*\.|[*/^+-]\s*[*/^)]|\}\s*\^|^[*/^]|[-+*/^]$")
_SEPARATORS = re.compile(r"\s*(?:[,;，、；]|\b(?:and|or)\b|[和或])\s*")
_NUMERIC = re.compile(
    r"[\d±一二两三四五六七八九十]|\b(?:half|quarters?|thirds?|minus|negative)\b|[\d²³½⅓-⅞√∛π]|\\(?:pi|sqrt|infty)|\bpi\b|^\W*[A-Za-z](?:\W*$|\s?[-+*/^=])"
)
# Words of three letters and more in a value; another one makes it prose.
_PROSE = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}")
_KNOWN = {
    *_UNITS,
    *"celsius Celsius square cubic sqrt root sin cos tan log exp and xyz abc".split(),
}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_VARIABLE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{1,3}(?![A-Za-z])")


@lru_cache(4096)
def read_value(text: str) -> Value | None:
    """Read a phrase that is nothing but a value; None if it is not one."""
    if len(text) > MAX_VALUE or not _NUMERIC.search(text):
        return None
    text = in_digits(text)
    if "=" not in text and any(word not in _KNOWN for word in _PROSE.findall(text)):
        return None
    text = spelt(text)
    parts = _SEPARATORS.split(text)
    if len(parts) > 1 and all("=" in part for part in parts):  # "x = 2 or x = 3"
        return _side(text)
    sides = [side.strip() for side in re.split(r"(?<![<>!=])=(?!=)", text)]
    if len(sides) == 2 and _SYMBOL.fullmatch(sides[1]) and not _SYMBOL.fullmatch(sides[0]):
        sides.reverse()
    name, named = "", len(sides) > 1 and bool(_SYMBOL.fullmatch(sides[0]))
    if named or (len(sides) > 1 and _WORDS.fullmatch(sides[0])):
        name = re.sub(r"[\s{}°]", "", sides[0]) if named else ""
        sides = sides[1:]
    read = [_side(side) for side in sides]
    values = [value for value in read if value is not None]
    if len(values) < len(read):
        return None
    if all(same_value(*pair) for pair in pairwise(values)):
        unit = next((value.unit for value in values if value.unit), "")
        return values[-1]._replace(name=name, unit=unit)
    known = [value for value in values if not has_variables(value)]
    if len(known) > 1 and all(same_value(*pair) for pair in pairwise(known)):
        return known[-1]  # "a^2 + b^2 = 9 + 16 = 25"
    items = tuple(item for value in values for item in value.items)
    return Value(items, "=")  # never one of its sides, be it an equation or "5 = 6"


def has_variables(value: Value) -> bool:
    """Tell whether letters stand for numbers in it."""
    return any(map(_VARIABLE.search, value.items))


def _side(text: str) -> Value | None:
    """One side of an equation, or all of a phrase."""
    ratio = tuple(part.strip() for part in text.split(":"))
    if 1 < len(ratio) < 4 and all(map(NUMBER.fullmatch, ratio)):
        return Value(ratio, ":")
    unit = ""
    if text[:1] in ("€", "£"):
        unit, text = text[0], text[1:].strip()
    elif found := _UNIT.search(text, 1):
        power = (
            found["raised"]
            or found["bare"]
            or (found["power"] and _POWER_WORDS.get(found["power"], "2"))
        )
        unit = _UNITS[found["unit"]] + (power or "")
        text = text[: found.start()].strip()
    form, inside = "", text.replace(r"\{", "{").replace(r"\}", "}")
    if inside[:1] in _CLOSING and closed_at(inside, 0) == len(inside) - 1:
        form, inside = inside[0] + inside[-1], inside[1:-1]
    parts = _SEPARATORS.split(inside)
    if len(parts) == 1 and form != "{}":
        form = ""
    items = [item for part in parts if (item := _item(part.strip())) is not None]
    return Value(tuple(items), form, unit) if len(items) == len(parts) else None


def _item(text: str) -> str | None:
    """An expression for the parser, without the "x =" of a list of solutions."""
    name, _, value = text.rpartition("=")
    if name and _SYMBOL.fullmatch(name.strip()):
        text = value.strip()
    text = _MIXED.sub(_mixed, text)
    depth = max(text.count("("), text.count("{"))
    readable = _SIGNS.fullmatch(text) and re.search(r"\w", text) and not _BROKEN.search(text)
    return text if readable and depth <= _MAX_DEPTH else None


def _mixed(found: re.Match[str]) -> str:
    whole, above, below = filter(None, found.groups())
    return rf"({whole}+\frac{{{above}}}{{{below}}})"


def same_value(said: Value, meant: Value) -> bool:
    """Compare values, with units and names where both have one; sets and lists without order.

    >>> same_value(read_value("1/2"), read_value("0.5"))
    True
    """
    units = {said.unit, meant.unit} - {"", "unit", "unit2", "unit3"}
    if len(units) > 1:
        return False
    if len({said.name, meant.name} - {""}) > 1:
        return False
    if len(said.items) != len(meant.items):
        return False
    if {said.form, meant.form} <= {"", "{}"}:
        percent = said.unit != meant.unit and "%" in units
        if _each_in(said, meant) and _each_in(meant, said) and not (percent and _is_share(said)):
            return True
        return len(said.items) == 1 and "%" in units and _as_share(said, meant)
    pairs = zip(said.items, meant.items, strict=True)
    forms = {said.form, meant.form} in ({said.form}, {"", "()"})
    return forms and all(same(*pair) for pair in pairs)


def _each_in(one: Value, other: Value) -> bool:
    return all(any(same(item, another) for another in other.items) for item in one.items)


def same_quantity(said: Value, meant: Value) -> bool:
    """Compare values as :func:`same_value` does, and after converting units: "340 cm", "3.4 m"."""
    sizes = _converted(said), _converted(meant)
    return same_value(said, meant) or (None not in sizes and sizes[0] == sizes[1])


def rounds(said: Value, meant: Value) -> bool:
    """Tell whether a number is another one to its last place, percent or not: 33.3 % and 1/3."""
    if len(said.items) > 1 or not NUMBER.fullmatch(said.items[0]):
        return False
    number, target = as_fraction(said.items[0]), as_fraction(meant.items[0])
    if number is None or target is None:
        return False
    scale = 100 if said.unit == "%" != meant.unit else 1
    slack = Fraction(1, 2 * 10 ** len(said.items[0].partition(".")[2]))
    return abs(number - target * scale) <= slack


def _is_share(value: Value) -> bool:
    number = as_fraction(value.items[0])
    return number is not None and number <= 1


def _converted(value: Value) -> tuple[str, Fraction] | None:
    """Dimension and size in base units: "340 cm" and "3.4 m" are one length."""
    unit, power = (
        (value.unit[:-1], int(value.unit[-1])) if value.unit[-1:].isdigit() else (value.unit, 1)
    )
    number = as_fraction(value.items[0])
    if unit not in _SIZES or number is None or len(value.items) > 1:
        return None
    dimension, size = _SIZES[unit]
    return f"{dimension}{power}", number * Fraction(size) ** power


def _as_share(*values: Value) -> bool:
    """Compare 50 % with 0.5."""
    share = [rf"\frac{{{v.items[0]}}}{{{100 if v.unit == '%' else 1}}}" for v in values]
    return same(*share)
