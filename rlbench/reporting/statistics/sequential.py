"""Group-sequential permutation tests: seeds come in groups until a comparison is decided.

As AdaStop (Mathieu et al. 2023), seeds are exchanged within their group, and a comparison that is
looked at k times may be decided at each look without more than alpha wrong decisions in all. Each
look spends a share of alpha fixed beforehand; the other comparisons of the family are accounted for
by Holm's procedure on the whole sequence of looks (Ye et al. 2013), which holds the family-wise
error whatever the dependence between comparisons. The statistic is that of the report: Welch's t of
scores, or of ranks with lost seeds ranked worst as soon as a seed is lost.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # imports scipy.stats at its first use: it takes a second

from rlbench.reporting.statistics.intervals import Interval
from rlbench.reporting.statistics.resampling import Array

SPLITS = 20_000  # random splits of a look; all where they are at most four times as many
SEED = 20_261_128  # of the random splits: every comparison is tested with the same
FUTILE = 0.1  # power below which a comparison is given up, had it one standard error more
_LARGE = 1e12  # in place of an infinite t
_TINY = 1e-12  # rounding errors of 0


class Plan(NamedTuple):
    """What is fixed before the first score.

    Attributes:
        alpha: family-wise error.
        group: seeds of either side between two looks.
        looks: number of looks, at most.
        comparisons: size of the family.
    """

    alpha: float
    group: int
    looks: int
    comparisons: int

    def shares(self) -> Array:
        """Return the share of alpha that each look spends, (looks,), summing to 1.

        All looks get the same, but for those whose smallest possible p is above it.
        """
        least = np.array([_least_p(self.group, look) for look in range(1, self.looks + 1)])
        for first in range(self.looks):
            share = 1 / (self.looks - first)
            if least[first] <= self.alpha / self.comparisons * share:
                break
        shares = np.full(self.looks, share)
        shares[:first] = 0.0
        return shares


class Scores(NamedTuple):
    """Scores of two entrants in groups, each (looks, group); -inf is a lost seed."""

    a: Array
    b: Array


class Decision(NamedTuple):
    """State of a comparison: `verdict` is "a", "b", "open", "given up" or "undecided".

    Open ones need another group, undecided ones have had all looks. `look` (from 1) is where it was
    decided or last looked at, `level` its share of alpha there, `p` that of the last look alone,
    not adjusted for anything.
    """

    verdict: str
    look: int
    level: float
    p: float
    difference: float
    interval: Interval | None

    @property
    def decided(self) -> bool:
        """Whether one side was found better."""
        return self.verdict in ("a", "b")


class Test:
    """One comparison: t of every split at each look, and what t must reach there."""

    def __init__(self, plan: Plan, scores: Scores, draws: int | None = None) -> None:
        self.plan, self.scores, self.draws = plan, scores, draws or SPLITS
        self.shares, self.looks = plan.shares(), len(scores.a)
        self._tables: list[Array] = []
        self._cuts: dict[float, list[float]] = {}

    def table(self, look: int) -> Array:
        """Return |t| of each split at every look up to this one (from 1), (splits, look)."""
        while len(self._tables) < look:
            sides = splits(self.plan.group, len(self._tables) + 1, self.draws)
            self._tables.append(_statistics(self.scores, sides))
        return self._tables[look - 1]

    def cut(self, level: float, look: int) -> float:
        """Return what t must reach at a look (from 1) for a decision at this level."""
        cuts = self._cuts.setdefault(level, [])
        while len(cuts) < look:
            now = len(cuts)
            table = self.table(now + 1)
            alive = (table[:, :now] < cuts).all(axis=1)
            cuts.append(_cut(table[alive, now], level * float(self.shares[now]) * len(table)))
        return cuts[look - 1]

    def rejected(self, level: float, looks: int) -> int:
        """Return the look (from 1), of so many, at which this level decides, or 0."""
        for look in range(1, looks + 1):
            if self.table(look)[0, -1] >= self.cut(level, look) and self.better(look):
                return look
        return 0

    def p(self, look: int) -> float:
        """Return p of this look (from 1) alone."""
        values = self.table(look)[:, -1]
        return float((values >= values[0]).mean())

    def p_sequential(self, looks: int) -> float:
        """Return the least level that decides within so many looks; 1 if none does."""
        if not looks or not self.rejected(1.0, looks):
            return 1.0 if looks else math.nan
        low, high = 0.0, 1.0
        while high - low > max(1e-3 * high, 1e-7):
            middle = (low + high) / 2
            low, high = (low, middle) if self.rejected(middle, looks) else (middle, high)
        return high

    def better(self, look: int) -> str:
        """Return the side that is ahead at this look, "a" or "b"; "" if that is not clear.

        With lost seeds, which rank worst, the means of the others have to agree.
        """
        a, b = (side[:look].ravel() for side in self.scores)
        there = a[np.isfinite(a)], b[np.isfinite(b)]
        if not (there[0].size and there[1].size):
            return ""
        ahead = np.sign(there[0].mean() - there[1].mean())
        if there[0].size < a.size or there[1].size < b.size:
            ranks = scipy.stats.rankdata(np.concatenate([a, b]))
            if ahead != np.sign(ranks[: a.size].mean() - ranks[a.size :].mean()):
                return ""
        return {1.0: "a", -1.0: "b"}.get(float(ahead), "")

    def decision(self, look: int, level: float, looks: int) -> Decision:
        """Return the state after so many looks; it was decided at `look`, if that is not 0."""
        last = look or looks
        if not last:
            return Decision("open", 0, level, math.nan, math.nan, None)
        a, b = (side[:last].ravel() for side in self.scores)
        p, difference, interval = self.p(last), math.nan, None
        lost = bool(np.isneginf(np.concatenate([a, b])).any())
        if not lost:
            difference = float(a.mean() - b.mean())
            half = self.cut(self.plan.alpha, last)
            half *= math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / a.size)
            interval = Interval(difference - half, difference + half) if half < math.inf else None
        verdict, share = "open", float(self.shares[-1])
        if look:
            verdict = self.better(look)
        elif last >= self.plan.looks:
            verdict = "undecided"
        elif self.shares[last - 1] and power(p, last / self.plan.looks, level * share) < FUTILE:
            verdict = "given up"
        return Decision(verdict, last, level, p, difference, interval)


def decide(plan: Plan, family: Sequence[Scores], draws: int | None = None) -> list[Decision]:
    """Return the state of every comparison of the family, after the looks it has had.

    A comparison without scores yet is open. Deterministic: the same scores give the same decisions,
    whichever other looks were taken in between.
    """
    tests = [Test(plan, scores, draws) for scores in family]
    return decisions(plan, tests, [test.looks for test in tests])


def decisions(plan: Plan, tests: Sequence[Test], looks: Sequence[int]) -> list[Decision]:
    """Return the state of every comparison after so many of its looks each."""
    decided: dict[int, tuple[int, float]] = {}
    while True:  # Holm: each decision leaves more of alpha to the others
        level = plan.alpha / max(plan.comparisons - len(decided), 1)
        new = {
            i: (look, level)
            for i, test in enumerate(tests)
            if i not in decided and (look := test.rejected(level, looks[i]))
        }
        if not new:
            break
        decided |= new
    return [test.decision(*decided.get(i, (0, level)), looks[i]) for i, test in enumerate(tests)]


def power(p: float, part: float, level: float) -> float:
    """Return the chance that the last look decides, were the effect a standard error larger.

    Conditional power (Lan & Wittes 1988) after a `part` of all seeds with a two-sided `p`.
    """
    norm = scipy.stats.norm
    z = norm.isf(min(p, 1.0) / 2)
    drift = (z + 1) / math.sqrt(part)
    missing = norm.isf(level / 2) - z * math.sqrt(part) - drift * (1 - part)
    return float(norm.sf(missing / math.sqrt(1 - part)))


@functools.lru_cache(maxsize=32)
def splits(group: int, looks: int, draws: int) -> Array:
    """Return which of the 2 x group seeds of each look count as a: 0 or 1, (looks, splits, seeds).

    The first split is the real one. All splits where they are at most four times `draws`, else so
    many random ones.
    """
    seeds = 2 * group
    count = math.comb(seeds, group)
    if count**looks <= 4 * draws:
        one = np.zeros((count, seeds))
        chosen = list(itertools.combinations(range(seeds), group))  # the first is the real one
        np.put_along_axis(one, np.array(chosen), 1.0, axis=1)
        rows = np.array(list(itertools.product(range(count), repeat=looks)))
        return np.ascontiguousarray(one[rows].swapaxes(0, 1))
    rng = np.random.default_rng([SEED, group, looks])
    real = np.arange(seeds) < group
    result = rng.permuted(np.tile(real.astype(float), (looks, draws, 1)), axis=2)
    result[:, 0] = real
    return result


def _statistics(scores: Scores, sides: Array) -> Array:
    """Return |t| of Welch for each split at each look, (splits, looks)."""
    looks = len(sides)
    both = np.concatenate([scores.a[:looks], scores.b[:looks]], axis=1)
    plain = int(np.logical_and.accumulate(~np.isneginf(both).any(axis=1)).sum())
    columns = [_t(both[:plain], sides[:plain])] if plain else []
    for look in range(plain + 1, looks + 1):  # with a lost seed ranks take the place of scores
        ranks = scipy.stats.rankdata(both[:look]).reshape(look, -1)
        columns.append(_t(ranks, sides[:look])[:, -1:])
    return np.concatenate(columns, axis=1)


def _t(values: Array, sides: Array) -> Array:
    """Return |t| of Welch at each look from values (looks, seeds), (splits, looks).

    Without spread on either side it is 0 or, with a difference, the largest.
    """
    looks, seeds = values.shape
    unit = values - values.mean()
    unit /= np.abs(unit).max() or 1.0
    moments = np.stack([unit, unit**2], axis=-1)  # (looks, seeds, 2)
    a = np.cumsum(np.matmul(sides, moments), axis=0)  # (looks, splits, 2)
    b = np.cumsum(moments.sum(axis=1), axis=0)[:, None] - a
    n = np.arange(1, looks + 1)[:, None] * (seeds // 2)  # seeds of either side
    mean_a, mean_b = a[..., 0] / n, b[..., 0] / n
    squares = a[..., 1] + b[..., 1] - n * (mean_a**2 + mean_b**2)
    difference = np.abs(mean_a - mean_b)
    error = np.sqrt(np.maximum(squares, 0.0) / np.maximum(n - 1, 1) / n)
    bare = np.where(difference > _TINY, _LARGE, 0.0)
    t = np.divide(difference, error, out=bare, where=squares > _TINY)
    return np.round(np.minimum(t, _LARGE), 8).T


def _cut(values: Array, allowance: float) -> float:
    """Return the least value that no more than `allowance` of the values reach; inf if none."""
    count = int(allowance + 1e-9)
    if count >= values.size:
        return 0.0
    if not count:
        return math.inf
    first = values.size - count - 1
    top = np.partition(values, first)[first:]  # its first is the largest that must not reach
    larger = top[top > top[0]]
    return float(larger.min()) if larger.size else math.inf


def _least_p(group: int, look: int) -> float:
    """Return the smallest possible p of a look: that of one split and its mirror image."""
    return 2 / math.comb(2 * group, group) ** look
