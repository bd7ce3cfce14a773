"""Comparisons agree with scipy and with counting by hand, and say what cannot be had."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, permutation_test, ttest_ind

from rlbench.reporting.statistics import two_samples
from rlbench.reporting.statistics.aggregates import IntervalEstimate
from rlbench.reporting.statistics.resampling import Array
from rlbench.reporting.statistics.two_samples import (
    SPLITS,
    Comparison,
    compare,
    holm,
    permutation_p,
    probability_of_improvement,
)

NAN, INF = float("nan"), float("inf")
few = st.lists(st.integers(-8, 8).map(lambda k: k / 4), min_size=1, max_size=5)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def against(a: object, b: object, seed: int = 0) -> Comparison:
    return compare(a, b, rng(seed))  # type: ignore[arg-type]


def welch_t(x: Array, y: Array, axis: int = -1) -> Array:
    error = x.var(axis=axis, ddof=1) / x.shape[axis] + y.var(axis=axis, ddof=1) / y.shape[axis]
    return np.abs(x.mean(axis=axis) - y.mean(axis=axis)) / np.sqrt(error)


def test_comparison_equals_scipy() -> None:
    a, b = rng(1).normal(1, 1, 6), rng(2).normal(0, 3, 4)
    found = against(a, b)
    theirs = ttest_ind(a, b, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert found.difference == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_welch == pytest.approx(theirs.pvalue)
    exact = permutation_test((a, b), welch_t, alternative="greater", vectorized=True)
    assert found.p_permutation == pytest.approx(exact.pvalue)  # 210 ways, all tried by both
    u = mannwhitneyu(a, b).statistic
    assert found.improvement == pytest.approx(u / 24)
    assert (found.n_a, found.n_b, found.said) == (6, 4, "")


@settings(deadline=None)
@given(few, few)
def test_permutations_are_counted_as_by_hand(a: list[float], b: list[float]) -> None:
    """In fractions of whole numbers, so that ties are ties."""
    values, n, m = np.array([*a, *b]), len(a), len(b)

    def size(chosen: tuple[int, ...]) -> float:
        x, y = values[list(chosen)], np.delete(values, chosen)
        difference = abs(x.sum() * m - y.sum() * n)  # exact
        if min(n, m) < 2:
            return difference
        spread = x.var(ddof=1) / n + y.var(ddof=1) / m
        if x.min() == x.max() and y.min() == y.max():
            return INF if difference else 0.0
        return difference / math.sqrt(spread)

    sizes = [size(chosen) for chosen in itertools.combinations(range(n + m), n)]
    least = sizes[0] * (1 - 1e-9)
    expected = sum(s >= least for s in sizes) / len(sizes)
    assert permutation_p(np.array(a), np.array(b), rng()) == pytest.approx(expected)


def test_random_permutations_are_never_zero_and_near_the_exact_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = rng(3).normal(0.8, 1, 8), rng(4).normal(0, 1, 8)
    exact = permutation_p(a, b, rng())  # 12,870 ways
    apart = a + 100
    assert permutation_p(apart, b, rng()) == 2 / math.comb(16, 8)
    monkeypatch.setattr(two_samples, "SPLITS", 5000)
    assert permutation_p(a, b, rng()) == pytest.approx(exact, abs=0.015)
    assert permutation_p(a, b, rng()) == permutation_p(a, b, rng())
    assert permutation_p(a, b, rng()) != permutation_p(a, b, rng(1))
    assert 1 / 5001 <= permutation_p(apart, b, rng()) <= 4 / 5001


def test_unequal_spreads_and_numbers_keep_the_level_better_than_the_difference_does() -> None:
    """Three widely spread seeds against ten narrow ones with the same mean."""
    stream, trials, hits, control = rng(5), 150, 0, 0
    for _ in range(trials):
        a, b = stream.normal(0, 5, 3), stream.normal(0, 1, 10)
        hits += permutation_p(a, b, stream) <= 0.05
        both = np.concatenate([a, b])
        sums = np.array([both[list(c)].sum() for c in itertools.combinations(range(13), 3)])
        sizes = np.abs(sums / 3 - (both.sum() - sums) / 10)
        control += (sizes >= sizes[0] - 1e-12).mean() <= 0.05
    assert hits / trials < 0.22 < 0.26 < control / trials


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([1, 2, 3, NAN], [4, 5, 6, 8], "1 of 4 seeds of a missing"),
        ([1, 2, 3], [4, 5, 6], "3 against 3 seeds: p of the permutation test cannot be below 0.1"),
        ([1], [2, 3, 4] * 10, "one seed in a: no interval"),
        ([500] * 5, [300, 310, 400], "5 of 5 seeds of a at 500: no interval"),
        ([NAN, NAN], [1, 2], "2 of 2 seeds of a missing; no score in a"),
        ([], [1, 2], "no score in a"),
        ([1, 2, 3, 4], [1, 2, 3, -INF], "infinite scores in b: no mean"),
    ],
)
def test_what_cannot_be_had_is_said(a: list[float], b: list[float], said: str) -> None:
    found, mirrored = against(a, b), against(b, a)
    assert found.said == said
    assert mirrored.n_b == found.n_a == np.isfinite(a).sum()
    assert mirrored.difference == pytest.approx(-found.difference, nan_ok=True)
    assert mirrored.p_permutation == pytest.approx(found.p_permutation, nan_ok=True)
    assert mirrored.improvement == pytest.approx(1 - found.improvement, nan_ok=True)
    assert math.isnan(found.p_welch) == ("no" in said.split())
    assert math.isnan(found.improvement) == (found.n_a == 0)
    assert math.isnan(found.p_permutation) == (found.n_a == 0 or "infinite" in said)


def test_a_ceiling_on_both_sides() -> None:
    apart = against([500] * 5, [200] * 5)
    assert (apart.difference, apart.improvement) == (300, 1)
    assert apart.p_permutation == 2 / math.comb(10, 5)
    assert math.isnan(apart.p_welch)
    assert apart.improvement_low == pytest.approx(0.7, abs=0.1)
    same = against([0.1] * 5, [0.1] * 5)
    assert (same.difference, same.p_permutation, same.improvement) == (0, 1, 0.5)
    assert "5 of 5 seeds of b at 0.1" in same.said


def test_holm_by_hand() -> None:
    found = holm([0.01, 0.04, 0.03, 0.005])
    assert found.tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])  # 0.04 not below 0.03's
    assert holm([0.6, 0.7]).tolist() == [1, 1]
    assert holm([]).size == 0
    with_gap = holm([0.01, NAN, 0.04])
    assert with_gap[[0, 2]].tolist() == pytest.approx([0.02, 0.04])  # two tests, not three
    assert np.isnan(with_gap[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_between_bonferroni_and_nothing(p: list[float]) -> None:
    adjusted = holm(p)
    assert (adjusted >= np.array(p) - 1e-15).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


def improvement(a: object, b: object, seed: int = 0) -> IntervalEstimate:
    return probability_of_improvement(a, b, rng(seed), 300)  # type: ignore[arg-type]


def test_probability_of_improvement_by_hand() -> None:
    a, b = np.array([[1.0, 3.0], [2.0, 3.0]]), np.array([[1.0, 1.0], [0.0, 5.0], [2.0, NAN]])
    found = improvement(a, b)
    first, second = (0.5 + 1 + 0 + 1 + 1 + 0.5) / 6, (1 + 0 + 1 + 0) / 4
    assert found.value == pytest.approx((first + second) / 2)
    assert found.n == 2
    assert found.method.startswith("stratified bootstrap, 300 resamples, widened ")
    assert found.method.endswith("; 1 of 10 scores missing")
    assert 0 <= found.low < found.value < found.high <= 1
    back = improvement(b, a)
    assert back.value == pytest.approx(1 - found.value)
    assert improvement(a, b) == found


def test_probability_of_improvement_does_not_depend_on_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = rng(8).normal(size=(6, 3)), rng(9).normal(size=(9, 3))
    found = improvement(a, b)
    monkeypatch.setattr(two_samples, "_PAIRS", 2000)
    assert improvement(a, b) == found


def test_probability_of_improvement_of_one_task_is_that_of_a_comparison() -> None:
    a, b = rng(6).normal(1, 1, 7), rng(7).normal(0, 1, 5)
    found, single = improvement(a[:, None], b[:, None]), against(a, b)
    assert found[:3] == (single.improvement, single.improvement_low, single.improvement_high)
    assert found.method == "Newcombe's method 5"


def test_probability_of_improvement_says_why_there_is_no_interval() -> None:
    apart = improvement(np.ones((3, 2)), np.zeros((3, 2)))
    assert apart.value == 1
    assert apart.method == "no task in which seeds change places: no interval"
    one = improvement(np.ones((1, 2)), np.zeros((3, 2)))
    assert one.method == "one seed: no interval"
    assert np.isnan([apart.low, apart.high, one.low, one.high]).all()
    many = improvement(rng(8).normal(0.2, 1, (50, 2)), rng(9).normal(size=(50, 2)))
    assert improvement(rng(8).normal(0.2, 1, (50, 2)), rng(9).normal(size=(50, 2)), 1) != many
    assert many.method == "stratified bootstrap, 300 resamples"
    with pytest.raises(ValueError, match="same tasks are needed, not 2 and 3"):
        improvement(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"shapes \(n,\)"):
        against([[1.0]], [1.0])


def test_kept_splits_are_as_good_as_drawn_ones() -> None:
    """p of random splits that tests share differs from that of their own by chance only."""
    rng = np.random.default_rng(4)
    for shift in (0.0, 0.5, 1.0):
        a, b = rng.normal(shift, 1, 12), rng.normal(0, 1, 12)
        shared, own = permutation_p(a, b, 5), permutation_p(a, b, rng)
        assert shared == permutation_p(a, b, 5)
        assert shared != own
        assert shared == pytest.approx(own, abs=5 * (2 * own * (1 - own) / SPLITS) ** 0.5)
