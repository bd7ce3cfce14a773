"""Prioritised replay: shares, importance weights and priorities, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lockstep import SHORT
from probes import Noise
from scipy import stats
from transitions import FIELDS, transition

from rlbench.agents import DQN
from rlbench.learning.data.prioritized_replay import PrioritizedReplay
from rlbench.learning.data.replay import Field
from rlbench.learning.rng import RandomStream


def replay(
    capacity: int = 20, batch: int = 8, length: int = 1, alpha: float = 0.5, **given: Any
) -> PrioritizedReplay:
    draws = RandomStream((0, 1), "replay", (batch,), block=4)
    fields = FIELDS if length == 1 else {**FIELDS, "first": Field((), np.float32)}
    return PrioritizedReplay(
        capacity, fields, 1, draws, torch.device("cpu"), length, alpha=alpha, eps=0.01, **given
    )


def fill(memory: PrioritizedReplay, steps: int, start: int = 0) -> None:
    for number in range(start, start + steps):
        memory.add(**transition(number, 2, 1), first=np.zeros((2, 1)))


def shares(memory: PrioritizedReplay, row: int, count: int) -> np.ndarray:
    """How often each transition is drawn in 200 batches."""
    drawn = torch.cat([memory.sample()["action"].clone() for _ in range(200)], -1)[row]
    return np.bincount(drawn.numpy() - 1000 * row, minlength=count)


def test_draws_and_weights_by_hand() -> None:
    """P(i) = p_i^alpha / sum, w_i = (n P(i))^-beta / max; seeds each by their own priority."""
    memory = replay(batch=20)
    fill(memory, 20)
    memory.sample()
    priority = np.random.default_rng(0).random((2, 20)).astype(np.float32)
    memory.drawn = np.tile(np.arange(20), (2, 1))
    memory.update(torch.from_numpy(priority))
    p = (priority.astype(float) + 0.01) ** 0.5
    p /= p.sum(-1, keepdims=True)
    for row in range(2):
        counts = shares(memory, row, 20)
        assert stats.chisquare(counts, p[row] * counts.sum()).pvalue > 1e-3
        assert stats.chisquare(counts, p[1 - row] * counts.sum()).pvalue < 1e-6  # control
    for beta in (0.0, 0.4, 1.0):
        weights, drawn = memory.weights(beta), memory.drawn
        for row in range(2):
            by_hand = (20 * p[row, drawn[row]]) ** -beta
            np.testing.assert_allclose(weights[row], by_hand / by_hand.max(), rtol=1e-5)
    assert memory.weights(1.0).max() == 1.0


def test_what_is_new_has_the_greatest_priority_so_far() -> None:
    """1 before anything is known; then the greatest there was, of this seed."""
    memory = replay(batch=4)
    fill(memory, 4)
    memory.sample()
    assert memory.tree.levels[0][:, :4].tolist() == [[1.0] * 4] * 2
    memory.drawn = np.tile(np.arange(4), (2, 1))
    memory.update(torch.tensor([[0.0, 8.99, 0.0, 0.0], [0.15, 0.15, 0.15, 0.0]]))
    fill(memory, 2, start=4)
    memory.sample()
    np.testing.assert_allclose(memory.tree.levels[0][0, :6], [0.1, 3.0, 0.1, 0.1, 3.0, 3.0])
    np.testing.assert_allclose(memory.tree.levels[0][1, :6], [0.4] * 3 + [0.1] + [1.0] * 2)


def test_sequences_have_the_mix_of_largest_and_mean() -> None:
    """0.9 max + 0.1 mean (R2D2), at the slot of the first step; the last steps begin none."""
    memory = replay(batch=2, length=3, alpha=1.0)
    fill(memory, 9)
    memory.sample()
    assert np.flatnonzero(memory.tree.levels[0][0]).tolist() == list(range(7))
    memory.drawn = np.array([[0, 6], [1, 2]])
    memory.update(torch.tensor([[[1.0, 2.0, 6.0]] * 2] * 2))
    np.testing.assert_allclose(memory.tree.levels[0][0, [0, 6]], 0.9 * 6 + 0.1 * 3 + 0.01)
    fill(memory, 14, start=9)  # the ring is full and wrapped: slots 0 to 2 hold steps 20 to 22
    memory.sample()
    begins = np.flatnonzero(memory.tree.levels[0][0])
    assert begins.tolist() == [0, *range(3, 20)]
    np.testing.assert_allclose(memory.tree.levels[0][0, [0, 6]], [5.71, 5.71])


def test_alpha_0_is_uniform() -> None:
    memory = replay(alpha=0.0)
    fill(memory, 33)
    memory.sample()
    memory.update(torch.arange(16.0).view(2, 8))
    counts = shares(memory, 0, 33)
    assert counts[:13].sum() == 0
    assert stats.chisquare(counts[13:]).pvalue > 1e-3
    assert (memory.weights(1.0) == 1.0).all()


def agent_of(**given: Any) -> DQN:
    few = {**SHORT, "learning_starts": 32, "prioritized": True}
    return DQN(Noise, seeds=2, device="cpu", **{**few, **given})


def test_the_correction_rises_to_1(monkeypatch: pytest.MonkeyPatch) -> None:
    betas: list[float] = []
    real = PrioritizedReplay.weights

    def weights(self: PrioritizedReplay, beta: float) -> torch.Tensor:
        betas.append(beta)
        return real(self, beta)

    monkeypatch.setattr(PrioritizedReplay, "weights", weights)
    agent_of(prioritized_beta=0.4).learn(100)
    steps = np.arange(34, 101, 2)
    np.testing.assert_allclose(betas, 0.4 + 0.6 * steps / 100)


def test_one_update_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is descended is mean(w error^2), and the tree takes (|error| + eps)^alpha."""
    agent = agent_of(loss="mse", prioritized_beta=1.0, learning_rate=1e-9).learn(40)
    memory = agent.replay
    seen: dict[str, Any] = {}
    assert isinstance(memory, PrioritizedReplay)
    memory._admit()
    share = memory.tree.levels[0] / memory.tree.total()[:, None]
    objective = agent.objective

    def spy(**batch: torch.Tensor) -> Any:
        loss, metrics, aux = objective(**batch)
        seen["loss"] = loss
        return loss, metrics, aux

    monkeypatch.setattr(agent, "objective", spy)
    agent.update()
    weight = 1.0 / np.take_along_axis(share, memory.drawn, 1)
    weight /= weight.max(-1, keepdims=True)
    assert weight.min() < 0.9
    loss, priority = agent.loss(**memory._batch)
    np.testing.assert_allclose(loss.detach(), priority**2, rtol=1e-4)
    mean = (torch.from_numpy(weight) * loss).mean(-1)
    np.testing.assert_allclose(seen["loss"].detach(), mean.detach(), rtol=1e-4)
    expected = (priority.double().numpy() + 1e-6) ** 0.6
    np.testing.assert_allclose(memory.tree.weight(memory.drawn), expected, rtol=1e-3)
