"""Aggregate scores over tasks, with intervals that hold for few seeds.

Scores are (n seeds, m tasks) throughout; NaN is a score that is not there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlbench.reporting.statistics.intervals import Interval, cut, within
from rlbench.reporting.statistics.resampling import (
    LARGE,
    Array,
    missing_text,
    percentiles,
    resampled,
    seeds_of,
    squared_errors,
    stratified,
    student_half,
    task_means,
    widened,
    widening,
)


class IntervalEstimate(NamedTuple):
    """A number and its interval; low and high are NaN where there is none, `method` says why."""

    value: float
    low: float
    high: float
    n: int  # seeds with a score, in the task that has the fewest
    method: str


def _mean(scores: Array) -> Array:
    """Every task weighs the same, however many seeds it has."""
    return task_means(scores).mean(axis=-1)


def _median(scores: Array) -> Array:
    """The median over tasks of their means."""
    return np.median(task_means(scores), axis=-1)


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
    bounds: tuple[ArrayLike, ArrayLike] = (np.nan, np.nan),
) -> IntervalEstimate:
    """One number for (n seeds, m tasks) of scores, with an interval over seeds.

    `statistic` is a name in STATISTICS. From LARGE seeds a task on, the interval is the percentile
    one of the stratified bootstrap. That is too narrow for fewer, so there means over seeds (mean,
    optimality gap) have Student's interval, others the bootstrap's made wider (`widening`). It is
    cut at what the statistic can be: `bounds` are those of a score, numbers or one a task each, and
    NaN where none is known.
    ValueError where a task has no score at all.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"no statistic {statistic!r}, only {', '.join(STATISTICS)}")
    table = stratified(scores, level)
    counts = seeds_of(table)
    with np.errstate(invalid="ignore"):  # infinite scores of both signs have no mean: NaN, and said
        value = float(STATISTICS[statistic](table))
    linear = _linear(table, statistic)
    interval, method = None, _why_none(table)
    if not method and counts.min() < LARGE and linear is not None:
        method = "Student t"
        half = student_half(squared_errors(linear), counts, level) / counts.size
        interval = Interval(value - half, value + half)
    elif not method:
        method = f"stratified bootstrap, {resamples:,} resamples"
        interval = percentile_interval(table, statistic, rng, resamples, level)
        if counts.min() < LARGE:
            factor = widening(squared_errors(table), counts, level)
            interval = widened(value, interval, factor)
            method += f", widened {factor:.2f} times"
    remarks = _remarks(table)
    if interval is not None:
        if statistic == "optimality gap":  # which cannot be negative
            interval = Interval(max(interval.low, 0.0), interval.high)
        whole, interval = interval, cut(interval, _ends(table, statistic, bounds))
        remarks += "; intervals cut at the bounds of scores" if interval != whole else ""
    if interval is not None and not interval.low < interval.high:
        interval, method = None, "no spread that counts: no interval"
    low, high = interval or (np.nan, np.nan)
    return IntervalEstimate(value, low, high, int(counts.min()), method + remarks)


def percentile_interval(
    scores: Array, statistic: str, rng: np.random.Generator, resamples: int, level: float
) -> Interval:
    """Percentiles of the statistic over stratified resamples; too narrow for few seeds."""
    drawn = [STATISTICS[statistic](block) for block in resampled(scores, rng, resamples)]
    return percentiles(np.concatenate(drawn), level)


def _ends(
    scores: Array, statistic: str, bounds: tuple[ArrayLike, ArrayLike]
) -> tuple[float, float]:
    """What the statistic can be at least and at most, if every score is within its bounds; those of
    a task with a score outside are none. Every statistic rises, or falls, with every score.
    """
    given = np.asarray(np.broadcast_arrays(*bounds, scores[0])[:2], dtype=np.float64)
    known = within(scores, (given[0], given[1])).all(axis=0) & ~np.isnan(given)
    with np.errstate(invalid="ignore"):  # 0 times infinity, where a score does not count
        ends = [
            float(STATISTICS[statistic](np.where(np.isnan(scores), np.nan, bound)))
            for bound in np.where(known, given, [[-np.inf], [np.inf]])
        ]
    return min(ends), max(ends)


def _linear(scores: Array, statistic: str) -> Array | None:
    """Whose mean over seeds and then tasks the statistic is; None where it is no such mean."""
    if statistic == "optimality gap":
        return np.maximum(1 - scores, 0.0)
    cuts = statistic == "IQM" and seeds_of(scores).sum() >= 4
    return None if cuts or (statistic == "median" and scores.shape[1] > 1) else scores


def _middle(scores: Array) -> tuple[Array, Array]:
    """All scores in order and how much of IQM each makes up, both (..., n m)."""
    there = ~np.isnan(scores)
    number = there.sum(axis=(-2, -1))[..., None]
    cut = number // 4 / number  # of the weight at either end: whole scores where all weigh alike
    weights = there / (there.sum(axis=-2, keepdims=True) * scores.shape[-1])
    flat = scores.reshape(*scores.shape[:-2], -1)
    order = np.argsort(flat, axis=-1)
    weight = np.take_along_axis(weights.reshape(flat.shape), order, axis=-1)
    above = np.cumsum(weight, axis=-1)
    kept = np.minimum(above, 1 - cut) - np.maximum(above - weight, cut)
    kept = np.where(kept > 1e-9, kept, 0.0) / (1 - 2 * cut)
    return np.take_along_axis(flat, order, axis=-1), kept


def _why_none(scores: Array) -> str:
    """Why there can be no interval; "" where there can."""
    counts = seeds_of(scores)
    if np.isinf(scores).any():
        return "infinite scores: no interval"
    if counts.min() < 2:
        return "one seed: no interval" if counts.max() < 2 else "a task with one seed: no interval"
    if counts.size == 1 and np.nanmin(scores) == np.nanmax(scores):
        return f"{counts[0]} of {counts[0]} at {np.nanmin(scores):g}"
    return ""


def _remarks(scores: Array) -> str:
    """What else a reader of the interval must know."""
    said = missing_text(scores)
    alike = int((np.nanmin(scores, axis=0) == np.nanmax(scores, axis=0)).sum())
    if alike and scores.shape[1] > 1 and seeds_of(scores).min() > 1:
        said += f"; no spread seen in {alike} of {scores.shape[1]} tasks"
    return said
