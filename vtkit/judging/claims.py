"""What a sentence claims of a choice: that it is, that it is the best, that nothing else is left.

Here a sentence is read by itself; which of the sentences decides is for :mod:`vtkit.judging.prose`.
"""

import re
from itertools import islice

from vtkit.judging import statements
from vtkit.judging.choices import bare, prepare
from vtkit.judging.free import closing_value
from vtkit.judging.matching import MAX_PHRASE, Match, match_choice, mentioned, ruled_out
from vtkit.judging.nearness import COMPARED, FARTHER, SIZES, compares
from vtkit.judging.words import AFTER, ARTICLES, key_words, without_idioms

_MAX_VERBS = 4
_MAX_NAME = 7  # words
_MIN_DISTINCT = 2  # words of each choice
_MAX_ALONE = 12  # words of a sentence that is all of an answer
TENTATIVE = re.compile(
    r"\b(?:or|(?-i:may)|might|could|maybe|perhaps|possibly|probably|possible|either"
    r"|both(?!\s(?:conditions|criteria|requirements|clues|rules)))\b",
    re.IGNORECASE,
)
"""Words of a sentence that claims nothing."""
FIRST_LOOK = re.compile(
    rf"{TENTATIVE.pattern}"
    r"|\b(?:at first|initially|thought|first glance|seem(?:s|ed)|look(?:s|ed) like)\b",
    re.IGNORECASE,
)
"""Words of a first look that a "but" takes back."""
_PLAN = re.compile(
    r"\b(?:let(?:['’]s| me| us)|(?:i|we)(?:['’]ll|['’]d)? (?:will|would|need|want|should|have to"
    r"|must|can|look|start|check|compare)|should be \w+ed|needs? to be|look(?:ing|ed)? at"
    r"|compare[ds]?|consider|check|examine|first|next|others?|another)\b",
    re.IGNORECASE,
)
_INTENT = re.compile(
    r"\b(?:let(?:['’]s| me| us)|(?:i|we)(?:['’]ll|['’]d)? (?:will|would|need|want|should|have to"
    r"|must|check|compare)|needs? to be|compare[ds]?|consider|examine)\b",
    re.IGNORECASE,
)
# Where the choice is what a sentence says of its subject: "the wettest month is May".
_PREDICATE = re.compile(
    r"\b(?:(?<!there )(?<!here )(?:is|are|was|were)|be|está|shows?|depicts?"
    r"|corresponds?(?:\s\w+){0,2}\s(?:to|with)|belongs?\sto|falls?\s(?:in|into|within)|match(?:es)?|equals?|spells?|reads?|says?"
    r"|st(?:ands?|ood)|lies|lay|sits?|sat|hangs?|rests?|stays?|remains?|goes|went|mov(?:es|ed|ing)|travell?(?:s|ed|ing)"
    r"|(?:mov|travel|shift|rotat|turn|pann?)(?:es|s|ed|ing)\sto(?:wards?)?(?=\sthe\s)"
    r"|(?:causes?|leads?|makes?)\b[^.\n]{1,60}\sto|called|named|means|represents?|indicates?|becomes?|(?:would|will|must|should))\b"
    r"(?:\s(?:most|very|more)?\s?(?:likely|probably|clearly|therefore|then|thus|simply|called|named)"
    r"|\sthe\s+(?:one\s)?(?:for|labell?ed|marked)\b"
    r"|\smade\s(?:up\s|out\s)?(?:of|from)\b|\s(?:placed|located|found|taken)\s(?:at|in|on)\b)*",
    re.IGNORECASE,
)
_PREDICATE_END = re.compile(r"\s(?:in|on|at|of|from|with|for|by|to|among)\s|[,.;:(!]\s|[.!]$")
_KIND = re.compile(
    r"(?<=[\w–-]{3})\s(?:order|style|type|class|category|family|group|period|range|interval|bracket|zone|region|trait|change)$"
)  # "the Ionic order", "the 11-15 range"
_BEST = re.compile(
    r"\b(?:more|most|better|best|right one|correct one|the only|corresponds?|match(?:es)?"
    r"|fits?|applies|leads?|wins?|tops|(?:satisf(?:y|ies)|meets?|fulfil{1,2}s?) (?:both|all|every)"
    rf"|(?:{SIZES})e(?:r|st))\b",
    re.IGNORECASE,
)
_WORST = re.compile(r"\b(?:less|least|worse|worst|not)\b|n['’]t\b", re.IGNORECASE)
_WOULD = re.compile(r"\b(?:would|should)\b", re.IGNORECASE)
_NEGATED = re.compile(r"(?:\bnot|\bnever|\bcannot|n['’]t|\bhardly)\s\Z", re.IGNORECASE)
_CLAUSES = re.compile(r"[,;]\s(?:and|but|while|whereas|so|then)\s|;\s")
_PREMISE = re.compile(
    r"^(?:if|when|since|because|as|given|after|while|although|though)\s[^,.\n]{3,120},\s",
    re.IGNORECASE,
)
_CONCEDED = re.compile(r"^(?:while|although|though)\s[^,.\n]{3,120},\s", re.IGNORECASE)
_SETTING = re.compile(r"^(?:in|of|with|for|from|at|on|by|among)\s[^,.\n]{3,80},\s", re.IGNORECASE)
_FOLLOWED = re.compile(r",\s(?:followed by|ahead of|before|then)\s[^.]*", re.IGNORECASE)
_ONLY = re.compile(r"^(?:(?:so|and|but|then|thus)\s)?only\s", re.IGNORECASE)
_ABOUT_ANSWER = re.compile(r"\b(?:answer|option|choice|correct)\b", re.IGNORECASE)
OWN_LETTER = re.compile(r"\(\s?[A-J]\s?\)|\b[A-J]\)")
"""A letter in brackets: "(B)" or "B)"."""
_LABELLED = re.compile(r"^(?:the\s)?[a-z]+\s(?=[A-HJ-Z]\b)")  # "point B"; not the pronoun
_PLACE = re.compile(r"\W*(?:the\s)?(?:first|last)\W*$", re.IGNORECASE)
_COMMON = frozenset("of to on at in with by from for it is are was were be and or not".split())
_SAID_LAST = re.compile(
    r"(?:\b(?:is|are|was|be|of|as)\s(?:an?\s|the\s)?|[a-z],\sthe\s)$", re.IGNORECASE
)
_MEASURE = re.compile(r"\d\s?[A-Za-z°%]|\d\.\d")
_GUESS = re.compile(r"\b(?:guess|assume|não|nicht|kein\w{0,2}|pas|no se)\b", re.IGNORECASE)
_HAN_NEAREST = re.compile(
    r"(?:^|[,，、：:]|所以|因此|显然|可见)([\w\s]{1,12}?)\s?(?:离|距离|距)(?:相机|镜头|摄像机|观察者|我们)"
    r"(?:是)?(?:最|更)近(?=\W|的|$)"
)  # "the lamp is the nearest to the camera"
_THERE_IS = re.compile(r"(?:\bthere|^\W*here)(?:['’]s| is| are| was| were)\b", re.IGNORECASE)


def answers(sentence: str, choices: tuple[str, ...]) -> bool:
    """Tell whether a sentence answers the kind of question that has such choices, and means it.

    "There are 3 chairs" does; "three people are sitting" only mentions a number.
    """
    sentence = without_idioms(sentence)
    kind = prepare(choices).kind
    patterns = [_CLAIMS[kind], _OPTION_LETTER]
    if kind == "phrase":  # left, right, centre
        patterns.append(_CLAIMS["direction"])
    found = [match for pattern in patterns for match in pattern.finditer(sentence)]
    claimed = any(_is_named_after(sentence, match, choices) for match in found)
    return claimed and statements.is_meant(sentence)


def _is_named_after(sentence: str, claim: re.Match[str], choices: tuple[str, ...]) -> bool:
    """Tell whether an "it is" calls something a choice, or the best: not "it is made of wood"."""
    rest = sentence[claim.end() :]
    subject = claim[0].lower().startswith("it") and prepare(choices).kind == "thing"
    return not subject or bool(_BEST.search(rest) or mentioned(rest, choices))


def concludes(sentence: str, chosen: int, choices: tuple[str, ...]) -> bool:
    """Tell whether a conclusion is about the only choice that it names."""
    sentence = without_idioms(sentence)
    if prepare(choices).kind == "number":
        sentence = sentence.rpartition("=")[2]
    others = mentioned(sentence, choices) - {chosen}
    tentative = TENTATIVE.search(sentence) or _WORST.search(sentence)
    return not (tentative or others or _PLAN.search(sentence)) and statements.is_meant(sentence)


def closes(before: str, sentence: str, choices: tuple[str, ...]) -> Match | None:
    """The only choice that the last sentence of a text is about, where it asserts anything.

    It must be the last word ("this is typical of a pencil") or, if something stands before the
    sentence, a name of several words.
    """
    sentence = _CONCEDED.sub("", without_idioms(sentence).strip())
    unsure = TENTATIVE.search(sentence) or _INTENT.search(sentence) or _GUESS.search(sentence)
    if unsure or not statements.is_meant(sentence) or _THERE_IS.search(sentence):
        return None
    if measured := _measured(sentence, choices):
        return measured
    named = mentioned(sentence, choices)
    if not named:
        named = set() if ruled_out(sentence, choices) else _distinct(sentence, choices)
        return Match(named.pop(), "named") if len(named) == 1 else None
    index, place = prepare(choices), named.pop()
    if named or place is None:
        return None
    if index.kind == "number":
        ends = match_choice(sentence.rpartition("=")[2], choices) if "=" in sentence else None
        return ends if ends and ends.plain and ends.choice is not None else None
    if index.kind == "direction":
        return Match(place, "named") if ruled_out(sentence, choices) else None
    key, short = index.keys[place], len(sentence.split()) <= _MAX_ALONE
    if index.size == 2 and FARTHER.search(sentence):
        return None  # which of two is closer
    if not before:
        full = bool(short and not _WORST.search(sentence) and _opening(sentence, choices))
    else:
        full = len(key) > 1 and set(key) <= set(key_words(sentence))
    head = bare(sentence).removesuffix(index.texts[place])
    last = head != bare(sentence)
    if last and mentioned(before[-MAX_PHRASE:], choices) - {place}:
        last = bool(_SAID_LAST.search(head) or COMPARED.search(head))
    return Match(place, "named") if full or last else None


def _measured(sentence: str, choices: tuple[str, ...]) -> Match | None:
    """The choice with the value that a sentence ends in: "it holds 500 ml" is "0.5 l"."""
    if not _MEASURE.search("".join(choices)):
        return None
    share, of, rest = sentence.partition(" of ")
    shared = of and share.endswith(("%", "percent")) and not mentioned(rest, choices)
    value = share if shared else closing_value(sentence)
    match = match_choice(value, choices) if value else None
    if not match or not match.plain or mentioned(sentence, choices) - {match.choice}:
        return None
    return match if match.choice is not None else None


def _distinct(sentence: str, choices: tuple[str, ...]) -> set[int]:
    """The choices of which a word occurs that no other choice has: "to its right"."""
    keys = [set(key) for key in prepare(choices).keys]
    if _WORST.search(sentence) or min(map(len, keys)) < _MIN_DISTINCT:
        return set()
    said = {word for word in key_words(sentence) if len(word) > 1} - _COMMON
    return {
        place
        for place, key in enumerate(keys)
        if said & key.difference(*(other for other in keys if other is not key))
    }


def said_of_subject(
    whole: str, choices: tuple[str, ...], *, branches: bool = False
) -> Match | None:
    """The only choice in a sentence, if it is said of its subject or called the best.

    ``branches``: the text distinguishes cases, so what follows an "if" is no claim.
    """
    whole = without_idioms(whole[:MAX_PHRASE]).strip()
    if nearest := _HAN_NEAREST.search(whole):
        named = match_choice(nearest[1], choices)
        return named if named.plain and named.choice is not None else None
    sentence = _PREMISE.sub("", whole)
    if sentence != whole and (_ABOUT_ANSWER.search(sentence) or branches):
        return None  # "If it is upright, the answer is above"
    sentence = _FOLLOWED.sub("", _SETTING.sub("", sentence))
    before, but, rest = sentence.rpartition(", but ")
    sentence = rest if but and FIRST_LOOK.search(before) else sentence
    if not statements.is_meant(sentence) or TENTATIVE.search(sentence):
        return None
    clauses = _CLAUSES.split(sentence)
    found = [_predicate(clause, choices) or _subject(clause, choices) for clause in clauses]
    meant = {match.choice: match for match in found if match}
    left = [clause for clause in clauses if not _WORST.search(clause)]
    others = set().union(*(mentioned(clause, choices) for clause in left)) - set(meant)
    return next(iter(meant.values())) if len(meant) == 1 and not others else None


def _predicate(sentence: str, choices: tuple[str, ...]) -> Match | None:
    for verb in list(islice(_PREDICATE.finditer(sentence), _MAX_VERBS))[::-1]:
        if _NEGATED.search(sentence, 0, verb.start()):
            continue
        rest = sentence[verb.end() :]
        tail = _KIND.sub("", _PREDICATE_END.split(rest + " ", maxsplit=1)[0])
        match = match_choice(tail, choices)
        if _PLACE.match(rest):
            continue  # "it comes last"
        if match.plain and match.choice is not None:
            return match
        if opening := _opening(rest, choices):
            return opening
    return None


def _subject(sentence: str, choices: tuple[str, ...]) -> Match | None:
    best = _BEST.search(sentence) or _ONLY.match(sentence) or OWN_LETTER.search(sentence)
    if _WORST.search(sentence) or not best:
        return None
    index = prepare(choices)
    if index.kind == "direction" or _WOULD.search(sentence):
        return None
    if index.size == 2 and FARTHER.search(sentence):
        return None  # which of two is closer
    match = _opening(_ONLY.sub("", sentence), choices, whole=False)
    if match is None or match.choice is None:
        return None
    return match if compares(sentence, choices[match.choice]) else None


def _opening(phrase: str, choices: tuple[str, ...], *, whole: bool = True) -> Match | None:
    """The choice that a phrase begins with; ``whole``: where no noun follows."""
    words = _LABELLED.sub("", phrase.strip()).split()[: _MAX_NAME + 1]
    for count in range(min(len(words), _MAX_NAME), 0, -1):
        if whole and count < len(words) and not _ends_name(words[count - 1], words[count]):
            continue
        match = match_choice(" ".join(words[:count]), choices)
        if match.plain and match.choice is not None and words[:count] != ["A"]:
            return match
    return None


def _ends_name(last: str, follower: str) -> bool:
    """Tell whether a name ends before a word: "behind the bus", not "table lamp"."""
    return not last[-1].isalnum() or follower.strip("(*\"'").lower() in AFTER | ARTICLES


_CLAIMS = {
    "number": re.compile(
        r"\b(?:there(?:['’]s| is| are| were| was| would be)|here (?:is|are)"
        r"|(?:i|we|you) (?:can |could |only |just )?"
        r"(?:count(?:ed)?|see|saw|find|found|get|got|have)"
        r"|gives?|makes?|equals?|comes? to|adds? up to|total(?:s|ling)?|altogether|in total|in all"
        r"|(?:image|picture|photo|scene|it) (?:shows?|contains?|has|depicts?|features?|includes?)"
        r"|(?:number|count|sum|answer)\b[^.]{0,60}\b(?:is|are|be)"
        r"|visible|(?:in|of) (?:the|this) (?:image|picture|photo|scene))\b",
        re.IGNORECASE,
    ),
    "direction": re.compile(
        r"\b(?:(?:is|are|was|were|be|it['’]s|appears?|seems?|lies?|sits?|stands?|hangs?|looks?|rests?"
        r"|stays?|floats?|goes|(?:mov|turn|rotat|shift|pann?|travell?|swing|swung)(?:es?|s|ed|ing)?|went)(?:\s(?:\w+ly|\w+ing|located|positioned|placed|situated|found|to"
        r"|be|on|at|in|towards?|the|its|far|just|more|a bit|a little|upper|lower|also|up))*"
        r"|find(?:\s\w+){1,4}\s(?:on|to|at)\sthe)\s(?:left|right|above|below)\b"
        r"|\b(?:vers|hacia|nach|para|verso)\s(?:l?a\s)?(?:gauche|droite|links|rechts|izquierda"
        r"|derecha|esquerda|direita)\b"
        r"|[向往朝在][左右](?=[侧边面方移转平]|\W|$)",
        re.IGNORECASE,
    ),
    "thing": re.compile(
        r"\b(?:closer|closest|nearer|nearest|in front|foreground|short(?:er|est)|smaller distance"
        r"|answer|correct|it(?:['’]s| is| was| must be))\b",
        re.IGNORECASE,
    ),
    "phrase": re.compile(
        r"\b(?:is|are|was|were|be|it['’]s|has|have|yes|no|would|can)\b", re.IGNORECASE
    ),
}
_OPTION_LETTER = re.compile(r"\b(?:option|choice|letter)\s\(?[a-j]\b", re.IGNORECASE)
