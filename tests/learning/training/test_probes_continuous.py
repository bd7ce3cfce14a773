"""SAC and TD3 on environments whose best actions and values are known; each isolates one thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sampled import sampled

from rlbench.agents import SAC, TD3
from rlbench.envs.probes import Aim, AimForever, AimRemembered, AimSeen, AimTwice

GAMMA = 0.8
COMMON: dict[str, Any] = {
    "seeds": 3, "device": "cpu", "gamma": GAMMA, "net_arch": (32,), "learning_rate": 1e-2,
    "lr_schedule": "linear", "batch_size": 64, "learning_starts": 100, "tau": 0.05,
    "buffer_size": 2000, "hidden_size": 8, "sequence_length": 2, "burn_in": 1,
}  # fmt: skip
LEARNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sac": (SAC, {"ent_coef": 0.01}),
    "td3": (
        TD3,
        {
            "noise_std": 0.5,
            "target_policy_noise": 0.02,
            "tau": 0.2,
            "policy_delay": 1,
            "net_arch": (64,),
        },
    ),
}


def learn(name: str, env: Any, steps: int = 600, **parameters: Any) -> Any:
    kind, usual = LEARNS[name]
    steps *= 2 if kind is TD3 else 1  # a policy without randomness sees less of its critics
    return kind(env, **{**COMMON, **usual, **parameters}).learn(steps)


def answers(agent: Any, *episode: float) -> np.ndarray:
    """The last greedy action along the observations of an episode, by seed."""
    found = []
    for seed in agent.seeds:
        policy, state, action = agent.policy(seed=seed), None, np.zeros(1)
        for obs in episode:
            action, state = policy.predict(np.full(1, obs, np.float32), state, deterministic=True)
        found.append(action[0])
    return np.array(found)


def value(agent: Any, obs: float) -> np.ndarray:
    """Q of the greedy action, (S, C)."""
    seeds = len(agent.seeds)
    seen = torch.full((seeds, 1, 1), obs)
    action = torch.from_numpy(answers(agent, obs)).view(seeds, 1, 1)
    with torch.no_grad():
        return agent.critics(seen, (action - 1.0) / 3.0)[..., 0].numpy()


@pytest.mark.parametrize("name", LEARNS)
def test_the_best_action(name: str) -> None:
    """One for all; one for what is seen; and what it is worth."""
    agent = learn(name, Aim)
    np.testing.assert_allclose(answers(agent, 0.0), 1.0, atol=0.2)
    np.testing.assert_allclose(value(agent, 0.0), 0.0, atol=0.2)
    agent = learn(name, AimSeen)
    for obs in (1.0, -1.0):
        np.testing.assert_allclose(answers(agent, obs), 1.0 + obs, atol=0.3)


@pytest.mark.parametrize("n_steps", [1, 2])
@pytest.mark.parametrize("name", LEARNS)
def test_what_comes_later_is_discounted(name: str, n_steps: int) -> None:
    agent = learn(name, AimTwice, n_steps=n_steps)
    assert np.abs(answers(agent, 1.0) - 1.0).max() < 0.3
    np.testing.assert_allclose(value(agent, 1.0), 1.0, atol=0.2)
    expected = GAMMA * (1.0 if n_steps == 1 else value(agent, 1.0).mean())
    # With two steps the second action is the one that was replayed, not the best one.
    assert np.all(value(agent, 0.0) < expected + 0.2)
    if n_steps == 1:
        np.testing.assert_allclose(value(agent, 0.0), expected, atol=0.2)


@pytest.mark.parametrize("name", LEARNS)
def test_a_clock_does_not_end_the_value(name: str) -> None:
    """1 forever, interrupted every 5 steps, is worth 1 / (1 - gamma)."""
    agent = learn(name, AimForever, 900)
    np.testing.assert_allclose(value(agent, 1.0), 1.0 / (1.0 - GAMMA), rtol=0.12)


MEMORIES = [("lstm", True), ("gru", True), ("mlp", False)]


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "knows"), sampled(MEMORIES, [MEMORIES[0], MEMORIES[2]]))
@pytest.mark.parametrize("name", LEARNS)
def test_what_was_seen_a_step_ago(name: str, encoder: str, knows: bool) -> None:
    """A memory knows the cue; without one there is one answer to both (negative control)."""
    agent = learn(name, AimRemembered, 900 if knows else 400, encoder=encoder)
    there, here = answers(agent, 1.0, 0.0), answers(agent, -1.0, 0.0)
    if knows:
        np.testing.assert_allclose(there, 2.0, atol=0.4)
        np.testing.assert_allclose(here, 0.0, atol=0.4)
    else:
        np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("name", LEARNS)
def test_crippled_agents_miss(name: str) -> None:
    """Negative control of the tolerances: no learning, and no future."""
    agent = learn(name, AimSeen, 300, learning_rate=1e-9)
    assert max(np.abs(answers(agent, obs) - 1.0 - obs).max() for obs in (1.0, -1.0)) > 0.6
    agent = learn(name, AimTwice, gamma=0.0)
    assert np.abs(value(agent, 0.0) - GAMMA).min() > 0.3
