"""Performance profiles: which share of runs scores more than that."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from rlbench.reporting.statistics.resampling import (
    LARGE,
    Array,
    missing_text,
    resampled,
    seeds_of,
    stratified,
)


class Profile(NamedTuple):
    """Four times (k,): where, the share of runs above, and its band; and how the band was made."""

    thresholds: Array
    share: Array
    low: Array
    high: Array
    method: str


def performance_profile(
    scores: ArrayLike,
    thresholds: ArrayLike,
    rng: np.random.Generator,
    resamples: int = 2_000,
    level: float = 0.95,
) -> Profile:
    """Share of runs with a score above each threshold, (n, m) and (k,), tasks weighing alike.

    The score distribution of Agarwal et al. (2021, section 4.2), with a band for each threshold by
    itself: percentiles of the stratified bootstrap from LARGE seeds on, below Clopper and Pearson's
    for as many runs as there are. That is exact for one task, and wider than need be for several,
    since runs within tasks vary less than all together (Hoeffding 1956).
    """
    table = stratified(scores, level)
    points = np.asarray(thresholds, dtype=np.float64)
    counts = seeds_of(table)
    share = _share_above(table[None], points)[0]
    tails = [(1 - level) / 2, (1 + level) / 2]
    if counts.min() >= LARGE:
        draws = [_share_above(block, points) for block in resampled(table, rng, resamples)]
        low, high = np.quantile(np.concatenate(draws), tails, axis=0)
        method = f"stratified bootstrap, {resamples:,} resamples"
    else:
        runs = counts.size**2 / (1 / counts).sum()  # all of them, where tasks have the same number
        above, below = share * runs, (1 - share) * runs
        low = np.where(above > 0, beta.ppf(tails[0], above, below + 1), 0.0)
        high = np.where(below > 0, beta.ppf(tails[1], above + 1, below), 1.0)
        method = f"Clopper-Pearson, {runs:.4g} runs"
    return Profile(points, share, low, high, method + missing_text(table))


def _share_above(scores: Array, thresholds: Array) -> Array:
    """(b, n, m) and (k,) -> (b, k), mean over tasks."""
    counts = seeds_of(scores)
    above = [((scores > point).sum(axis=-2) / counts).mean(axis=-1) for point in thresholds]
    return np.stack(above, axis=-1)
