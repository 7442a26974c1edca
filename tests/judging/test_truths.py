"""What a sentence says of a statement is a yes or a no, and names, values and labels are read."""

import pytest

from vtkit.judging import is_correct, judge

TRUTHS = (
    ("The statement is correct.", ("True", "False"), "A"),
    ("The claim is not accurate.", ("True", "False"), "B"),
    ("The statement isn't true.", ("True", "False"), "B"),
    ("The statement isn't wrong.", ("True", "False"), "A"),
    ("This statement holds.", ("yes", "no"), "A"),
    ("The claim doesn't hold.", ("yes", "no"), "B"),
    ("If the statement is false, the cup is red.", ("True", "False"), None),
    ("The description is wrong, as the cat is outside.", ("yes", "no"), "B"),
    ("That makes the statement **True**.", ("True", "False"), "A"),
    ("Therefore, the claim is true.", ("yes", "no"), "A"),
    ("So the answer is affirmative.", ("yes", "no"), "A"),
    ('The statement "the cup is left" is true.', ("True", "False"), "A"),
    ("The statement is true for A but false for B.", ("True", "False"), None),
    ("The statement is not false.", ("True", "False"), "A"),
)
CHOSEN = (
    ("It is the left one, not the right one.", ("left", "right"), "A"),
    ("left, rechts", ("left", "right"), None),
    ("gauche, right", ("left", "right"), None),
    ("droite", ("left", "right"), "B"),
    ("It's the cup, not the pan or the pot.", ("cup", "pan", "pot"), "A"),
    ("not the pan or the pot", ("cup", "pan", "pot"), None),
    (
        "It is hard to tell without more context, but this is probably Rome.",
        ("Rome", "Paris"),
        None,
    ),
    (
        "It's impossible to say from one photo, but it looks like Rome or Paris.",
        ("Rome", "Paris"),
        None,
    ),
    ("It's hard to be certain, but the sign suggests this is Paris.", ("Rome", "Paris"), "B"),
    ("The sum is $7.95, which is closest to option B ($8.00).", ("$7.00", "$8.00", "$9.00"), "B"),
    ("$7.95 is close to option B ($8.00) and option A ($7.00).", ("$7.00", "$8.00", "$9.00"), None),
    ("The height is about 2.4 m.", ("1.2", "2.4"), "B"),
    ("There are about 3 chairs.", ("2", "3"), None),
    ("Roughly 40% of the people chose tea.", ("20%", "40%"), "B"),
    ("Roughly 40% of the people chose tea, 20% coffee.", ("20%", "40%"), None),
    ("The count of 8 falls within the 6-10 range.", ("0-5", "6-10"), "B"),
    ("Animal type: Dog", ("Cat", "Dog"), "B"),
    ("Wrong type: Dog", ("Cat", "Dog"), None),
    ("I count 13 birds, so the answer lies between 11 and 15.", ("0-5", "6-10", "11-15"), "C"),
    ("If I have to choose, it's B.", ("cup", "pan"), "B"),
    ("If I must pick, I'd go with the pan.", ("cup", "pan"), "B"),
    ("The meeting starts at 18:20.", ("18:20", "18:40"), "A"),
    ("The clock shows 18:40, not 18:20.", ("18:20", "18:40"), "B"),
    ("This painting belongs to the Baroque period.", ("Baroque", "Rococo"), "A"),
    ("<p>The answer is <b>square</b>.</p>", ("circle", "square"), "B"),
    ("<p>It may be the square or the circle.</p>", ("circle", "square"), None),
    ("正解はBです。", ("猫", "犬"), "B"),
    ("答えは犬です。", ("猫", "犬"), "B"),
    ("Shape: circle", ("circle", "square"), "A"),
    ("Color: Red", ("Red", "Blue"), "A"),
    ("Final choice - circle", ("circle", "square"), "A"),
)
FREE = (
    ("The sign says STOP.", "STOP", True),
    ("The sign does not say STOP.", "STOP", False),
    ('The text reads "Open 24 hours".', "Open 24 hours", True),
    ("The man is holding a blue umbrella in his left hand.", "a blue umbrella", True),
    ("The brand name on the bottle is Evian.", "Evian", True),
    ("It is either Saturn or Jupiter.", "Saturn", False),
    ("The planet is Saturn or Jupiter.", "Saturn", False),
    ("The width is 250 cm.", "2.5 m", True),
    ("The width is 2.5 cm.", "2.5 m", False),
    ("The width is 25 cm.", "2.5 m", False),
    ("about 45 minutes", "0.75 h", True),
    ("The total was 12,500 in 2019.", "12500", True),
    ("The revenue rose to 4.2 million dollars in 2020.", "4200000", True),
    ("The fraction is \\frac{2}{3}, or approximately 66.7%.", "2/3", True),
    ("The fraction is 2/3, or about 50%.", "2/3", False),
    ("The temperature is 7 degrees below zero.", "-7", True),
    ("The temperature is 7 degrees.", "-7", False),
    ("Saturn, Jupiter", "Saturn", False),
    ("The answer is Saturn, the sixth planet, or Jupiter.", "Saturn", False),
    ("Japan (84.6), USA (78.5)", "Japan", False),
    ("USA (78.5), Japan", "Japan", False),
    ("The bar with the largest value is Japan (84.6).", "Japan", True),
    ("The label reads KLM 4821 or KLM 4827.", "KLM 4821", False),
    ("The label reads KLM 4821. Or KLM 4827.", "KLM 4821", False),
    ("The tallest building is the Burj Khalifa, which is in Dubai.", "Burj Khalifa", True),
    ("The tallest is the Burj Khalifa, the Shanghai Tower", "Burj Khalifa", False),
    ("I think it is Saturn, the Moon.", "Saturn", False),
)


@pytest.mark.parametrize("sentence, choices, letter", TRUTHS + CHOSEN)
def test_a_sentence_is_taken_for_one_choice_or_none(sentence, choices, letter):
    accepted = [one for one in "ABC"[: len(choices)] if is_correct(sentence, choices, f"({one})")]
    assert accepted == ([letter] if letter else [])


@pytest.mark.parametrize("sentence, solution, right", FREE)
def test_a_sentence_is_the_solution_in_a_block_and_outside(sentence, solution, right):
    gold = f"<answer>{solution}</answer>"
    assert bool(judge(sentence, gold, [], prefilled=False).correct) is right
    assert bool(judge(f"Hm.</think><answer>{sentence}</answer>", gold).correct) is right
