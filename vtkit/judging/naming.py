"""Tell whether a sentence names the solution and says nothing else of its subject.

names("The plate reads KLM 4821.", "KLM 4821")     # True
names("The dog is brown.", "brown")                 # False: what was asked may be another thing
"""

import re

from vtkit.judging.words import key_words

_MAX_SENTENCE = 200
_UNSURE = re.compile(
    r"\b(?:not|never|or|if|unless|otherwise|else|depending|could|might|may|maybe|perhaps|possibly"
    r"|probably|equally|alternatively|unsure)\b|n['’]t\b|不|没",
    re.IGNORECASE,
)
_NAMING = re.compile(
    r"(?:the|this|that|it|he|she|they|we|i|its|his|her|in|on)\b[^.,;:!?\n]*?\s"
    r"(?:(?P<is>is|are|was|were)(?!\s\w+ing\b)|reads?|says?|shows?|spells?"
    r"|(?:is|are) (?:wearing|holding|riding|carrying|using|eating|playing)"
    r"|wears?|holds?|called|named)"
    r":?\s(?!not\b)(?=[\w\"'“*])",
    re.IGNORECASE,
)
_NAME_END = re.compile(
    r"[.!]*$|,\s(?=(?:which|who|as|because|since)\s)|\s[(\[]"
    r"|,\s(?=(?:the|an?)\s(?:(?-i:[a-z]+)\s){2,4}?(?:of|from|in|with|that|which)\s)"
    r"|[*\"'”]?\s(?=(?:around|on|in|at|over|with|from|under|near|of the)\s)",
    re.IGNORECASE,
)  # what follows a name: ", the sixth planet", "around its neck"


def names(answer: str, solution: str) -> bool:
    """Tell whether a sentence says nothing else of its subject: "The sign reads KLM 4821."."""
    verb = _NAMING.match(answer[:_MAX_SENTENCE])
    if verb is None or _UNSURE.search(answer):
        return False
    said = _NAME_END.split(answer[verb.end() :].strip(), maxsplit=1)
    noun = (
        not verb["is"] or not solution[:1].islower() or solution.startswith(("a ", "an ", "the "))
    )
    return noun and key_words(said[0]) == key_words(solution)  # not "the dog is brown"
