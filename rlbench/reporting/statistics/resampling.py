"""Stratified resampling, and the widening of intervals for few seeds.

Scores are (..., n seeds, m tasks); NaN is a missing score. Every task is a stratum: seeds are
resampled within it, never across (Agarwal et al. 2021, "Deep reinforcement learning at the edge of
the statistical precipice"), so tasks may differ in their number of seeds, and seeds of different
tasks are not paired.
"""

from collections.abc import Iterator

import numpy as np
import scipy  # imports scipy.stats at its first use: it takes a second
from numpy.typing import ArrayLike, NDArray

from rlbench.reporting.statistics.intervals import Interval

Array = NDArray[np.float64]
LARGE = 50  # seeds in every task from which on the percentile bootstrap keeps its level
_BLOCK = 2**21  # scores drawn at once: bounds memory, changes no number


def stratified(scores: ArrayLike, level: float) -> Array:
    """Return the scores as (n, m) floats; ValueError for another shape or a task without scores."""
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"scores need the shape (seeds, tasks), not {table.shape}")
    empty = np.flatnonzero(np.isnan(table).all(axis=0))
    if empty.size:
        raise ValueError(f"no score at all in task column {', '.join(map(str, empty))}")
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
    return table


def resampled(
    scores: Array, rng: np.random.Generator, resamples: int, block: int = 0
) -> Iterator[Array]:
    """Yield stratified bootstrap resamples of (n, m) scores in blocks (b, n, m), b <= `block`.

    A task with k scores has k in every resample, before NaN. The block's size changes no number.
    """
    counts = seeds_of(scores)
    ordered = np.sort(scores, axis=0)  # NaN last
    n, m = ordered.shape
    block = block or max(1, _BLOCK // ordered.size)
    hidden = np.arange(n)[:, None] >= counts
    full = not hidden.any()
    for begin in range(0, resamples, block):
        size = (min(block, resamples - begin), n, m)
        rows = rng.integers(0, n if full else counts, size=size)
        resample = ordered.ravel()[rows * m + np.arange(m)]
        yield resample if full else np.where(hidden, np.nan, resample)


def percentiles(draws: Array, level: float) -> Interval:
    """Return the central `level` interval of draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def seeds_of(scores: Array) -> NDArray[np.intp]:
    """Count the seeds with a score, (..., n, m) -> (..., m)."""
    return (~np.isnan(scores)).sum(axis=-2)


def missing_text(*scores: Array) -> str:
    """Describe missing scores; "" if none is NaN."""
    missing = sum(int(np.isnan(each).sum()) for each in scores)
    return f"; {missing} of {sum(each.size for each in scores)} scores missing" if missing else ""


def task_means(scores: Array) -> Array:
    """Average over the seeds with a score, (..., n, m) -> (..., m)."""
    there = ~np.isnan(scores)
    if there.all():
        return scores.mean(axis=-2)
    return np.where(there, scores, 0.0).sum(axis=-2) / there.sum(axis=-2)


def squared_errors(scores: Array) -> Array:
    """Return squared standard errors of means over two or more seeds, (n, m) -> (m,)."""
    spread = np.nanmin(scores, axis=0) < np.nanmax(scores, axis=0)  # exactly 0, not rounding errors
    return np.where(spread, np.nanvar(scores, axis=0, ddof=1) / seeds_of(scores), 0.0)


def student_half(errors: Array, counts: NDArray[np.intp], level: float) -> float:
    """Return half a Student-t interval of a sum of independent means; 0 if all are constant.

    Takes their squared standard errors and numbers of seeds, both (k,); degrees of freedom of
    Satterthwaite (1946).
    """
    if not errors.any():
        return 0.0
    degrees = errors.sum() ** 2 / (errors**2 / (counts - 1)).sum()
    return float(scipy.stats.t.ppf((1 + level) / 2, degrees) * np.sqrt(errors.sum()))


def widening(errors: Array, counts: NDArray[np.intp], level: float) -> float:
    """Return the ratio, at least 1, of Student's interval of a sum of means to the bootstrap's.

    The bootstrap takes spreads as known, with variances of the n scores themselves, (n - 1) / n of
    the unbiased ones. Percentile intervals of other statistics are too narrow for the same reasons
    (Hesterberg 2015, section 3.2); benchmarks/coverage.py measures what is left.
    """
    bootstrap_variance = (errors * (counts - 1) / counts).sum()
    if not bootstrap_variance:
        return 1.0
    return student_half(errors, counts, level) / float(
        scipy.stats.norm.ppf((1 + level) / 2) * np.sqrt(bootstrap_variance)
    )


def widened(value: float, interval: Interval, factor: float) -> Interval:
    """Scale both arms of an interval by `factor`, keeping its skew."""
    low, high = interval
    return Interval(value - factor * (value - low), value + factor * (high - value))
