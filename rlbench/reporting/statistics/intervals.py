"""Statistics over seeds: the seed is the unit, so every function takes one number per seed.

Episodes of one seed are not independent samples of the agent; average them first
(`tables.per_seed`). Callers drop and count seeds without a score: NaN raises ValueError, since
skipping it here would hide it.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy  # imports scipy.stats at its first use: it takes a second
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

Bounds = tuple[float, float]  # the least and the greatest possible score; NaN is not known
NO_BOUNDS: Bounds = (float("nan"), float("nan"))


class Interval(NamedTuple):
    """Confidence interval, both ends included."""

    low: float
    high: float


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean: the mean of the middle half of scores (n,).

    A quarter of the scores, rounded down, is cut off at either end (Agarwal et al. 2021, section
    4.3): below n = 4 it is the mean. NaN for n = 0.
    """
    values = np.sort(_scores(scores))
    cut = values.size // 4
    return float(values[cut : values.size - cut].mean()) if values.size else float("nan")


def mean_interval(
    scores: ArrayLike, level: float = 0.95, bounds: Bounds = NO_BOUNDS
) -> Interval | None:
    """Student-t interval of the mean, (n,) -> mean -+ t s / sqrt(n).

    Exact for normal scores at every n (Student 1908); too narrow for few seeds of two kinds
    (`coverage_of_two_kinds`). It is cut at the bounds of a score, see `cut`. None for n < 2, if a
    score is infinite, and if all scores are equal, as at a ceiling: a spread of 0 was observed,
    which does not mean that there is none.
    """
    values = _scores(scores)
    _check_level(level)
    if not _spread(values):
        return None
    half = stdtrit(values.size - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(values.size)
    interval = Interval(float(values.mean() - half), float(values.mean() + half))
    return cut(interval, bounds) if within(values, bounds).all() else interval


def median_interval(scores: ArrayLike, level: float = 0.95) -> Interval | None:
    """Interval of the median of scores (n,) between two of them.

    Valid for every distribution: the k-th least and the k-th greatest score, with the greatest k
    that covers `level` (Conover 1999, section 3.2). It never leaves the range of the scores. None
    if no k does, as for n < 6 at 95 %, if a score is infinite, and if both ends are equal.
    """
    values = np.sort(_scores(scores))
    _check_level(level)
    tail = (1 - level) / 2
    k, below = 0, 0  # the least k for which P(Binomial(n, 1/2) <= k) >= tail
    while (below := below + math.comb(values.size, k)) / 2**values.size < tail:
        k += 1
    if not k or not np.isfinite(values).all() or values[0] == values[-1]:
        return None
    interval = Interval(float(values[k - 1]), float(values[-k]))
    return interval if interval.low < interval.high else None


def difference_interval(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, bounds: Bounds = NO_BOUNDS
) -> Interval | None:
    """Welch's interval of mean(a) - mean(b), (n,) and (m,).

    For independent normal scores of unequal variance, with the degrees of freedom of Welch (1947).
    With the bounds of a score it is cut at those of a difference. None if `mean_interval` is None
    for a or b.
    """
    first, second = _scores(a), _scores(b)
    _check_level(level)
    if not (_spread(first) and _spread(second)):
        return None
    errors = [values.var(ddof=1) / values.size for values in (first, second)]  # squared
    shares = [e**2 / (n - 1) for e, n in zip(errors, (first.size, second.size), strict=True)]
    half = stdtrit(sum(errors) ** 2 / sum(shares), (1 + level) / 2) * np.sqrt(sum(errors))
    difference = first.mean() - second.mean()
    interval = Interval(float(difference - half), float(difference + half))
    if not within(np.append(first, second), bounds).all():
        return interval
    return cut(interval, difference_bounds(bounds, bounds))


def cut(interval: Interval, bounds: Bounds) -> Interval:
    """Clip an interval to the bounds of a score.

    The coverage does not change, since no mean is outside. If scores exceed the bounds, these are
    wrong, and `mean_interval` and `difference_interval` do not clip.
    """
    return Interval(float(np.fmax(interval.low, bounds[0])),
                    float(np.fmin(interval.high, bounds[1])))  # fmt: skip


def within(scores: NDArray[np.float64], bounds: tuple[ArrayLike, ArrayLike]) -> NDArray[np.bool_]:
    """Return which scores are within the bounds, up to rounding."""
    low, high = (np.asarray(bound, dtype=np.float64) for bound in bounds)
    below, above = low - 1e-9 * (1 + abs(low)), high + 1e-9 * (1 + abs(high))
    return np.asarray(~((scores < below) | (scores > above)))


def difference_bounds(a: Bounds, b: Bounds) -> Bounds:
    """Return the bounds of a difference of two scores with these bounds."""
    return a[0] - b[1], a[1] - b[0]


def coverage_of_two_kinds(n: int, share: float = 0.2, level: float = 0.95) -> float:
    """Coverage of `mean_interval` if a `share` of all seeds score 0 and the others 1.

    Exact, a sum over the number of zeros among n seeds. Mostly it fails because one kind is not in
    the sample: then there is no interval, which counts as a failure.
    """
    total = 0.0
    for zeros in range(1, n):
        interval = mean_interval([0.0] * zeros + [1.0] * (n - zeros), level)
        if interval and interval.low <= 1 - share <= interval.high:
            total += float(scipy.stats.binom.pmf(zeros, n, share))
    return total


def share_interval(k: int, n: int, level: float = 0.95) -> Interval | None:
    """Exact interval of a share, k of n (Clopper & Pearson 1934).

    Covers at least `level` for every share and n, also at 0 of n and n of n. None for n = 0.
    """
    _check_level(level)
    if not 0 <= k <= n:
        raise ValueError(f"k of n needs 0 <= k <= n, not {k} of {n}")
    if n == 0:
        return None
    tail = (1 - level) / 2
    low = betaincinv(k, n - k + 1, tail) if k > 0 else 0.0
    high = betaincinv(k + 1, n - k, 1 - tail) if k < n else 1.0
    return Interval(float(low), float(high))


def _spread(values: NDArray[np.float64]) -> bool:
    """Return whether scores have a spread that gives their mean an interval."""
    return values.size > 1 and bool(np.isfinite(values).all() and values.min() < values.max())


def _scores(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"one number per seed is needed, shape (n,), not {values.shape}")
    if np.isnan(values).any():
        raise ValueError("a score is NaN: drop seeds without a score, and say how many")
    return values


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
