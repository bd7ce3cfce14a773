"""Market: what is best follows by dynamic programming, and plays as it should."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np
import pytest

from rlbench.envs.market import Market
from rlbench.reporting.statistics.reference_scores import REFERENCES

STEPS = 100
Choose = Callable[
    [np.ndarray], np.ndarray
]  # values (states, positions, actions) -> the same less actions


def exact(choose: Choose, balls: int = 16, cost: float = 0.5) -> float:
    """Expected return of an episode of a policy that sees values of actions, by induction."""
    inside = np.arange(balls + 1)
    up = 1 - inside / balls
    value = np.zeros((balls + 1, 3))
    for _ in range(STEPS):
        after = np.zeros_like(value)
        after[:-1] += up[:-1, None] * value[1:]
        after[1:] += (1 - up)[1:, None] * value[:-1]
        now = (2 * up - 1)[:, None, None] * np.array([-1, 0, 1])
        paid = cost * np.abs(np.arange(3)[:, None] - np.arange(3))
        value = choose(now - paid + after[:, None])
    start = np.array([comb(balls, k) for k in inside]) / 2.0**balls
    return float(start @ value[:, 1])


def threshold(inside: int, position: int) -> int:
    """Long from a price of -2 on, short from 2 on, else as it is."""
    return 2 if inside <= 6 else 0 if inside >= 10 else position + 1


def of_table(values: np.ndarray) -> np.ndarray:
    table = np.array([[threshold(k, position) for position in (-1, 0, 1)] for k in range(17)])
    return np.take_along_axis(values, table[..., None], 2)[..., 0]


def test_the_optimum_is_what_is_said() -> None:
    """No policy is better; with another cost it is another."""
    assert exact(lambda values: values.max(-1)) == pytest.approx(12.67, abs=5e-3)
    assert exact(of_table) == pytest.approx(12.65, abs=5e-3)
    assert exact(lambda values: values.mean(-1)) == pytest.approx(-44.33, abs=5e-3)
    assert exact(lambda values: values.max(-1), cost=1.0) == pytest.approx(8.58, abs=5e-3)
    scale = REFERENCES["rlbench/Market-v0"]
    assert (scale.random, scale.high) == (-44.33, 12.67)


def test_episodes_are_worth_what_induction_says() -> None:
    """The threshold policy, and as a control its opposite, which loses."""
    env = Market()
    env.reset(seed=0)
    for opposite, expected in ((False, 12.65), (True, None)):
        returns = []
        for _ in range(500):
            env.reset()
            total = 0.0
            for _ in range(STEPS):
                action = threshold(env.inside, env.position)
                action = threshold(16 - env.inside, env.position) if opposite else action
                total += env.step(action)[1]
            returns.append(total)
        error = np.std(returns) / np.sqrt(len(returns))
        if expected:
            assert np.mean(returns) == pytest.approx(expected, abs=4.5 * error)
        else:
            assert np.mean(returns) < -10


def test_what_a_step_says() -> None:
    env = Market(balls=4, cost=0.25)
    obs, _ = env.reset(seed=3)
    assert obs[1] == 0
    for action in (2, 2, 0, 1, 0, 2) * 20:
        before, position = env.inside, env.position
        obs, reward, *ended, _ = env.step(action)
        change = env.inside - before
        assert abs(change) == 1
        assert reward == (action - 1) * change - 0.25 * abs(action - 1 - position)
        assert obs.tolist() == [env.inside / 2 - 1, action - 1]
        assert ended == [False, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balls": 3}, "balls must be an even number of at least 2, got 3"),
        ({"balls": 0}, "balls must be an even number"),
        ({"cost": -1}, "cost must be a number of at least 0, got -1"),
        ({"cost": float("nan")}, "cost must be a number of at least 0, got nan"),
    ],
)
def test_a_mistake_is_one_line(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Market(**options)  # type: ignore[arg-type]
