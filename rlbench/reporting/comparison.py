"""Two agents: is one better, by how much, how sure. One number per seed, seeds are not paired."""

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln
from scipy.stats import ttest_ind

from rlbench.reporting.bootstrap import Array, Estimate, percentiles, resampled, stratified
from rlbench.reporting.stats import difference_interval

SPLITS = 20_000  # up to so many ways to deal out seeds all are tried, beyond as many are drawn
_NAN = float("nan")


class Comparison(NamedTuple):
    """a against b; NaN where a number cannot be had, and `said` says why."""

    difference: float  # mean(a) - mean(b)
    low: float  # Welch's interval
    high: float
    p_welch: float
    p_permutation: float
    effect: float  # Hedges' g
    effect_low: float
    effect_high: float
    improvement: float  # P(a > b) of two random seeds, ties count half
    improvement_low: float
    improvement_high: float
    n_a: int
    n_b: int
    said: str


def compare(
    a: ArrayLike, b: ArrayLike, rng: np.random.Generator, level: float = 0.95
) -> Comparison:
    """Compare (n,) with (m,) scores; a NaN is a seed without a score, left out and said."""
    said = []
    samples: list[Array] = []
    for name, scores in (("a", a), ("b", b)):
        values = np.asarray(scores, dtype=np.float64)
        there = values[~np.isnan(values)]
        samples.append(there)
        if there.size < values.size:
            said.append(f"{values.size - there.size} of {values.size} seeds of {name} missing")
        if not there.size:
            said.append(f"no score in {name}")
        elif there.size == 1:
            said.append(f"one seed in {name}: no interval")
        elif not np.isfinite(there).all():
            said.append(f"infinite scores in {name}: no interval, no test of the mean")
        elif there.min() == there.max():
            said.append(
                f"{there.size} of {there.size} seeds of {name} at {there[0]:g}: no interval"
            )
    x, y = samples
    finite = bool(np.isfinite(x).all() and np.isfinite(y).all())
    difference = float(x.mean() - y.mean()) if finite and x.size and y.size else _NAN
    low = high = p_welch = p_permutation = _NAN
    if not math.isnan(difference):
        p_permutation = permutation_p(x, y, rng)
        if interval := difference_interval(x, y, level):
            low, high = interval
            p_welch = float(ttest_ind(x, y, equal_var=False).pvalue)
    effect = hedges_g(x, y, level) if not math.isnan(p_welch) else (_NAN, _NAN, _NAN)
    improvement = _improvement(x, y) if x.size and y.size else _NAN
    return Comparison(difference, low, high, p_welch, p_permutation, *effect, improvement,
                      _NAN, _NAN, x.size, y.size, "; ".join(said))  # fmt: skip


def permutation_p(a: Array, b: Array, rng: np.random.Generator, splits: int = SPLITS) -> float:
    """Two-sided p-value of the difference of means, had seeds been dealt to a and b at random.

    Exact where there are at most `splits` ways to deal them out, else (1 + k) / (1 + splits) of
    random ones (Phipson & Smyth 2010): never 0.
    """
    values = np.concatenate([a, b])
    observed = abs(a.mean() - b.mean())
    ways = math.comb(values.size, a.size)
    if ways <= splits:
        chosen = np.array(list(itertools.combinations(range(values.size), a.size)))
    else:
        chosen = rng.permuted(np.tile(np.arange(values.size), (splits, 1)), axis=1)[:, : a.size]
    sums = values[chosen].sum(axis=1)
    differences = np.abs(sums / a.size - (values.sum() - sums) / b.size)
    slack = 1e-12 * np.abs(values).max()  # equal differences may be summed in another order
    extreme = int((differences >= observed - slack).sum())
    return extreme / ways if ways <= splits else (1 + extreme) / (1 + splits)


def hedges_g(a: Array, b: Array, level: float) -> tuple[float, float, float]:
    """g and its interval."""
    degrees = a.size + b.size - 2
    pooled = math.sqrt(((a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)) / degrees)
    unbiased = math.sqrt(2 / degrees) * math.exp(gammaln(degrees / 2) - gammaln((degrees - 1) / 2))
    return unbiased * float(a.mean() - b.mean()) / pooled, _NAN, _NAN


def holm(p_values: ArrayLike) -> Array:
    """Adjusted p-values (Holm 1979), (k,) -> (k,); NaN stays NaN and is no test."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)  # NaN last
    tests = int((~np.isnan(p)).sum())
    factors = np.maximum(tests - np.arange(p.size), 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def _improvement(a: Array, b: Array) -> float:
    return float(((a[:, None] > b) + 0.5 * (a[:, None] == b)).mean())


def probability_of_improvement(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    resamples: int = 2_000,
    level: float = 0.95,
) -> Estimate:
    """P(a > b) of two random seeds of the same task, ties half, mean over tasks: (n, m), (k, m).

    Agarwal et al. 2021, section 4.3.
    """
    first, second = stratified(a, level), stratified(b, level)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"{first.shape[1]} tasks against {second.shape[1]}")
    value = float(_improvements(first[None], second[None])[0])
    counts = [int((~np.isnan(table)).sum(axis=0).min()) for table in (first, second)]
    block = max(1, 2**21 // (first.size * len(second)))
    pairs = zip(
        *(resampled(table, rng, resamples, block) for table in (first, second)), strict=True
    )
    low, high = percentiles(np.concatenate([_improvements(x, y) for x, y in pairs]), level)
    return Estimate(value, low, high, min(counts), f"stratified bootstrap, {resamples:,} resamples")


def _improvements(a: Array, b: Array) -> Array:
    """(s, n, m), (s, k, m) -> (s,)."""
    x, y = a[:, :, None], b[:, None]
    wins = ((x > y) + 0.5 * (x == y)).sum(axis=(1, 2))
    return (wins / ((~np.isnan(a)).sum(axis=1) * (~np.isnan(b)).sum(axis=1))).mean(axis=-1)
