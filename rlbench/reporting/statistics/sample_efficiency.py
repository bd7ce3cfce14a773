"""Sample efficiency: the area under a curve, and when it first reached a threshold."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from rlbench.reporting.statistics.resampling import Array


def area_under_curve(steps: ArrayLike, returns: ArrayLike) -> Array:
    """Mean height of each curve, steps (t,) increasing and returns (n, t) -> (n,).

    The area by the trapezoid rule divided by the span of the steps: an average return over
    training. Missing points (NaN) are interpolated linearly; a curve without its first or last
    point is NaN, since its span would differ.
    """
    x, curves = _grid(steps, returns)
    if x.size < 2 or (np.diff(x) <= 0).any():
        raise ValueError("an area needs at least two steps, in increasing order")
    areas = np.full(len(curves), np.nan)
    for row, curve in enumerate(curves):
        there = ~np.isnan(curve)
        if there[0] and there[-1]:
            areas[row] = np.trapezoid(curve[there], x[there]) / (x[-1] - x[0])
    return areas


def first_reach(x: ArrayLike, values: ArrayLike, threshold: float) -> Array:
    """First x at which a value is at least `threshold`, (t,) or (n, t) and (n, t) -> (n,).

    Without interpolation. inf if no point reaches it, NaN if a curve has no points. `x` may be
    steps, shared, or seconds of each curve.
    """
    where, curves = _grid(x, values)
    reaches = curves >= threshold  # NaN reaches nothing
    first = np.where(reaches, where, np.inf).min(axis=1, initial=np.inf)
    return np.where(np.isnan(curves).all(axis=1), np.nan, first)


class Reach(NamedTuple):
    """Summary of `first_reach` over seeds: the median over all, and how many reached it."""

    median: float  # inf where half of the seeds or more did not come so far; NaN without seeds
    reached: int
    n: int
    missing: int  # of the n: seeds without a curve, which count as not having come so far


def reach(first: ArrayLike) -> Reach:
    """Summarise the result of `first_reach`, (n,)."""
    values = np.asarray(first, dtype=np.float64)
    missing = int(np.isnan(values).sum())
    values = np.where(np.isnan(values), np.inf, values)
    median = float(np.median(values)) if values.size else float("nan")
    return Reach(median, int(np.isfinite(values).sum()), values.size, missing)


def _grid(x: ArrayLike, values: ArrayLike) -> tuple[Array, Array]:
    where, curves = np.asarray(x, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if curves.ndim != 2 or where.shape not in (curves.shape, curves.shape[1:]):
        raise ValueError(f"a grid of {where.shape} does not fit curves of {curves.shape}")
    return where, curves
