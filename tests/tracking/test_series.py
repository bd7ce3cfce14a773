"""Points of curves: means over episodes and over seeds, held to what is written by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rlbench.tracking.series import CurvePoint, Series

RECORD = {"eval_episodes": 2, "final_episodes": 3}


def metric(seed: int, step: int, value: float, key: str = "train/loss") -> dict[str, str]:
    return {"seed": str(seed), "step": str(step), "key": key, "value": str(value)}


def episode(seed: int, step: int, number: int, ret: float, **more: Any) -> dict[str, str]:
    row = {"seed": seed, "step": step, "phase": "grid", "episode": number, "return": ret,
           "length": ret, "split": "episodes", "accuracy": "nan"}  # fmt: skip
    return {key: str(value) for key, value in (row | more).items()}


def test_an_evaluation_is_the_mean_of_all_its_episodes() -> None:
    series = Series(RECORD, [7])
    assert list(series.evaluations([episode(7, 100, 0, 3.0)])) == []  # one of two
    points = list(series.evaluations([episode(7, 100, 1, 6.0), episode(7, 200, 0, 1.0)]))
    assert points == [
        CurvePoint(7, 100, "eval/mean_reward", 4.5),
        CurvePoint(7, 100, "eval/mean_ep_length", 4.5),
    ]
    rows = [episode(7, 200, n, 3.0 * n, phase="final") for n in range(3)]
    names = [point.key for point in series.evaluations(rows)]
    assert names == ["final/mean_reward", "final/mean_ep_length"]


def test_a_sweep_over_images_is_a_point_of_its_own() -> None:
    row = episode(0, 50, 0, 0.25, split="validation", accuracy=0.75)
    points = list(Series(RECORD, [0]).evaluations([row]))
    assert points == [
        CurvePoint(0, 50, "eval/mean_reward", 0.25),
        CurvePoint(0, 50, "eval/accuracy", 0.75),
    ]


def test_means_over_seeds_need_every_seed() -> None:
    """With four seeds the interquartile mean leaves out the lowest and the highest."""
    series, values = Series(RECORD, range(4)), [1.0, 2.0, 4.0, 100.0]
    each = [list(series.metrics([metric(seed, 10, v)])) for seed, v in enumerate(values)]
    assert [len(points) for points in each] == [1, 1, 1, 3]
    assert each[3][1:] == [
        CurvePoint(None, 10, "train/loss", float(np.mean(values))),
        CurvePoint(None, 10, "iqm/train/loss", 3.0),
    ]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_means_end_where_a_seed_diverged(bad: float) -> None:
    """The mean of survivors would look better than the agent is."""
    series = Series(RECORD, range(2))
    before = list(series.metrics([metric(0, 10, 1.0), metric(1, 10, 3.0)]))
    assert before[-1] == CurvePoint(None, 10, "train/loss", 2.0)
    after = [*series.metrics([metric(0, 20, 1.0), metric(1, 20, bad), metric(0, 30, 1.0)])]
    assert {point.seed for point in after} == {0, 1}
