"""Tell which way round a sentence compares: is the choice that it names the closer, or the farther?

is_reversed("So the barrier is the one further away.")     # True
"""

import re

from vtkit.judging.choices import prepare

SIZES = (
    "near|clos|farth|furth|tall|short|bigg|big|larg|small|long|wid|narrow|high|low|dark|bright|light|heavi"
    "|old|young|thick|thin|steep|deep|fast|slow|strong|weak|great|few|loud|cold|hott|warm|dri"
)
"""The first letters of adjectives of size."""
COMPARED = re.compile(rf"\b(?:{SIZES})e(?:r|st)\b", re.IGNORECASE)
FARTHER = re.compile(r"\bf[au]rth(?:er|est)\b", re.IGNORECASE)
_REVERSED = re.compile(
    rf"{FARTHER.pattern}|\b(?:more|most) distant\b|\bbehind(?=[\s*]*(?:$|[.,;]))"
    r"|\b(?:greater|larger|longer) distance\b",
    re.IGNORECASE,
)
_NEARER = {"nearer", "closer", "nearest", "closest"}
_NOT = re.compile(r"\b(?:less|not|never)\b|n['’]t\b", re.IGNORECASE)


def is_reversed(sentence: str) -> bool:
    """Tell whether a sentence says of a choice that it is the farther one."""
    near = {found[0].lower() for found in COMPARED.finditer(sentence)} & _NEARER
    return not near and _REVERSED.search(sentence) is not None


def is_opposite(sentence: str, choices: tuple[str, ...]) -> bool:
    """Tell whether a sentence compares the other way round than all choices: "B is farther"."""
    closer = all(_NEARER & set(key) for key in prepare(choices).keys)
    return closer and is_reversed(sentence) and not _NOT.search(sentence)


def compares(sentence: str, choice: str) -> bool:
    """Tell whether a sentence compares as the choice does, if that does: "the sink is closer"."""
    own = {found[0].lower() for found in COMPARED.finditer(choice)}
    said = {found[0].lower() for found in COMPARED.finditer(sentence)}
    return not own or bool(own & said) or bool(own <= _NEARER and said & _NEARER)
