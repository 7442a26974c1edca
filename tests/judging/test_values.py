"""Values: read from any spelling, compared as values."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtkit.judging.expressions import same
from vtkit.judging.free import says
from vtkit.judging.values import MAX_VALUE, read_value, same_value

SAME = [
    (r"9\pi", "9π"), ("7cm", "7"), ("7 cm", "7 centimetres"), ("0.25", r"\frac{1}{4}"),
    ("2.50", "2.5"),
    ("16 * pi", "16π"), ("3sqrt(2)", "3√{2}"), ("√12", "2√3"), ("x = 6", "6"), ("6 = x", "6"),
    ("(2, 5)", "(2,5)"),
    ("2 3/4", "2.75"), ("-2 3/4", "-2.75"), (r"2\frac{3}{4}", "11/4"), ("2½", "2.5"),
    ("1e-4", "0.0001"),
    ("1.2×10³", "1200"), ("50%", "0.5"), ("50%", "50"), ("1,234.5", "1234.5"), ("3, 2", "2, 3"),
    ("x = 2 or x = 3", "2, 3"), ("5!", "120"), ("3:4", "3 : 4"), (r"$\frac13$", "1/3"),
    ("60°", r"60^\circ"),
    ("24 cm²", "24 square centimeters"), (r"24\,\text{cm}^2", "24 cm^2"), ("AB = 50", "50"),
    ("∠A = 50°", "50"),
    ("y = 2x + 1", "1+2x"), ("2+1=3", "3"), ("A = 1/2 * 3 * 4 = 6", "6"),
    ("area = 24 cm²", "24"), ("−5", "- 5"),
    (r"\sqrt{3}/2", r"\frac{\sqrt{3}}{2}"), ("0.333333", "1/3"), ("28.27433", r"9\pi"),
    ("2(x+1)", "2x+2"),
    (r"\dfrac{3}{5}", "0.6"), ("x²", "x^2"), (r"\$5.00", "5"), ("2^10", "1024"),
    ("三十五", "35"), ("五分之二", "0.4"), ("one and a half", "1.5"), ("three quarters", "3/4"),
    ("minus seven", "-7"), ("1.5 million", "1500000"), ("45 000", "45,000"), ("2,5 kg", "2.5"),
    (r"0.\overline{3}", "1/3"), ("±3", r"\pm 3"), ("2, 5", "(2, 5)"), ("R(3,4)", "(3,4)"),
    ("-3.5 degrees Celsius", "-3.5 °C"), ("48 cm2", "48 cm²"), ("12¢", "12 cents"), ("50%", "50"),
]  # fmt: skip
DIFFERENT = [
    ("5.0", "√{5}"), ("√7", "7"), ("9", r"9\pi"), ("6*6", "6"), (r"\frac{6}{6}", "6"), ("3^3", "3"),
    ("x-2", "x+2"), ("5 = 6 = 7", "7"), ("7 m", "7 cm"), ("24 cm", "24 cm²"),
    ("(5,2)", "(2,5)"), ("5!", "5"),
    ("3x = 6", "6"), ("-5", "5"), ("3:4", "4:3"), ("[1,2]", "(1,2)"), ("3.14", "π"),
    ("0.33", "1/3"), ("2, 2", "2, 3"),
    ("0.5", "50"), ("3 4", "34"), ("0 = 1", "1"), ("x = 4, y = 2", "4"), (r"\infty", "1"),
    ("9^9^9^9", "3"), ("0.5%", "0.5"), ("12¢", "$12"), ("十八", "8"), ("±3", "3"), ("二十", "2"),
    ("12 000", "12"), ("5, 2", "(2, 5)"),
]  # fmt: skip
PROSE = [
    "the lamp",
    "left",
    "3 out of 4",
    "about 3",
    "~3",
    "3+",
    "3 or so",
    "",
    "=",
    "and",
    "Step 2: look",
]


def equal(one, other):
    values = read_value(one), read_value(other)
    return None not in values and same_value(*values)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_value(one, other):
    assert equal(one, other) and equal(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_value(one, other):
    assert not equal(one, other) and not equal(other, one)


@pytest.mark.parametrize("text", PROSE)
def test_words_are_no_value(text):
    assert read_value(text) is None


@given(st.text("0123456789.,+-*/^()[]{}√π%=x \\fracsqt!", max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_signs_end_in_a_verdict(text):
    assert says(text, text) is True or not text.strip()
    assert says(text, "the lamp") is False


@pytest.mark.parametrize(
    "text", ["9^" * 39 + "9", "(" * 40 + "1" + ")" * 39, "9" * 80, "99!!!!!!!", "1/0"]
)
def test_what_would_take_hours_is_given_up(text):
    assert len(text) <= MAX_VALUE and not equal(text, "3")
    assert not same(text, "3")


@given(
    st.fractions(),
    st.sampled_from(["{0}/{1}", r"\frac{{{0}}}{{{1}}}", "x = {0}/{1}", "{0} / {1} cm"]),
)
@settings(deadline=None)
def test_a_fraction_is_read_back(value, form):
    text = form.format(value.numerator, value.denominator)
    if len(text) <= MAX_VALUE:
        assert equal(text, f"{value.numerator}/{value.denominator}")
