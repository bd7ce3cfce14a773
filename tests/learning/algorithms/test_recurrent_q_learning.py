"""Recurrent Q-learning over sequences, against one step at a time by the acting code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlbench.agents import DQN
from rlbench.learning.networks.models import unroll_pair

S, B, T, BURN = 2, 3, 7, 3
CPU = torch.device("cpu")


@pytest.mark.parametrize("encoder", ["rnn", "gru", "lstm"])
def test_values_are_those_of_acting_step_by_step(encoder: str) -> None:
    """Also at borders inside the burn-in, inside the sequence, and at its last step."""
    agent = DQN(
        seeds=S,
        device="cpu",
        observation_space=spaces.Box(-1.0, 1.0, (4,), np.float32),
        action_space=spaces.Discrete(3),
        encoder=encoder,
        hidden_size=8,
        net_arch=8,
    )
    agent.target.data.mul_(1.3)  # so that the two networks differ
    rng = np.random.default_rng(0)
    obs, next_obs = (rng.uniform(-1, 1, (S, B, T, 4)).astype(np.float32) for _ in range(2))
    memory = rng.uniform(-1, 1, (S, B, agent.q.state_size)).astype(np.float32)
    first = np.zeros((S, B, T), np.float32)
    first[0, 0, 1] = first[0, 1, BURN] = first[1, 0, 5] = first[1, 2, T - 1] = 1.0

    def naive(network: object) -> tuple[np.ndarray, np.ndarray]:
        now, after, carried = [], [], memory
        for t in range(T):
            carried = carried * (1.0 - first[:, :, t, None])
            values, carried = network.act(obs[:, :, t], carried, CPU)  # type: ignore[attr-defined]
            now.append(values)
            after.append(network.act(next_obs[:, :, t], carried, CPU)[0])  # type: ignore[attr-defined]
        return np.stack(now[BURN:], 2), np.stack(after[BURN:], 2)

    seen, following, before, starts = map(torch.from_numpy, (obs, next_obs, memory, first))
    x, next_x, chooser = unroll_pair(
        agent.q, agent.q_target, seen, following, before, starts, BURN, True
    )
    assert chooser is not None
    q, next_online = agent.q.head.forward(x), agent.q.head.forward(chooser)
    next_q = agent.q_target.head.forward(next_x)
    online, target = naive(agent.q), naive(agent.q_target)
    for found, expected in ((q, online[0]), (next_q, target[1]), (next_online, online[1])):
        shaped = found.detach().numpy().reshape(expected.shape)
        np.testing.assert_allclose(shaped, expected, atol=2e-6)
    assert not np.allclose(online[1], target[1], atol=1e-3)
    assert q.requires_grad
    assert not next_x.requires_grad
    assert not chooser.requires_grad
