"""Proportions with honest intervals.

Every rate in this kit (accuracy, HTML share, reflection rate) is a count out of a count, so every
one carries its sample size and a 95 % Wilson score interval. Unlike the textbook's
``p ± 1.96·sqrt(p(1-p)/n)`` it stays inside [0, 1] and is not of zero width when nothing (or
everything) succeeds, which is where reflection and HTML rates start and end.

Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
JASA 22 (1927).
"""

from math import hypot, sqrt


def wilson_interval(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson score interval of ``successes`` out of ``n``, as fractions of one.

    With no observations nothing is known: ``(0.0, 1.0)``.

    Args:
        z: standard normal quantile; 1.96 gives 95 %.

    Raises:
        ValueError: not ``0 <= successes <= n``.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n, got {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    shrink = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / shrink
    half = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / shrink
    # At 0 and n the bound is exactly 0 or 1; rounding must not push it past the rate itself.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high


def proportion(successes: int, n: int, z: float = 1.96) -> dict[str, float | int | None]:
    """``{"value", "low", "high", "n"}`` of a rate, for JSON; without data ``value`` is None."""
    low, high = wilson_interval(successes, n, z)
    return {"value": successes / n if n else None, "low": low, "high": high, "n": n}


def difference(after: dict, before: dict) -> dict[str, float]:
    """``after`` less ``before``, two proportions with n above 0: ``{"value", "low", "high"}``.

    Newcombe's interval (Statistics in Medicine 17, 1998, method 10), from the Wilson intervals of
    independent samples. For two models on the same questions it is rather too wide.
    """
    gap = after["value"] - before["value"]
    low = gap - hypot(after["value"] - after["low"], before["high"] - before["value"])
    high = gap + hypot(after["high"] - after["value"], before["value"] - before["low"])
    return {"value": gap, "low": low, "high": high}
