"""Noisy layers: their statistics, and that noise is where it should be and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lockstep import make
from tensors import CPU, draw, streams
from worlds import World

from rlbench.agents import DQN
from rlbench.learning.networks.layers import MLP, Linear
from rlbench.learning.networks.noisy import NoisyLinear, add_noise, laid_on, width
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.rng import RandomStream

S, IN, OUT = 3, 5, 4


def layers(seeds: int = S) -> list[NoisyLinear]:
    return [NoisyLinear(Linear(streams(*range(seeds)), IN, OUT), 0.5)]


def draws(of: list[NoisyLinear], seeds: Any = range(S)) -> RandomStream:
    return RandomStream(seeds, "noise", (width(of),), 16, normal=True)


def test_first_deviations_and_means() -> None:
    """sigma_0 / sqrt(inputs), and means as a plain layer's (Fortunato et al. 2018, section 3.2)."""
    (layer,), plain = layers(), Linear(streams(*range(S)), IN, OUT)
    assert torch.equal(layer.weight, plain.weight)
    for sigma in (layer.weight_sigma, layer.bias_sigma):
        np.testing.assert_allclose(sigma.detach(), 0.5 / np.sqrt(IN), rtol=1e-6)
    assert [tuple(p.shape) for p in layer.parameters()] == [
        (S, IN, OUT), (S, 1, OUT), (S, IN, OUT), (S, 1, OUT),
    ]  # fmt: skip


def test_weights_are_as_the_formula_says() -> None:
    """mu + sigma f(e_in) f(e_out)' by hand, from the seed's own numbers."""
    made, x = layers(), draw(S, 7, IN)
    (layer,) = made
    normal = draws(made).next().copy()
    with laid_on(made, draws(made)):
        found = layer.forward(x)
    f = np.sign(normal) * np.sqrt(np.abs(normal))
    for s in range(S):
        into, out = f[s, :IN], f[s, IN:]
        mu, mu_bias, sigma, sigma_bias = (p[s].detach().numpy() for p in layer.parameters())
        weight, bias = mu + sigma * np.outer(into, out), mu_bias + sigma_bias * out
        np.testing.assert_allclose(found[s].detach(), x[s].numpy() @ weight + bias, atol=1e-5)


def test_noise_goes_when_it_is_taken_off() -> None:
    """Also after an error; and each use draws anew."""
    made, x = layers(), draw(S, 7, IN)
    plain, stream = made[0].forward(x), draws(made)
    seen = []
    for _ in range(2):
        with laid_on(made, stream):
            seen.append(made[0].forward(x))
        assert torch.equal(made[0].forward(x), plain)
    assert not torch.equal(*seen)
    try:
        with laid_on(made, stream):
            raise ValueError
    except ValueError:
        pass
    assert torch.equal(made[0].forward(x), plain)
    with laid_on(made, None):
        assert torch.equal(made[0].forward(x), plain)


def test_noise_has_the_factorised_variance() -> None:
    """Outputs vary around those of the means, with the variance of the factorised noise: f has
    E f^2 = E|e| = sqrt(2 / pi), in both factors."""
    made = [NoisyLinear(Linear(streams(0), 1, 1), 0.5)]
    stream, x = RandomStream([0], "noise", (2,), 64, normal=True), torch.ones(1, 1, 1)
    outputs = []
    with torch.no_grad():
        mean = float(made[0].forward(x))
        for _ in range(4000):
            with laid_on(made, stream):
                outputs.append(float(made[0].forward(x)) - mean)
    second = np.sqrt(2 / np.pi)
    variance = 0.25 * (second**2 + second)  # of the weight, and of the bias; they do not covary
    assert abs(np.mean(outputs)) < 4 * np.sqrt(variance / 4000)
    assert np.var(outputs) / variance - 1 < 0.1


def test_acting_is_learning() -> None:
    """On arrays as on tensors, with noise and without; every seed in a stack as alone."""
    for lanes in (1, 3):
        mlp, x = MLP(streams(*range(S)), IN, [8, OUT]), draw(S, lanes, IN)
        made = add_noise(mlp, 0.5)
        StackedParameters(mlp, CPU)
        for stream in (None, draws(made)):
            again = None if stream is None else draws(made)
            with laid_on(made, stream):
                fast = mlp.forward_numpy(x.numpy())
            with laid_on(made, again):
                slow = mlp.forward(x)
            np.testing.assert_allclose(fast, slow.detach(), atol=1e-5)
            for s in range(S):
                alone = MLP(streams(s), IN, [8, OUT])
                its = add_noise(alone, 0.5)
                StackedParameters(alone, CPU)
                with laid_on(its, None if stream is None else draws(its, [s])):
                    one = alone.forward_numpy(x[s : s + 1].numpy())
                assert one.tobytes() == fast[s].tobytes()


def test_a_noisy_agent_explores_by_noise_alone() -> None:
    """No random actions once learning has begun; acting draws anew; evaluation uses the means."""
    agent = make(DQN, World, 2, noisy=True, learning_starts=4)
    agent.set_horizon(1000)
    lanes = agent.lanes()
    obs = lanes.reset()
    rates = []
    for _ in range(8):
        obs = lanes.step(agent.act(obs))
        rates.append(agent.exploration_rate())
        agent.observe(obs)
        obs = lanes.obs
    lanes.close()
    assert rates == [1.0] * 4 + [0.0] * 4
    seen = np.random.default_rng(0).standard_normal((2, 400, 3)).astype(np.float32)
    first = np.ones((2, 400), bool)
    policy = agent.policy()
    means = policy.act(seen, first)
    np.testing.assert_array_equal(policy.act(seen, first), means)
    np.testing.assert_array_equal(agent.live_policy().act(seen, first), means)
    noisy = [policy.act(seen, first, deterministic=False) for _ in range(6)]
    assert any((one != means).any() for one in noisy)
    with torch.no_grad():
        values = agent.q(torch.from_numpy(seen)).argmax(-1)
    np.testing.assert_array_equal(means, values)
    assert {type(m) for m in agent.q.modules() if isinstance(m, Linear | NoisyLinear)} == {
        NoisyLinear
    }
