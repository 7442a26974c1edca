"""Two answers at once are never paid, however they are put together."""

from itertools import chain

import pytest

from vtkit.judging import accuracy_reward, is_correct

BLOCK = " I look at it. </think> <answer>{}</answer>"
PAIRS = [("cup", "bottle"), ("bottle", "cup"), ("A", "B"), ("(A)", "(B)"),
("A. cup", "B. bottle"), ("the cup", "the bottle")]  # fmt: skip
BETWEEN = (
    "or / , and & ; | - -> = + \\ ? ~ > ≥ 或 oder ou y o und 、 ， vs versus plus else equals xor"
    " nor with then "
    ", or|, maybe|; possibly| but maybe|... or|, alternatively|, then|, also| as well as"
    "|, otherwise| if not"
    "|, failing that| and also| close to|, though maybe|, unless it is|\n|\t| "
)
AROUND = (
    "either {} or {}|{} (or {})|{} first, {} second|{}? {}?|{}! {}!|{}. {}.|{} [{}]|1. {} 2. {}"
    "|- {}\n- {}"
    "|{{{}, {}}}|[{}, {}]|({} {})|'{}' '{}'|both {} and {}|{}, {} too|not only {} but {}"
    "|{}, though {} is equally likely|{}, while {} is as likely|{}, since it may be {}"
    "|{}, because {} could be it|50% {} 50% {}|{} (50%), {} (50%)|one of {} {}"
    "|{} (alternatively: {})"
)
COUNTS = (
    "1 2 3 4|1,2,3,4|1-4|1 to 4|1..4|2 or 3|2/3|2 3|2.3|two or three|2~3|2±1|between 2 and 3"
    "|at most 3|> 2"
    "|2+|≈3|about 3|3ish|3 or so|2 and 3|1=2=3=4|2=3|2, 3|2; 3|2, maybe 3|not 1|3 (or 2)|3, or 2"
    "|3^2|1234"
    "|A3 B2|some|all|x|A-D|A to D"
)
FREE = (
    "no, yes|yes, no|yes/no|yes no|no yes no|no; yes|yes. no.|maybe yes|yes or no|not no"
    "|yes (no)|left right"
    "|left, right|5 6|5, 6|5 or 6|5/6|5-6|5 (6)|5 (or 6)|5, maybe 6|x=5 or x=6|5=6|√5|5π|5!|5%6"
    "|5^5|{5,6}"
    "|(5,6)|5±1|~5|≈5|>5|5+|about 5|5 6 7|5\n6|5;6|5:6|5 cm 6 cm|5 to 6|A B|A, B|A or B|AB|A/B"
    "|(A)(B)"
    "|not A|5 not 6 or 7|5 and 6|red or blue|red, blue|red blue|red/blue|red (or blue)|not red"
    "|red?|maybe red"
)
SOLUTIONS = ("yes", "no", "left", "right", "5", "6", "A", "B", "red", "blue", "5 cm")


def paid(said, solution, choices):
    return accuracy_reward([BLOCK.format(said)], [f"<answer>{solution}</answer>"], [choices])[0]


@pytest.mark.parametrize("pair", PAIRS, ids=" ".join)
def test_no_pair_of_choices_is_paid(pair):
    joined = [f"{{}} {word} {{}}" for word in BETWEEN.split("|")[0].split()]
    joined += [f"{{}}{word} {{}}" for word in BETWEEN.split("|")[1:]]
    for form in chain(joined, AROUND.split("|")):
        said = form.format(*pair)
        assert not any(paid(said, gold, ["cup", "bottle"]) for gold in ("cup", "bottle")), said


@pytest.mark.parametrize("said", COUNTS.split("|"))
def test_no_list_of_counts_is_paid(said):
    assert not any(paid(said, gold, list("1234")) for gold in "1234")


@pytest.mark.parametrize("said", FREE.split("|"))
def test_no_two_free_answers_are_paid(said):
    assert not any(paid(said, gold, None) for gold in SOLUTIONS)


DENIED = [
    ("It's false that A is closer.", ["A is closer", "B is closer"], "A"),
    ("It is incorrect that B is closer.", ["A is closer", "B is closer"], "B"),
    ("The claim that the lamp is closer is wrong.", ["lamp", "sofa"], "A"),
    ("It would be wrong to say that the lamp is closer.", ["lamp", "sofa"], "A"),
    ("Nobody would say the lamp is closer.", ["lamp", "sofa"], "A"),
    ("It would be hasty to say that there are 3 dogs.", ["1", "2", "3"], "C"),
    ("ok </think> <answer> it is false that it is the lamp </answer>", ["lamp", "sofa"], "A"),
    ("ok </think> <answer> whatever is right </answer>", ["left", "right"], "B"),
    ("ok </think> <answer> all right </answer>", ["left", "right"], "B"),
    ("ok </think> <answer> up to 3 </answer>", ["1", "2", "3"], "C"),
    ("No, I can't see the image.", ["Yes", "No"], "B"),
]  # fmt: skip


@pytest.mark.parametrize("text,choices,denied", DENIED, ids=[text for text, *_ in DENIED])
def test_what_is_denied_is_not_claimed(text, choices, denied):
    assert not is_correct(text, choices, f"({denied})")


@pytest.mark.parametrize(
    "text,choices,claimed",
    [
        ("The statement is wrong: the sofa is closer.", ["lamp", "sofa"], "B"),
        ("No, I can't see a dog.", ["Yes", "No"], "B"),
        ("The answer is right.", ["left", "right"], "B"),
    ],
)
def test_a_denial_of_something_else_leaves_the_claim(text, choices, claimed):
    assert is_correct(text, choices, f"({claimed})")
