"""Statistics over seeds: the seed is the unit, so every function takes one number per seed.

Episodes of one seed are not independent draws of the agent; average them first (`tables.per_seed`).
A seed without a score is dropped and counted by the caller: a NaN is refused with ValueError, since
skipping it here would hide it, and passing it on would lose the rest.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, binom, t

Bounds = tuple[float, float]  # the least and the greatest possible score; NaN is not known
NO_BOUNDS: Bounds = (float("nan"), float("nan"))


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean, (n,) -> the mean of the middle half; the seed is the unit.

    A quarter of the scores, rounded down, is cut off at either end (Agarwal et al. 2021, section
    4.3): below n = 4 it is the mean. NaN where n = 0.
    """
    values = np.sort(_scores(scores))
    cut = values.size // 4
    return float(values[cut : values.size - cut].mean()) if values.size else float("nan")


def mean_interval(
    scores: ArrayLike, level: float = 0.95, bounds: Bounds = NO_BOUNDS
) -> Interval | None:
    """Student-t interval of the mean, (n,) -> mean -+ t s / sqrt(n); the seed is the unit.

    Exact for normal scores at every n (Student 1908), too narrow for few seeds of two kinds
    (`coverage_of_two_kinds`). It is cut at the bounds of a score, see `cut`. None where nothing can
    be said: below n = 2, where a score is infinite, and where all scores are equal, as at a
    ceiling: no spread was seen, which is not the same as none.
    """
    values = _scores(scores)
    _check_level(level)
    if values.size < 2 or not np.isfinite(values).all() or values.min() == values.max():
        return None
    half = t.ppf((1 + level) / 2, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
    found = Interval(float(values.mean() - half), float(values.mean() + half))
    return cut(found, bounds) if within(values, bounds).all() else found


def difference_interval(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, bounds: Bounds = NO_BOUNDS
) -> Interval | None:
    """Welch's interval of mean(a) - mean(b), (n,) and (m,); the seed is the unit.

    For independent normal scores of unequal variance, with the degrees of freedom of Welch (1947).
    With the bounds of a score it is cut at those of a difference. None where `mean_interval` is
    None for a or for b: both spreads must have been seen.
    """
    first, second = _scores(a), _scores(b)
    if mean_interval(first, level) is None or mean_interval(second, level) is None:
        return None
    errors = [values.var(ddof=1) / values.size for values in (first, second)]  # squared
    shares = [e**2 / (n - 1) for e, n in zip(errors, (first.size, second.size), strict=True)]
    half = t.ppf((1 + level) / 2, sum(errors) ** 2 / sum(shares)) * np.sqrt(sum(errors))
    difference = first.mean() - second.mean()
    found = Interval(float(difference - half), float(difference + half))
    if not within(np.append(first, second), bounds).all():
        return found
    return cut(found, difference_bounds(bounds, bounds))


def cut(interval: Interval, bounds: Bounds) -> Interval:
    """The part of an interval that is inside the bounds. It covers as often as the whole one, since
    no mean is outside; scores that overstep bounds show that these are not theirs, and then
    `mean_interval` and `difference_interval` cut nothing.
    """
    return Interval(float(np.fmax(interval.low, bounds[0])),
                    float(np.fmin(interval.high, bounds[1])))  # fmt: skip


def within(scores: NDArray[np.float64], bounds: tuple[ArrayLike, ArrayLike]) -> NDArray[np.bool_]:
    """Which scores do not overstep the bounds, but for rounding."""
    low, high = (np.asarray(bound, dtype=np.float64) for bound in bounds)
    below, above = low - 1e-9 * (1 + abs(low)), high + 1e-9 * (1 + abs(high))
    return np.asarray(~((scores < below) | (scores > above)))


def difference_bounds(a: Bounds, b: Bounds) -> Bounds:
    """The bounds of a difference of two scores with these bounds."""
    return a[0] - b[1], a[1] - b[0]


def coverage_of_two_kinds(n: int, share: float = 0.2, level: float = 0.95) -> float:
    """How often `mean_interval` holds the mean where a `share` of all seeds score 0 and others 1.

    Exact, a sum over the number of zeros among n seeds. Mostly it fails because one kind was not
    among them: then there is no interval, which counts as a failure.
    """
    total = 0.0
    for zeros in range(1, n):
        interval = mean_interval([0.0] * zeros + [1.0] * (n - zeros), level)
        if interval and interval.low <= 1 - share <= interval.high:
            total += float(binom.pmf(zeros, n, share))
    return total


def share_interval(k: int, n: int, level: float = 0.95) -> Interval | None:
    """Exact interval of a share, k of n (Clopper & Pearson 1934); the seed is the unit.

    Covers at least `level` for every share and n, also at 0 of n and n of n. None where n = 0.
    """
    _check_level(level)
    if not 0 <= k <= n:
        raise ValueError(f"k of n needs 0 <= k <= n, not {k} of {n}")
    if n == 0:
        return None
    tail = (1 - level) / 2
    low = beta.ppf(tail, k, n - k + 1) if k > 0 else 0.0
    high = beta.ppf(1 - tail, k + 1, n - k) if k < n else 1.0
    return Interval(float(low), float(high))


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
