"""Second looks in other words than the published lists, and words that only look like them."""

import pytest

from vtkit.judging import find_reflections, is_reflective, style

MEANT = [
    # the writer says what it did wrong, or speaks of its own words
    *("Five. I left it out, so six", "I had the two rows swapped. B", "I should have halved it"),
    *("A horse. What I called a horse is a camel", "At first I said above, but it is below"),
    *("12 cm. I have been treating the side as the height", "I only looked at the first row"),
    *("The total above is too high", "My reading of the scale was off", "I now choose B"),
    *(
        "36. That leaves out the lid",
        "12. Not so fast: the lid",
        "A, or rather B",
        "Fix to step 2: 5",
    ),
    # a result that cannot be, and questions about it
    *("Something is off here", "That assumption is shaky", "It is red. Is it, though?"),
    *("The two totals disagree", "It is 3. Could the last one be a bowl?", "This makes no sense"),
    # a stated result is put to the test
    *(
        "x = 5. Plugging 5 back in gives 20",
        "900. A quick test: 9 times 100",
        "Count: 4, as a check",
    ),
    *("42 by rows. The two counts agree", "It is 7. My count stands."),
    # claims that later ones replace, without a word of it
    *(
        "So 4 chairs. The last is a stool. 3 chairs.",
        "Four stools. I see a bucket. Only three stools.",
    ),
    *("x + 35 = 90 gives x = 65... 90 - 35 is 55. x = 55.", "I see 9 jars. Only 8 are jars."),
    *(
        "The man stands in front of the bus. The bumper hides him. He is behind the bus.",
        "x + 8 = 5, so x = -3. A side cannot be -3 long.",
        "Looks like a lake. But lakes don't have tides.",
        "The man reading is the waiter. A waiter with a newspaper while on duty?",
        "The answer is B. The line for exports is the dashed one below it. The answer is C.",
        "The odd one is the square, no, there are two squares.",
    ),
    # other languages, capital letters in each of them
    *("Fünf. Moment, ich habe mich verzählt", "Bei genauerem Hinsehen sind es vier"),
    *("Six. Je me suis trompé", "À y regarder de plus près, cinq", "Son ocho. Me equivoqué"),
    *("São quatro. Na verdade, três", "Sono tre. Anzi, due", "Пять. Я ошибся", "ПОДОЖДИТЕ, шесть"),
    *(
        "五个。刚才漏掉了一个",
        "5時です。いや、4時です",
        "일곱 개. 다시 세어 보니 여덟 개",
        "Ba con. À không, hai con",
    ),
]
NOT_MEANT = [
    # asked of others, or said by them
    *("Double-check that the valve is closed.", "Hint: read the question again before you answer"),
    *("Let me know if you'd like me to double-check it", "Readers should double-check such charts"),
    *("I will be happy to take a second look", "A lamp.\nUser: Are you sure? Look again.\nA lamp."),
    # of things
    *("a double check pattern", "The correction factor is 1.2", "the reflection in the mirror"),
    *("The check mark is green", "Wait times are long", "The wait time is 5 minutes"),
    # options ruled out, plans, hedges, contrast, a first look
    *("A does not match the picture", "I will verify each option", "It may be a dog, or a wolf"),
    *("It is not red but blue", "At first glance, it is a market", "So x = -3 is rejected"),
    *("No, the bus is not in front", "Looking closely at the picture, I see a cup"),
    *("(A) oval - no.", "It is impossible to say", "There are two doors. Which is red? The left."),
    # series, sums, cases, solutions, coordinates, lists, questions about a picture
    *("At x = 0, y = 1. At x = 2, y = 5.", "x = 3 or x = -3. Only x = 3 is a length."),
    *("n = 1, n = 4, n = 9: squares", "3 on top. 2 below. Five.", "∠1 + ∠2 = 180. ∠2 = 70."),
    *("The man stands on the left. The woman stands on the right.", "1. a cup\n2. a pot\n3. a jar"),
    *("If it is left, the answer is A. Otherwise, for the other side, the answer is B.",),
    *("It is a cone. Is it ice cream or popcorn? Ice cream.", "I can see a lamp. What is it for?"),
    *("Plan: find the dots, compare, and double-check the result. Red is closer.",),
    # only a loop
    *("Wait, wait, wait, wait, wait", "Wait. Wait. Wait. Wait. <answer>C</answer>"),
    *(
        "图中有台灯等等。",
        "先仔细看图，再看选项。",
        "Auf dem Bild ist ein Moment der Ruhe zu sehen",
    ),
]


@pytest.mark.parametrize("text", MEANT)
def test_a_second_look_in_other_words_is_found(text):
    assert is_reflective(text)


@pytest.mark.parametrize("text", NOT_MEANT)
def test_words_that_only_look_like_it_are_not(text):
    assert not is_reflective(text)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("It is left. No, it is right", "No, it"),
        ("It says no. I skipped one", "I skipped"),
        ("The cartoon says the opposite of what I just wrote", "the opposite of what I just wrote"),
        ("Wait, wait, wait, wait. Hmm. I misread it", "Hmm"),
    ],
)
def test_a_span_is_the_phrase_itself(text, phrase):
    start, end = find_reflections(text)[0]
    assert text[start:end] == phrase


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The mood is happy " + "😀" * 45, "repetition"),
        ("Wait. " * 20 + "<answer>C</answer>", "repetition"),
        ("<th" * 24, "repetition"),
        ("f(x) means function f(x) of x. <answer>2</answer>", "direct"),
        ("Happy 😀😀😀. <answer>2</answer>", "direct"),
    ],
)
def test_styles(text, expected):
    assert style(text) == expected
