"""Scores of trials against values by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlbench.tuning.objective import TrialResult, seed_score, seed_scores, trial_values

CURVE = [(0, 10.0), (500, 40.0), (1000, 30.0)]


def test_final_is_the_last_point_and_curve_the_mean_after_the_start() -> None:
    assert seed_score(CURVE, "final", lost=False) == 30.0
    assert seed_score(CURVE, "curve", lost=False) == 35.0
    assert seed_score(CURVE, "final", lost=False, keeps_best=True) == 40.0


def test_a_lost_seed_has_its_lowest_point() -> None:
    """Else a setting that diverges after a good start would be the best."""
    assert seed_score(CURVE, "final", lost=True) == 10.0
    assert seed_score(CURVE, "curve", lost=True) == 10.0
    assert math.isnan(seed_score([], "final", lost=True))
    result = TrialResult({"a": {1: CURVE, 2: CURVE}}, {"a": {2: "diverged"}})
    assert seed_scores(result, "final") == {"a": {1: 30.0, 2: 10.0}}


def test_mean_and_iqm_over_seeds() -> None:
    scores = {0: {"a": {1: 0.0, 2: 10.0, 3: 20.0, 4: 90.0}}}
    assert trial_values(scores, "mean") == {0: 30.0}
    assert trial_values(scores, "iqm") == {0: 15.0}


def test_values_over_environments_are_places_in_the_distribution() -> None:
    """Against the definition: the share of all trials' seeds at or below each score."""
    rng = np.random.default_rng(0)
    scales = {"a": 1.0, "b": 1000.0}
    scores = {
        trial: {env: dict(enumerate(rng.normal(size=3) * scale)) for env, scale in scales.items()}
        for trial in range(6)
    }
    naive = {}
    for trial, by_env in scores.items():
        means = []
        for env, by_seed in by_env.items():
            pool = [s for other in scores.values() for s in other[env].values()]
            places = [sum(s <= x for s in pool) / len(pool) for x in by_seed.values()]
            means.append(sum(places) / len(places))
        naive[trial] = sum(means) / len(means)
    assert trial_values(scores, "mean") == pytest.approx(naive)
    # No environment outweighs another, whatever its scale.
    scaled = {t: {**e, "b": {s: 7 * x for s, x in e["b"].items()}} for t, e in scores.items()}
    assert trial_values(scaled, "mean") == pytest.approx(naive)
