"""Compare an answer in free words or numbers with the solution, where no choices are offered.

says("There are 4 things: two vans, a bike and a bus", "4")      # True
says("9", r"9\\pi"), says("no, yes", "yes")                       # False, False
"""

import re
from collections.abc import Iterator

from vtkit.judging import naming, statements
from vtkit.judging.expressions import NUMBER
from vtkit.judging.matching import MAX_PHRASE, match_choice
from vtkit.judging.values import Value, read_value, rounds, same_quantity
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
    r".*\b(?:is|are|was|were|be|equals?|makes?|gives?|yields?|get|of|has|have|had|contains?|holds?"
    r"|reads?|takes?|obtain|becomes?|reach(?:es)?|amounts? to|covers?|measures?|weighs?|costs?"
    r"|shows?|uses|needs|wiegt|beträgt|ist|sind|est|answer|value|approximately|hence|therefore|thus)\b\s?:?"
    r"|.*[:：]\s|.*(?<![不没])[占是为有]",
    re.IGNORECASE | re.DOTALL,
)
_VAGUE = re.compile(
    r"[不没或非]"
    r"|\b(?:not|or|about|approximately|around|roughly|at least|at most|than|between)\b|n't\b",
    re.IGNORECASE,
)
_RIVAL = re.compile(
    r"\b(?:(?P<if>if|unless|otherwise|else|depending)|could|might|may|possibly|perhaps|equally)\b",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"(.*[\d½⅓-⅞²³¹⁰-⁹)}]\$?)\s[a-z]{3,}(?:\s[a-z]{3,})?\W*", re.DOTALL
)  # "2 + 3 = 5 cups"
_AMONG = re.compile(
    r"^((?:so |thus )?(?:there (?:are|is) |(?:we|i) (?:see|count|have|get) )?"
    r"(?:\w+ )?\w+(?: \w+){0,3}?)"
    r" (?:of the|on|in|at|inside|under|around|near|behind) (?=.*\d)(?!.*(?:,|\b(?:and|or)\b).*\d)",
    re.IGNORECASE,
)
_ILLUSTRATED = re.compile(
    r"(.*(?:√|π|\\sqrt|\\pi).*?)\s?\$?(?:≈|\\approx)\s?\$?-?\d+\.\d+\W*", re.DOTALL
)
_ROUGHLY = re.compile(
    r"\b(?:about|approximately|roughly|around|etwa|circa)\s(?=\d)|[≈~]\s?(?=\d)", re.IGNORECASE
)
_ROUGH_MEASURE = re.compile(
    r"\b(?:about|approximately|roughly|around|etwa|circa)\s(?=\d+[.,]\d|\d+\s?(?:%|percent|[ck]?m\b))",
    re.IGNORECASE,
)
_ROUNDED = re.compile(r",?\s(?:or|i\.e\.,?)\s(?:about|approximately|roughly)\s([^,;]{1,20})$")
_CLAIMED = re.compile(r"\b(?:is|are|was|were|equals?)\s\W?\d|=\s?\d")
_OPENING = re.compile(
    r"^(?:(?:then|now|next|finally|and)\b,?\s|[A-Z][A-Za-z ]{2,40}:\s"
    r"|(?:as|in|for|with|from|by|at|on|\w+ing)\b[^,.]{4,60},\s(?=[a-z]+ ))",
    re.IGNORECASE,
)
_TAIL = re.compile(r"\s(?:to|for|in|on|from|at)\s[^\d]*$")
# The last value of a sentence: its clauses, what only supports it, what leads to it and follows it.
_CLAUSES = re.compile(r"(?<!\s)[,;:，；：](?=\s)(?![^()\n]{0,40}\))(?:\s(?:and|so|but|then)\b)?")
_ASIDE = re.compile(
    r"\s*(?:because|since|as|which(?!\s(?:is|equals?|gives?|makes?|simplifies|reduces|comes|yields?)\b)"
    r"|where|with|given|if|when|including|instead|up|down|like|half"
    r"|compared|followed|the same|i\.e|\()(?!\w)",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r".*\b(?:is|are|was|were|equals?|makes?|gives?|yields?|leaves?|has|have|had|shows?|bears?|uses?"
    r"|requires?|needs?|costs?|reads?|measures?|weighs?|covers?|takes?|that['’]s|it['’]s|sold|(?!f?boxed)\w{3,}ed"
    r"|(?P<weak>year|number|by|at(?!\sleast|\smost)|to|up|only))\b(?=.*\d|.*\b[a-z]+)",
    re.IGNORECASE | re.DOTALL,
)
_DENIED = re.compile(r"\b(?:not|never|or)\b|n['’]t\b|不|没", re.IGNORECASE)
_RANGE = re.compile(r"\bfrom\b[^,]*\d[^,]*\bto\b|\d\s?[–—]\s?\d", re.IGNORECASE)
_REST = re.compile(
    r"(?:\s(?:to|for|in|on|from|at|of|per|as|than)\s(?:[^\d]*|(?:1[5-9]|20)\d\d)|\s(?:remains?|altogether|total|left))?[.!]*$"
)
_NUMBER = re.compile(rf"{NUMBER.pattern}(?:/\d+)?")
_MEASURED = re.compile(r"\d[\d.,]*\s?[A-Za-z°%/]+[²³]?")
_NOT_BUT = re.compile(r"\bnot\s[^,.;]{1,40},?\sbut\s", re.IGNORECASE)
_BOX = re.compile(r"\s*\$?\\f?boxed\s?\{(.*)\}\$?\s*", re.DOTALL)
_TEXT = re.compile(r"\\(?:text\w{0,2}|mathrm|mbox)\s?\{([^{}]*)\}")
_COUNTER = re.compile(r"(\d+)\s?[個个つ개台只枚本人명]")
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
_VERDICTS = {"yes", "no", "true", "false"}
_VERDICT = re.compile(
    r"\W*(yes|no|true|false)\s?[,.;:–—-]\s(?!(?:or|and|but|wait|maybe)\b)", re.IGNORECASE
)
_VERDICT_LAST = re.compile(r":\s\W*(yes|no|true|false)\W*$", re.IGNORECASE)
_MARKUP = re.compile(r"\\(?:text\w*|f?boxed|mathrm|mathbf|[()\[\],;! ])|[{}$`]|\*\*")
_DOUBT = re.compile(
    r"\W*(?:or|maybe|perhaps|possibly|probably|alternatively|not sure|unsure)\b", re.IGNORECASE
)
_SIGNS = re.compile(r"[\\^√∛π²³⁰¹⁴-⁹½⅓-⅞=<>≤≥≠±+*/×÷%]|\d\s?[-–−]\s?\w|\w\s?[-–−]\s?\d|\d!")


def says(answer: str, solution: str) -> bool:
    """Tell whether an answer is the solution: its words, or its value, and nothing else."""
    if len(answer) > MAX_PHRASE + 2 * len(solution):
        return False
    if boxed := _BOX.fullmatch(solution):
        solution = boxed[1]
    if counter := _COUNTER.fullmatch(solution):
        solution = counter[1]
    if _bare(answer) == _bare(solution):
        return True
    answer = _tidied(answer)
    if _is_conditional(answer):
        return False
    meant = read_value(solution)
    if re.fullmatch(r"\d+\.\d\d+", solution.strip()):
        answer = _ROUGHLY.sub("", answer)
    elif re.fullmatch(r"\d+\.\d", solution.strip()) or (meant and meant.unit):
        answer = _ROUGH_MEASURE.sub("", answer)
    elif illustrated := _ILLUSTRATED.fullmatch(answer):
        answer = illustrated[1]
    rounded = _ROUNDED.search(answer.rstrip(". "))
    if meant and rounded and (value := read_value(rounded[1])) and rounds(value, meant):
        answer = answer[: rounded.start()]
    if labelled := _LETTER.fullmatch(solution) or _LABELLED.fullmatch(solution):
        letter = _LETTER.fullmatch(answer) or _LABELLED.fullmatch(answer)
        if letter and not _other_letter(letter):
            return letter[1].upper() == labelled[1].upper()
        return bool(labelled.re is _LABELLED and labelled[2]) and says(answer, labelled[2])
    if meant is None:
        count = _COUNT.fullmatch(solution.strip())
        return _says_words(answer, solution) or bool(count and _bare(answer) == count[1])
    said = next(filter(None, map(read_value, _claims(answer))), None)
    if said is not None:
        return same_quantity(said, meant)
    closing = closing_value(answer)
    return _counts_to(answer, meant) or (closing is not None and says(closing, solution))


def states_value(sentence: str) -> bool:
    """Tell whether a sentence comes to one value: "That makes it 9"."""
    if len(sentence) > _MAX_CLAIM:
        return False
    sentence = _tidied(sentence)
    if any(map(read_value, _claims(sentence))):
        return True
    return len(_numbers(_first_clause(sentence) or "")) == 1


def ends_in_value(sentence: str) -> bool:
    """Tell whether a sentence comes to one value in the end: "which makes angle B 65°"."""
    return states_value(sentence) or closing_value(sentence) is not None


def is_verdict(sentence: str) -> bool:
    """Tell whether it is one word that has an opposite: "No." """
    return _bare(sentence) in _OPPOSITE


def _tidied(answer: str) -> str:
    """Without LaTeX's text, "not 8 but" before 9, and white space in 3 : 4."""
    answer = _NOT_BUT.sub("", _TEXT.sub(r" \1 ", answer)).replace("(s)", "s")
    return re.sub(r"(?<=\d)\s:\s(?=\d)", ":", answer)


def _is_conditional(answer: str) -> bool:
    """Tell whether an answer depends, or another may be as good: "12 if symmetric, else 6"."""
    rival = _RIVAL.search(answer)
    return bool(rival and (rival["if"] or _numbers(answer[rival.end() :])))


def _numbers(text: str) -> list[str]:
    return [word.text for word in words(text) if _NUMBER.fullmatch(word.text)]


def _bare(text: str) -> str:
    return " ".join(text.casefold().split()).strip(".*\"' ")


def _other_letter(label: re.Match[str]) -> bool:
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
    if counted := _COUNTED.fullmatch(clause):
        yield counted[1]
    claim = _CLAIM.match(clause)
    if claim and not _CLAIMED.search(claim[0]):  # "the radius is 5 and the diameter is 10"
        claimed = _TAIL.sub("", clause[claim.end() :]).strip().removeprefix("at ")
        yield claimed
        if counted := _COUNTED.fullmatch(claimed):
            yield counted[1]
    if clause.count("=") > 1:
        yield clause.rpartition("=")[2]


def _first_clause(answer: str) -> str | None:
    """The first clause, or a concluding one; None if the rest doubts it or is another answer."""
    answer = answer[:_MAX_CLAIM]
    if rest := statements.after_conclusion(answer, 0, len(answer)):
        answer = answer[rest[0] :]
    answer = _OPENING.sub("", answer.strip())
    short = _REMARK.sub("", answer)
    clause = _CUT.split(short, maxsplit=1)[0]
    for tail in (short.removeprefix(clause), answer.removeprefix(short)):
        other = next(filter(None, (part.strip() for part in _CUT.split(tail))), "")
        if _DOUBT.match(tail):
            return None  # "5, maybe 6"
        if (rival := read_value(other)) and not _is_restated(clause, rival):
            return None  # "5, 6"
    return clause


def closing_value(answer: str) -> str | None:
    """Return the value that a sentence ends in: "and so it fell by 15 units, as expected"."""
    clauses = _CLAUSES.split(answer[:_MAX_CLAIM])
    aside = next(
        (place for place, each in enumerate(clauses) if place and _ASIDE.match(each)), None
    )
    clauses = clauses[:aside]
    while clauses and not _numbers(clauses[-1]):
        clauses.pop()
    if not clauses:
        return None
    clause = clauses[-1]
    if len(clauses) > 1 and not _numbers(clauses[-2]):
        clause = clause.removeprefix(" or ")  # "by a fifth, or 20 percent"
    before, sign, value = clause.rpartition("=")
    if not sign:
        lead = _LEAD.match(value)
        before, value = value[: lead.end() if lead else 0], value[lead.end() if lead else 0 :]
        if _numbers(before) and (not lead or lead["weak"]):
            return None  # "from 5 to 6"
    rest = _REST.sub("", value)
    value = (rest if _numbers(rest) else value).strip()
    value = value[rough.end() :] if (rough := _ROUGH_MEASURE.match(value)) else value
    unsure = _VAGUE.search(value) or _DENIED.search(before) or _RIVAL.search(clause)
    if unsure or _RANGE.search(clause) or (not sign and len(_CLAIMED.findall(clause)) > 1):
        return None
    counted = _COUNTED.fullmatch(value)
    known = read_value(counted[1] if counted else value) or len(_numbers(value)) == 1
    return value if known and len(value) < len(answer.strip()) else None


def _is_restated(clause: str, rival: Value) -> bool:
    """Tell whether a value is that of the clause, said again: "3000 m (= 3 km)"."""
    value = read_value(clause)
    return value is not None and same_quantity(value, rival)


def _counts_to(answer: str, meant: Value) -> bool:
    """Tell whether the first clause counts to a number, and names no other: "4 red cubes"."""
    clause = _first_clause(answer)
    if clause and (among := _AMONG.match(clause)) and not _numbers(answer.partition(clause)[2]):
        clause = among[1]
    if clause is None or len(meant.items) > 1 or not NUMBER.fullmatch(meant.items[0]):
        return False
    if len(_numbers(clause)) > 1 or _SCALES.search(clause) or _SIGNS.search(clause):
        return False
    if meant.unit and (measured := _MEASURED.search(clause)) and (said := read_value(measured[0])):
        return same_quantity(said, meant)  # never 1.5 cm for 1.5 m
    return match_choice(clause, (meant.items[0],), lettered=False).choice == 0


def _says_words(answer: str, solution: str) -> bool:
    """Tell whether the words are the same; no sign of mathematics may be lost between them."""
    if _bare(solution) in _VERDICTS:
        opening = _VERDICT.match(answer) or _VERDICT_LAST.search(answer)
        opposite = "no|false" if _bare(solution) in ("yes", "true") else "yes|true"
        opposed = re.search(rf"\b(?:{opposite})\b(?!\s[a-z])", answer, re.IGNORECASE)
        if opening and opening[1].casefold() == _bare(solution) and not opposed:
            return True
    answer, solution = (_MARKUP.sub(" ", text).strip() for text in (answer, solution))
    if _SIGNS.search(solution) or _SIGNS.search(answer):
        return re.sub(r"\s", "", _bare(answer)) == re.sub(r"\s", "", _bare(solution))
    choices = (solution, *filter(None, (_OPPOSITE.get(_bare(solution)),)))
    if naming.names(answer, solution):
        return True
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
    said = [word.text for word in words(rest) if word.text[0].isalpha()]
    return 0 < len(said) <= 3 and not any(word in PLAIN | NEGATIONS | AFTER for word in said)
