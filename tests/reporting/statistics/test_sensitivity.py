"""Sensitivity and dimensionality (Adkins et al. 2024) against values by hand and a naive search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rlbench.reporting.statistics.sensitivity import (
    dimensionality,
    estimate,
    normalised,
    sensitivity,
)


def test_scores_are_scaled_by_percentiles_of_settings() -> None:
    means = np.array([np.arange(101.0), 1000 * np.arange(101.0), np.full(101, 3.0)])
    scaled = normalised(means)
    assert scaled[0] == pytest.approx((np.arange(101) - 5) / 90)
    assert scaled[1] == pytest.approx(scaled[0])  # whatever the scale of an environment
    assert (scaled[2] == 1).all()  # it tells no setting apart


def test_sensitivity_is_what_tuning_for_each_gains() -> None:
    assert sensitivity(np.array([[1.0, 0.0], [1.0, 0.5]])) == 0.0  # one setting is best everywhere
    assert sensitivity(np.array([[1.0, 0.0], [0.0, 1.0]])) == 0.5
    assert sensitivity(np.array([[1.0, 0.0, 0.9], [0.0, 1.0, 0.9]])) == pytest.approx(0.1)


def test_dimensionality_counts_parameters_that_have_to_change() -> None:
    good, poor = 1.0, 0.0
    same = np.array([[[good, poor], [poor, poor]], [[good, poor], [poor, poor]]])
    assert dimensionality(same) == 0
    one = np.array([[[good, poor], [poor, poor]], [[poor, poor], [good, poor]]])
    assert dimensionality(one) == 1
    both = np.array([[[good, poor], [poor, poor]], [[poor, poor], [poor, good]]])
    assert dimensionality(both) == 2


def test_dimensionality_is_that_of_a_naive_search() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = rng.random((3, 2, 3, 2))
        places = list(itertools.product(range(2), range(3), range(2)))
        base = max(places, key=lambda h: scores[(slice(None), *h)].mean())
        best = np.mean([max(scores[(e, *h)] for h in places) for e in range(3)])
        reach = {}
        for size in range(4):
            tried = []
            for free in itertools.combinations(range(3), size):
                near = [
                    h for h in places if all(h[p] == base[p] for p in range(3) if p not in free)
                ]
                tried.append(np.mean([max(scores[(e, *h)] for h in near) for e in range(3)]))
            reach[size] = max(tried)
        assert dimensionality(scores) == min(n for n, x in reach.items() if x >= 0.95 * best)


def test_the_interval_covers_what_seeds_leave_open() -> None:
    """Seeds without spread leave nothing open; a seed without a score is left out."""
    means = np.array([[[1.0, 0.2], [0.4, 0.3]], [[0.1, 0.3], [0.2, 1.0]]])
    scores = np.repeat(means[..., None], 4, axis=-1)
    exact = estimate(scores, np.random.default_rng(0), resamples=50)
    assert exact.interval == pytest.approx((exact.sensitivity, exact.sensitivity))
    assert exact.tuned - exact.single == pytest.approx(exact.sensitivity)
    noisy = scores + np.random.default_rng(1).normal(size=scores.shape) * 0.2
    noisy[0, 0, 0, 3] = np.nan
    open_ = estimate(noisy, np.random.default_rng(0), resamples=200)
    assert open_.interval is not None
    assert open_.interval.low < open_.interval.high
    assert estimate(scores[..., :1], np.random.default_rng(0)).interval is None
