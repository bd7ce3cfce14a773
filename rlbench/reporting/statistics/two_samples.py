"""Two agents: is one better, by how much, how sure. The seed is the unit; seeds are not paired."""

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, ttest_ind

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

SPLITS = 20_000  # up to so many ways to deal out seeds all are tried, beyond so many are drawn
_PAIRS = 2**24  # pairs compared at once: bounds memory, changes no number
_NAN = float("nan")


class Comparison(NamedTuple):
    """a against b; what cannot be had is NaN, and `said` says why."""

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
        """The p that decides: p_permutation; with lost seeds the larger of it and p_worst, and 1
        where the two disagree about which is better.
        """
        if not (self.lost_a or self.lost_b) or math.isnan(self.p_permutation):
            return self.p_permutation
        agree = self.difference * (self.improvement - 0.5) > 0
        return max(self.p_permutation, self.p_worst) if agree else 1.0


def compare(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    lost: tuple[int, int] = (0, 0),
    bounds: Bounds = NO_BOUNDS,
) -> Comparison:
    """Compare scores (n,) with (m,), one number per seed, all of them within the bounds.

    A NaN is a seed without a score: it is left out, and said. So many of them were `lost` by a and
    b: they ended without a score. A lost seed is worse than every score in P(a > b) and in p_worst,
    a permutation test of Welch's t of ranks: so no value has to be made up for it. The mean, its
    tests and Hedges' g need finite scores, intervals two seeds on either side, and all but that of
    P(a > b) a spread.
    """
    samples = [np.asarray(scores, dtype=np.float64) for scores in (a, b)]
    if any(sample.ndim != 1 for sample in samples):
        raise ValueError("one number per seed is needed, shapes (n,) and (m,)")
    x, y = (sample[~np.isnan(sample)] for sample in samples)
    ended = [np.append(s, np.full(k, -np.inf)) for s, k in zip((x, y), lost, strict=True)]
    said = [_said(name, sample) for name, sample in zip("ab", samples, strict=True)]
    said.append(_least_p(x.size, y.size, 1 - level))
    found = Comparison(n_a=x.size, n_b=y.size, lost_a=lost[0], lost_b=lost[1],
                       said="; ".join(filter(None, said)))  # fmt: skip
    if not x.size and not y.size:
        return found
    n, m = (sample.size for sample in ended)
    if min(n, m) > 0:
        found = found._replace(improvement=float(wins(ended[0][:, None], ended[1][:, None])[0]))
    if min(n, m) > 1:
        low, high = wins_interval(found.improvement, n, m, level)
        found = found._replace(improvement_low=low, improvement_high=high)
    if not (x.size and y.size and np.isfinite(x).all() and np.isfinite(y).all()):
        return found
    difference, p = float(x.mean() - y.mean()), permutation_p(x, y, rng)
    found = found._replace(difference=difference, p_permutation=p)
    if any(lost):
        ranks = rankdata(np.concatenate(ended))
        found = found._replace(p_worst=permutation_p(ranks[:n], ranks[n:], rng))
    if interval := difference_interval(x, y, level, bounds):
        p = float(ttest_ind(x, y, equal_var=False).pvalue)
        effect, (low, high) = hedges_g(x, y, level)
        found = found._replace(low=interval.low, high=interval.high, p_welch=p)
        found = found._replace(effect=effect, effect_low=low, effect_high=high)
    return found


def permutation_p(a: Array, b: Array, rng: np.random.Generator) -> float:
    """Two-sided p-value of Welch's t, had the seeds been dealt to a and b at random; (n,), (m,).

    Exact where both have one distribution. Where only the means are equal, t keeps the level
    better than the bare difference does, if n and m differ (Janssen 1997). All ways to deal out
    where they are at most SPLITS, else (1 + k) / (1 + SPLITS) of random ones, which is never 0
    (Phipson & Smyth 2010).
    """
    values = np.concatenate([a, b])
    ways = math.comb(values.size, a.size)
    if ways <= SPLITS:
        splits = np.array(list(itertools.combinations(range(values.size), a.size)))
    else:
        drawn = rng.permuted(np.tile(np.arange(values.size), (SPLITS, 1)), axis=1)
        splits = np.concatenate([np.arange(a.size)[None], drawn[:, : a.size]])
    sizes = _welch_t(values, splits)
    return float((sizes >= sizes[0] * (1 - 1e-8) - 1e-9).mean())  # equal but for rounding


def holm(p_values: ArrayLike) -> Array:
    """p-values adjusted for their number (Holm 1979), (k,) -> (k,); a NaN stays, and is no test."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)  # NaN last
    left = np.maximum((~np.isnan(p)).sum() - np.arange(p.size), 1)  # tests not yet rejected
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * left), 1.0)
    return adjusted


def probability_of_improvement(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    resamples: int = 2_000,
    level: float = 0.95,
) -> IntervalEstimate:
    """P(a > b) of two random seeds of a task, ties half, mean over tasks: (n, m) and (k, m).

    The average of Agarwal et al. (2021, section 4.3); lost seeds may be -inf. One task has the
    interval of `wins_interval`, several that of the stratified bootstrap, widened where seeds are
    few.
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
    """Interval of the mean over tasks of `wins`, and how it came about."""
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


def _welch_t(values: Array, splits: NDArray[np.intp]) -> Array:
    """Size of Welch's t of each split, (n + m,) and (s, n) -> (s,); without spreads the bare
    difference of means tells splits apart.
    """
    inside = np.zeros((len(splits), values.size), dtype=bool)
    np.put_along_axis(inside, splits, True, axis=1)
    centred = values - values.mean()
    unit = centred / (np.abs(centred).max() or 1.0)
    x, y = (np.broadcast_to(unit, inside.shape)[side].reshape(len(splits), -1)
            for side in (inside, ~inside))  # fmt: skip
    difference = np.abs(x.mean(axis=1) - y.mean(axis=1))
    if min(x.shape[1], y.shape[1]) < 2:
        return difference
    error = np.sqrt(sum(side.var(axis=1, ddof=1) / side.shape[1] for side in (x, y)))
    tiny = 1e-12  # what rounding leaves of nothing
    bare = np.where(difference > tiny, np.inf, 0.0)
    return np.divide(difference, error, out=bare, where=error > tiny)


def _said(name: str, scores: Array) -> str:
    """What must be said of one side."""
    there = scores[~np.isnan(scores)]
    missing = scores.size - there.size
    said = [f"{missing} of {scores.size} seeds of {name} missing"] if missing else []
    if not there.size:
        said.append(f"no score in {name}")
    elif not np.isfinite(there).all():
        said.append(f"infinite scores in {name}: no mean")
    elif there.size == 1:
        said.append(f"one seed in {name}: no interval")
    elif there.min() == there.max():
        said.append(f"{there.size} of {there.size} seeds of {name} at {there[0]:g}: no interval")
    return "; ".join(said)


def _least_p(n: int, m: int, level: float) -> str:
    """A warning where so few seeds cannot be significant, whatever their scores."""
    least = (2 if n == m else 1) / math.comb(n + m, n)  # with n == m a split has a mirror image
    if not n or not m or least <= level:
        return ""
    return f"{n} against {m} seeds: p of the permutation test cannot be below {least:.2g}"
