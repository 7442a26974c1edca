"""Wilson intervals against published values and their own promises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtkit.stats import difference, paired_difference, proportion, wilson_interval


# Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_nothing_observed_says_nothing():
    assert proportion(0, 0) == {"value": None, "low": 0.0, "high": 1.0, "n": 0}


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (1, 0)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson_interval(successes, n)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_rate_and_is_symmetric(counts):
    successes, n = counts
    low, high = wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high
    mirrored = wilson_interval(n - successes, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_proportion_is_json():
    assert json.loads(json.dumps(proportion(3, 4)))["value"] == 0.75


# Newcombe (1998), "Interval estimation for the difference between independent proportions",
# table II, method 10.
@pytest.mark.parametrize(
    ("after", "before", "value", "low", "high"),
    [
        ((56, 70), (48, 80), 0.2, 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.6, 0.1705, 0.8090),
        ((6, 7), (2, 7), 4 / 7, 0.0582, 0.8062),
    ],
)
def test_published_differences(after, before, value, low, high):
    found = difference(proportion(*after), proportion(*before))
    assert found == pytest.approx({"value": value, "low": low, "high": high}, abs=1e-4)


# Fagerland, Lydersen and Laake, "Recommended tests and confidence intervals for paired binomial
# proportions", Statistics in Medicine 33 (2014), 2850-2875, and Altman, Machin, Bryant and Gardner,
# "Statistics with Confidence" (2000), table 6.2: Newcombe's interval of three published tables.
@pytest.mark.parametrize(
    ("table", "value", "low", "high"),
    [
        ((59, 6, 16, 80), -10 / 161, -0.1186, -0.0046),
        ((1, 1, 7, 12), -6 / 21, -0.507, -0.026),
        ((14, 5, 0, 22), 5 / 41, 0.011, 0.226),
    ],
)
def test_published_paired_differences(table, value, low, high):
    found = paired_difference(*table)
    assert found["value"] == pytest.approx(value)
    assert found["low"] == pytest.approx(low, abs=6e-4)
    assert found["high"] == pytest.approx(high, abs=6e-4)


counts = st.integers(0, 300)


@given(counts, counts, counts, counts)
def test_a_paired_interval_holds_the_difference_and_turns_with_it(both, helped, hurt, neither):
    found = paired_difference(both, helped, hurt, neither)
    turned = paired_difference(both, hurt, helped, neither)
    assert turned["low"] == pytest.approx(-found["high"])
    if both + helped + hurt + neither == 0:
        assert found == {"value": None, "low": -1, "high": 1}
    else:
        rounding = 1e-12
        assert -1 <= found["low"] + rounding and found["high"] - rounding <= 1
        assert found["low"] - rounding <= found["value"] <= found["high"] + rounding
        assert found["low"] < found["high"]


def test_a_paired_interval_uses_the_pairs():
    paired = paired_difference(70, 12, 2, 16)
    apart = difference(proportion(82, 100), proportion(72, 100))
    assert paired["low"] > 0 > apart["low"] and paired["value"] == pytest.approx(apart["value"])


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        paired_difference(1, -1, 2, 3)
