"""Performance profiles: the share of runs with a score above each threshold."""

from typing import NamedTuple

import numpy as np
import scipy  # imports scipy.stats at its first use: it takes a second
from numpy.typing import ArrayLike

from rlbench.reporting.statistics.resampling import (
    LARGE,
    Array,
    missing_text,
    resampled,
    seeds_of,
    stratified,
)


class Profile(NamedTuple):
    """Arrays (k,): thresholds, share of runs above, low and high of its band.

    And the band's method.
    """

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
    """Share of runs with a score above each threshold, (n, m) and (k,), tasks weighing equally.

    The score distribution of Agarwal et al. (2021, section 4.2) with a pointwise band: percentiles
    of the stratified bootstrap from LARGE seeds on, below that Clopper and Pearson's for the number
    of runs. That is exact for one task and conservative for several, since runs within tasks vary
    less than all together (Hoeffding 1956).
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
        low = np.where(above > 0, scipy.stats.beta.ppf(tails[0], above, below + 1), 0.0)
        high = np.where(below > 0, scipy.stats.beta.ppf(tails[1], above + 1, below), 1.0)
        method = f"Clopper-Pearson, {runs:.4g} runs"
    return Profile(points, share, low, high, method + missing_text(table))


def _share_above(scores: Array, thresholds: Array) -> Array:
    """Return the share above each threshold, (b, n, m) and (k,) -> (b, k), mean over tasks."""
    counts = seeds_of(scores)
    above = [((scores > point).sum(axis=-2) / counts).mean(axis=-1) for point in thresholds]
    return np.stack(above, axis=-1)
