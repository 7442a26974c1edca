"""Other people's rules, quirk by quirk: what they pay, and a word why that is odd."""

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtkit.judging.published import MAX_CHARS, RULES, is_correct

LEFT = "<answer>left</answer>"
TURN = "<answer>rotated left by 57 degrees</answer>"
SPACED = "<answer> 3 </answer>"  # as R1-V's counting data are written
LETTER = "<answer>B</answer>"
COT = "<think>3 + 4 = 7, so AB = 7</think> <answer>B</answer>"  # as Journey's data are written
ALL = tuple(RULES)
OTHERS = ALL[1:]

SIDES = ["left", "right"]
COUNTS = ["2", "3", "0", "5"]


# ------------------------------------------------------------------------------------- accuracy

ACCURACY = [  # completion, solution, paid by, paid, why
    (" x </think> <answer>left</answer>", LEFT, ALL, True, "as meant"),
    ("<answer> left </answer>", LEFT, ALL, True, "outer spaces are dropped"),
    ("left", LEFT, ALL, True, "without tags the whole completion is the answer"),
    (" left\n", LEFT, ALL, True, "stripped, too"),
    ("It is left", LEFT, ALL, False, "but it must be nothing else"),
    ("<answer>Left</answer>", LEFT, ALL, False, "case counts"),
    ("<answer>left.</answer>", LEFT, ALL, False, "punctuation counts"),
    ("<answer>the left</answer>", LEFT, ALL, False, "articles count"),
    ("<answer>\nleft\n</answer>", LEFT, ALL, False, "no DOTALL: the block is not seen"),
    ("<answer>\n</answer><answer>left</answer>", LEFT, ALL, True, "the first block on one line"),
    ("<answer>left</answer><answer>right</answer>", LEFT, ALL, True, "of two blocks, the first"),
    ("<answer>right</answer><answer>left</answer>", LEFT, ALL, False, "and only the first"),
    (" <answer>left</answer> </think> <answer>up</answer>", LEFT, ALL, True, "even in thought"),
    ("<answer><answer>left</answer></answer>", LEFT, ALL, False, "a tag inside is text"),
    ("<Answer>left</Answer>", LEFT, ALL, False, "tags have a case"),
    ("<answer>left", LEFT, ALL, False, "an open block is no block"),
    ("", LEFT, ALL, False, "nothing"),
    ("<answer></answer>", LEFT, ALL, False, "an empty block is an empty answer"),
    ("<answer></answer>", "<answer></answer>", ALL, True, "which can be right"),
    ("left", "left", ALL, True, "a solution without tags"),
    # math_verify reads both texts as a whole, but nothing that touches a tag
    ("<answer>2</answer>", "<answer>2</answer>", ALL, True, "equal texts"),
    ("<answer>2.0</answer>", "<answer>2</answer>", ALL, False, "values are not compared"),
    ("<answer>two</answer>", "<answer>2</answer>", ALL, False, "number words never count"),
    ("I count 2 of them", "<answer>2</answer>", ALL, False, "the solution has no value"),
    (" 57 degrees </think><answer>right</answer>", TURN, ALL, True, "only the number counts"),
    ("<answer>right by 57 degrees</answer>", TURN, ALL, True, "so the wrong side is right"),
    (" 57 or 58 </think><answer>left</answer>", TURN, ALL, False, "the last number counts"),
    ("<answer>yes, 0.5</answer>", "<answer>no, 0.5</answer>", ALL, True, "as before"),
    ("<answer>$\\frac{1}{2}$</answer>", "<answer>no, 0.5</answer>", ALL, True, "LaTeX is read"),
    ("I count 3 </think><answer>5</answer>", SPACED, ALL, True, "the thought pays"),
    ("I count 5 </think><answer>3</answer>", SPACED, ALL, True, "and so does the answer"),
    ("I count 3 </think><answer> 5 </answer>", SPACED, ALL, False, "5 is read, if it has spaces"),
    ("I count 3 or 5 </think>", SPACED, ALL, False, "the last number"),
    ("so AB = 7 </think><answer>C</answer>", COT, ALL, True, "the last number of the CoT"),
    ("so AB = 8 </think><answer>B</answer>", COT, ALL, True, "the letter"),
    ("so AB = 8 </think><answer>C</answer>", COT, ALL, False, "neither"),
    # the letters rule
    ("<answer>it is B</answer>", LETTER, ALL[:1], True, "the last capital on its own"),
    ("<answer>it is B</answer>", LETTER, OTHERS, False, "a rule of the paper's alone"),
    ("<answer>A or (B)</answer>", LETTER, ALL[:1], True, "in brackets"),
    ("<answer>B or A</answer>", LETTER, ALL, False, "another one is last"),
    ("<answer>A B</answer>", LETTER, ALL, False, "one space cannot serve two letters"),
    ("<answer>it is B.</answer>", LETTER, ALL, False, "a full stop spoils it"),
    ("<answer>B, it is</answer>", LETTER, ALL, False, "and so does a comma"),
    ("<answer>b</answer>", LETTER, ALL, False, "case counts"),
    ("It is B or not", LETTER, ALL[:1], True, "without tags, anywhere"),
    ("A lamp or a chair", "<answer>A</answer>", ALL[:1], True, "the article A is option A"),
    ("<answer>so I</answer>", "<answer>I</answer>", ALL, False, "only A to H"),
]


@pytest.mark.parametrize(("completion", "solution", "names", "paid", "why"), ACCURACY)
def test_accuracy(completion, solution, names, paid, why):
    assert {name: RULES[name].accuracy(completion, solution) for name in names} == dict.fromkeys(
        names, paid
    ), why


# --------------------------------------------------------------------------------------- format

PAPER = ("paper", "r1-v")
FORMAT = [  # completion, paid by, why
    ("<think>x</think><answer>y</answer>", ALL, "as meant"),
    ("<think> x </think> <answer> y </answer>", ALL[:2] + ALL[3:], "Journey allows no gap"),
    ("<think>x</think>\n\n<answer>y</answer>", ALL[:2] + ALL[3:], "nor lines"),
    ("<think>\nx\n</think>\n<answer>y</answer>", PAPER, "DOTALL: the others want one line"),
    ("<think>x</think><answer>\ny\n</answer>", PAPER, "the same for the answer"),
    ("<think>x</think><answer>y</answer>\n", OTHERS[1:], "a trailing line break costs the point"),
    ("<think>x</think><answer>y</answer>\n\n", ALL[3:], "Journey's $ forgives one"),
    ("<think>x</think><answer>y</answer> bye", ALL[3:], "match without an end"),
    ("<think>x</think><answer>y</answer> <answer>z</answer>", ALL, "two answers"),
    ("<think></think><answer></answer>", ALL, "empty blocks"),
    ("<think><think>x</think><answer>y</answer>", ALL, "nested"),
    ("<think>x</think>z</think><answer>y</answer>", ALL, "closed twice"),
    ("<think><answer>x</answer></think><answer>y</answer>", ALL, "an answer in thought"),
    ("<think>x</think><answer><answer>y</answer></answer>", ALL, "an answer in the answer"),
    (" <think>x</think><answer>y</answer>", (), "a leading space"),
    ("x</think><answer>y</answer>", (), "the prefilled tag was not put back"),
    ("<think>x</think>so <answer>y</answer>", (), "text between the blocks"),
    ("<think>x <answer>y</answer>", (), "never stops thinking"),
    ("<think>x</think><answer>y", (), "never stops answering"),
    ("<think>x</think><Answer>y</Answer>", (), "case"),
    ("y", (), "no tags"),
    ("", (), "nothing"),
]


@pytest.mark.parametrize(("completion", "names", "why"), FORMAT)
def test_format(completion, names, why):
    assert tuple(name for name in ALL if RULES[name].format(completion)) == names, why


def test_sources_name_file_and_commit():
    for rules in RULES.values():
        repository, commit, path = rules.source.replace(",", "").split()
        assert repository.count("/") == 1 and int(commit, 16) and path.endswith("grpo.py")


# ------------------------------------------------------------------ the original's CV-Bench judge

CV_BENCH = [  # completion, choices, what it is read as (None: as none of the options), why
    ("<answer>left</answer>", SIDES, "(A)", "as meant"),
    ("<answer>(B)</answer>", SIDES, "(B)", "the letter"),
    ("<answer>b.</answer>", SIDES, "(B)", "small, with a full stop"),
    ("<answer>\n left \n</answer>", SIDES, "(A)", "outer line breaks are dropped"),
    ("<answer>so\nleft</answer> right", SIDES, "(B)", "an inner one: the whole output counts"),
    ("<answer></answer> left", SIDES, "(A)", "also when the block is empty"),
    ("<answer> </answer> left", SIDES, "(A)", "or blank"),
    ("I cannot say whether it is left", SIDES, "(A)", "no tags: a mention will do"),
    ("<answer>left</answer><answer>right</answer>", SIDES, "(A)", "the first block"),
    ("The chair is closer than the table", ["chair", "table"], "(B)", "the last mention"),
    ("chair is closer than the table", ["chair", "table"], "(A)", "but the first word beats it"),
    ("<answer>2 or 3</answer>", COUNTS, "(A)", "two answers count as the first"),
    ("<answer>it is 2 or 3</answer>", COUNTS, "(B)", "or else as the last"),
    ("<answer>3.5</answer>", COUNTS, "(B)", "a full stop ends the first word"),
    ("<answer>it is 3.5</answer>", COUNTS, None, "elsewhere it is a number"),
    ("<answer>table lamp</answer>", ["table", "lamp"], "(A)", "read as the table"),
    ("<answer>table lamp</answer>", ["table", "table lamp"], "(A)", "even if there is a lamp"),
    ("<answer>left of the chair</answer>", SIDES, "(A)", "read as left"),
    ("<answer>a table</answer>", ["lamp", "table"], "(A)", "the article is option A"),
    ("A table is near", ["lamp", "table"], "(A)", "small or capital"),
    ("<html> a b", SIDES, "(A)", "one space cannot serve two letters"),
    ("My answer: a table near the lamp", ["sofa", "lamp"], "(A)", "the word answer goes first"),
    ("<answer>Below</answer>", ["above", "below"], None, "case counts"),
    ("<answer>below</answer>", ["Above", "Below"], None, "both ways"),
    ("<answer>two</answer>", COUNTS, None, "number words are not read"),
    ("<answer>left!</answer>", SIDES, None, "only a full stop, comma or colon may follow"),
    ("<answer>**left**</answer>", SIDES, "(A)", "bold is fine"),
    ("<answer>$2$</answer>", COUNTS, "(A)", "and so is LaTeX"),
    ("<answer>left", SIDES, None, "an open tag hides what touches it"),
    ("<answer>F</answer>", SIDES, None, "there is no such option"),
    ("", SIDES, None, "nothing"),
]


@pytest.mark.parametrize(("completion", "choices", "option", "why"), CV_BENCH)
def test_cv_bench(completion, choices, option, why):
    answers = [f"({letter})" for letter, _ in zip("ABCDEF", choices, strict=False)]
    right = [answer for answer in answers if is_correct(completion, choices, answer)]
    assert right == ([option] if option else []), why


def test_an_answer_that_names_no_choice_is_never_right():
    for answer in ("(C)", "(G)", "A", "left", ""):
        assert is_correct("<answer>left</answer>", SIDES, answer) is False
    assert is_correct("<answer>left</answer>", [], "(A)") is False


# --------------------------------------------------------------------------------- hostile text

TEXT = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            ["<think>", "</think>", "<answer>", "</answer>", "left", "a", "B", "2", "57", "1/0"]
            + ["\\frac{1}{", "$", "\\boxed{", "}", "^", "[", "(", "\n", " "]
        ),
        max_size=25,
    ).map("".join),
)


@settings(max_examples=150, deadline=None)
@given(TEXT, st.sampled_from([LEFT, TURN, SPACED, COT, "", "$x^2$"]))
def test_any_text_gives_a_bool(text, solution):
    for rules in RULES.values():
        assert type(rules.accuracy(text, solution)) is bool
        assert type(rules.format(text)) is bool
    assert type(is_correct(text, SIDES, "(A)")) is bool
    assert type(is_correct("it is " + text, [text, "(", ""], "(B)")) is bool


@pytest.mark.parametrize(
    "unit",
    ["</think><answer>", "<answer>", "</answer>", "<answer>a     ", " ", "1 + ", "$(", "((", "x"],
)
def test_long_text_is_read_up_to_the_limit_and_in_time(unit):
    text = "<think>" + unit * (1_000_000 // len(unit))
    start = time.perf_counter()
    RULES["paper"].accuracy(text, TURN)
    assert not any(RULES[name].format(text) for name in ALL)
    is_correct(text, SIDES, "(A)")
    assert time.perf_counter() - start < 30


def test_what_stands_beyond_the_limit_is_not_read():
    filler = "x " * (MAX_CHARS // 2)
    assert is_correct(filler[:-10] + " left", SIDES, "(A)")
    assert not is_correct(filler + " left", SIDES, "(A)")
    assert not RULES["paper"].format(f"<think>{filler}</think><answer>left</answer>")
    assert not RULES["paper"].accuracy(filler + "<answer>left</answer>", LEFT)


def test_endless_arithmetic_is_given_up():
    start = time.perf_counter()
    assert RULES["paper"].accuracy("it is 9**9**9", TURN) is False
    assert time.perf_counter() - start < 30


def test_other_threads_have_no_timer_and_read_no_latex():
    seen = {}

    def work():
        seen["number"] = RULES["r1-v"].accuracy("so 57 it is", TURN)
        seen["option"] = is_correct("<answer>$5 left</answer>", SIDES, "(A)")
        seen["powers"] = RULES["r1-v"].accuracy("it is 9**9**9", TURN)
        seen["latex"] = RULES["r1-v"].accuracy("$9^{9^{9^9}}$", TURN)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    assert seen == {"number": True, "option": True, "powers": False, "latex": False}


def test_importing_the_rules_does_not_import_math_verify():
    code = "import sys, vtkit.judging.published; print({'math_verify', 'sympy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr
