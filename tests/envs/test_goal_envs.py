"""Goal environments of our own: what they pay, when they end, and what the best play earns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

from rlbench.envs.bit_flip import BitFlip
from rlbench.envs.reach import ReachGoal


def differing(obs: dict[str, np.ndarray]) -> int:
    return int(np.flatnonzero(obs["observation"] != obs["desired_goal"])[0])


def towards(obs: dict[str, np.ndarray]) -> np.ndarray:
    return (10.0 * (obs["desired_goal"] - obs["observation"])).clip(-1.0, 1.0)


def episode(env: Any, act: Callable[[Any], Any], seed: int) -> tuple[float, int, dict[str, Any]]:
    """Return of an episode, its length and first observation; rewards are those of its goals."""
    first = obs = env.reset(seed=seed)[0]
    total, length, over = 0.0, 0, False
    while not over:
        obs, reward, terminated, truncated, info = env.step(act(obs))
        goals = obs["achieved_goal"], obs["desired_goal"], info
        assert reward == env.unwrapped.compute_reward(*goals) == info["is_success"] - 1.0
        total, length, over = total + reward, length + 1, terminated or truncated
    return total, length, first


def test_bits_are_as_far_as_they_differ() -> None:
    env, returns = gymnasium.make("rlbench/BitFlip-v0"), []
    for seed in range(1500):
        total, length, first = episode(env, differing, seed)
        away = int((first["observation"] != first["desired_goal"]).sum())
        assert (total, length) == (1 - away, away)
        returns.append(total)
    mean = 1 - 10 / (2 - 2.0**-9)
    assert mean == pytest.approx(-4.0049, abs=1e-4)
    assert np.mean(returns) == pytest.approx(mean, abs=4.5 * np.std(returns) / 1500**0.5)
    assert episode(env, lambda obs: 0, 0)[:2] == (-10.0, 10)  # of a state that is further away


def test_the_point_arrives_by_the_shortest_way() -> None:
    env = gymnasium.make("rlbench/Reach-v0")
    ends = [episode(env, towards, seed)[:2] for seed in range(1500)]
    assert {length for _, length in ends} == {50}
    returns = [total for total, _ in ends]
    assert np.mean(returns) == pytest.approx(-5.68, abs=4.5 * np.std(returns) / 1500**0.5)
    assert episode(env, lambda obs: np.zeros(2), 0)[0] == -50.0


@pytest.mark.parametrize("env", [BitFlip(), ReachGoal()])
def test_rewards_of_many_goals_are_those_of_each(env: Any) -> None:
    space = env.observation_space["desired_goal"]
    space.seed(0)
    reached = np.stack([space.sample() for _ in range(40)])
    wanted = np.where(np.arange(40)[:, None] % 2, reached, reached[::-1])
    rewards = env.compute_reward(reached, wanted, {})
    assert rewards.tolist() == [env.compute_reward(a, b, {}) for a, b in zip(reached, wanted)]
    assert 0 < (rewards == 0).sum() < 40


def test_there_is_a_bit_to_turn() -> None:
    with pytest.raises(ValueError, match="at least one bit, got 0"):
        BitFlip(0)
