"""Seeds that an undecided comparison would probably need."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import scipy  # imports scipy.stats at its first use: it takes a second

POWER = 0.8
MOST = 1_000  # seeds beyond which nobody would go


class SeedsNeeded(NamedTuple):
    """Seeds of either side, in all: as estimated, and from the ends of the effect's interval.

    Infinite beyond MOST.
    """

    estimate: float
    low: float
    high: float


def seeds_needed(effect: float, low: float, high: float, level: float) -> SeedsNeeded | None:
    """Return how many seeds decide with a probability of POWER, at this two-sided level.

    For effects in standard deviations, Hedges' g with its interval, by the normal approximation
    n = 2 (z_(1 - level / 2) + z_POWER)^2 / g^2, and t's degrees of freedom by a quarter of z^2
    (Guenther 1981). If the interval holds 0 the upper end is infinite. None without an interval.
    """
    if not all(map(math.isfinite, (effect, low, high))):
        return None
    near = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return SeedsNeeded(
        _seeds(abs(effect), level), _seeds(max(abs(low), abs(high)), level), _seeds(near, level)
    )


def _seeds(effect: float, level: float) -> float:
    if not effect:
        return math.inf
    z, power = _quantiles(level)
    n = 2 * ((z + power) / effect) ** 2 + z**2 / 4
    return math.ceil(max(n, 2.0)) if n <= MOST else math.inf


@functools.lru_cache(maxsize=16)
def _quantiles(level: float) -> tuple[float, float]:
    """Return the normal quantiles of a two-sided level and of POWER."""
    return float(scipy.stats.norm.isf(level / 2)), float(scipy.stats.norm.ppf(POWER))
