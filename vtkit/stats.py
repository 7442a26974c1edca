"""Proportions, their differences and correlations, with 95 % intervals.

The Wilson score interval (E. B. Wilson, JASA 22, 1927) stays inside [0, 1] and has a width where
nothing or everything succeeds. Differences: R. G. Newcombe, Statistics in Medicine 17 (1998).
"""

from collections.abc import Iterable, Mapping, Sequence
from math import atanh, hypot, prod, sqrt, tanh
from statistics import mean, stdev
from typing import Any, TypedDict

Z = 1.96  # standard normal quantile


class Estimate(TypedDict):
    """A rate or a correlation with its interval and the number of cases."""

    value: float | None
    low: float
    high: float
    n: int


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson score interval of ``successes`` out of ``n``, as fractions; (0, 1) if n is 0.

    >>> low, high = wilson_interval(7, 10)
    >>> f"{low:.2f} to {high:.2f}"
    '0.40 to 0.89'
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n, got {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    shrink = 1 + Z * Z / n
    centre = (rate + Z * Z / (2 * n)) / shrink
    half = Z * sqrt(rate * (1 - rate) / n + Z * Z / (4 * n * n)) / shrink
    # At 0 and n the bound is exactly 0 or 1; rounding must not push it past the rate itself.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high


def proportion(successes: int, n: int) -> Estimate:
    """``{"value", "low", "high", "n"}`` of a rate, for JSON; without data ``value`` is None.

    >>> proportion(0, 0)
    {'value': None, 'low': 0.0, 'high': 1.0, 'n': 0}
    """
    low, high = wilson_interval(successes, n)
    return {"value": successes / n if n else None, "low": low, "high": high, "n": n}


def share(flags: Iterable[Any]) -> Estimate:
    """:func:`proportion` of the true ones among flags (bools, or 0 and 1)."""
    flags = list(flags)
    return proportion(int(sum(flags)), len(flags))


def difference(after: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, float]:
    """``after`` less ``before``, two proportions with n above 0: ``{"value", "low", "high"}``.

    Newcombe's method 10, for independent samples; rather too wide for the same questions.

    >>> points(difference(proportion(60, 100), proportion(50, 100)))
    '+10.0 [-3.7, +23.2]'
    """
    gap = after["value"] - before["value"]
    low = gap - hypot(after["value"] - after["low"], before["high"] - before["value"])
    high = gap + hypot(after["high"] - after["value"], before["value"] - before["low"])
    return {"value": gap, "low": low, "high": high}


def paired_difference(both: int, helped: int, hurt: int, neither: int) -> dict[str, float | None]:
    """Difference of two proportions measured on the same n pairs: ``{"value", "low", "high"}``.

    Newcombe's method 10 (pages 2635-2650): two Wilson intervals, combined with the correlation
    between the results, which is lowered as for a small sample. Without pairs: None, -1 and 1.

    Args:
        both, helped, hurt, neither: pairs right both times, only first, only second, never.

    >>> points(paired_difference(both=50, helped=10, hurt=2, neither=38))
    '+8.0 [+1.1, +14.7]'
    """
    if min(both, helped, hurt, neither) < 0:
        raise ValueError(f"counts must not be negative, got {(both, helped, hurt, neither)}")
    n = both + helped + hurt + neither
    if n == 0:
        return {"value": None, "low": -1.0, "high": 1.0}
    first, second = proportion(both + helped, n), proportion(both + hurt, n)
    one, other = (both + helped) / n, (both + hurt) / n
    up, down = first["high"] - one, one - first["low"]
    second_up, second_down = second["high"] - other, other - second["low"]
    covariance = float(both * neither - helped * hurt)
    if covariance > 0:
        covariance = max(covariance - n / 2, 0.0)
    margins = (both + helped) * (hurt + neither) * (both + hurt) * (helped + neither)
    phi = covariance / sqrt(margins) if margins else 0.0
    gap = (helped - hurt) / n
    return {
        "value": gap,
        "low": gap - _combined(down, second_up, phi),
        "high": gap + _combined(up, second_down, phi),
    }


def _combined(one: float, other: float, phi: float) -> float:
    return sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))


def correlation(first: list[float], second: list[float]) -> Estimate:
    """Pearson's r of paired values: ``{"value", "low", "high", "n"}``; Spearman's if given ranks.

    Fisher's interval. With fewer than four pairs, or without spread: None, -1 and 1.
    """
    n = len(first)
    deviations = [[value - sum(values) / n for value in values] for values in (first, second) if n]
    spread = sqrt(prod(sum(x * x for x in values) for values in deviations)) if n else 0.0
    if n < 4 or spread == 0:
        return {"value": None, "low": -1.0, "high": 1.0, "n": n}
    r = sum(x * y for x, y in zip(*deviations, strict=True)) / spread
    r = max(-1.0, min(1.0, r))
    if abs(r) == 1:
        return {"value": r, "low": r, "high": r, "n": n}
    half = Z / sqrt(n - 3)
    return {"value": r, "low": tanh(atanh(r) - half), "high": tanh(atanh(r) + half), "n": n}


def spread(values: Sequence[float | None]) -> dict[str, float | None]:
    """``{"mean", "sd", "min", "max"}`` of the values that are known; ``sd`` is the sample's.

    >>> spread([1.0, 2.0, None, 6.0])["mean"]
    3.0
    """
    known = [value for value in values if value is not None]
    if not known:
        return dict.fromkeys(("mean", "sd", "min", "max"))
    sd = stdev(known) if len(known) > 1 else None
    return {"mean": mean(known), "sd": sd, "min": min(known), "max": max(known)}


NOT_RUN = "not run"


def percent(proportion: Mapping[str, Any] | None) -> str:
    """A proportion for people: ``"72% [68, 76]"``.

    >>> percent(proportion(72, 100))
    '72.0% [62.5, 79.9]'
    >>> percent(None)
    'not run'
    """
    if proportion is None or proportion["value"] is None:
        return NOT_RUN
    value, low, high = (100 * proportion[key] for key in ("value", "low", "high"))
    return f"{value:.1f}% [{low:.1f}, {high:.1f}]"


def with_n(proportion: Mapping[str, Any]) -> str:
    """As :func:`percent`, with the number of cases: ``"72% [68, 76], n = 500"``; else "none"."""
    return f"{percent(proportion)}, n = {proportion['n']}" if proportion["n"] else "none"


def points(gap: Mapping[str, float]) -> str:
    """A difference of two proportions for people: ``"+2.3 [+0.4, +4.1]"``, in points."""
    value, low, high = (100 * gap[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def at_step(score: Mapping[str, Any] | None) -> str:
    """An accuracy and the step that it was reached at: ``"72.0% at 75"``."""
    return f"{score['accuracy']['value']:.1%} at {score['step']}" if score else NOT_RUN
