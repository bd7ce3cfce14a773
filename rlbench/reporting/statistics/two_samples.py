"""Comparison of two agents: which is better, by how much, and with what certainty.

The seed is the unit; seeds are not paired.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
import scipy  # imports scipy.stats at its first use: it takes a second
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from rlbench.reporting.statistics.aggregates import IntervalEstimate
from rlbench.reporting.statistics.effect_sizes import hedges_g, placements, wins, wins_interval
from rlbench.reporting.statistics.intervals import NO_BOUNDS, Bounds, Interval, difference_interval
from rlbench.reporting.statistics.resampling import (
    LARGE,
    Array,
    missing_text,
    percentiles,
    resampled,
    seeds_of,
    squared_errors,
    stratified,
    widened,
    widening,
)

SPLITS = 20_000  # number of splits up to which all are tried; beyond, as many random ones
_PAIRS = 2**24  # pairs compared at once: bounds memory, changes no number
_NAN = float("nan")


class Comparison(NamedTuple):
    """Comparison of a with b; undefined values are NaN, and `said` explains why."""

    difference: float = _NAN  # mean(a) - mean(b)
    low: float = _NAN  # Welch's interval
    high: float = _NAN
    p_welch: float = _NAN
    p_permutation: float = _NAN
    p_worst: float = _NAN  # with lost seeds ranked worst; NaN where none was lost
    effect: float = _NAN  # Hedges' g
    effect_low: float = _NAN
    effect_high: float = _NAN
    improvement: float = _NAN  # P(a > b) of two random seeds, ties count half
    improvement_low: float = _NAN
    improvement_high: float = _NAN
    n_a: int = 0
    n_b: int = 0
    lost_a: int = 0
    lost_b: int = 0
    said: str = ""

    @property
    def p(self) -> float:
        """Deciding p-value: p_permutation; with lost seeds the larger of it and p_worst.

        1 if the two disagree about which is better.
        """
        if not (self.lost_a or self.lost_b) or math.isnan(self.p_permutation):
            return self.p_permutation
        agree = self.difference * (self.improvement - 0.5) > 0
        return max(self.p_permutation, self.p_worst) if agree else 1.0


def compare(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator | int,
    level: float = 0.95,
    lost: tuple[int, int] = (0, 0),
    bounds: Bounds = NO_BOUNDS,
) -> Comparison:
    """Compare scores (n,) with (m,), one number per seed, all of them within the bounds.

    NaN is a seed without a score: it is left out, and reported. `lost` counts the seeds of a and b
    that ended without a score. A lost seed ranks below every score in P(a > b) and in p_worst, a
    permutation test of Welch's t of ranks, so no value has to be imputed. The mean, its tests and
    Hedges' g need finite scores, intervals two seeds on either side, and all but that of P(a > b) a
    spread. `rng` is that of `permutation_p`.
    """
    samples = [np.asarray(scores, dtype=np.float64) for scores in (a, b)]
    if any(sample.ndim != 1 for sample in samples):
        raise ValueError("one number per seed is needed, shapes (n,) and (m,)")
    x, y = (sample[~np.isnan(sample)] for sample in samples)
    with_lost = [np.append(s, np.full(k, -np.inf)) for s, k in zip((x, y), lost, strict=True)]
    remarks = [_remarks(name, sample) for name, sample in zip("ab", samples, strict=True)]
    remarks.append(_least_p(x.size, y.size, 1 - level))
    comparison = Comparison(n_a=x.size, n_b=y.size, lost_a=lost[0], lost_b=lost[1],
                       said="; ".join(filter(None, remarks)))  # fmt: skip
    if not x.size and not y.size:
        return comparison
    n, m = (sample.size for sample in with_lost)
    if min(n, m) > 0:
        comparison = comparison._replace(
            improvement=float(wins(with_lost[0][:, None], with_lost[1][:, None])[0])
        )
    if min(n, m) > 1:
        low, high = wins_interval(comparison.improvement, n, m, level)
        comparison = comparison._replace(improvement_low=low, improvement_high=high)
    if not (x.size and y.size and np.isfinite(x).all() and np.isfinite(y).all()):
        return comparison
    difference, p = float(x.mean() - y.mean()), permutation_p(x, y, rng)
    comparison = comparison._replace(difference=difference, p_permutation=p)
    if any(lost):
        ranks = scipy.stats.rankdata(np.concatenate(with_lost))
        comparison = comparison._replace(p_worst=permutation_p(ranks[:n], ranks[n:], rng))
    if interval := difference_interval(x, y, level, bounds):
        p = _welch_p(x, y)
        effect, (low, high) = hedges_g(x, y, level)
        comparison = comparison._replace(low=interval.low, high=interval.high, p_welch=p)
        comparison = comparison._replace(effect=effect, effect_low=low, effect_high=high)
    return comparison


def _welch_p(a: Array, b: Array) -> float:
    """Two-sided p-value of Welch's t, with his degrees of freedom (1947)."""
    first, second = (side.var(ddof=1) / side.size for side in (a, b))  # squared errors
    degrees = (first + second) ** 2 / (first**2 / (a.size - 1) + second**2 / (b.size - 1))
    return float(2 * stdtr(degrees, -abs(a.mean() - b.mean()) / math.sqrt(first + second)))


def permutation_p(a: Array, b: Array, rng: np.random.Generator | int) -> float:
    """Two-sided p-value of Welch's t under random assignment of the seeds to a and b; (n,), (m,).

    Exact if both have one distribution. If only the means are equal, t keeps the level better than
    the difference of means does when n and m differ (Janssen 1997). All splits if they are at most
    SPLITS, else (1 + k) / (1 + SPLITS) of random ones, which is never 0 (Phipson & Smyth 2010).
    An integer is the seed of random splits that are kept for other tests of these sizes.
    """
    values = np.concatenate([a, b])
    if math.comb(values.size, a.size) <= SPLITS:
        splits = _all_splits(values.size, a.size)
    elif isinstance(rng, int):
        splits = _kept_splits(values.size, a.size, rng)
    else:
        splits = _random_splits(values.size, a.size, rng)
    sizes = _welch_t(values, splits)
    return float((sizes >= sizes[0] * (1 - 1e-8) - 1e-9).mean())  # equal but for rounding


@functools.lru_cache(maxsize=4)
def _all_splits(count: int, size: int) -> Array:
    """Return all splits, see `_welch_t`; the first is that of the data."""
    return _splits(np.array(list(itertools.combinations(range(count), size))), count)


@functools.lru_cache(maxsize=4)
def _kept_splits(count: int, size: int, seed: int) -> Array:
    return _random_splits(count, size, np.random.default_rng(seed))


def _random_splits(count: int, size: int, rng: np.random.Generator) -> Array:
    """Return SPLITS random splits after that of the data."""
    everyone = np.arange(count)
    permutations = rng.permuted(np.tile(everyone, (SPLITS, 1)), axis=1)
    return _splits(np.concatenate([everyone[None], permutations])[:, :size], count)


def _splits(ours: NDArray[np.intp], count: int) -> Array:
    splits = np.zeros((count, len(ours)))
    np.put_along_axis(splits, ours.T, 1.0, axis=0)
    return splits


def holm(p_values: ArrayLike) -> Array:
    """Adjust p-values for their number (Holm 1979), (k,) -> (k,); NaN stays, and is not counted."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)  # NaN last
    remaining = np.maximum((~np.isnan(p)).sum() - np.arange(p.size), 1)  # tests not yet rejected
    result = np.empty_like(p)
    result[order] = np.minimum(np.maximum.accumulate(p[order] * remaining), 1.0)
    return result


def probability_of_improvement(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    resamples: int = 2_000,
    level: float = 0.95,
) -> IntervalEstimate:
    """P(a > b) of two random seeds of a task, ties half, mean over tasks: (n, m) and (k, m).

    The average of Agarwal et al. (2021, section 4.3); lost seeds may be -inf. One task has the
    interval of `wins_interval`, several that of the stratified bootstrap, widened for few seeds.
    """
    first, second = stratified(a, level), stratified(b, level)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"the same tasks are needed, not {first.shape[1]} and {second.shape[1]}")
    counts = np.concatenate([seeds_of(first), seeds_of(second)])
    value = float(wins(first, second).mean())
    interval, method = None, "one seed: no interval"
    if counts.min() > 1 and counts.size == 2:
        n, m = counts.tolist()
        interval, method = wins_interval(value, n, m, level), "Newcombe's method 5"
    elif counts.min() > 1:
        interval, method = _resampled_wins(first, second, rng, resamples, level)
        if not interval.low < interval.high:
            interval, method = None, "no task in which seeds change places: no interval"
    low, high = interval or (_NAN, _NAN)
    return IntervalEstimate(
        value, low, high, int(counts.min()), method + missing_text(first, second)
    )


def _resampled_wins(
    a: Array, b: Array, rng: np.random.Generator, resamples: int, level: float
) -> tuple[Interval, str]:
    """Return the bootstrap interval of the mean over tasks of `wins`, and its method."""
    block = max(1, _PAIRS // (a.size * len(b)))
    sides = zip((a, b), rng.spawn(2), strict=True)  # a stream each: blocks change no number
    pairs = zip(*(resampled(side, own, resamples, block) for side, own in sides), strict=True)
    draws = np.concatenate([wins(x, y).mean(axis=-1) for x, y in pairs])
    interval, method = percentiles(draws, level), f"stratified bootstrap, {resamples:,} resamples"
    counts = np.concatenate([seeds_of(a), seeds_of(b)])
    if counts.min() < LARGE:
        errors = [squared_errors(placements(*both)) for both in ((a, b), (b, a))]
        factor = widening(np.concatenate(errors), counts, level)
        low, high = widened(float(wins(a, b).mean()), interval, factor)
        interval = Interval(max(low, 0.0), min(high, 1.0))
        method += f", widened {factor:.2f} times"
    return interval, method


def _welch_t(values: Array, splits: Array) -> Array:
    """Return |t| of Welch for each split, (n + m,) and (n + m, s) -> (s,).

    A split, a column, has 1 for the values of one side and 0 for those of the other. Without
    spreads the difference of means replaces t.
    """
    deviations = values - values.mean()
    unit = deviations / (np.abs(deviations).max() or 1.0)
    n = int(splits[:, 0].sum())
    m = values.size - n
    powers = np.stack([unit, unit**2])
    ours = powers @ splits  # sums and sums of squares of one side, (2, s); then their means
    theirs = powers.sum(axis=1)[:, None] - ours
    ours /= n
    theirs /= m
    difference = np.abs(ours[0] - theirs[0])
    if min(n, m) < 2:
        return difference
    variance = (ours[1] - ours[0] ** 2) / (n - 1) + (theirs[1] - theirs[0] ** 2) / (m - 1)
    tiny = 1e-14  # rounding errors of 0
    if variance.min() > tiny:
        return difference / np.sqrt(variance)
    bare = np.where(difference > tiny, np.inf, 0.0)
    error = np.sqrt(np.maximum(variance, 0.0))
    return np.divide(difference, error, out=bare, where=variance > tiny)


def _remarks(name: str, scores: Array) -> str:
    """List remarks about one side."""
    there = scores[~np.isnan(scores)]
    missing = scores.size - there.size
    remarks = [f"{missing} of {scores.size} seeds of {name} missing"] if missing else []
    if not there.size:
        remarks.append(f"no score in {name}")
    elif not np.isfinite(there).all():
        remarks.append(f"infinite scores in {name}: no mean")
    elif there.size == 1:
        remarks.append(f"one seed in {name}: no interval")
    elif there.min() == there.max():
        remarks.append(f"{there.size} of {there.size} seeds of {name} at {there[0]:g}: no interval")
    return "; ".join(remarks)


def _least_p(n: int, m: int, level: float) -> str:
    """Warn if so few seeds cannot be significant, whatever their scores."""
    least = (2 if n == m else 1) / math.comb(n + m, n)  # with n == m a split has a mirror image
    if not n or not m or least <= level:
        return ""
    return f"{n} against {m} seeds: p of the permutation test cannot be below {least:.2g}"
