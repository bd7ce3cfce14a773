"""Sensitivity to hyperparameters and effective dimensionality (Adkins et al. 2024).

Scores are arrays (E, n_1, ..., n_P, S): E environments, the values of P parameters, S seeds.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from rlbench.reporting.statistics.intervals import Interval
from rlbench.reporting.statistics.resampling import Array, percentiles

LOW, HIGH = 5, 95  # percentiles of all settings in an environment that become 0 and 1
NEAR = 0.95  # share of the score tuned for each environment that few parameters have to reach
RESAMPLES = 2000


class SensitivityEstimate(NamedTuple):
    """Sensitivity with its interval, dimensionality, and the two scores they are made of."""

    sensitivity: float
    interval: Interval | None
    dimensionality: int
    tuned: float  # mean over environments of the best setting's score of each
    single: float  # the best of one setting for all


def normalised(means: Array) -> Array:
    """Scale mean scores (E, n_1, ...): the 5th percentile of settings to 0, the 95th to 1.

    An environment where these are equal tells no setting apart: all are 1.
    """
    flat = means.reshape(len(means), -1)
    low, high = np.percentile(flat, [LOW, HIGH], axis=1)
    span = (high - low).reshape(-1, *[1] * (means.ndim - 1))
    start = low.reshape(span.shape)
    return np.where(span > 0, (means - start) / np.where(span > 0, span, 1.0), 1.0)


def sensitivity(scores: Array) -> float:
    """Return what tuning for each environment gains over one setting for all, in scaled scores.

    It is mean_e max_h g(e, h) - max_h mean_e g(e, h), for `normalised` scores g: 0 where one
    setting is best everywhere.
    """
    return float(scores.reshape(len(scores), -1).max(1).mean() - scores.mean(0).max())


def dimensionality(scores: Array, near: float = NEAR) -> int:
    """Return how many parameters have to be tuned for each environment to come near the best.

    The others stay at the best setting for all environments. "Near" is a share of the mean of
    each environment's best score; `scores` are `normalised`.
    """
    parameters = scores.ndim - 1
    base = np.unravel_index(int(scores.mean(0).argmax()), scores.shape[1:])
    goal = near * scores.reshape(len(scores), -1).max(1).mean()
    for size in range(parameters + 1):
        for free in itertools.combinations(range(parameters), size):
            place = tuple(slice(None) if p in free else base[p] for p in range(parameters))
            reached = scores[(slice(None), *place)].reshape(len(scores), -1).max(1).mean()
            if reached >= goal - 1e-12:
                return size
    return parameters


def estimate(
    scores: Array, rng: np.random.Generator, level: float = 0.95, resamples: int = RESAMPLES
) -> SensitivityEstimate:
    """Estimate both from the scores of seeds, with a bootstrap interval over seeds.

    Seeds are drawn anew for every environment and setting; NaN is a seed without a score.
    """
    means = normalised(np.nanmean(scores, axis=-1))
    ordered = np.sort(scores, axis=-1)  # NaN last
    counts = (~np.isnan(scores)).sum(axis=-1)
    places = np.arange(scores.shape[-1]) < counts[..., None]
    draws = []
    for _ in range(resamples if counts.max() > 1 else 0):
        picks = (rng.random(scores.shape) * counts[..., None]).astype(np.intp)
        drawn = np.take_along_axis(ordered, picks, axis=-1)
        draws.append(sensitivity(normalised(drawn.mean(axis=-1, where=places))))
    interval = percentiles(np.array(draws), level) if draws else None
    flat = means.reshape(len(means), -1)
    return SensitivityEstimate(
        sensitivity(means), interval, dimensionality(means), float(flat.max(1).mean()),
        float(flat.mean(0).max()),
    )  # fmt: skip
