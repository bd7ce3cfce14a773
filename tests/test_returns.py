"""The equations: closed forms, and the same text for one seed and for a stack of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.learning import returns

T = torch.tensor


def test_take() -> None:
    values = T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert returns.take(values, T([2, 0])).tolist() == [3.0, 4.0]


def test_discount_is_zero_at_the_end_only() -> None:
    assert returns.discount_of(0.5, T([0.0, 1.0, 0.0])).tolist() == [0.5, 0.0, 0.5]


def test_q_target() -> None:
    """1 + 0.5 max(2, 4) = 3; at a termination the reward alone."""
    target = returns.q_target(T([1.0, 1.0]), T([0.5, 0.0]), T([[2.0, 4.0], [2.0, 4.0]]))
    assert target.tolist() == [3.0, 1.0]


def test_double_q_differs_from_max_q_where_the_networks_disagree() -> None:
    """The online network prefers action 0, which the target network gives 2, not 4."""
    reward, discount, next_q = T([1.0]), T([0.5]), T([[2.0, 4.0]])
    assert returns.double_q_target(reward, discount, next_q, T([[9.0, 1.0]])).tolist() == [2.0]
    assert returns.double_q_target(reward, discount, next_q, T([[1.0, 9.0]])).tolist() == [3.0]


def test_double_q_never_exceeds_max_q() -> None:
    """Overestimation: over noise alone the mean of max Q is above 0, that of double Q is not."""
    rng = np.random.default_rng(0)
    online, target = (torch.from_numpy(rng.standard_normal((5000, 4))) for _ in range(2))
    zero, one = torch.zeros(5000, dtype=torch.float64), torch.ones(5000, dtype=torch.float64)
    most = returns.q_target(zero, one, target)
    double = returns.double_q_target(zero, one, target, online)
    assert (double <= most).all()
    assert float(most.mean()) == pytest.approx(1.0294, abs=0.05)  # E max of four standard normals
    assert abs(float(double.mean())) < 0.05


@pytest.mark.parametrize(("error", "expected"), [(0.0, 0.0), (0.5, 0.125), (1.0, 0.5), (-3.0, 2.5)])
def test_huber(error: float, expected: float) -> None:
    assert float(returns.huber(T([error + 2.0]), T([2.0]))) == pytest.approx(expected)


def test_gradients_of_the_losses() -> None:
    """Huber's is clipped to 1, the squared one's is twice the error."""
    for loss, expected in ((returns.huber, [0.5, 1.0, -1.0]), (returns.squared, [1.0, 6.0, -8.0])):
        value = T([0.5, 3.0, -4.0], requires_grad=True)
        loss(value, torch.zeros(3)).sum().backward()
        assert value.grad is not None
        assert value.grad.tolist() == expected


def naive_double(reward: Any, discount: Any, next_q: Any, online: Any) -> list[float]:
    """Element by element."""
    return [
        r + d * q[max(range(len(o)), key=lambda a: o[a])]
        for r, d, q, o in zip(reward, discount, next_q, online, strict=True)
    ]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**31))
def test_rank_agnostic(seeds: int, batch: int, actions: int, entropy: int) -> None:
    """(S, B) gives row by row what (B,) gives, bit for bit; double Q as computed by hand."""
    rng = np.random.default_rng(entropy)

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    reward, value = draw(seeds, batch), draw(seeds, batch)
    terminated = (draw(seeds, batch) > 0).float()
    next_q, online = draw(seeds, batch, actions), draw(seeds, batch, actions)
    action = torch.from_numpy(rng.integers(actions, size=(seeds, batch)))
    discount = returns.discount_of(0.9, terminated)
    calls: list[tuple[Any, tuple[torch.Tensor, ...]]] = [
        (returns.take, (next_q, action)),
        (lambda t: returns.discount_of(0.9, t), (terminated,)),
        (returns.q_target, (reward, discount, next_q)),
        (returns.double_q_target, (reward, discount, next_q, online)),
        (returns.huber, (value, reward)),
        (returns.squared, (value, reward)),
    ]
    for function, arguments in calls:
        stacked = function(*arguments)
        assert stacked.shape == (seeds, batch)
        for s in range(seeds):
            alone = function(*(argument[s] for argument in arguments))
            assert torch.equal(stacked[s], alone)
    double = returns.double_q_target(reward, discount, next_q, online)
    for s in range(seeds):
        by_hand = naive_double(*(x[s].tolist() for x in (reward, discount, next_q, online)))
        np.testing.assert_allclose(double[s], by_hand, rtol=1e-5, atol=1e-6)
