"""Answers that a careful human would find, case by case, and what must hold for any completion.

Labels were written by hand from the rules, not from the code's output. ``None`` is "no answer".
"""

import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtkit.judging.answers import FOUND_BY, RULES, find_answer
from vtkit.judging.matching import match_choice
from vtkit.judging.words import key_words, words

SIDES = ("right", "left")
THINGS = ("chair", "lamp")
COUNTS = ("2", "3", "0", "12")

BLOCKS = [
    ("<answer> left </answer>", 1),
    ("<answer>left</answer>\n\n", 1),
    ("<answer>\nleft\n</answer>", 1),
    ("<ANSWER>Left</ANSWER>", 1),
    ("<Answer> LEFT. </Answer>", 1),
    ("< answer >left</ answer >", 1),
    ("<answer>left", 1),
    ("<answer>left\n", 1),
    ("<answer>left</answ", 1),
    ("<answer>left<answer>", 1),
    ("<answer>left</think>", 1),
    ("<anwser>left</anwser>", 1),
    ("<answers>left</answers>", 1),
    ("<asnwer>left</answer>", 1),
    ("<final_answer>left</final_answer>", 1),
    ("<ans>left</ans>", 1),
    ("<answer/>left</answer>", 1),
    ("<answer>left<\\answer>", 1),
    ("left</answer>", 1),
    ("<answer></answer><answer>left</answer>", 1),
    ("<answer><answer>left</answer></answer>", 1),
    ("<answer>left</answer> <answer>left</answer>", 1),
    ("<answer>left</answer> <answer>(B)</answer>", 1),
    ("<answer>left</answer> <answer>right</answer>", None),
    ("<answer>left</answer><answer>right</answer><answer>left</answer>", None),
    ("<answer>left</answer> Wait, that is not right. <answer>right</answer>", 0),
    ("<answer>left</answer> Sorry, I meant the other one: <answer>right</answer>", 0),
    ("<answer>left</answer> The answer is left.", 1),
    ("<answer>left</answer> The answer is right.", None),
    ("<answer>left</answer> Actually, the answer is right.", 0),
    ("<answer>left</answer> Actually, it is right.", 0),
    ("<answer>left</answer> Wait, no, right.", 0),
    ("<answer>left</answer> I take that back.", None),
    ("<answer>left</answer> Sorry, that is wrong.", None),
    ("<answer>left</answer> Hope this helps!", 1),
    ("<answer>left</answer>\nUser: And the cup?\nAssistant: <answer>right</answer>", 1),
    ("<answer>left</answer><|im_end|><answer>right</answer>", 1),
    ("<answer>right</answer><think>Hmm, left?</think>", 0),
    ("The answer is right. <answer>left</answer>", 1),
    ("<answer>(B)</answer>", 1),
    ("<answer>B</answer>", 1),
    ("<answer>b</answer>", 1),
    ("<answer>b)</answer>", 1),
    ("<answer>[B]</answer>", 1),
    ("<answer>**B**</answer>", 1),
    ("<answer>B.</answer>", 1),
    ("<answer>a</answer>", 0),
    ("<answer>A</answer>", 0),
    ("<answer>Option B</answer>", 1),
    ("<answer>choice (b)</answer>", 1),
    ("<answer>(B) left</answer>", 1),
    ("<answer>B. left</answer>", 1),
    ("<answer>B: left</answer>", 1),
    ("<answer>B - left</answer>", 1),
    ("<answer>left (B)</answer>", 1),
    ("<answer>(A) left</answer>", None),
    ("<answer>A. left</answer>", None),
    ("<answer>(A) right (B) left</answer>", None),
    ("<answer>A or B</answer>", None),
    ("<answer>A and B</answer>", None),
    ("<answer>A, B</answer>", None),
    ("<answer>A/B</answer>", None),
    ("<answer>AB</answer>", None),
    ("<answer>C</answer>", None),
    ("<answer>(E)</answer>", None),
    ("<answer>left or right</answer>", None),
    ("<answer>either left or right</answer>", None),
    ("<answer>left/right</answer>", None),
    ("<answer>left, right</answer>", None),
    ("<answer>left right</answer>", None),
    ("<answer>left and right</answer>", None),
    ("<answer>both</answer>", None),
    ("<answer>neither left nor right</answer>", None),
    ("<answer>maybe left</answer>", None),
    ("<answer>left?</answer>", None),
    ("<answer>not left</answer>", None),
    ("<answer>not left but right</answer>", 0),
    ("<answer>right, not left</answer>", 0),
    ("<answer>left not right</answer>", 1),
    ("<answer>It isn't left, it's right.</answer>", 0),
    ("<answer>right instead of left</answer>", 0),
    ("<answer>left, no wait, right</answer>", 0),
    ("<answer>left, because the chair is right of it</answer>", 1),
    ("<answer>left of the table</answer>", 1),
    ("<answer>to the left</answer>", 1),
    ("<answer>on the left-hand side</answer>", 1),
    ("<answer>The lamp is to the left of the chair.</answer>", 1),
    ("<answer>The right answer is left</answer>", 1),
    ("<answer>The answer is (B).</answer>", 1),
    ("<answer>It is left of the cup, so the answer is B</answer>", 1),
    ("<answer>\\boxed{left}</answer>", 1),
    ("<answer>$\\text{left}$</answer>", 1),
    ("<answer>\\textbf{(B)}</answer>", 1),
    ("<answer>`left`</answer>", 1),
    ('<answer>"left"</answer>', 1),
    ("<answer><b>left</b></answer>", 1),
    ("<answer>the first option</answer>", 0),
    ("<answer>option 2</answer>", 1),
    ("<answer>the second one</answer>", 1),
    ("<answer>second</answer>", 1),
    ("<answer>the third option</answer>", None),
    ("<answer>upward</answer>", None),
    ("<answer>I cannot tell.</answer>", None),
    ("<answer>answer here</answer>", None),
    ("<answer>...</answer>", None),
    ("<answer></answer>", None),
    ("<answer>  \n </answer>", None),
    ("<answer>aleft</answer>", None),
    ("<answer>le\x00ft</answer>", 1),
    ("<ans\u200bwer>left</answer>", 1),
    ("<answer>ｌｅｆｔ</answer>", 1),
]

STATEMENTS = [
    ("The answer is left.", 1),
    ("the answer is: left", 1),
    ("The final answer is **left**.", 1),
    ("The correct answer is (B) left.", 1),
    ("So the correct option is B.", 1),
    ("Answer: B", 1),
    ("Answer: (B)", 1),
    ("Answer (B)", 1),
    ("**Answer:** B", 1),
    ("**Final Answer**: left", 1),
    ("### Final Answer\nleft", 1),
    ("Final answer:\n\n**left**", 1),
    ("Answer: B. left", 1),
    ("Answer - left", 1),
    ('{"answer": "left"}', 1),
    ("My answer would be left.", 1),
    ("The answer to this question is left.", 1),
    ("I choose B.", 1),
    ("I would go with left.", 1),
    ("I'd say left.", 1),
    ("Option B is correct.", 1),
    ("(B) is the correct answer.", 1),
    ("left is the answer", 1),
    ("\\boxed{left}", 1),
    ("\\boxed{\\text{(B)}}", 1),
    ("$\\boxed{B}$", 1),
    ("The answer is \\boxed{B}.", 1),
    ("**left**", 1),
    ("It is clearly on one side: **B**", 1),
    ("The lamp is on the left, so the answer is left.", 1),
    ("The answer is left because the chair is right of it.", 1),
    ("The answer is left, as the chair is on the right.", 1),
    ("Answer: <b>left</b>", 1),
    ("<p>The answer is left.</p>", 1),
    ("At first I thought the answer is right. Wait, no. The answer is left.", 1),
    ("One could think the answer is right. Therefore the final answer is left.", 1),
    ("The answer is left. Oh, I was wrong.", None),
    ("The answer is left. The answer is right.", None),
    ("The answer is A. The answer is B. The answer is A.", None),
    ("The answer is not left.", None),
    ("The answer is not right, it is left.", 1),
    ("The answer is left or right.", None),
    ("The answer is either A or B.", None),
    ("The answer is in the picture.", None),
    ("The answer is probably left.", None),
    ("The answer is forward.", None),
    ("Answer: (A) right (B) left", None),
    ("The answer is below.", None),
    ("The answer is a", 0),
    ("The options are (A) right and (B) left.", None),
    ("Select from the following choices.\n(A) right\n(B) left", None),
]

OWN_WORDS = [
    ("left", 1),
    (" Left. ", 1),
    ("(B)", 1),
    ("b", 1),
    ("B) left", 1),
    ("It is left.", 1),
    ("It's on the left.", 1),
    ("Therefore, left.", 1),
    ("The lamp is on the left.", 1),
    ("The lamp is to the left of the chair.", 1),
    ("I looked again.\n\nleft", 1),
    ("The lamp appears left of the chair. There is also a cup.", 1),
    ("Is it left or right? Left.", 1),
    ("The lamp is on the right. The lamp is on the left.", None),
    ("I looked at the left.", None),
    ("Maybe left, maybe right.", None),
    ("I am not sure.", None),
    ("There is a chair, right?", None),
    ("<html><body>left</body></html>", None),
    ("<div>It is left.</div>", None),
    ("", None),
    ("   ", None),
    ("<br>", None),
]


@pytest.mark.parametrize(("completion", "choice"), BLOCKS + STATEMENTS + OWN_WORDS)
def test_final_answers(completion, choice):
    for whole in (
        f" I look at it. </think> {completion}",
        f"<think> I look at it. </think> {completion}",
        f" It could be right. Or left? </think>\n{completion}",
        f" <answer>right</answer> </think>{completion}",
    ):
        assert find_answer(whole, SIDES).choice == choice
        assert find_answer(whole, SIDES, prefilled=False).choice == choice


@pytest.mark.parametrize(("completion", "choice"), BLOCKS + STATEMENTS + OWN_WORDS)
def test_without_thinking(completion, choice):
    if "think>" not in completion:
        assert find_answer(completion, SIDES, prefilled=False).choice == choice


@pytest.mark.parametrize(
    ("completion", "choice"),
    [
        (" It looks like left.", None),
        (" The lamp is left of the chair", None),
        ("left", 1),
        (" left\n", 1),
        (" (B)", 1),
        ("<think>left", 1),
        (" Let me see. <answer>left</answer>", 1),
        (" Let me see. <answer>left", 1),
        (" <answer>left</answer> </think>", None),
        (" <answer>left</answer> Hm. </think> <answer>right</answer>", 0),
        (" So the answer is left.", 1),
        (" The answer is left. But wait, the chair", None),
        (" **left** is what I see", None),
        ("<html><body>The lamp is on the left", None),
        ('<div class="left">left</div>', None),
        ("<div>The answer is left</div>", 1),
        ("<div>The answer is left</div><div>The answer is right</div>", None),
        (" Is it left or right", None),
        (" x </think>", None),
        (" x </think> <think> left", None),
        (" The lamp hangs there, which is\n\nleft</answer>", 1),
        (" I think it is left. Wait. So it is left. <divhink left </answer>", None),
        (" So it is left. </section> left </answer>", None),
        (" I think it is left. But wait, let me look. Maybe 4", None),
        (" x </think>\nanswer\nleft\n<think> again <answer>right</answer></think>", None),
        (" x </think> left\n\nQuestion: where is the cup?\nSolution: right", 1),
    ],
)
def test_completions_that_start_in_the_thinking(completion, choice):
    assert find_answer(completion, SIDES).choice == choice


@pytest.mark.parametrize(
    ("phrase", "choices", "choice"),
    [
        # things: articles, plurals, compounds, comparisons
        ("a lamp", THINGS, 1),
        ("A lamp", THINGS, 1),
        ("A chair", THINGS, 0),
        ("A table", THINGS, None),
        ("the lamps", THINGS, 1),
        ("Lamp!", THINGS, 1),
        ("B lamp", THINGS, 1),
        ("A. lamp", THINGS, None),
        ("the lamp (highlighted by a blue box)", THINGS, 1),
        ("The lamp is closer to the camera than the chair.", THINGS, 1),
        ("The lamp is not closer than the chair.", THINGS, None),
        ("The chair is farther, so the lamp is closer", THINGS, 1),
        ("lamp, not chair", THINGS, 1),
        ("lampshade", THINGS, None),
        ("lamp post", THINGS, None),
        ("chair lamp", THINGS, None),
        ("table lamp", ("table", "table lamp"), 1),
        ("table", ("table", "table lamp"), 0),
        ("the table", ("table lamp", "table"), 1),
        ("table lamp", ("table", "chair"), None),
        ("dining table", ("table", "dining table"), 1),
        ("left", ("left", "left of the chair"), 0),
        ("left of the chair", ("left", "left of the chair"), 1),
        ("Left of chair.", ("left", "left of the chair"), 1),
        ("books", ("book", "books"), 1),
        ("t-shirt", ("T shirt", "cap"), 0),
        ("cafe", ("café", "bar"), 0),
        ("television stand", ("television", "television stand"), 1),
        # numbers
        ("3", COUNTS, 1),
        ("three", COUNTS, 1),
        ("Three chairs", COUNTS, 1),
        ("There are 3 red chairs.", COUNTS, 1),
        ("3.", COUNTS, 1),
        ("3.0", COUNTS, 1),
        ("03", COUNTS, 1),
        ("3.5", COUNTS, None),
        ("-3", COUNTS, None),
        ("13", COUNTS, None),
        ("1", COUNTS, None),
        ("12", COUNTS, 3),
        ("twelve", COUNTS, 3),
        ("2 or 3", COUNTS, None),
        ("2-3", COUNTS, None),
        ("2 to 3", COUNTS, None),
        ("between 2 and 3", COUNTS, None),
        ("about 3", COUNTS, None),
        ("at least 3", COUNTS, None),
        ("more than 2", COUNTS, None),
        ("3+", COUNTS, None),
        ("~3", COUNTS, None),
        ("3 or 7", COUNTS, None),
        ("2 + 1 = 3", COUNTS, 1),
        ("3 chairs and 2 lamps", COUNTS, None),
        ("0, 2, 3, 12", COUNTS, None),
        ("zero", COUNTS, 2),
        ("none", COUNTS, 2),
        ("There are no chairs.", COUNTS, 2),
        ("none of the above", COUNTS, None),
        ("I have no idea", COUNTS, None),
        ("No, there are 3.", COUNTS, 1),
        ("B", COUNTS, 1),
        ("(B) 3", COUNTS, 1),
        ("(A) 3", COUNTS, None),
        ("option 2", COUNTS, 1),
        ("twenty-one", ("20", "21", "1"), 1),
        ("1", ("11", "1"), 1),
        ("11", ("11", "1"), 0),
        ("three", ("two", "three"), 1),
        ("3", ("two", "three"), 1),
        # choices that are letters themselves, or yes and no
        ("point A", ("Point B", "Point A"), 1),
        ("A", ("B", "A"), 1),
        ("Yes, it is.", ("no", "yes"), 1),
        ("No, it is not.", ("no", "yes"), 0),
        ("yes or no", ("no", "yes"), None),
    ],
)
def test_which_choice_a_phrase_names(phrase, choices, choice):
    assert match_choice(phrase, choices).choice == choice
    assert find_answer(f" x </think> <answer>{phrase}</answer>", choices).choice == choice


@pytest.mark.parametrize(
    ("completion", "text", "rule"),
    [
        (" x </think> <answer> left </answer>", "left", "block"),
        (" x </think> The answer is left.", "left", "statement"),
        (" x </think> \\boxed{left}", "left", "boxed"),
        (" x </think> **left**", "left", "bold"),
        (" x </think> left", "left", "bare"),
        (" x </think> The lamp is left.", "The lamp is left.", "sentence"),
        (" x </think> <answer>left or right</answer>", "left or right", "hedge"),
        (" x </think> <answer>left, right</answer>", "left, right", "several"),
        (" x </think> <answer>not left</answer>", "not left", "rejected"),
        (" x </think> <answer>C</answer>", "C", "outside"),
        (" x </think> <answer>up</answer>", "up", "nothing"),
        (" x </think> <answer>left</answer><answer>right</answer>", None, "contradiction"),
        (" x </think> <answer>left</answer> I take that back.", None, "retracted"),
        (" <answer>left</answer> </think>", None, "thinking"),
        (" x </think>", None, "none"),
        (" It looks like left.", None, "unfinished"),
        ("<html>", None, "html"),
    ],
)
def test_the_span_and_the_rule(completion, text, rule):
    found = find_answer(completion, SIDES)
    assert (found.text, found.rule) == (text, rule)
    assert (found.choice is not None) == (rule in FOUND_BY)
    assert text is None or completion[slice(*found.span)] == text


def test_spans_count_invisible_characters():
    completion = " x\x00\x00 </think> <answer>\u200b le\x00ft\x00 </answer>"
    found = find_answer(completion, SIDES)
    assert found.choice == 1 and found.text == "left"
    assert completion[slice(*found.span)] == "le\x00ft"


def test_without_choices_the_text_is_the_answer():
    found = find_answer(" x </think> <answer> The lamp </answer>")
    assert found == (None, "The lamp", (21, 29), "block")
    assert find_answer(" x </think> The answer is left.").text == "left"
    assert find_answer(" x </think> <answer>left</answer> <answer>right</answer>").text is None
    assert find_answer(" x </think> <answer>left</answer> <answer>Left</answer>").text == "Left"


def test_words():
    assert key_words("The Twenty-One lámps, (b)") == ("21", "lamp", "b")


# -------------------------------------------------------------------------------- properties

NOUNS = ["chair", "lamp", "sofa", "red box", "table", "table lamp", "window", "bed", "oven"]
choice_lists = st.one_of(
    st.lists(st.sampled_from(NOUNS), min_size=2, max_size=5, unique=True),
    st.lists(st.integers(0, 99).map(str), min_size=2, max_size=6, unique=True),
    st.permutations(["left", "right"]),
    st.permutations(["above", "below"]),
)
anything = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            "<think> </think> <answer> </answer> < > / left right (A) B the answer is not or wait, "
            "\\boxed{ } ** \n . because 3 <p> \x00 actually, User: is".split(" ")
        ),
        max_size=25,
    ).map(" ".join),
)


@given(anything, st.lists(st.text(max_size=6), max_size=4), st.booleans())
@settings(max_examples=400, deadline=None)
def test_never_an_exception_always_a_verdict(completion, choices, prefilled):
    found = find_answer(completion, choices, prefilled=prefilled)
    assert found.rule in RULES
    assert found.choice is None or 0 <= found.choice < len(choices)
    if found.span:
        assert 0 <= found.span[0] < found.span[1] <= len(completion)


@given(choice_lists, st.data())
@settings(deadline=None)
def test_letter_and_text_are_the_same_answer(choices, data):
    place = data.draw(st.integers(0, len(choices) - 1))
    letter = string.ascii_uppercase[place]
    forms = (choices[place], letter, letter.lower(), f"({letter})", f"({letter}) {choices[place]}")
    for name in forms:
        assert find_answer(f" x </think><answer>{name}</answer>", choices).choice == place


@given(anything, st.sampled_from(["upper", "lower", "swapcase"]))
@settings(deadline=None, max_examples=200)
def test_case_of_a_choice_and_space_around_a_completion_do_not_matter(completion, change):
    assert find_answer(f"\n {completion} \n", SIDES).choice == find_answer(completion, SIDES).choice
    for name in SIDES:
        changed = f" x </think><answer> {getattr(name, change)()}\t</answer>"
        assert find_answer(changed, SIDES).choice == SIDES.index(name)


PLACES = {"first", "second", "third", "option", "choice"}


@given(anything, st.permutations(["red", "green", "blue"]))
@settings(deadline=None)
def test_no_choice_in_the_completion_no_answer(completion, choices):
    found = words(completion)
    if not any(word.letter or word.text in PLACES for word in found):
        assert find_answer(completion, choices).choice is None


@given(anything)
@settings(deadline=None, max_examples=300)
def test_swapping_the_choices_swaps_the_answer(completion):
    """Texts decide, not places: nothing favours the first choice or the last."""
    if any(word.letter or word.text in PLACES for word in words(completion)):
        return
    one, other = (
        find_answer(completion, ("left", "right")),
        find_answer(completion, ("right", "left")),
    )
    assert one.rule == other.rule and one.span == other.span
    assert one.choice is None or one.choice == 1 - other.choice


@pytest.mark.parametrize(
    "completion",
    [
        "word and more, " * 70_000,
        " " * 1_000_000,
        "\n " * 500_000,
        "<" * 1_000_000,
        "< " * 500_000,
        "<think>" * 140_000,
        "<answer>" * 125_000,
        "</think><answer>left" * 50_000,
        "</think>" + "the answer is left. " * 50_000,
        "</think>" + "\\boxed{" * 140_000,
        "</think>" + "**a" * 330_000,
        "</think><answer>" + "left " * 200_000,
        "</think> answer" + " " * 1_000_000,
        "</think>" + "\x00left " * 160_000,
        "é" * 1_000_000,
        "<div class='x'> a </div>" * 42_000,
        "User:" * 200_000,
        "(" * 1_000_000,
    ],
    ids=lambda completion: completion[:18],
)
def test_a_megabyte_takes_no_time(completion):
    find_answer("warm up", SIDES)
    began = time.process_time()
    find_answer(completion, SIDES)
    assert time.process_time() - began < 0.5  # of CPU; 0.05 on an idle core
