"""Distributions of returns: closed forms, and naive loops as oracles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlbench.learning.equations import distributional as law
from rlbench.learning.equations import returns

T = torch.tensor


def naive_projection(location: Any, mass: Any, support: Any) -> list[float]:
    """One location after the other, as the paper's algorithm has it."""
    width, out = (support[-1] - support[0]) / (len(support) - 1), [0.0] * len(support)
    for z, p in zip(location, mass, strict=True):
        place = (min(max(z, support[0]), support[-1]) - support[0]) / width
        low = min(int(np.floor(place)), len(support) - 1)
        out[low] += p * (1 - (place - low))
        if place > low:
            out[low + 1] += p * (place - low)
    return out


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 7), st.integers(2, 9),
    st.integers(0, 2**31),
)  # fmt: skip
def test_projection(seeds: int, batch: int, many: int, count: int, entropy: int) -> None:
    """As by hand, of one seed or several; mass is kept, and the mean where nothing is clipped."""
    rng = np.random.default_rng(entropy)
    support = law.atoms(-2.0, 3.0, count)
    location = torch.from_numpy(rng.uniform(-4, 5, (seeds, batch, many)).astype(np.float32))
    mass = torch.from_numpy(rng.dirichlet(np.ones(many), (seeds, batch)).astype(np.float32))
    found = law.project(location, mass, support)
    assert found.shape == (seeds, batch, count)
    for s, b in np.ndindex(seeds, batch):
        one = [x.double().tolist() for x in (location[s, b], mass[s, b], support)]
        np.testing.assert_allclose(found[s, b], naive_projection(*one), atol=1e-5)
        assert torch.equal(found[s], law.project(location[s], mass[s], support))
    np.testing.assert_allclose(found.sum(-1), 1.0, atol=1e-5)
    inside = law.project(location.clamp(-2, 3), mass, support)
    assert torch.equal(inside, found)
    mean = (location.clamp(-2, 3) * mass).sum(-1)
    np.testing.assert_allclose((found * support).sum(-1), mean, atol=1e-4)


def test_a_location_on_an_atom_keeps_its_mass_there() -> None:
    """Also on the last one, and beyond the ends."""
    support = law.atoms(0.0, 4.0, 5)
    found = law.project(T([[0.0, 2.0, 4.0, 9.0, -3.0]]), T([[0.1, 0.2, 0.3, 0.1, 0.3]]), support)
    np.testing.assert_allclose(found[0], [0.4, 0.0, 0.2, 0.0, 0.4], atol=1e-6)


def test_a_diverged_seed_disturbs_no_other() -> None:
    support, mass = law.atoms(-1.0, 1.0, 5), torch.full((2, 3, 4), 0.25)
    location = torch.linspace(-1, 1, 24).view(2, 3, 4)
    broken = location.clone()
    broken[0] = torch.nan
    found = law.project(broken, mass, support)
    assert torch.isnan(found[0].sum(-1)).all()
    assert torch.equal(found[1], law.project(location, mass, support)[1])


def test_divergence() -> None:
    """0 where nothing is left to learn; log 2 by hand; and the gradient of the cross-entropy."""
    mass = T([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    logits = T([[0.3, 0.3, -80.0], [0.0, 0.0, -80.0]], requires_grad=True)
    found = law.divergence(logits, mass)
    np.testing.assert_allclose(found.detach(), [0.0, np.log(2)], atol=1e-6)
    (mine,) = torch.autograd.grad(found.sum(), logits)
    cross = -(mass * logits.log_softmax(-1)).sum()
    torch.testing.assert_close(mine, torch.autograd.grad(cross, logits)[0])


def naive_quantile_huber(quantile: Any, fraction: Any, target: Any, kappa: float) -> float:
    """Two loops."""
    total = 0.0
    for tau, theta in zip(fraction, quantile, strict=True):
        for y in target:
            u = y - theta
            if kappa == 0:
                size = abs(u)
            else:
                size = u * u / 2 if abs(u) <= kappa else kappa * (abs(u) - kappa / 2)
                size /= kappa
            total += abs(tau - (u < 0)) * size / len(target)
    return total


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    st.integers(0, 2**31),
)  # fmt: skip
def test_quantile_huber(seeds: int, n: int, m: int, kappa: float, entropy: int) -> None:
    rng = np.random.default_rng(entropy)

    def draw(*shape: int) -> Tensor:
        return torch.from_numpy(2 * rng.standard_normal(shape).astype(np.float32))

    quantile, target = draw(seeds, 4, n), draw(seeds, 4, m)
    fraction = torch.from_numpy(rng.random((seeds, 4, n)).astype(np.float32))
    found = law.quantile_huber(quantile, fraction, target, kappa)
    for s, b in np.ndindex(seeds, 4):
        one = [x[s, b].double().tolist() for x in (quantile, fraction, target)]
        by_hand = naive_quantile_huber(one[0], one[1], one[2], kappa)
        assert float(found[s, b]) == pytest.approx(by_hand, abs=1e-4)
        alone = law.quantile_huber(quantile[s], fraction[s], target[s], kappa)
        assert torch.equal(found[s], alone)
    even = law.midpoints(n)
    wide = even.expand(seeds, 4, n)
    assert torch.equal(
        law.quantile_huber(quantile, even, target, kappa),
        law.quantile_huber(quantile, wide, target, kappa),
    )


def test_quantiles_are_found() -> None:
    """Descent on the loss ends at the quantiles of a sample; at the means without fractions."""
    sample = torch.arange(1.0, 101.0)[None]
    fraction = law.midpoints(4)
    assert fraction.tolist() == [0.125, 0.375, 0.625, 0.875]
    quantile = torch.zeros(1, 4, requires_grad=True)
    for step in range(400):
        loss = law.quantile_huber(quantile, fraction, sample, 0.0).sum()
        (grad,) = torch.autograd.grad(loss, quantile)
        with torch.no_grad():
            quantile -= 40.0 * (1 - step / 400) * grad
    np.testing.assert_allclose(quantile[0].detach(), [13, 38, 63, 88], atol=1.5)


@pytest.mark.parametrize("n_steps", [1, 2, 3, 7])
def test_outcomes_over_steps(n_steps: int) -> None:
    """Every outcome moves as a value does, and brings its successor's probabilities."""
    rng = np.random.default_rng(n_steps)

    def draw(*shape: int) -> Tensor:
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    s, b, t, z = 2, 3, 7, 4
    reward, outcome, mass = draw(s, b, t), draw(s, b * t, z), draw(s, b * t, z).softmax(-1)
    discount, first = 0.9 * (draw(s, b, t) > -1).float(), (draw(s, b, t) > 0.7).float()
    future = law.ReturnDistribution(outcome, mass)
    target, moved = law.n_step_distribution(reward, discount, future, first, n_steps)
    assert moved is not None
    for i in range(z):
        value = outcome[..., i].view(s, b, t)
        one = returns.n_step_targets(reward, discount, value, first, n_steps)
        assert torch.equal(target[..., i].view(s, b, t), one)
    moved, mass = moved.view(s, b, t, z), mass.view(s, b, t, z)
    for i, j, k in np.ndindex(s, b, t):
        last = k
        while last < min(k + n_steps, t) - 1 and not first[i, j, last + 1]:
            last += 1
        # Where too few steps are left, the target is that of one step, as for values.
        whole = last == k + n_steps - 1
        ends = last < t - 1 and first[i, j, last + 1]
        expected = mass[i, j, last if whole or ends or last == t - 1 else k]
        assert torch.equal(moved[i, j, k], expected)
