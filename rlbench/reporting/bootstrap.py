"""Aggregate scores over tasks, with intervals that hold for few seeds.

Scores are (..., n seeds, m tasks); NaN is a score that is not there. Every task is a stratum: seeds
are resampled within it, never across (Agarwal et al. 2021, "Deep reinforcement learning at the edge
of the statistical precipice"), so tasks may differ in their number of seeds, and seeds of different
tasks are not paired.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

from rlbench.reporting.stats import Interval

Array = NDArray[np.float64]
LARGE = 20  # seeds in every task from which on the percentile bootstrap keeps its level
_BLOCK = 2**21  # scores drawn at once: bounds memory, changes no number


class Estimate(NamedTuple):
    """A number and its interval; low and high are NaN where there is none, `method` says why."""

    value: float
    low: float
    high: float
    n: int  # seeds with a score, in the task that has the fewest
    method: str


def _mean(scores: Array) -> Array:
    """Every task weighs the same, however many seeds it has."""
    return _task_means(scores).mean(axis=-1)


def _median(scores: Array) -> Array:
    """The median over tasks of their means."""
    return np.median(_task_means(scores), axis=-1)


def _iqm(scores: Array) -> Array:
    """The mean of the middle half of all scores of all tasks, as `stats.iqm` of one task.

    Where tasks differ in their number of scores, a score weighs one over that number.
    """
    if not np.isnan(scores).any():
        flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
        cut = flat.shape[-1] // 4
        return flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)
    values, kept = _middle(scores)
    return np.where(kept > 0, kept * values, 0.0).sum(axis=-1)


def _optimality_gap(scores: Array) -> Array:
    """How far scores fall short of 1 on average; more than 1 makes up for nothing."""
    return _mean(np.maximum(1 - scores, 0.0))


STATISTICS: dict[str, Callable[[Array], Array]] = {
    "mean": _mean,
    "median": _median,
    "IQM": _iqm,
    "optimality gap": _optimality_gap,
}


def aggregate(
    scores: ArrayLike,
    statistic: str,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Estimate:
    """One number for (n seeds, m tasks) of scores, with an interval over seeds.

    `statistic` is a name in STATISTICS. With LARGE seeds or more in every task the interval is the
    percentile one of the stratified bootstrap, with fewer a Student-t interval (`t_interval`).
    ValueError where a task has no score at all.
    """
    table = stratified(scores, level)
    counts = (~np.isnan(table)).sum(axis=0)
    value = float(STATISTICS[statistic](table))
    interval, method = None, _why_none(table, value)
    if not method and counts.min() >= LARGE:
        interval = percentile_interval(table, statistic, rng, resamples, level)
        method = f"stratified bootstrap, {resamples:,} resamples"
    elif not method:
        interval = t_interval(table, statistic, rng, resamples, level)
        method = "Student t"
    if interval is not None and not interval.low < interval.high:
        interval, method = None, "no spread that counts: no interval"
    low, high = interval or (np.nan, np.nan)
    return Estimate(value, low, high, int(counts.min()), method + _remarks(table))


def percentile_interval(
    scores: Array, statistic: str, rng: np.random.Generator, resamples: int, level: float
) -> Interval:
    """Percentiles of the statistic over stratified resamples; too narrow for few seeds."""
    drawn = [STATISTICS[statistic](block) for block in resampled(scores, rng, resamples)]
    return percentiles(np.concatenate(drawn), level)


def t_interval(
    scores: Array, statistic: str, rng: np.random.Generator, resamples: int, level: float
) -> Interval:
    """Student-t interval, at least two seeds in every task.

    Mean, IQM and optimality gap are, nearly, means over tasks of means over seeds of some number of
    each score: the score, the score clipped to the middle half (Tukey & McLaughlin 1963), what it
    lacks to 1. So their variances are sums over tasks, with Satterthwaite's degrees of freedom.
    The median has no such form: it is computed of task means drawn from their t-distributions.
    """
    there = ~np.isnan(scores)
    counts = there.sum(axis=0)
    value = float(STATISTICS[statistic](scores))
    if statistic == "median":
        errors = np.sqrt(_variances(scores) / counts)
        draws = rng.standard_t(counts - 1, size=(resamples, counts.size))
        return percentiles(np.median(_task_means(scores) + errors * draws, axis=-1), level)
    if statistic == "IQM":
        values, kept = _middle(scores)
        middle = values[kept > 0]
        share = 1 - 2 * _cut(scores).item()
        linear = np.clip(scores, middle[0], middle[-1]) / share
    else:
        linear = np.maximum(1 - scores, 0.0) if statistic == "optimality gap" else scores
    errors = _variances(linear) / counts / counts.size**2  # squared, of the tasks
    if not errors.any():
        return Interval(value, value)
    degrees = errors.sum() ** 2 / (errors**2 / (counts - 1)).sum()
    half = t.ppf((1 + level) / 2, degrees) * np.sqrt(errors.sum())
    return Interval(float(value - half), float(value + half))


def stratified(scores: ArrayLike, level: float) -> Array:
    """The scores as (n, m) floats; ValueError for another shape, a task without scores, a level."""
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not table.size:
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
    """Stratified bootstrap resamples of (n, m) scores, in blocks (b, n, m) of at most `block`.

    A task with k scores has k in every resample, above NaN. The block's size changes no number.
    """
    counts = (~np.isnan(scores)).sum(axis=0)
    packed = np.sort(scores, axis=0)  # what is not there last
    n, m = packed.shape
    block = block or max(1, _BLOCK // packed.size)
    hidden = np.arange(n)[:, None] >= counts
    full = not hidden.any()
    for begin in range(0, resamples, block):
        size = (min(block, resamples - begin), n, m)
        rows = rng.integers(0, n if full else counts, size=size)
        drawn = packed.ravel()[rows * m + np.arange(m)]
        yield drawn if full else np.where(hidden, np.nan, drawn)


def percentiles(draws: Array, level: float) -> Interval:
    """The middle `level` of draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _task_means(scores: Array) -> Array:
    there = ~np.isnan(scores)
    if there.all():
        return scores.mean(axis=-2)
    return np.where(there, scores, 0.0).sum(axis=-2) / there.sum(axis=-2)


def _variances(scores: Array) -> Array:
    """(n, m) -> (m,) of the scores there are, at least two in each task."""
    return np.nanvar(scores, axis=0, ddof=1)


def _cut(scores: Array) -> Array:
    """The share of the weight that IQM cuts off at either end: whole scores if all weigh alike."""
    number = (~np.isnan(scores)).sum(axis=(-2, -1))
    return number // 4 / number


def _middle(scores: Array) -> tuple[Array, Array]:
    """All scores in order and how much of IQM each makes up, both (..., n m)."""
    there = ~np.isnan(scores)
    weights = np.where(there, 1 / (there.sum(axis=-2, keepdims=True) * scores.shape[-1]), 0.0)
    flat = scores.reshape(*scores.shape[:-2], -1)
    order = np.argsort(flat, axis=-1)
    values = np.take_along_axis(flat, order, axis=-1)
    weight = np.take_along_axis(weights.reshape(flat.shape), order, axis=-1)
    above = np.cumsum(weight, axis=-1)
    cut = _cut(scores)[..., None]
    kept = np.minimum(above, 1 - cut) - np.maximum(above - weight, cut)
    return values, np.where(kept > 1e-9, kept, 0.0) / (1 - 2 * cut)


def _why_none(scores: Array, value: float) -> str:
    """Why there can be no interval; "" where there can."""
    there = ~np.isnan(scores)
    counts = there.sum(axis=0)
    if np.isinf(scores).any():
        return "infinite scores: no interval"
    if counts.min() < 2:
        return "one seed: no interval" if counts.max() < 2 else "a task with one seed: no interval"
    if counts.size == 1 and np.nanmin(scores) == np.nanmax(scores):
        return f"{counts[0]} of {counts[0]} at {value:g}"
    return ""


def _remarks(scores: Array) -> str:
    """What else must be said of the scores."""
    missing = int(np.isnan(scores).sum())
    return f"; {missing} of {scores.size} scores missing" if missing else ""
