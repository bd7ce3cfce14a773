"""Policies' distributions against torch.distributions, and actions on their way to lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from lockstep import make
from scipy import stats
from torch import Tensor
from torch import distributions as td
from worlds import ACTIONS, World

from rlbench.agents import A2C, PPO
from rlbench.errors import UserError
from rlbench.learning.networks.action_distributions import Categorical, Gaussian, distribution

RNG = np.random.default_rng(0)
DISCRETE: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(4),
    "multi": spaces.MultiDiscrete([2, 5, 3]),
    "grid": spaces.MultiDiscrete(np.array([[2, 3], [4, 2]]), start=np.array([[1, 0], [5, 2]])),
    "bits": spaces.MultiBinary(3),
    "bit grid": spaces.MultiBinary([2, 2]),
}


def normal(*shape: int) -> Tensor:
    return torch.from_numpy(RNG.standard_normal(shape).astype(np.float32))


def parts(dist: Categorical, logits: Tensor) -> list[td.Categorical]:
    return [td.Categorical(logits=part) for part in logits.split(dist.sizes, -1)]


@pytest.mark.parametrize("name", DISCRETE)
def test_categories_are_torchs(name: str) -> None:
    """Log-probabilities and entropies add up over categories; the mode is the likeliest."""
    dist = distribution(DISCRETE[name])
    assert isinstance(dist, Categorical)
    logits = 3 * normal(2, 7, dist.outputs)
    action = torch.from_numpy(dist.sample(logits.numpy(), RNG.random((2, 7, dist.actions))))
    assert action.shape == (2, 7, dist.actions)
    log_prob, entropy = dist.evaluate(logits, action, None)
    its = parts(dist, logits)
    expected = torch.stack([part.log_prob(action[..., k]) for k, part in enumerate(its)]).sum(0)
    torch.testing.assert_close(log_prob, expected)
    torch.testing.assert_close(entropy, torch.stack([part.entropy() for part in its]).sum(0))
    best = torch.stack([part.probs.argmax(-1) for part in its], -1)
    np.testing.assert_array_equal(dist.mode(logits.numpy()), best)
    for each in dist.to_env(action.numpy()).reshape(14, *dist.shape):
        if name != "discrete":  # lanes take a number there, and add the start themselves
            assert DISCRETE[name].contains(each)


@pytest.mark.parametrize("name", ["discrete", "multi", "bits"])
def test_samples_follow_the_probabilities(name: str) -> None:
    """Chi-square of 20,000 draws against the probabilities; another distribution fails it."""
    dist = distribution(DISCRETE[name])
    assert isinstance(dist, Categorical)
    logits = normal(dist.outputs)
    many = np.tile(logits.numpy(), (20_000, 1))
    drawn = dist.sample(many, np.random.default_rng(5).random((20_000, dist.actions)))
    for k, part in enumerate(parts(dist, logits)):
        counts = np.bincount(drawn[:, k], minlength=dist.sizes[k])
        expected = part.probs.double().numpy()
        assert stats.chisquare(counts, 20_000 * expected / expected.sum()).pvalue > 1e-3
        wrong = expected + 0.05 * np.linspace(-1, 1, len(expected))
        assert stats.chisquare(counts, 20_000 * wrong / wrong.sum()).pvalue < 1e-3


def test_extreme_numbers_draw_extreme_categories() -> None:
    """The ends of [0, 1) never leave the categories, also where a probability is 0."""
    dist = Categorical(spaces.Discrete(3))
    logits = np.array([[0.0, 0.0, -1e4], [-1e4, 0.0, 0.0]], np.float32)
    for uniform, expected in ((0.0, [0, 1]), (1 - 2**-53, [1, 2])):
        drawn = dist.sample(logits, np.full((2, 1), uniform))
        assert drawn[:, 0].tolist() == expected


@pytest.mark.parametrize("width", [1, 6])
def test_gaussians_are_torchs(width: int) -> None:
    dist = distribution(spaces.Box(-np.inf, np.inf, (width,)))
    mean, log_std = normal(3, 9, width), 0.5 * normal(3, 1, width)
    action = normal(3, 9, width)
    log_prob, entropy = dist.evaluate(mean, action, log_std)
    its = td.Independent(td.Normal(mean, log_std.exp().expand_as(mean)), 1)
    torch.testing.assert_close(log_prob, its.log_prob(action))
    torch.testing.assert_close(entropy, its.entropy())
    assert entropy.shape == log_prob.shape == (3, 9)
    np.testing.assert_array_equal(dist.mode(mean.numpy()), mean)
    noise = np.random.default_rng(1).standard_normal((5000, 3, 9, width))
    drawn = dist.sample(mean.numpy(), noise, log_std.exp().numpy())
    assert drawn.dtype == np.float32
    z = (drawn - mean.numpy()) / log_std.exp().numpy()
    assert stats.kstest(z.ravel()[:5000], "norm").pvalue > 1e-3


def test_gaussian_gradients_are_torchs() -> None:
    dist = distribution(spaces.Box(-1.0, 1.0, (3,)))
    leaves = [normal(2, 5, 3).requires_grad_(), normal(2, 1, 3).requires_grad_()]
    others = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    action = normal(2, 5, 3)
    log_prob, entropy = dist.evaluate(leaves[0], action, leaves[1])
    (log_prob + 0.1 * entropy).sum().backward()
    its = td.Independent(td.Normal(others[0], others[1].exp().expand(2, 5, 3)), 1)
    (its.log_prob(action) + 0.1 * its.entropy()).sum().backward()
    for mine, other in zip(leaves, others, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_units_of_bounded_boxes() -> None:
    """-1 and 1 are the bounds, whatever these are; beyond is clipped; unbounded ones stay."""
    low, high = np.array([[-2.0, 0.0]], np.float32), np.array([[4.0, 10.0]], np.float32)
    dist = distribution(spaces.Box(low, high))
    given = np.array([[[-1.0, -1.0], [1.0, 1.0], [0.0, 0.5], [-7.0, 1.01]]], np.float32)
    found = dist.to_env(given)
    assert found.shape == (1, 4, 1, 2)
    assert found.dtype == np.float32
    expected = [[-2.0, 0.0], [4.0, 10.0], [1.0, 7.5], [-2.0, 10.0]]
    np.testing.assert_allclose(found[0, :, 0], expected)
    some, no = np.array([[-1.0, -np.inf], [1.0, np.inf]], np.float32)
    free = distribution(spaces.Box(some, no))
    held = np.stack([np.clip(7 * given[0, :, 0], -1, 1), 7 * given[0, :, 1]], -1)
    np.testing.assert_array_equal(free.to_env(7 * given)[0], held)
    half = distribution(spaces.Box(0.0, np.inf, (2,)))  # one bound: the environment's own units
    np.testing.assert_array_equal(half.to_env(given)[0], np.maximum(given[0], 0.0))


def test_whole_numbers_in_a_box_are_refused() -> None:
    with pytest.raises(UserError, match="whole numbers: use MultiDiscrete"):
        distribution(spaces.Box(0, 5, (2,), np.int64))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", [A2C, PPO])
def test_policies_give_actions_of_the_space(kind: Any, action: str) -> None:
    """Deterministic or drawn, one or a batch, of a trained agent and before training."""
    agent = make(kind, lambda: World("vector", action), log_std_init=1.0)
    obs = np.random.default_rng(0).standard_normal((25, 3)).astype(np.float32)
    for _ in range(2):
        for deterministic in (True, False):
            drawn, state = agent.predict(obs, deterministic=deterministic)
            assert state is None
            assert len(drawn) == 25
            for each in drawn:
                assert agent.action_space.contains(each), f"{each} not in {agent.action_space}"
        agent.learn(16)
    one, _ = agent.predict(obs[3], deterministic=True)
    # A batch may be multiplied by another routine than one observation, and round otherwise.
    np.testing.assert_allclose(one, agent.predict(obs, deterministic=True)[0][3], rtol=1e-5)
    drawn = [agent.predict(obs, deterministic=False)[0] for _ in range(3)]
    assert any((drawn[0] != other).any() for other in drawn[1:])


def test_the_recorded_action_is_the_unclipped_one() -> None:
    """What is learned from is what was drawn; the environment gets it clipped, in its units."""
    agent = make(A2C, lambda: World("vector", "box"), 2, n_envs=2, log_std_init=2.0, n_steps=64)
    agent.set_horizon(10_000)
    assert isinstance(agent.distribution, Gaussian)
    lanes = agent.lanes()
    obs = lanes.reset()
    for _ in range(40):
        step = lanes.step(agent.act(obs))
        agent.observe(step)
        stored = agent.rollout.arrays["action"][:, :, agent.rollout.position - 1]
        np.testing.assert_allclose(step.action, 1.0 + 3.0 * np.clip(stored, -1.0, 1.0), atol=1e-6)
        obs = lanes.obs
    lanes.close()
    assert (np.abs(agent.rollout.arrays["action"]) > 1.0).mean() > 0.3
