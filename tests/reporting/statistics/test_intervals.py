"""Intervals hold what they promise, and their shortcuts do not."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom, binomtest, trim_mean, ttest_ind

from rlbench.reporting.statistics.intervals import (
    difference_interval,
    iqm,
    mean_interval,
    median_interval,
    share_interval,
)

finite = st.floats(-1e6, 1e6)
scores = arrays(np.float64, st.integers(1, 40), elements=finite)


@settings(deadline=None)  # a loaded machine is no failure
@given(scores)
def test_iqm_is_the_trimmed_mean(values: np.ndarray) -> None:
    assert iqm(values) == pytest.approx(trim_mean(values, 0.25), rel=1e-12, abs=1e-9)


@settings(deadline=None)  # a loaded machine is no failure
@given(scores, st.randoms(use_true_random=False))
def test_iqm_knows_no_order_and_no_extrapolation(values: np.ndarray, rng: random.Random) -> None:
    shuffled = values.tolist()
    rng.shuffle(shuffled)
    assert iqm(shuffled) == iqm(values)
    slack = 1e-9 * max(1.0, np.abs(values).max())
    assert values.min() - slack <= iqm(values) <= values.max() + slack


def test_iqm_by_hand() -> None:
    assert iqm([0, 1, 2, 100]) == 1.5  # the mean would be 25.75
    assert iqm([5.0, 1.0, 3.0]) == 3.0  # n = 3: nothing to cut
    assert iqm([7.0]) == 7.0
    assert iqm([-np.inf, 1, 2, 3]) == 1.5
    assert np.isnan(iqm([]))


def test_mean_interval_by_hand() -> None:
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval is not None
    t = 0.95 * np.sqrt(2 / (4 * 0.975 * 0.025))  # closed form at 2 degrees of freedom: 4.303
    half = t / np.sqrt(3)  # s = 1
    assert interval == pytest.approx((2 - half, 2 + half), rel=1e-9)
    assert interval.low < interval.high


@settings(deadline=None)  # a loaded machine is no failure
@given(arrays(np.float64, st.integers(2, 12), elements=finite))
def test_mean_interval_is_centred_and_grows_with_the_level(values: np.ndarray) -> None:
    interval, wider = mean_interval(values), mean_interval(values, 0.99)
    if values.min() == values.max():
        assert interval is None
    elif interval is not None and wider is not None and values.std() > 1e-6:
        assert (interval.low + interval.high) / 2 == pytest.approx(values.mean(), abs=1e-6)
        assert wider.low < interval.low < interval.high < wider.high


def test_t_interval_covers_where_the_normal_one_does_not() -> None:
    rng = np.random.default_rng(5)
    trials, n = 4000, 5
    samples = rng.normal(10.0, 3.0, size=(trials, n))
    intervals = [mean_interval(sample) for sample in samples]
    covered = np.mean([i is not None and i.low <= 10.0 <= i.high for i in intervals])
    half = 1.96 * samples.std(axis=1, ddof=1) / np.sqrt(n)
    normal = np.mean(np.abs(samples.mean(axis=1) - 10.0) <= half)
    assert covered == pytest.approx(0.95, abs=0.012)  # three and a half standard errors
    assert normal < 0.90  # exact: 0.878


def test_no_interval_where_nothing_can_be_said() -> None:
    assert mean_interval([]) is None
    assert mean_interval([3.0]) is None
    assert mean_interval([500.0] * 10) is None
    assert mean_interval([1.0, np.inf]) is None
    assert share_interval(0, 0) is None


def test_median_interval_by_hand() -> None:
    """Of ten scores the second and the second greatest: the third would cover 89 %."""
    assert median_interval(range(1, 11)) == (2, 9)
    assert median_interval([3, 1, 2, 4, 6, 5]) == (1, 6)
    for scores in ([], [1], [1, 2, 3, 4, 5], [7.0] * 9, [0.0, *[7.0] * 8], [np.inf, *range(9)]):
        assert median_interval(scores) is None


@pytest.mark.parametrize("n", [6, 9, 10, 25])
def test_median_interval_covers_what_it_promises(n: int) -> None:
    """Of skewed scores too: 4000 draws, three standard errors."""
    draws = np.random.default_rng(n).exponential(size=(4000, n))
    found = [median_interval(scores) for scores in draws]
    covered = np.mean([i is not None and i.low <= np.log(2) <= i.high for i in found])
    assert covered > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 4000)


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (37, 50)])
def test_share_interval_is_clopper_pearson(k: int, n: int, level: float) -> None:
    exact = binomtest(k, n).proportion_ci(level, "exact")
    wilson = binomtest(k, n).proportion_ci(level, "wilson")
    assert share_interval(k, n, level) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert share_interval(k, n, level) != pytest.approx((wilson.low, wilson.high), abs=1e-3)


def test_what_is_refused() -> None:
    for function in (iqm, mean_interval):
        with pytest.raises(ValueError, match="NaN"):
            function([1.0, float("nan")])
        with pytest.raises(ValueError, match="one number per seed"):
            function([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(ValueError, match="4 of 3"):
        share_interval(4, 3)
    with pytest.raises(ValueError, match="level"):
        mean_interval([1.0, 2.0], level=95)
    with pytest.raises(ValueError, match="level"):
        share_interval(1, 2, level=1.0)


def test_difference_is_welchs() -> None:
    a, b = [0.91, 0.95, 0.93, 0.96], [0.98, 0.981, 0.979, 0.982, 0.98, 0.983]
    interval = difference_interval(a, b)
    assert interval is not None
    theirs = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert interval == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert difference_interval(b, a) == pytest.approx((-interval.high, -interval.low))
    pooled = ttest_ind(a, b).confidence_interval(0.95)  # negative control: one variance for both
    assert interval != pytest.approx((pooled.low, pooled.high), rel=0.1)
    wider = difference_interval(a, b, 0.99)
    assert wider is not None
    assert wider.low < interval.low < interval.high < wider.high


@pytest.mark.parametrize("other", [[], [0.5], [0.5, 0.5], [0.5, np.inf]])
def test_a_difference_needs_two_spreads(other: list[float]) -> None:
    assert difference_interval([0.1, 0.2, 0.3], other) is None
    assert difference_interval(other, [0.1, 0.2, 0.3]) is None


def test_a_difference_covers_what_it_promises() -> None:
    """Unequal spreads and few seeds; a normal quantile in place of t would cover 82 %."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        interval = difference_interval(rng.normal(1, 5, 3), rng.normal(0, 1, 6))
        assert interval is not None
        hits += interval.low <= 1 <= interval.high
    assert hits / 1000 >= 0.93


def test_median_and_share_are_those_of_scipy_stats() -> None:
    """They are computed without it, since importing it takes half a second."""
    for n in range(1, 40):
        scores, level = np.arange(float(n)), (0.9, 0.95, 0.99)[n % 3]
        k = int(binom.ppf((1 - level) / 2, n, 0.5))
        expected = (k - 1, n - k) if k and k - 1 < n - k else None
        assert median_interval(scores, level) == expected
        for hits in range(n + 1):
            interval = binomtest(hits, n).proportion_ci(level, "exact")
            assert share_interval(hits, n, level) == pytest.approx((interval.low, interval.high))
