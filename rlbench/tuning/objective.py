"""Scores of trials: from curves on the grid to one number per trial.

A curve is the list of (step, score) of one seed. All that a study maximises is computed here, from
what its journal holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlbench.reporting.statistics.intervals import iqm
from rlbench.tuning.plan import Aggregate, Objective

Curve = list[tuple[int, float]]


class TrialResult(NamedTuple):
    """What training a trial gave: curves by environment and seed, and why seeds were lost."""

    curves: dict[str, dict[int, Curve]]
    lost: dict[str, dict[int, str]]

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> TrialResult:
        """Read a result from JSON, where seeds are text; empty where it is not there."""
        curves: dict[str, dict[int, Curve]] = {
            env: {int(seed): [(s, score) for s, score in curve] for seed, curve in of.items()}
            for env, of in written.get("curves", {}).items()
        }
        lost = written.get("lost", {})
        return cls(curves, {env: {int(s): why for s, why in lost[env].items()} for env in lost})


def seed_score(curve: Curve, objective: Objective, lost: bool, keeps_best: bool = False) -> float:
    """Return the score of one seed; NaN where it was never evaluated.

    `final` is the last point of the grid, and the best one for agents that go back to their best
    weights (`keeps_best`); `curve` is the mean of all points after step 0. A seed that failed or
    diverged counts with the lowest of its points.
    """
    points = np.array([score for _, score in curve], float)
    if not len(points):
        return np.nan
    if lost:
        return float(points.min())
    if objective == "curve":
        later = np.array([step for step, _ in curve]) > 0
        return float(points[later].mean() if later.any() else points[-1])
    return float(points.max() if keeps_best else points[-1])


def seed_scores(
    result: TrialResult, objective: Objective, keeps_best: bool = False
) -> dict[str, dict[int, float]]:
    """Return the score of each seed by environment."""
    return {
        env: {
            seed: seed_score(curve, objective, seed in result.lost.get(env, {}), keeps_best)
            for seed, curve in curves.items()
        }
        for env, curves in result.curves.items()
    }


def aggregated(scores: Sequence[float], aggregate: Aggregate) -> float:
    """Return the mean or the interquartile mean over seeds."""
    return iqm(scores) if aggregate == "iqm" else float(np.mean(scores))


def trial_values(
    scores: Mapping[int, Mapping[str, Mapping[int, float]]], aggregate: Aggregate
) -> dict[int, float]:
    """Return the value of each trial from its seeds' scores by environment.

    With one environment it is the aggregate of the scores. With several, the scores of each are
    replaced by their place in the empirical distribution of all trials and seeds there, in (0, 1],
    and the aggregates are averaged over environments (Patterson et al. 2024; Jordan et al. 2020),
    so that a value depends on the other trials.
    """
    envs = list(dict.fromkeys(env for by_env in scores.values() for env in by_env))
    if len(envs) == 1:
        return {
            trial: aggregated(list(by_env[envs[0]].values()), aggregate)
            for trial, by_env in scores.items()
        }
    pools = {
        env: np.sort([score for by_env in scores.values() for score in by_env[env].values()])
        for env in envs
    }

    def place(env: str, values: Mapping[int, float]) -> float:
        below = np.searchsorted(pools[env], list(values.values()), side="right")
        return aggregated((below / len(pools[env])).tolist(), aggregate)

    return {
        trial: float(np.mean([place(env, by_env[env]) for env in envs]))
        for trial, by_env in scores.items()
    }
