"""Aggregate scores over tasks, with intervals that are valid for few seeds.

Scores are (n seeds, m tasks) throughout; NaN is a missing score.

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
    """Estimate and its interval; low and high are NaN without one, and `method` says why."""

    value: float
    low: float
    high: float
    n: int  # seeds with a score, in the task that has the fewest
    method: str


def _mean(scores: Array) -> Array:
    """Average over tasks, each with the same weight whatever its number of seeds."""
    return task_means(scores).mean(axis=-1)


def _median(scores: Array) -> Array:
    """Return the median over tasks of their means."""
    return np.median(task_means(scores), axis=-1)


def _iqm(scores: Array) -> Array:
    """Return the mean of the middle half of all scores, as `intervals.iqm` for one task.

    A score weighs one over the number of scores of its task.
    """
    if not np.isnan(scores).any():
        flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
        cut = flat.shape[-1] // 4
        return flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)
    values, weights = _middle(scores)
    return np.where(weights > 0, weights * values, 0.0).sum(axis=-1)


def _optimality_gap(scores: Array) -> Array:
    """Return the mean shortfall below 1; scores above 1 count as 1."""
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
    """Aggregate scores (n seeds, m tasks) to one number, with an interval over seeds.

    `statistic` is a name in STATISTICS. From LARGE seeds per task on, the interval is the
    percentile interval of the stratified bootstrap. That is too narrow for fewer, so means over
    seeds (mean, optimality gap) then have Student's interval, and others the widened bootstrap's
    (`widening`). It is cut at the range of the statistic: `bounds` are those of a score, numbers or
    one per task, NaN if unknown.

    Raises:
        ValueError: A task has no score.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"no statistic {statistic!r}, only {', '.join(STATISTICS)}")
    table = stratified(scores, level)
    counts = seeds_of(table)
    with np.errstate(
        invalid="ignore"
    ):  # infinite scores of both signs have no mean: NaN, with a remark
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
    """Return percentiles of the statistic over stratified resamples; too narrow for few seeds."""
    statistics_drawn = [STATISTICS[statistic](block) for block in resampled(scores, rng, resamples)]
    return percentiles(np.concatenate(statistics_drawn), level)


def _ends(
    scores: Array, statistic: str, bounds: tuple[ArrayLike, ArrayLike]
) -> tuple[float, float]:
    """Return the range of the statistic, given that every score is within its bounds.

    Bounds of a task with a score outside them are ignored. Every statistic is monotone in every
    score.
    """
    bound_table = np.asarray(np.broadcast_arrays(*bounds, scores[0])[:2], dtype=np.float64)
    usable = within(scores, (bound_table[0], bound_table[1])).all(axis=0) & ~np.isnan(bound_table)
    with np.errstate(invalid="ignore"):  # 0 times infinity, where a score does not count
        ends = [
            float(STATISTICS[statistic](np.where(np.isnan(scores), np.nan, bound)))
            for bound in np.where(usable, bound_table, [[-np.inf], [np.inf]])
        ]
    return min(ends), max(ends)


def _linear(scores: Array, statistic: str) -> Array | None:
    """Return the scores whose mean over seeds and tasks the statistic is, or None."""
    if statistic == "optimality gap":
        return np.maximum(1 - scores, 0.0)
    cuts = statistic == "IQM" and seeds_of(scores).sum() >= 4
    return None if cuts or (statistic == "median" and scores.shape[1] > 1) else scores


def _middle(scores: Array) -> tuple[Array, Array]:
    """Return all scores in order and their weights in the IQM, both (..., n m)."""
    there = ~np.isnan(scores)
    number = there.sum(axis=(-2, -1))[..., None]
    cut = number // 4 / number  # of the weight at either end: whole scores where all weigh alike
    weights = there / (there.sum(axis=-2, keepdims=True) * scores.shape[-1])
    flat = scores.reshape(*scores.shape[:-2], -1)
    order = np.argsort(flat, axis=-1)
    weight = np.take_along_axis(weights.reshape(flat.shape), order, axis=-1)
    above = np.cumsum(weight, axis=-1)
    shares = np.minimum(above, 1 - cut) - np.maximum(above - weight, cut)
    shares = np.where(shares > 1e-9, shares, 0.0) / (1 - 2 * cut)
    return np.take_along_axis(flat, order, axis=-1), shares


def _why_none(scores: Array) -> str:
    """Explain why there is no interval; "" if there is one."""
    counts = seeds_of(scores)
    if np.isinf(scores).any():
        return "infinite scores: no interval"
    if counts.min() < 2:
        return "one seed: no interval" if counts.max() < 2 else "a task with one seed: no interval"
    if counts.size == 1 and np.nanmin(scores) == np.nanmax(scores):
        return f"{counts[0]} of {counts[0]} at {np.nanmin(scores):g}"
    return ""


def _remarks(scores: Array) -> str:
    """List remarks for readers of the interval."""
    remarks = missing_text(scores)
    alike = int((np.nanmin(scores, axis=0) == np.nanmax(scores, axis=0)).sum())
    if alike and scores.shape[1] > 1 and seeds_of(scores).min() > 1:
        remarks += f"; no spread seen in {alike} of {scores.shape[1]} tasks"
    return remarks
