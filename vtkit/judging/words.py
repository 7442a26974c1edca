"""Cut a text into words that compare equal when answers are equal.

Case, accents and LaTeX are dropped, number words become digits, plurals singulars; a letter in
brackets ("(B)", "b)") is told from a word.

key_words("The twenty-one lamps.")      # ("21", "lamp")
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

ARTICLES = frozenset({"a", "an", "the"})
NUMBER = re.compile(r"-?\d+(?:[.,/]\d+)*")


class Word(NamedTuple):
    """A normalised word, or a punctuation mark."""

    text: str  # ``@`` for a letter in brackets
    letter: str = ""  # ``a`` to ``z`` if the word is one letter, which may name an option


_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty".split()
)
_LARGE = "thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER_WORDS = {word: str(value) for value, word in enumerate(_SMALL)}
_NUMBER_WORDS |= {word: str(10 * tens) for tens, word in enumerate(_LARGE, start=3)}
_NUMBER_WORDS |= {"dozen": "12", "single": "1"}
_YES_NO = dict.fromkeys("ja oui sí 是的 はい да 예".split(), "yes")
_SIDES = {"links": "left", "gauche": "left", "izquierda": "left", "esquerda": "left", "左": "left"}
_SIDES |= dict.fromkeys("rechts droite derecha direita 右".split(), "right")
_YES_NO |= dict.fromkeys("nein non нет いいえ 不是的 아니요 아니오".split(), "no")
_TRANSLATED = _YES_NO | _SIDES
# Cyrillic letters that look Latin, in a word that has Latin ones too, are read as they look.
_LOOKALIKES = str.maketrans("аеорсхуіјѕһ", "aeopcxyijsh")
_MIXED = re.compile(r"\w*(?:[a-z][\u0430-\u045f]|[\u0430-\u045f][a-z])\w*", re.IGNORECASE)
_IRREGULAR = dict(
    pair.split()
    for pair in (
        "shelves shelf,knives knife,leaves leaf,loaves loaf,scarves scarf,halves half,"
        "people person,persons person,men man,women woman,children child,mice mouse,feet foot,"
        "teeth tooth,geese goose,buses bus,potatoes potato,tomatoes tomato"
    ).split(",")
)
_LATEX = re.compile(r"(?<![A-Za-z])\\[a-zA-Z]+\*?|\\[()\[\]]|[${}]")
# Two words that are always said of the same place.
_SAME = {
    **dict.fromkeys(("underneath", "beneath"), "below"),
    **{f"{side}{end}": side for side in ("left", "right") for end in ("ward", "wards")},
}
# Chinese has no spaces: numbers are told from what they count.
_HAN = "\u1100-\u11ff\u3040-\u30ff\u4e00-\u9fff"
_COUNTED = re.compile(rf"(?<=[{_HAN}])(?=[\dA-Za-z])|(?<=[\dA-Za-z])(?=[{_HAN}])")
_HAN_DIGITS = dict(zip("零一二两三四五六七八九", (0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9), strict=True))
_HAN_POWERS = {"十": 10, "百": 100, "千": 1000}
_HAN_NUMBER = re.compile(
    "[零一二两三四五六七八九十百千]{1,9}(?=[个個把只辆张条人本台朵座块位种支件棵头匹艘架盏度米岁枚つ]|[^\\w]|$)"
)
_HAN_FRACTION = re.compile(
    "([零一二两三四五六七八九十百]{1,5})分之([零一二两三四五六七八九十百]{1,5})"
)
_HAN_SIDE = re.compile(
    r"(?<=[向往朝在])(?<![不没].)(?<![不没]..)(?<![不没]...)[左右](?=[侧边面方移转平]|\W|$)"
)
_TOKEN = re.compile(
    r"[(\[]\s{0,2}(?P<bracketed>[A-Za-z])\s{0,2}[)\]]"
    r"|(?<![\w'])(?P<closed>[A-Za-z])\s?[)\]]"
    r"|(?<![\d:])\d{1,2}:\d{2}(?![\d:])"
    r"|(?<![\w.)])-\d+(?:[.,/]\d+)*|\d+(?:[.,/]\d+)+"
    r"|[^\W_]+(?:'[^\W_]+)*"
    r"|[,;:.?!=~≈<>≥≤\n&+(]"
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
    found = [word for word in words(text) if word.text[0].isalnum() or word.text[0] in "@-"]
    kept = tuple(word.letter if word.text == "@" else word.text for word in found)
    return (
        tuple(word for word, after in pairwise((*kept, "")) if not _is_article(word, after)) or kept
    )


def _is_article(word: str, after: str) -> bool:
    """Tell an article from the letter of "Point A" or "A is darker"."""
    return word in ARTICLES and bool(after or word != "a") and (word != "a" or after not in NO_NOUN)


def _plain(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).replace("’", "'").replace("−", "-")
        text = "".join(char for char in text if not unicodedata.combining(char))
        text = _MIXED.sub(lambda word: word[0].translate(_LOOKALIKES), text)
        text = _HAN_SIDE.sub(r" \g<0> ", with_digits(text))
        text = _COUNTED.sub(" ", text)
    return _LATEX.sub(" ", text)


def with_digits(text: str) -> str:
    """Chinese numerals as digits: 三十五 is 35, 五分之二 is 2/5."""
    text = _HAN_FRACTION.sub(lambda part: f" {_han(part[2])}/{_han(part[1])} ", text)
    return _HAN_NUMBER.sub(lambda number: f" {_han(number[0])} ", text)


def _han(numeral: str) -> int:
    total = digit = 0
    for sign in numeral:
        if sign in _HAN_POWERS:
            total, digit = total + (digit or 1) * _HAN_POWERS[sign], 0
        else:
            digit = _HAN_DIGITS[sign]
    return total + digit


@lru_cache(maxsize=8192)
def _fold(raw: str) -> str:
    """One word in lower case, number words as digits, plurals as singulars."""
    word = raw.casefold()
    if word in _NUMBER_WORDS:
        return _NUMBER_WORDS[word]
    if word[0].isdigit() or word[0] == "-":
        return _fold_number(word)
    if word in _TRANSLATED:
        return _TRANSLATED[word]
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _SAME:
        return _SAME[word]
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


ORDINALS = {
    word: place
    for place, same in enumerate(
        ("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th")
    )
    for word in same.split()
} | {"last": -1}
OPTION = frozenset({"option", "choice", "letter", "answer"})
NEGATIONS = frozenset(
    "不是 不在 no not never neither nor without except excluding unlike than compared".split()
)
HEDGES = frozenset(
    "或 oder ou xor vs versus nor or either maybe perhap possibly probably might could unsure"
    " unclear uncertain unknown unable "
    "cannot can't both none depend whether alike equally same null".split()
)
VAGUE = frozenset(
    "about around approximately approx roughly nearly almost over under between least most more "
    "less fewer ~ ≈ > < ≥ ≤".split()
)
"""Hedges only before a number: "about 3", not "about the lamp"."""
ROUGH = frozenset("about around approximately approx roughly ~ ≈".split())
"""Hedges of a count, not of what is measured: "about 1.8 meters", "about 35 %"."""
STOPS = frozenset({"(", ",", ";", ":", ".", "?", "!", "\n", "but", "="})
AFTER = frozenset(
    "is are was were be has have had of to in on at by from with and or but because since so which "
    "that who when while if then as than not it its this here there where appear seem look lie sit "
    "stand closer close near nearer nearest closest further farther left right above below behind "
    "located position placed situated highlighted annotated marked shown would should must side "
    "hand part corner half direction 1 i front under over isn't aren't instead again rather just "
    "me we he she nope touche compared relative visible around along past toward towards across "
    "through into while after before between 移动 移 平移 转 转动 旋转 侧 边 面 方 "
    "てす da do de del der".split()
)
"""May follow a choice that is a thing. Any other word makes it part of another name: with the
choice "table", "table lamp" is not the table."""
NO_NOUN = frozenset(
    "is are was and or nor but because since not isn't would should as then than over by to of"
    " in on "
    "at with so if while vs versus can must will plus else equal xor oder ou und y o nor".split()
)
"""After these "a" is a letter: no noun begins so."""
PLAIN = frozenset(
    "it it's its is are there that that's this they they're i i'd think say believe answer option "
    "choice letter to on in at of so my final correct be would must should side hand object 1 "
    "total image picture only just exactly i'll go with therefore thus hence wait no actually "
    "sorry correction hmm oop rather instead then been have which altogether ok okay well yes no "
    "not but "
    "てす 有 共有 一共 一共有 总共有 图中有 图片中有 个 正确 的 是 对 "
    "definitely clearly obviously certainly surely simply indeed evidently "
    "isn't nor nope stay remain assistant . : ! , = (".split()
) | {"\n"}
"""May be next to the choice in a phrase that does nothing but name it."""
FALSE = frozenset("wrong incorrect false impossible excluded".split())
COPULAS = frozenset(
    "is are was be been would must it's that's there's here's appear seem look lie sit stand i "
    "count see has have".split()
)
NO_NOTHING = frozenset("idea answer clue way other option choice longer doubt".split())
DIRECTIONS = frozenset("left right above below".split())
# Turns of phrase in which a choice's word says something else, and what to read instead. They are
# applied in this order, before a phrase is cut into words.
_READ_AS = {
    r"\b(\w+est) possible\b": r"\1",
    # one of the chairs; the right one; the closer one
    r"\bone of (?:the|them|these|those|its|our|my|your)\b": " of ",
    r"\b(?:right|correct) one\b": " ",
    r"\b(a|an|the) (?!\w+est |(?:far|fur)ther |first|second|third|fourth|fifth|sixth|number|left)"
    r"\w+ one\b": " ",
    r"\b(the|this|that|which|each|every|any|no|another|last|other|\w+(?<!numb)er|\w+est)"
    r" one\b": r"\1 ",
    r"\b(?:are|is|am|['’]re|['’]m|be) left with\b": " is ",
    # all of the above; the options below; as explained above; a photo from above
    r"\b(?:all|none|both|neither|either|any|two|some) of (?:the above|these|them|those)\b": "both",
    r"\b(?:the|of) (?:above|below|following)(?= (?:options?|choices?|answers?)\b)": " ",
    r"\b(?:see|given|listed|shown|described|mentioned|stated|explained|provided|reasoning|text"
    r"|explanation|details|analysis|options|choices|steps)"
    r" (?:(?:as|in|the|are|is|given|\w+ing) ){0,2}(?:above|below)\b": " ",
    r"\b(?:from|as) above\b": " ",
    # all that is left; left to do; right next to; the right answer; right, let me see; you're right
    r"\b(?:(?:no|any|some|every)thing|time|what|whatever|all(?: that)?)(?:['’]s| is|) left\b": " ",
    r"\bleft (?=over\b|to (?:do|say|compare|check|see)\b)": " ",
    r"\bright (?=here|there|now|away|at|next|in front|behind|under|beside"
    r"|answer|option|choice)\b": " ",
    r"^\W*(?:all )?right,(?= (?:let|i|so|now|then|we|the|this|here)\b)": " ",
    r"\byou(?:['’]re| are) right\b|\b(?:that|this)(?:['’]s| is) right,": " ",
    r"\b(?:see )?(?:the )?table of contents\b": " ",
    # none other than the lamp; anything but the lamp; non-left; left rather than right
    r"\b(?:none|nothing|nobody|no one|(?:cannot|can['’]?t|could not|couldn['’]t) be anything)"
    r" (?:other than|but|except)\b": " ",
    r"\b(?:anything|everything|anywhere|all) (?:but|except|other than)\b": " not ",
    r"\bnon-": "not ",
    r"\\(?:neg|lnot|not)\b|¬": " not ",
    r"\b(option|choice|answer) (?:number|no\.?|#)\s?(?=\d)": r"\1 ",
    r"\brather than\b": " not ",
    r"\b(?:if not|unless)\b": " or ",
    # A cannot be right
    r"\b(?:cannot|can['’]?t|can not|could not|couldn['’]t) be (?:right|correct|true"
    r"|the (?:answer|right|correct|one)(?: one)?)\b": " is wrong",
    # B is wrong, and so is D; left, right? step 2; n/a
    r"\bso (?:is|are)\b": " or ",
    r",\s?(?:right|correct|no|yes)\?": ".",
    r"\bstep \d+\b": " ",
    r"\bin the (?:first|second|third|last|other) one\b": " ",
    r"\bthe (?:(?:one|object|thing|item) |\s)?(?:that|which) (?:is|stands|lies) "
    r"(?:behind|beside|near|next to|under|above|below)\b": " compared ",
    r",\s(?:yes|no),\s(?=but\b|and\b|however\b)": ", ",
    r"\b(?:can['’]?t|can not) (?=be \w+ed\b)": "cannot ",
    r"\bn\s?/\s?a\b": " unknown ",
    r"~~[^~\n]{1,80}~~": " ",
    r"\((?:un|in|im|ir|dis|non|not|n['’]t)\)\s?-?(?=\w)": " maybe ",
    # it is the fridge, not the oven or the sink
    r",\s(?:and )?not ((?:the |an? )?\w+(?: \w+)?),? (?:or|nor) ": r", not \1, not ",
    r"\bnot (?:\w+ )?(?:sure|certain|convinced)\b": " unsure ",
    # it is false that A is closer; the claim that it is the lamp is wrong; whichever is right
    r"\b(?:it(?:['’]s| is| was| would be)|would be) (?:false|untrue|incorrect|wrong|inaccurate"
    r"|hasty|premature|misleading|a mistake|not (?:true|correct|right))"
    r"(?: that| to (?:say|claim|state|conclude|assume|answer)(?: that)?)\b": " not ",
    r"\b(?:nobody|no one) would (?:say|claim)(?: that)?\b": " not ",
    r"\b(?:the|any) (?:claim|idea|view|assertion|statement) that ([^.,;\n]{1,60}) (?:is|would be)"
    r" (?:false|untrue|incorrect|wrong|mistaken)\b": r" not \1",
    r"\b(?:which|what)(?:ever)?(?: option| one| answer| choice)? is (?:right|correct)\b": " maybe ",
    r"\ball right\b": " ",
    r"\bup to (?=\d)": " maybe ",
    r"\bnot only\b|\b(?:without a|there is no|there's no|no) doubt\b": " ",
    r"^\s*(?:[=-]>|⇒|→)": " ",
    # the cup is in front of the bottle; I would take A over B
    r"\bin front of\b": " in front compared ",
    # which makes B the farther one; they put B farther away than A
    r"\b(?:most|more) distant\b": "farther",
    r"\b(?:put|mak|leav|plac)(?:e|es|s|ing|ting)? ((?:the |point )?\w+) (?:as )?(?:the )?"
    r"(?=(?:far|fur)ther\b)": r" \1 is ",
    r"\bon top of\b": " above ",
    r"\b(take|choose|pick|prefer|select|go for|go with)\b([^.\n]{1,60}?) over\b": r"\1\2 not ",
    r"\b((?:\(?[A-Z]\)?)) over(?= \(?[A-Z]\)?(?!\w))": r"\1 not ",
}
_IDIOMS = [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in _READ_AS.items()]


@lru_cache(maxsize=4096)
def without_idioms(text: str) -> str:
    """The text with turns of phrase such as "none other than" or "see above" read as meant."""
    for pattern, instead in _IDIOMS:
        text = pattern.sub(instead, text)
    return text
