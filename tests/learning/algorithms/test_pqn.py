"""PQN's targets against a naive recursion, and the layer norm below them against torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lockstep import make
from tensors import CPU, draw
from torch import nn
from worlds import World

from rlbench.agents import PQN
from rlbench.errors import UserError
from rlbench.learning.networks.layers import LayerNorm
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer

N, T, GAMMA = 2, 25, 0.9


@pytest.mark.parametrize("q_lambda", [0.0, 0.6, 1.0])
def test_targets_by_hand(q_lambda: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """G_t = r_t + gamma (lambda G_{t+1} + (1 - lambda) max_a Q(s_{t+1}, a)) inside an episode; one
    step where it was truncated or the rollout ends; the reward alone where it terminated."""
    given: Any = {"n_envs": N, "n_steps": T, "gamma": GAMMA, "q_lambda": q_lambda, "n_epochs": 1}
    agent = make(PQN, World, 2, **given, batch_size=N * T)
    agent.set_horizon(1000)
    monkeypatch.setattr(agent.order, "next", lambda: np.arange(2 * N * T).reshape(2, N * T))
    seen: dict[str, Any] = {}

    def spy(**items: torch.Tensor) -> Any:
        seen.update(items)
        return _nothing(agent), {}

    monkeypatch.setattr(agent, "objective", spy)
    lanes, steps = agent.lanes(), []
    lanes.reset()
    with torch.no_grad():
        before = agent.learner.stack.data.clone()
        for _ in range(T):
            step = lanes.step(agent.act(lanes.obs))
            steps.append(step)
            agent.observe(step)
    lanes.close()
    assert torch.equal(before, agent.learner.stack.data)
    target = seen["target"].view(2, N, T)
    assert any(step.truncated.any() for step in steps)
    assert any(step.terminated.any() for step in steps)
    for s, n in np.ndindex(2, N):
        following = None
        for t in reversed(range(T)):
            step = steps[t]
            with torch.no_grad():
                best = float(agent.q(torch.from_numpy(step.next_obs))[s, n].max())
            cut = following is None or step.truncated[s, n]
            value = best if cut else q_lambda * float(following) + (1 - q_lambda) * best  # type: ignore[arg-type]
            following = float(step.reward[s, n]) + GAMMA * value * (not step.terminated[s, n])
            assert float(target[s, n, t]) == pytest.approx(following, abs=1e-4)


def _nothing(agent: PQN) -> torch.Tensor:
    """A loss without a gradient to speak of."""
    with torch.enable_grad():
        return 0.0 * torch.stack([p.flatten(1).sum(-1) for p in agent.q.parameters()]).sum(0)


def test_layer_norm_is_torchs() -> None:
    """In learning and, within 1e-5, in acting; of every seed with its own gain and bias."""
    norm, x = LayerNorm(3, 7), draw(3, 4, 7)
    with torch.no_grad():
        norm.gain.copy_(draw(3, 1, 7))
        norm.bias.copy_(0.5 * draw(3, 1, 7))
    StackedParameters(norm, CPU)
    found = norm.forward(x).detach()
    np.testing.assert_allclose(norm.forward_numpy(x.numpy()), found, atol=1e-5)
    for s in range(3):
        other = nn.LayerNorm(7)
        other.weight.data, other.bias.data = norm.gain[s, 0].detach(), norm.bias[s, 0].detach()
        torch.testing.assert_close(found[s], other(x[s]).detach())


def test_sequences_must_fit() -> None:
    cases: list[dict[str, Any]] = [
        {"n_steps": 10, "sequence_length": 4},
        {"n_steps": 64, "batch_size": 32},
    ]
    for given in cases:
        with pytest.raises(UserError, match="choose another sequence_length"):
            PQN(World, encoder="lstm", **given)


def test_it_learns_when_a_rollout_is_full() -> None:
    agent = make(PQN, World, 2, n_envs=2, n_steps=8, batch_size=4, n_epochs=3)
    agent.set_horizon(64)
    for _ in Trainer(agent, TrainingSchedule(64, 0, 0, 0)).rows():
        pass
    assert agent.learner.optimizer.updates == 4 * 3 * 4
    assert agent.first_update(agent.config, 2) == 16
