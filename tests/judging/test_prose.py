"""What prose without tags or markers concludes: its last sentence, by what that claims."""

import pytest

from vtkit.judging import find_answer, is_right
from vtkit.judging.answers import Answer

THREE = ("trash can", "bicycle", "mailbox")
SIDES = ("left", "right")
COUNTS = ("3", "4", "5", "6")
SIZES = ("0.5 L", "1 L", "1.5 L")

CLAIMED = [
    # the last sentence beats those in the middle
    (
        "The cup is small. The shop entrance is on the left. That puts the cup to the right.",
        SIDES,
        1,
    ),
    ("It has legs. The bicycle is 3 m away. The nearest of the three is the trash can.", THREE, 0),
    ("The cans are at 2 m. This makes the trash can the nearest.", THREE, 0),
    ("The can is close. The mailbox lies at the greatest distance from us.", THREE, 2),
    (
        "1. **Bicycle**: The bicycle is close.\n2. **Mailbox**: So far.\n\nThe bicycle is nearer.",
        THREE,
        1,
    ),
    ("A red mug, a green mug, two blue mugs and a glass. That leaves four mugs.", COUNTS, 1),
    ("It isn't to the left of the plate but to the right of it.", SIDES, 1),
    # by its last word, by a name in full, by a value, by a word that only one choice has
    ("It has a pink rubber at the end. This is typical of a pencil.", ("pen", "pencil"), 1),
    ("Its petals are yellow. We are looking at a sunflower.", ("rose", "sunflower"), 1),
    (
        "The box got smaller. The object moved away from the camera.",
        ("Object moved closer", "Object moved away"),
        1,
    ),
    ("There were 750 ml, now 1,250 ml. So the stone takes up 500 ml.", SIZES, 0),
    ("It is full. The cup has been emptied.", ("It was filled", "It was emptied"), 1),
    ("杯子在它的另一侧。杯子在盘子的左边。", ("左边", "右边"), 0),
    # others
    ("Yes, there is one. It hangs on the wall, and the label is partly", ("yes", "no"), 0),
    ("Nein, es ist kein Wasser darin.", ("ja", "nein"), 1),
    ("**The camera turns to the right.**\n\nThe wardrobe drifts to the left border.", SIDES, 1),
    (
        "It could suggest a **bathroom**, but the hob shows that this is a kitchen.",
        ("kitchen", "bathroom"),
        0,
    ),
    (
        "**Answer: 5**\n\nOn checking the back row once more, there is another. That makes 6.",
        COUNTS,
        3,
    ),
    ("First \\boxed{3}.\n\nNext, the other side: \\boxed{5}.", COUNTS, 2),
]
NOT_CLAIMED = [
    # the first and the last sentence claim different things, and nothing corrects the first
    ("The lamp is on the left. The lamp is on the right.", SIDES),
    # plans, descriptions, other things
    (
        "To count them, I will:\n1. Scan the image.\n2. Note each one.\n3. Add up the numbers.",
        COUNTS,
    ),
    ("There is a lamp near the sofa. The scene is lit by the lamp.", ("lamp", "sofa")),
    ("The red car is thus further back, and the blue one is in front.", ("red car", "green car")),
    ("A more accurate estimate would require a better view.", ("about 100", "about 200")),
    ("It has four sides, so no circle.", ("circle", "square")),
    ("Point B is deeper than Point A.", ("Point A is closer", "Point B is closer")),
    # no completion, but invented questions
    ("Question: What is it?\nOptions: (A) 3 (B) 4\nAnswer: A\n\nQuestion: Where is it?", COUNTS),
]
VALUES = [
    ("In March they were at 60 and in June at 45. Between the months they fell by 15 units.", "15"),
    ("The remaining 180° − 50° = 130° are shared, and angle B comes to 65°.", "65"),
    ("Its area is $\\pi r^2 = \\pi (3)^2 = 9\\pi$ cm$^2$.", "9\\pi"),
    ("It is 6 to 4. The ratio of cats to dogs is 6 to 4, which simplifies to 3:2.", "3:2"),
    ("The increase is 10, and 10/50 = 0.2. Sales grew by a fifth, or 20 percent.", "20%"),
    ("One cup first. Altogether that's $2\\frac{1}{2}$ cups.", "2.5"),
    ("2 + 2 + 3 makes seven boats altogether.", "7"),
]
NO_VALUES = [
    ("The number of stops left is 4, since 9 are listed, and the train has served 5.", "5"),
    ("They are 5 to 6.", "6"),
    ("The radius is 5 and the diameter is 10.", "10"),
    ("It can't be 7.", "7"),
]


@pytest.mark.parametrize(("text", "choices", "place"), CLAIMED)
def test_the_last_claim_is_the_answer(text, choices, place):
    assert find_answer(text, choices, prefilled=False).choice == place


@pytest.mark.parametrize(("text", "choices"), NOT_CLAIMED)
def test_what_claims_nothing_is_no_answer(text, choices):
    assert find_answer(text, choices, prefilled=False).choice is None


def right(text: str, solution: str) -> bool:
    found: Answer = find_answer(text, prefilled=False)
    return is_right(found, solution) is True


@pytest.mark.parametrize(("text", "solution"), VALUES)
def test_a_sentence_ends_in_its_value(text, solution):
    assert right(text, solution)


@pytest.mark.parametrize(("text", "solution"), NO_VALUES)
def test_no_other_value_of_a_sentence_counts(text, solution):
    assert not right(text, solution)
