"""Compare an answer in free words or numbers with the solution, where no choices are offered.

says("There are 4 things: two vans, a bike and a bus", "4")      # True
says("9", r"9\\pi"), says("no, yes", "yes")                       # False, False
"""

import re
from collections.abc import Iterator

from vtkit.judging import statements
from vtkit.judging.expressions import NUMBER
from vtkit.judging.matching import MAX_PHRASE, match_choice
from vtkit.judging.values import Value, read_value, same_value
from vtkit.judging.words import AFTER, NEGATIONS, PLAIN, words

_MAX_CLAIM = 200
_LABELLED = re.compile(
    r"[\s*(\[]*(?:(?:option|choice|answer)\s{1,3})?[(\[]?\s?([A-Za-z])\s?(?:[)\].:、．]|\s[-–—])[\s*:]*(.*)",
    re.DOTALL | re.IGNORECASE,
)
_LETTER = re.compile(
    r"[\s*(\[]*(?:(?:option|choice|answer)\s{1,3})?[(\[]?\s?([A-Za-z])\s?[)\].*]{0,3}\s*",
    re.IGNORECASE,
)
_REMARK = re.compile(r"\s[(\[][^()\[\]]{3,300}[)\]]\W*$")
_CUT = re.compile(
    r"[,;:!?。，；：](?=\s|$)|\.(?=\s|$)|\n|\s(?=(?:because|since|as|which|where|with|given)\s)",
    re.IGNORECASE,
)
_CLAIM = re.compile(
    r".*\b(?:is|are|was|were|be|equals?|makes?|gives?|yields?|get|of|has|have|had|answer|value|approximately)\b\s?:?|.*[:：]\s",
    re.IGNORECASE | re.DOTALL,
)
_VAGUE = re.compile(
    r"\b(?:not|or|about|approximately|around|roughly|at least|at most|than|between)\b|n't\b",
    re.IGNORECASE,
)
_RIVAL = re.compile(
    r"\b(?:(?P<if>if|unless|otherwise|else|depending)|could|might|may|possibly|perhaps|equally)\b",
    re.IGNORECASE,
)
_CLAIMED = re.compile(r"\b(?:is|are|was|were|equals?)\s\W?\d|=\s?\d")
_OPENING = re.compile(r"(?:then|now|next|finally|and)\b,?\s", re.IGNORECASE)
_COUNT = re.compile(r"(\d+(?:\.\d+)?) [A-Za-z]+(?: [A-Za-z]+)?")
_SCALES = re.compile(
    r"\b(?:hundred|thousand|million|billion|trillion|dozen|half|quarters?|thirds?)s?\b",
    re.IGNORECASE,
)
_OPPOSITE = {
    "yes": "no",
    "no": "yes",
    "true": "false",
    "false": "true",
    "left": "right",
    "right": "left",
}
_OPPOSITE |= {"above": "below", "below": "above"}
_MARKUP = re.compile(r"\\(?:text\w*|f?boxed|mathrm|mathbf|[()\[\],;! ])|[{}$`]|\*\*")
_DOUBT = re.compile(
    r"\W*(?:or|maybe|perhaps|possibly|probably|alternatively|not sure|unsure)\b", re.IGNORECASE
)
_SIGNS = re.compile(r"[\\^√∛π²³⁰¹⁴-⁹½⅓-⅞=<>≤≥≠±+*/×÷%]|\d\s?[-–−]\s?\w|\w\s?[-–−]\s?\d|\d!")


def says(answer: str, solution: str) -> bool:
    """Tell whether an answer is the solution: its words, or its value, and nothing else."""
    if len(answer) > MAX_PHRASE + 2 * len(solution):
        return False
    if _bare(answer) == _bare(solution):
        return True
    if _is_conditional(answer):
        return False
    if labelled := _LETTER.fullmatch(solution) or _LABELLED.fullmatch(solution):
        letter = _LETTER.fullmatch(answer) or _LABELLED.fullmatch(answer)
        if letter and not _other_letter(letter):
            return letter[1].upper() == labelled[1].upper()
        return bool(labelled.re is _LABELLED and labelled[2]) and says(answer, labelled[2])
    meant = read_value(solution)
    if meant is None:
        count = _COUNT.fullmatch(solution.strip())
        return _says_words(answer, solution) or bool(count and _bare(answer) == count[1])
    said = next(filter(None, map(read_value, _claims(answer))), None)
    if said is not None:
        return same_value(said, meant)
    return _counts_to(answer, meant)


def states_value(sentence: str) -> bool:
    """Tell whether a sentence comes to one value: "That makes it 9"."""
    if len(sentence) > _MAX_CLAIM:
        return False
    if any(map(read_value, _claims(sentence))):
        return True
    return len(_numbers(_first_clause(sentence) or "")) == 1


def _is_conditional(answer: str) -> bool:
    """Tell whether an answer depends, or another may be as good: "12 if symmetric, else 6"."""
    rival = _RIVAL.search(answer)
    return bool(rival and (rival["if"] or _numbers(answer[rival.end() :])))


def _numbers(text: str) -> list[str]:
    return [word.text for word in words(text) if NUMBER.fullmatch(word.text)]


def _bare(text: str) -> str:
    return " ".join(text.casefold().split()).strip(".*\"' ")


def _other_letter(label: re.Match) -> bool:
    """Tell whether a label's explanation goes on to name another letter: "A and B"."""
    rest = label[2] if label.re is _LABELLED else ""
    return bool(re.match(r"\W*(?:or|and)\b|.*(?<![\w.])[(]?[A-H][).](?=\s|$)", rest, re.DOTALL))


def _claims(answer: str) -> Iterator[str]:
    """What an answer may come to, from all of it to what its first clause ends in."""
    yield answer[:_MAX_CLAIM]
    if rest := statements.after_conclusion(answer, 0, min(len(answer), _MAX_CLAIM)):
        yield answer[rest[0] :].strip()
    clause = _first_clause(answer)
    if clause is None or _VAGUE.search(clause):
        return
    yield clause
    claim = _CLAIM.match(clause)
    if claim and not _CLAIMED.search(claim[0]):  # "the radius is 5 and the diameter is 10"
        yield clause[claim.end() :]


def _first_clause(answer: str) -> str | None:
    """The first clause, or a concluding one; None if the rest doubts it or is another answer."""
    answer = answer[:_MAX_CLAIM]
    if rest := statements.after_conclusion(answer, 0, len(answer)):
        answer = answer[rest[0] :]
    answer = _OPENING.sub("", answer.strip())
    short = _REMARK.sub("", answer)
    clause = _CUT.split(short, maxsplit=1)[0]
    for rest in (short.removeprefix(clause), answer.removeprefix(short)):
        other = next(filter(None, (part.strip() for part in _CUT.split(rest))), "")
        if _DOUBT.match(rest) or read_value(other):  # "5, maybe 6"; "5, 6"
            return None
    return clause


def _counts_to(answer: str, meant: Value) -> bool:
    """Tell whether the first clause counts to a number, and names no other: "4 red cubes"."""
    clause = _first_clause(answer)
    if clause is None or len(meant.items) > 1 or not NUMBER.fullmatch(meant.items[0]):
        return False
    if len(_numbers(clause)) > 1 or _SCALES.search(clause) or _SIGNS.search(clause):
        return False
    return match_choice(clause, (meant.items[0],), lettered=False).choice == 0


def _says_words(answer: str, solution: str) -> bool:
    """Tell whether the words are the same; no sign of mathematics may be lost between them."""
    answer, solution = (_MARKUP.sub(" ", text).strip() for text in (answer, solution))
    if _SIGNS.search(solution) or _SIGNS.search(answer):
        return re.sub(r"\s", "", _bare(answer)) == re.sub(r"\s", "", _bare(solution))
    choices = (solution, *filter(None, (_OPPOSITE.get(_bare(solution)),)))
    for clause in (answer, _REMARK.sub("", answer), _CUT.split(answer, maxsplit=1)[0]):
        match = match_choice(clause, choices, lettered=False)
        if match.plain:
            rest = answer.removeprefix(clause)
            other = match_choice(rest, choices, lettered=False)
            named = other.choice == 1 or other.why in ("hedge", "several") or _is_name(rest)
            return match.choice == 0 and not named
    return False


def _is_name(rest: str) -> bool:
    """Tell whether what follows a clause may be another answer: a few words that claim nothing."""
    said = [word.text for word in words(rest) if word.text[0].isalnum()]
    return 0 < len(said) <= 3 and not any(word in PLAIN | NEGATIONS | AFTER for word in said)
