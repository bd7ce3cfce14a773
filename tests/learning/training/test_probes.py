"""DQN on environments whose values are known: each probe isolates one thing that can be wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from probe_values import GAMMA, LEARNS, values
from probes import Chosen, ChosenSeen, Constant, Forever, Pixels, Rooms, Seen, TwoSteps

from rlbench.agents import DQN


def learn(env: Any, steps: int = 400, **parameters: Any) -> DQN:
    agent = DQN(env, seeds=3, device="cpu", **{**LEARNS, **parameters})
    return agent.learn(steps)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (Constant, {0.0: [1.0]}),
        (Seen, {1.0: [1.0], -1.0: [-1.0]}),
        (TwoSteps, {0.0: [GAMMA], 1.0: [1.0]}),
        (Chosen, {0.0: [-1.0, 1.0]}),
        (ChosenSeen, {1.0: [-1.0, 1.0], -1.0: [1.0, -1.0]}),
    ],
)
@pytest.mark.parametrize("switch", [{}, {"double": False}, {"n_steps": 3}])
def test_probe_values_and_actions(
    env: Any, expected: dict[float, list[float]], switch: dict[str, Any]
) -> None:
    """Every seed's values within 0.1 of the truth, and the right action where there is a choice."""
    agent = learn(env, **switch)
    for obs, truth in expected.items():
        found = values(agent, obs)
        np.testing.assert_allclose(found, np.tile(truth, (3, 1)), atol=0.1)
        if len(truth) > 1:
            for seed in range(3):
                said = agent.policy(seed=seed).predict(
                    np.full(1, obs, np.float32), deterministic=True
                )[0]
                assert said == int(np.argmax(truth))


def test_an_untrained_agent_fails_the_probes() -> None:
    """Negative control: the tolerance is not met by chance."""
    agent = DQN(ChosenSeen, seeds=3, device="cpu", **LEARNS)
    truth = np.array([[-1.0, 1.0]] * 3)
    assert np.abs(values(agent, 1.0) - truth).max() > 0.5


@pytest.mark.parametrize("broken", [{"gamma": 0.0}, {"learning_rate": 1e-9}])
def test_a_crippled_agent_fails_the_discounting_probe(broken: dict[str, Any]) -> None:
    """Negative control: without a discount or without learning the value is missed."""
    agent = learn(TwoSteps, **broken)
    assert np.abs(values(agent, 0.0) - GAMMA).min() > 0.2


@pytest.mark.parametrize(("n_envs", "n_steps"), [(1, 1), (2, 1), (2, 3), (1, 7)])
def test_a_clock_does_not_end_the_value(n_envs: int, n_steps: int) -> None:
    """1 forever, interrupted every 5 steps, is worth 1 / (1 - gamma): truncation bootstraps."""
    learns = LEARNS | {"n_steps": n_steps}
    agent = DQN(Forever, seeds=3, n_envs=n_envs, device="cpu", **learns).learn(1000)
    np.testing.assert_allclose(values(agent, 1.0), 1 / (1 - GAMMA), rtol=0.05)


def test_a_clock_reported_as_an_end_lowers_the_value() -> None:
    """Negative control: told that every fifth step is the end, the value is 1 / (1 - 0.8 gamma)."""
    agent = learn(partial(Forever, lie=True), 1000, loss="mse")
    found = values(agent, 1.0)
    assert np.abs(found - 1 / (1 - GAMMA)).min() > 1.5
    np.testing.assert_allclose(found, 1 / (1 - 0.8 * GAMMA), rtol=0.2)


def test_rooms_observed_by_number() -> None:
    """A Discrete observation that starts at 3: the way out is found and discounted."""
    agent = learn(Rooms, 800, exploration_final_eps=0.3)
    for seed in range(3):
        policy = agent.policy(seed=seed)
        assert [policy.predict(room, deterministic=True)[0] for room in (3, 4, 5, 6)] == [1] * 4
    rooms = torch.arange(4).expand(3, 4).unsqueeze(-1)  # (S, B, 1), counted from 0
    with torch.no_grad():
        worth = agent.q(rooms)[..., 1].numpy()
    np.testing.assert_allclose(worth, np.tile(GAMMA ** np.arange(3, -1, -1.0), (3, 1)), atol=0.1)


def test_images_arrive_scaled_and_in_order() -> None:
    """A uint8 image: dark and bright are told apart, so it arrives scaled and in order."""
    agent = learn(Pixels, learning_rate=1e-3)
    images = np.stack([np.full((5, 4, 3), value, np.uint8) for value in (0, 255)])
    for seed in range(3):
        said = agent.policy(seed=seed).predict(images, deterministic=True)[0]
        np.testing.assert_array_equal(said, [0, 1])
