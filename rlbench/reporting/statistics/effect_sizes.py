"""Effect sizes without a unit: Hedges' g, and the probability that one seed beats another."""

import functools
import math

import numpy as np
import scipy  # imports scipy.stats and optimize at their first use: it takes a second
from scipy.special import gammaln, ndtr, ndtri

from rlbench.reporting.statistics.intervals import Interval
from rlbench.reporting.statistics.resampling import Array, seeds_of, task_means

NEAR = 0.1  # standard deviations from its guess, between which a noncentrality is looked for first


def hedges_g(a: Array, b: Array, level: float = 0.95) -> tuple[float, Interval]:
    """Difference of means (n,) and (m,) in pooled standard deviations, without bias (Hedges 1981).

    The interval is exact for normal scores of equal variance: it contains the effects for which the
    noncentral t-statistic is not extreme. The pooled variance must not be 0.
    """
    degrees = a.size + b.size - 2
    variance = ((a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)) / degrees
    d = float(a.mean() - b.mean()) / math.sqrt(variance)
    correction = math.sqrt(2 / degrees) * math.exp(
        gammaln(degrees / 2) - gammaln((degrees - 1) / 2)
    )
    unit = math.sqrt(1 / a.size + 1 / b.size)
    low, high = (correction * unit * c for c in _noncentrality(d / unit, degrees, level))
    return correction * d, Interval(low, high)


def placements(a: Array, b: Array) -> Array:
    """Share of b's seeds that each of a's beats, (..., n, m) and (..., k, m) -> (..., n, m).

    Ties count half; NaN where a has no score.
    """
    x, y = a[..., :, None, :], b[..., None, :, :]
    win_count = (x > y).sum(axis=-2) + (x == y).sum(axis=-2) / 2
    return np.where(np.isnan(a), np.nan, win_count / seeds_of(b)[..., None, :])


def wins(a: Array, b: Array) -> Array:
    """Share of pairs of seeds that a wins, (..., n, m) and (..., k, m) -> (..., m)."""
    return task_means(placements(a, b))


@functools.lru_cache(maxsize=4096)  # of n against m seeds there are few shares
def wins_interval(share: float, n: int, m: int, level: float = 0.95) -> Interval:
    """Interval of P(a > b) from the share of the n m pairs won (Newcombe 2006, method 5).

    It contains the p for which the share is within z standard errors, with the variance of Hanley
    and McNeil (1982) and both numbers of seeds replaced by their mean. It exists even if all pairs
    are won.
    """
    z = scipy.stats.norm.ppf((1 + level) / 2)
    half = (n + m) / 2 - 1

    def beyond(p: float) -> float:
        variance = p * (1 - p) * (1 + half * ((1 - p) / (2 - p) + p / (1 + p))) / (n * m)
        return (share - p) ** 2 - z**2 * variance

    # The variance is 0 at both ends: a share there must not be taken for the root.
    inside = min(max(share, 1e-9), 1 - 1e-9)
    low = float(scipy.optimize.brentq(beyond, 0.0, inside)) if share > 0 else 0.0
    high = float(scipy.optimize.brentq(beyond, inside, 1.0)) if share < 1 else 1.0
    return Interval(low, high)


def _noncentrality(value: float, degrees: int, level: float) -> tuple[float, float]:
    """Interval of c where (Z + c) / S is `value`, Z normal and S a standard deviation.

    The probability of less than `value` is averaged over quantiles of S: scipy's noncentral t is
    NaN for some values.
    """
    means = value * _spreads(degrees)
    middle, spread = float(means.mean()), math.hypot(1.0, float(means.std()))

    def excess(c: float, chance: float) -> float:
        return float(ndtr(means - c).mean()) - chance

    def root(chance: float) -> float:
        guess = middle - spread * float(ndtri(chance))  # as if it were normal
        try:
            return float(
                scipy.optimize.brentq(
                    excess, guess - NEAR * spread, guess + NEAR * spread, (chance,)
                )
            )
        except ValueError:  # it is not so near
            return float(scipy.optimize.brentq(excess, means.min() - 9, means.max() + 9, (chance,)))

    return root((1 + level) / 2), root((1 - level) / 2)


@functools.lru_cache
def _spreads(degrees: int) -> Array:
    """Quantiles of S, a standard deviation with so many degrees of freedom, (2000,)."""
    chances = (np.arange(2000) + 0.5) / 2000
    return np.asarray(np.sqrt(scipy.stats.chi2.ppf(chances, degrees) / degrees))
