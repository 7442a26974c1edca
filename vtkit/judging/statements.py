"""Find where a text states an answer in words: "the answer is left", a box, bold, a sentence.

Only places are found here, not which choice they name (:mod:`vtkit.judging.matching`).
"""

import re
from itertools import islice

from vtkit.judging.tags import Span

_TAIL = 10_000  # characters at the end of a text that are read; bounds the time
_MAX_STATEMENTS = 60  # the last ones; more are a loop

_ANSWER = r"(?:a(?:nsw|nws|snw|sw|ns|nw)(?:er|re|r|e))"  # with a letter missing or swapped
_WEAK = r"option|choice|selection|pick|response|result|solution|verdict|conclusion|prediction"
_NOUN = rf"(?:{_ANSWER}|ans|(?P<weak>{_WEAK}))"
_SAID = re.compile(
    rf"(?<![^\W_]){_NOUN}(?:\s(?:to|for)\s\w{{1,5}}\s\w{{0,12}}|\shere)?"
    r"[*_`\"]{0,3}(?:\s{1,3}(?P<is>is|was|stays|remains|(?:would|should|must|will|has\sto)\sbe)\b"
    r"\s{0,3}:?|\s{0,3}(?:=|:|->|→|[-–—](?=\s)))"
    rf"|\b{_ANSWER}[*_`\"]{{0,3}}\s{{0,3}}\n"
    rf"|\b(?:{_ANSWER}|ans\.)\s{{1,3}}(?=[(\[]?\s?[a-z]\s?[)\]])"
    r"|\b(?:correct|right|best)\s(?:one|object|item|thing)\sis\b\s?:?"
    r"|\b(?P<total>total)(?:\snumber)?(?:\sof\s[\w\s]{1,40})?[*_]{0,3}\s?(?::|=|\sis\b)"
    r"|\bI(?:['’]ll|['’]d|\swould|\swill|)\s(?:choose|pick|select|answer|say|prefer|take|opt\sfor|go\s(?:with|for))\b\s?:?"
    r"|(?:答え|正解)(?:は|:)?|(?:정답|답)(?:은|:)\s?|(?:ответ|antwort|respuesta|réponse|risposta|resposta)[*]{0,2}(?:\s?:|\slautet\b)"
    # the same in the languages that Qwen2-VL slips into
    r"|(?:答案|故选|所以选|应选|应该选|我选)(?:应该)?(?:是|为|:|：)?|选项?(?:是|为)"
    r"|(?:选择|[应我故]?选)\s?(?=[(（]?[A-J](?![A-Za-z]))"
    r"|(?P<listed>选项)(?=\s?[(（]?[A-J])"
    r"|\b(?:nearest|closest|corresponds?|matches|points?)\s(?:to\s)?(?=option\s\(?[A-J]\b)"
    r"|\b(?:la|die|a)\s(?:\w{3,9}\s)?(?:respuesta|réponse|risposta|antwort|resposta)"
    r"(?:\s\w{1,12})?\s(?:es|est|è|ist|é)\b\s?:?",
    re.IGNORECASE,
)
_SAID_AFTER = re.compile(
    r"\s(?:is|would be)\s{1,3}(?:(?:the|my|our)\s(?:correct\s|right\s|best\s|final\s)?"
    r"(?:answer|option|choice)\b"
    r"|(?:the\s)?(?:correct|right)(?:\s(?:one|answer|option|choice))?(?=[.!\s]*$|[.!]\s|\n))",
    re.IGNORECASE,
)
# Before a statement in its sentence, these make it somebody else's, or no statement.
_NOT_MEANT = re.compile(
    r"^\W*(?:had|were)\s(?:the|it|we|i|there|they|one|this|that|all)\b"
    r"|\b(?:if(?!\si\s(?:must|ha(?:ve|d)\sto)\s(?:choose|pick|decide)\b)|unless|whether"
    r"|(?:do not|don['’]?t|not) (?:think|believe|say)|doubt that|assuming"
    r"|otherwise|else|none of|neither of"
    r"|suppos\w+|for example|e\.g\.|in the (?:form|format)|formatted"
    r"|(?:some|others?|people|users?|(?:some|any|every)(?:one|body)|who|one|you|they|he|she|we"
    r"|\w+ model)\s"
    r"(?:\w+\s){0,3}?(?:say|said|think|thought|argue|claim|believe|guess|expect|assume|conclude"
    r"|suggest|object)\w*)\b",
    re.IGNORECASE,
)
_TICK = re.compile(r"(?:✅|✔|✓|☑|\[[xX]\])\ufe0f?")
CROSS = re.compile(r"[❌✗✘❎]\ufe0f?|\[\s?\]")
_ADJECTIVE = re.compile(r"\b(?:correct|right|final|best|my|our|the)[*_\s]*$", re.IGNORECASE)
_EACH = re.compile(
    r"\b(?:each|every|all|both|other|another|following|first|second|third|fourth|next|wrong|incorrect"
    r"|remaining|these|those|given|step|worked|sample)[*_\s]*$",
    re.IGNORECASE,
)
CODE = re.compile(r"```(?:py|js(?!on)|java|c|sh|bash|sql)\w*\n.{,2000}?(?:```|\Z)", re.DOTALL)
_LETTERED = re.compile(r"[\s*-]*\(?[A-J](?:[).:]|\s?[\s*:-]*$)")
_CHECKED = re.compile(r"\W*(?:to\s)?(?:check|verif)", re.IGNORECASE)
_BOXED = re.compile(r"\\(?:f?boxed|fbox)\s?\{")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
# A full stop after a single letter does not end "B. left", unless a sentence begins there.
_OPENERS = (
    r"The|This|That|These|It|There|Here|Since|Because|As|Actually|Wait|However|But|Hmm+|Sorry|Note"
    r"|Explanation|Based|Looking|From|I|We|So|Therefore|Thus|Hence|No|My|Both|Option|Answer|All"
)
_END = re.compile(
    rf"(?<=[A-Za-z])[.!](?=\s+(?-i:{_OPENERS})\b)"
    r"|,\s?[\"']\w+[\"']\s?:|\}"
    r"|(?<![\s(*][A-Za-z])(?<!^[A-Za-z])[.!。](?=\s|$|[*\"'])|。|\sover\s|\n|;|</?(?:p|div|li|td|tr|h\d|br|body)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w")
_LABEL = re.compile(
    r"[\s*_`]*(?:(?:option|choice|answer)\s{1,3})?([(\[]\s?[A-Ja-j]\s?[)\]]|[A-J])[*_`]{0,3}"
    r"(?:\s?[.:)–—-](?=\s)|(?<=[)\]])\s|\s?\n|,?\s(?=because|since|as\s))",
)
_OTHER_LABEL = re.compile(r"[(\[]\s?[A-Ja-j]\s?[)\]]|(?<!\w)[A-J][.)](?=\s)|\b(?:or|and)\s[A-J]\b")
_ENDED = re.compile(r"[.!?。$)\]}*\"'”’`>|✅❌]$|\d\s?[A-Za-z°%²³]{0,3}$")
_SENTENCE = re.compile(r"[^.!?。\n]+(?:(?:[.!?]+(?![\s*]|$)|(?<=\s[A-H])\.)[^.!?。\n]+)*[.!?。]*")
_FALSE = (
    r"(?:that|this|it)(?:['’]s| is| was) (?:wrong|incorrect|not (?:right|correct|true))"
    r"|(?:that|this|it) (?:cannot|can['’]?t|could not|couldn['’]t) be (?:right|correct|true)"
)
_TAKEN_BACK = (
    r"scratch that|(?:take|taking) (?:that|it|this) back|mistaken?|i was wrong|not so sure|"
    r"no longer sure|(?:cannot|can['’]?t) decide|"
    r"(?:ignore|disregard|forget|discard|withdraw) (?:\w+ ){0,3}"
    r"(?:answer|block|above|that|it|reply)"
    r"|start(?:ing)? over|" + _FALSE
)
RETRACTION = re.compile(rf"\b(?:{_TAKEN_BACK})", re.IGNORECASE)
CORRECTION = re.compile(
    rf"\b(?:{_TAKEN_BACK}|wait|actually|corrections?|correcting|sorry|on second thoughts?|instead"
    r"|reconsider\w*|changed? my mind|let me (?:re|correct|check)|(?<=[\w.,;!?)…] )no,|hmm|oops"
    r"|rather|edit:"
    r"|should have been|i meant?|hold on|mixed (?:it |them )?up|misread|looking again"
    r"|once more|except that|on checking|second (?:look|glance)"
    r"|re-?(?:count|check|examin|evaluat|think|look)\w*)",
    re.IGNORECASE,
)
CONCLUSION = re.compile(
    r"\b(?:so(?! (?:is|are|was|does|do|far|close|that|much|many|on)\b)|thus|therefore|hence"
    r"|(?<!and )final(?:ly)?|conclu\w+|in summary|to sum up|overall|consequently"
    r"|accordingly|ultimately|as a result|(?:this|that|which) (?:means|gives|makes)|means that"
    r"|(?<=, )that (?:would|must) be(?= the\b)|in total|total"
    r"|altogether|in short|donc|damit|daher|somit|folglich|por (?:lo )?tanto|así que|portanto"
    r"|quindi"
    r"|поэтому|значит|следовательно)\b[,:]?"
    r"|(?:所以|因此|一共|总共|因而|总之|따라서|그러므로|したがって|よって)[,、:]?",
    re.IGNORECASE,
)


def find_stated(text: str, start: int, end: int) -> list[tuple[int, int, str]]:
    """Find the ``(start, end, kind)`` of explicit statements, in order.

    Kinds: ``boxed``; ``statement``; ``ticked``; ``weak``, where it may be a heading or a step.

    Words of other people and after an "if" are not statements of the completion.
    """
    start = max(start, end - _TAIL)
    found = [(*_box(text, match.end(), end), "boxed") for match in _all(_BOXED, text, start, end)]
    code = [fence.span() for fence in CODE.finditer(text, start, end)]
    statements = [
        match
        for match in _all(_SAID, text, start, end)
        if not _is_heading(text, match)
        and not any(low < match.start() < high for low, high in code)
    ]
    for match in statements:
        if _is_meant(text, start, match.start()):
            kind = "weak" if _is_weak(text, match) else "statement"
            found.append((*_rest(text, match.end(), end), kind))
    ends = {match.end() for match in statements}
    for match in _all(_SAID_AFTER, text, start, end):
        before = max(match.start() - 120, start)
        cut = max(text.rfind(mark, before, match.start()) for mark in ".\n;:!?>,")
        also_stated = ends & set(range(match.start(), match.end()))  # "the answer is right"
        if not also_stated and _is_meant(text, start, match.start()):
            found.append((max(cut + 1, before), match.start(), "statement"))
    found += [(*tick, "ticked") for tick in _ticked(text, start, end)]
    return sorted(span for span in found if text[span[0] : span[1]].strip())


def _is_weak(text: str, said: re.Match[str]) -> bool:
    """Tell whether it may be a heading or a step: "Result: 5", "Total: 2 + 3"."""
    if said["total"] or said["listed"]:
        return True
    before = text[max(said.start() - 20, 0) : said.start()]
    return bool(said["weak"] and not said["is"] and not _ADJECTIVE.search(before))


def _is_heading(text: str, said: re.Match[str]) -> bool:
    """Tell whether a list follows, not an answer: "each option:", "Solution:" and a line break."""
    if not said["weak"] or said["is"]:
        return False
    before = text[max(said.start() - 20, 0) : said.start()]
    below = text[said.end() : said.end() + 20].lstrip(" \t*_`").startswith("\n")
    return bool(_EACH.search(before) or (below and not _ADJECTIVE.search(before)))


def is_meant(sentence: str) -> bool:
    """Tell whether a sentence, or its beginning, is meant: no question, no if, no comment."""
    sentence = sentence.strip()
    if sentence.endswith("?") or sentence.startswith(("//", "/*")):
        return False
    return _NOT_MEANT.search(sentence) is None


def _is_meant(text: str, start: int, place: int) -> bool:
    before = text[max(start, place - 160) : place]
    cut = max(before.rfind(mark) for mark in (". ", "\n", "! ", "? ", ".</", "> "))
    return is_meant(before[cut + 1 :])


def _ticked(text: str, start: int, end: int) -> list[Span]:
    """The text next to the only tick mark, if there is only one."""
    ticks = list(islice(_TICK.finditer(text, start, end), 2))
    if len(ticks) != 1:
        return []
    low, high = max(ticks[0].start() - 80, start), min(ticks[0].end() + 80, end)
    low = max(low, text.rfind("\n", low, ticks[0].start()) + 1)
    high = min(high, (text + "\n").index("\n", ticks[0].end()))
    crosses = list(CROSS.finditer(text, low, high))
    before = max((cross.end() for cross in crosses if cross.end() <= ticks[0].start()), default=low)
    after = min(
        (cross.start() for cross in crosses if cross.start() >= ticks[0].end()), default=high
    )
    if _CHECKED.match(text, before, ticks[0].start()):
        return []
    if _LETTERED.match(text, before, ticks[0].start()):
        return [(before, ticks[0].start())]
    sides = [(before, ticks[0].start()), (ticks[0].end(), after)]
    return sorted(sides, key=lambda span: len(text[slice(*span)].strip()))[-1:]


def find_bold(text: str, start: int, end: int) -> list[Span]:
    """Find text in bold (``**left**``), in order."""
    found = _all(_BOLD, text, max(start, end - _TAIL), end)
    return [match.span(1) for match in found if match[1].strip()]


def find_sentences(text: str, start: int, end: int) -> list[Span]:
    """Find sentences and lines, in order."""
    return [match.span() for match in _all(_SENTENCE, text, max(start, end - _TAIL), end)]


def after_conclusion(text: str, start: int, end: int) -> Span | None:
    """The text after the last "so", "therefore", "in total", ... that is followed by any."""
    for cue in reversed(list(islice(CONCLUSION.finditer(text, start, end), 20))):
        if _WORD.search(text, cue.end(), end):
            return cue.end(), end
    return None


def labelled(text: str, start: int, end: int) -> tuple[Span, Span] | None:
    """Letter and explanation of a phrase such as "C. There are 3 zebras", if it is one."""
    label = _LABEL.match(text, start, end)
    if label is None or _OTHER_LABEL.search(text, label.end(), end):
        return None
    return label.span(1), (label.end(), end)


def is_cut_off(text: str) -> bool:
    """Tell whether a text stops in the middle of a sentence."""
    return _ENDED.search(text[-40:].rstrip()) is None


def _all(pattern: re.Pattern[str], text: str, start: int, end: int) -> list[re.Match[str]]:
    return list(pattern.finditer(text, start, end))[-_MAX_STATEMENTS:]


def _box(text: str, start: int, end: int) -> Span:
    """From an opening brace to the one that closes it; an empty span if none does."""
    depth = 1
    for place in range(start, min(end, start + 200)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return start, place
    return start, start


def _closes_brace(text: str, place: int) -> bool:
    return text[place] == "}" and text.count("{", 0, place) > text.count("}", 0, place)


def _rest(text: str, start: int, end: int) -> Span:
    """The text after "the answer is", up to the end of the sentence."""
    window = text[start : min(end, start + 200)]
    skipped = len(window) - len(window.lstrip(' \t\n*_`":>'))
    window = window[skipped:]
    stops = (stop.start() for stop in _END.finditer(window, 1))
    stop = next((stop for stop in stops if not _closes_brace(window, stop)), len(window))
    return start + skipped, start + skipped + stop
