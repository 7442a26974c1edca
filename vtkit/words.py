"""The words of an answer, made comparable.

More than ``text.lower().strip()``: accents, compatibility forms and LaTeX fall away, number words
become digits, plurals singulars; and a letter that stands in brackets ("(B)", "b)") is told from a
word. Normalising is what lets "The Lamps." be "lamp" and keeps "1" from "11".

    key_words("The twenty-one lamps.")      # ("21", "lamp")
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

ARTICLES = frozenset({"a", "an", "the"})
NUMBER = re.compile(r"-?\d+(?:[.,/]\d+)*")


class Word(NamedTuple):
    """text: normalised, or a punctuation mark, or ``@`` for a letter in brackets.

    letter: ``a`` to ``z`` if the word is one letter, which may name an option.
    """

    text: str
    letter: str = ""


_NUMBER_WORDS = {
    word: str(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
} | {
    word: str(10 * tens)
    for tens, word in enumerate("thirty forty fifty sixty seventy eighty ninety".split(), start=3)
}
# Cyrillic letters that look Latin, in a word that has Latin ones too, are read as they look.
_LOOKALIKES = str.maketrans("аеорсхуіјѕһ", "aeopcxyijsh")
_MIXED = re.compile(r"\w*(?:[a-z][\u0430-\u045f]|[\u0430-\u045f][a-z])\w*", re.IGNORECASE)
_NUMBER_WORDS |= {"dozen": "12", "single": "1"}
_IRREGULAR = {
    many: one
    for one, many in (
        pair.split()
        for pair in (
            "shelf shelves,knife knives,leaf leaves,loaf loaves,scarf scarves,half halves,"
            "person people,person persons,man men,woman women,child children,mouse mice,foot feet,"
            "tooth teeth,goose geese,bus buses,potato potatoes,tomato tomatoes"
        ).split(",")
    )
}
_LATEX = re.compile(r"\\[a-zA-Z]+\*?|\\[()\[\]]|[${}]")
_TOKEN = re.compile(
    r"[(\[]\s{0,2}(?P<bracketed>[A-Za-z])\s{0,2}[)\]]"
    r"|(?<![\w'])(?P<closed>[A-Za-z])\s?[)\]]"
    r"|(?<![\w.)])-\d+(?:[.,/]\d+)*|\d+(?:[.,/]\d+)+"
    r"|[^\W_]+(?:'[^\W_]+)*"
    r"|[,;:.?!=~≈<>≥≤\n&+]"
)


def words(text: str) -> list[Word]:
    """Words and punctuation marks of a text, in order, articles included."""
    found: list[Word] = []
    for match in _TOKEN.finditer(_plain(text)):
        raw = match.group()
        letter = match["bracketed"] or match["closed"]
        if letter:
            found.append(Word("@", letter.lower()))
            continue
        word = _fold(raw)
        tens = found[-1].text if found else ""
        if raw.casefold() in _NUMBER_WORDS and word in "123456789" and tens in _TENS:
            found[-1] = Word(tens[0] + word)  # "twenty-one"
        else:
            found.append(Word(word, raw.lower() if len(raw) == 1 and raw.isalpha() else ""))
    return found


_TENS = frozenset(str(tens) for tens in range(20, 100, 10))


def key_words(text: str) -> tuple[str, ...]:
    """The words alone, without articles and punctuation: equal for equal answers."""
    kept = tuple(
        word.letter if word.text == "@" else word.text
        for word in words(text)
        if word.text[0].isalnum() or word.text[0] in "@-"
    )
    return tuple(word for word in kept if word not in ARTICLES) or kept


def _plain(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).replace("’", "'").replace("−", "-")
        text = "".join(char for char in text if not unicodedata.combining(char))
        text = _MIXED.sub(lambda word: word[0].translate(_LOOKALIKES), text)
    return _LATEX.sub(" ", text)


@lru_cache(maxsize=8192)
def _fold(raw: str) -> str:
    """One word in lower case, number words as digits, plurals as singulars."""
    word = raw.casefold()
    if word in _NUMBER_WORDS:
        return _NUMBER_WORDS[word]
    if word[0].isdigit() or word[0] == "-":
        return _fold_number(word)
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if "'" in word or len(word) < 4:
        return word
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return word[:-2] + "y" if word.endswith("ie") and len(word) > 3 else word


def _fold_number(word: str) -> str:
    if re.fullmatch(r"\d{1,3}(,\d{3})+", word):
        word = word.replace(",", "")
    if re.fullmatch(r"\d+\.0+", word):
        word = word[: word.index(".")]
    return (word.lstrip("0") or "0") if word.isdigit() else word
