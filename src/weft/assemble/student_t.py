"""Quantiles of Student's t distribution, for confidence intervals of means.

Up to SERIES_UP_TO degrees of freedom the exact finite series of Abramowitz and Stegun, Handbook of Mathematical Functions,
26.7.3 and 26.7.4, inverted by halving; above it their expansion around the normal quantile, 26.7.5.
"""

from __future__ import annotations

from math import cos, pi, sin, sqrt, tan
from statistics import NormalDist
from typing import Final

SERIES_UP_TO: Final = 400
"""Above it the first term that the expansion leaves out is below 1e-9 for any confidence up to 1 - 1e-6."""

_HALVINGS: Final = 60


def central_share(angle: float, freedom: int) -> float:
    """The share of the distribution between -t and t, where tan(angle) = t / sqrt(freedom)."""
    cosine = cos(angle)
    square = cosine * cosine
    is_odd = freedom % 2
    term = cosine if is_odd else 1.0
    total = term if freedom > 1 else 0.0
    for step in range(3 if is_odd else 2, freedom - 1, 2):
        term *= square * (step - 1) / step
        total += term
    if is_odd:
        return 2.0 / pi * (angle + sin(angle) * total)
    return sin(angle) * total


def half_width(confidence: float, freedom: int) -> float:
    """t such that a share of `confidence` lies between -t and t. confidence: between 0 and 1; freedom: at least 1."""
    if not 0.0 < confidence < 1.0 or freedom < 1:
        raise ValueError(
            f"a confidence between 0 and 1 and at least one degree of freedom, not {confidence}, {freedom}"
        )
    if freedom > SERIES_UP_TO:
        return _expanded(confidence, freedom)
    low, high = 0.0, pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if central_share(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return sqrt(freedom) * tan((low + high) / 2)


def _expanded(confidence: float, freedom: int) -> float:
    x = NormalDist().inv_cdf(0.5 + confidence / 2)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / float(freedom) ** (power + 1) for power, term in enumerate(terms))


def interval(values: list[float], confidence: float) -> tuple[float, float] | None:
    """The confidence interval of the mean; None below two values."""
    count = len(values)
    if count < 2:
        return None
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    reach = half_width(confidence, count - 1) * sqrt(variance / count)
    return mean - reach, mean + reach
