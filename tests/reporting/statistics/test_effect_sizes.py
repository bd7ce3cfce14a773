"""Hedges' g and shares of pairs: known values, scipy's distribution, coverage with a control."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nct

from rlbench.reporting.statistics.effect_sizes import hedges_g, placements, wins, wins_interval

NAN = float("nan")


def test_hedges_g_by_hand() -> None:
    """Means 3 and 1, both of variance 2.5; 1 - 3 / 31 is the usual approximation of the factor."""
    a, b = np.array([1.0, 2, 3, 4, 5]), np.array([-1.0, 0, 1, 2, 3])
    g, interval = hedges_g(a, b)
    assert g == pytest.approx(2 / np.sqrt(2.5) * (1 - 3 / 31), rel=1e-3)
    assert interval.low < g < interval.high
    back, mirrored = hedges_g(b, a)
    assert (back, *mirrored) == pytest.approx((-g, -interval.high, -interval.low))
    for factor in (100, 1e4):  # far apart: nothing overflows, and the interval grows with g
        far, ends = hedges_g(factor * 1e3 + a, b)
        assert 0 < ends.low < far < ends.high < 3 * far


@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("shift", [0.0, 1.0, 4.0])
def test_interval_of_g_inverts_the_noncentral_t(n: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(shift, 1, n), rng.normal(0, 1, n)
    d = (a.mean() - b.mean()) / np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    g, ends = hedges_g(a, b)
    for end, chance in zip(ends, (0.975, 0.025), strict=True):
        sizes = np.array([d, end / (g / d)]) * np.sqrt(n / 2)  # t and its noncentrality
        assert nct.cdf(sizes[0], 2 * n - 2, sizes[1]) == pytest.approx(chance, abs=1e-3)


def test_wins_by_hand() -> None:
    a, b = np.array([[1.0], [2.0], [NAN]]), np.array([[1.0], [0.0]])
    assert placements(a, b)[:, 0].tolist() == pytest.approx([0.75, 1, NAN], nan_ok=True)
    assert wins(a, b).tolist() == [0.875]
    assert wins(b, a).tolist() == [0.125]
    stacked = wins(np.stack([a, a + 5]), np.stack([b, b]))
    assert stacked.tolist() == [[0.875], [1.0]]


@given(st.floats(0, 1), st.integers(2, 30), st.integers(2, 30))
def test_interval_of_wins_is_within_0_and_1_and_mirrored(share: float, n: int, m: int) -> None:
    low, high = wins_interval(share, n, m)
    assert 0 <= low <= share <= high <= 1
    assert high - low > 0.05
    assert wins_interval(1 - share, n, m) == pytest.approx((1 - high, 1 - low), abs=1e-7)
    wider = wins_interval(share, n, m, 0.99)
    assert wider.low <= low
    assert high <= wider.high


def test_interval_of_wins_is_narrow_for_many_and_there_for_few() -> None:
    low, high = wins_interval(0.5, 1000, 1000)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(1 / 6000), rel=0.02)  # Mann-Whitney's
    low, high = wins_interval(1.0, 5, 5)
    assert high == 1
    assert 0.5 < low < 0.8
    assert wins_interval(0.0, 5, 5).high == pytest.approx(1 - low)


def test_coverage_of_wins_with_a_control() -> None:
    """P(a > b) = 0.714 of exponentials of rates 0.4 and 1; the control is Wald's interval."""
    rng, trials, hits, control = np.random.default_rng(0), 600, 0, 0
    truth = 1 / 1.4
    for _ in range(trials):
        a, b = rng.exponential(2.5, (5, 1)), rng.exponential(1.0, (5, 1))
        share = wins(a, b)[0]
        low, high = wins_interval(share, 5, 5)
        hits += low <= truth <= high
        error = sum(x.var(ddof=1) for x in (placements(a, b), placements(b, a))) / 5
        control += abs(share - truth) <= 1.96 * np.sqrt(error)
    assert hits / trials >= 0.93
    assert control / trials <= 0.91
