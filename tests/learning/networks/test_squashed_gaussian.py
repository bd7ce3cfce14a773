"""Squashed policies against numerical integration, and actions exactly within their bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch import distributions as td
from worlds import ACTIONS, World

from rlbench.agents import SAC, TD3
from rlbench.errors import UserError
from rlbench.learning.networks import squashed_gaussian
from rlbench.learning.networks.squashed_gaussian import Squashed, SquashedGaussian, log_slope

ONE = spaces.Box(-1.0, 1.0, (1,), np.float32)
RNG = np.random.default_rng(0)
GAUSSIANS = [(0.0, -1.0), (0.7, 0.0), (-2.0, 0.5), (0.3, -3.0)]


def normal(*shape: int) -> Tensor:
    return torch.from_numpy(RNG.standard_normal(shape))


def log_prob(mean: float, log_std: float, u: Tensor) -> Tensor:
    """Of tanh(u), where u is what is drawn, by way of the normal numbers that give it."""
    outputs = torch.tensor([mean, log_std], dtype=u.dtype).expand(*u.shape, 2)
    drawn = ((u - mean) / math.exp(log_std)).unsqueeze(-1)
    action, found = SquashedGaussian(ONE).drawn(outputs, drawn)
    torch.testing.assert_close(action[..., 0], torch.tanh(u))
    return found


def mass(mean: float, log_std: float) -> float:
    """The density of actions integrated over (-1, 1), by trapezoids in u = atanh(a)."""
    u = torch.linspace(-12.0, 12.0, 200_001, dtype=torch.float64)
    action = torch.tanh(u)
    density = log_prob(mean, log_std, u).exp()
    return float(torch.trapezoid(density, action))


@pytest.mark.parametrize(("mean", "log_std"), GAUSSIANS)
def test_probabilities_add_up_to_one(mean: float, log_std: float) -> None:
    assert mass(mean, log_std) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("wrong", [lambda u: 0.0 * u, lambda u: 0.5 * log_slope(u)])
def test_without_the_right_slope_they_do_not(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the density of the Gaussian itself, and half the correction."""
    monkeypatch.setattr(squashed_gaussian, "log_slope", wrong)
    assert abs(mass(0.7, 0.0) - 1.0) > 0.05


@pytest.mark.parametrize(("mean", "log_std"), GAUSSIANS)
def test_it_is_a_change_of_variables(mean: float, log_std: float) -> None:
    """torch.distributions' own transform, also for several components, which add up."""
    u = mean + math.exp(log_std) * torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
    plain = td.Normal(*torch.tensor([mean, math.exp(log_std)], dtype=torch.float64))
    its = td.TransformedDistribution(plain, [td.TanhTransform(cache_size=1)])
    expected = plain.log_prob(u) - td.TanhTransform().log_abs_det_jacobian(u, torch.tanh(u))
    torch.testing.assert_close(log_prob(mean, log_std, u), expected)
    near = u[(u.abs() < 2.0)]
    torch.testing.assert_close(log_prob(mean, log_std, near), its.log_prob(torch.tanh(near)))
    three = SquashedGaussian(spaces.Box(-1.0, 1.0, (3,)))
    outputs, drawn = normal(4, 6).float(), normal(4, 3).float()
    parts = [
        SquashedGaussian(ONE).drawn(outputs[:, [k, k + 3]], drawn[:, [k]])[1] for k in range(3)
    ]
    torch.testing.assert_close(three.drawn(outputs, drawn)[1], torch.stack(parts).sum(0))


@given(st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False))
def test_the_slope_is_finite_everywhere(u: float) -> None:
    """Where tanh is 1 in float32 too, in the words of its formula, with a gradient of -2 tanh."""
    x = torch.tensor(u, dtype=torch.float32, requires_grad=True)
    found = log_slope(x)
    exact = torch.tensor(u, dtype=torch.float64)
    formula = 2.0 * (math.log(2.0) - exact - torch.nn.functional.softplus(-2.0 * exact))
    assert torch.isfinite(found)
    torch.testing.assert_close(found.double(), formula, rtol=1e-5, atol=1e-6)
    (slope,) = torch.autograd.grad(found, x)
    torch.testing.assert_close(slope.double(), -2.0 * torch.tanh(exact), rtol=1e-4, atol=1e-5)


def test_log_probabilities_at_the_bounds_are_finite() -> None:
    """Whatever the network says; the plain formula log(1 - a^2) is infinite there."""
    said = [[60.0, 0.0], [-1e6, 50.0], [3.0, -1e9], [1e4, 2.0]]
    outputs, drawn = torch.tensor(said, requires_grad=True), torch.tensor([0.0, 1.0, -1.0, 3.0])
    action, found = SquashedGaussian(ONE).drawn(outputs, drawn.unsqueeze(-1))
    assert torch.isfinite(found).all()
    assert (action[[0, 1, 3]].abs() == 1.0).all()
    (gradient,) = torch.autograd.grad(found.sum(), outputs)
    assert torch.isfinite(gradient).all()
    assert torch.log(1.0 - action[0] * action[0]).isinf()  # negative control


def test_gradients_are_those_of_the_formula() -> None:
    outputs, drawn = (0.5 * normal(50, 2)).requires_grad_(), normal(50, 1)
    action, found = SquashedGaussian(ONE).drawn(outputs, drawn)
    mean, log_std = outputs[:, :1], outputs[:, 1:]
    u = mean + log_std.exp() * drawn
    plain = td.Normal(mean, log_std.exp()).log_prob(u) - torch.log(1.0 - torch.tanh(u) ** 2)
    weight = torch.linspace(-1.0, 1.0, 50, dtype=torch.float64)
    (mine,) = torch.autograd.grad((weight * (found + action[:, 0])).sum(), outputs)
    (its,) = torch.autograd.grad((weight * (plain + torch.tanh(u))[:, 0]).sum(), outputs)
    torch.testing.assert_close(mine, its)


BOUND = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
BOUNDS = st.tuples(BOUND, BOUND).map(sorted)


@given(BOUNDS, st.floats(-1.0, 1.0, width=32, allow_subnormal=False))
def test_bounds_are_reached_exactly_and_never_exceeded(bounds: list[float], inner: float) -> None:
    low, high = (np.float32(b) for b in bounds)
    dist = Squashed(spaces.Box(low, high, (1,), np.float32))
    least, most, some = dist.to_env(np.array([[-1.0], [1.0], [inner]], np.float32))
    assert (least[0], most[0]) == (low, high)
    assert low <= some[0] <= high
    assert some.dtype == np.float32
    exact = float(low) + (float(inner) + 1.0) / 2.0 * (float(high) - float(low))
    assert some[0] == pytest.approx(exact, rel=1e-6, abs=1e-6 * (float(high) - float(low) + 1e-30))


def test_acting_is_learning() -> None:
    """The same action from arrays as from tensors, for the same numbers; the mode is the middle."""
    dist = SquashedGaussian(spaces.Box(-1.0, 1.0, (2,)))
    outputs, numbers = normal(3, 5, 4).float(), normal(3, 5, 2).float()
    drawn = dist.sample(outputs.numpy(), numbers.double().numpy())
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, dist.drawn(outputs, numbers)[0], atol=1e-6)
    np.testing.assert_array_equal(dist.mode(outputs.numpy()), np.tanh(outputs[..., :2].numpy()))


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_unbounded_and_discrete_actions_are_refused(kind: Any) -> None:
    with pytest.raises(UserError, match="needs bounded actions, not Box"):
        kind(lambda: World("vector", "free"))
    with pytest.raises(UserError, match="needs Box actions, not Discrete"):
        kind("CartPole-v1")
    whole = spaces.Box(0, 5, (2,), np.int64)
    with pytest.raises(UserError, match="real numbers"):
        kind(observation_space=spaces.Box(-1.0, 1.0, (2,)), action_space=whole)


@pytest.mark.parametrize("kind", [SAC, TD3])
@pytest.mark.parametrize("action", ["box", "box6"])
def test_actions_are_of_the_space(kind: Any, action: str) -> None:
    """Deterministic or drawn, one or a batch, before training and after."""
    few: dict[str, Any] = {"net_arch": (8,), "batch_size": 8, "learning_starts": 8}
    agent = kind(lambda: World("vector", action), device="cpu", **few)
    obs = np.random.default_rng(0).standard_normal((25, 3)).astype(np.float32)
    for _ in range(2):
        for deterministic in (True, False):
            drawn, state = agent.predict(obs, deterministic=deterministic)
            assert state is None
            assert all(ACTIONS[action].contains(each) for each in drawn)
        agent.learn(16)
    one, _ = agent.predict(obs[3], deterministic=True)
    np.testing.assert_array_equal(one, agent.predict(obs, deterministic=True)[0][3])
    drawn = [agent.predict(obs, deterministic=False)[0] for _ in range(2)]
    assert (drawn[0] != drawn[1]).any() == (kind is SAC)
