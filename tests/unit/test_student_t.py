"""Quantiles of Student's t against published tables, and against each other."""

from __future__ import annotations

from math import pi, tan

import pytest

from weft.assemble import student_t

# NIST/SEMATECH e-Handbook 1.3.6.7.2, with more digits as any statistics package prints them.
TABLE = {
    (0.95, 1): 12.706204736174698,
    (0.95, 2): 4.302652729749464,
    (0.95, 3): 3.182446305283708,
    (0.95, 5): 2.570581835636314,
    (0.95, 10): 2.228138851964938,
    (0.95, 30): 2.042272456301238,
    (0.95, 100): 1.983971518523552,
    (0.95, 1000): 1.962339080826410,
    (0.9, 4): 2.131846786326649,
    (0.99, 7): 3.499483297350492,
    (0.8, 20): 1.325340706985046,
}


@pytest.mark.parametrize(("confidence", "freedom"), list(TABLE))
def test_half_widths_are_those_of_the_tables(confidence: float, freedom: int) -> None:
    assert student_t.half_width(confidence, freedom) == pytest.approx(TABLE[confidence, freedom], abs=1e-9)


@pytest.mark.parametrize("confidence", [0.1, 0.5, 0.683, 0.9, 0.95, 0.99, 0.999, 0.9999])
def test_one_degree_of_freedom_is_a_cauchy_distribution(confidence: float) -> None:
    assert student_t.half_width(confidence, 1) == pytest.approx(tan(pi * confidence / 2), rel=1e-9)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.999, 0.999999])
def test_series_and_expansion_agree_where_one_takes_over(confidence: float, monkeypatch: pytest.MonkeyPatch) -> None:
    freedom = student_t.SERIES_UP_TO + 1
    expanded = student_t.half_width(confidence, freedom)
    monkeypatch.setattr(student_t, "SERIES_UP_TO", freedom)
    assert student_t.half_width(confidence, freedom) == pytest.approx(expanded, abs=1e-8)


def test_an_interval_lies_around_the_mean_and_needs_two_values() -> None:
    assert student_t.interval([], 0.95) is None
    assert student_t.interval([3.0], 0.95) is None
    low, high = student_t.interval([1.0, 2.0, 3.0], 0.95) or (0.0, 0.0)
    assert (low + high) / 2 == pytest.approx(2.0)
    assert high - 2.0 == pytest.approx(4.302652729749464 / 3**0.5, abs=1e-9)
    assert student_t.interval([5.0, 5.0], 0.9) == (5.0, 5.0)


@pytest.mark.parametrize(("confidence", "freedom"), [(0.0, 3), (1.0, 3), (-0.1, 3), (0.95, 0)])
def test_what_has_no_quantile_is_refused(confidence: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        student_t.half_width(confidence, freedom)
