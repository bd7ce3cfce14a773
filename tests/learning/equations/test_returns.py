"""The equations: closed forms, and the same text for one seed and for a stack of them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.learning.equations import indexing, losses, returns

T = torch.tensor


def test_take() -> None:
    values = T([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert indexing.take(values, T([2, 0])).tolist() == [3.0, 4.0]


def test_discount_is_zero_at_the_end_only() -> None:
    assert returns.discount_of(0.5, T([0.0, 1.0, 0.0])).tolist() == [0.5, 0.0, 0.5]


def greedy_value(next_q: torch.Tensor, online: torch.Tensor | None = None) -> torch.Tensor:
    return indexing.take(next_q, returns.greedy_action(next_q, online))


def test_greedy_value() -> None:
    """max(2, 4); the online network prefers action 0, which the target network gives 2."""
    next_q = T([[2.0, 4.0]])
    assert greedy_value(next_q).tolist() == [4.0]
    assert greedy_value(next_q, T([[9.0, 1.0]])).tolist() == [2.0]
    assert greedy_value(next_q, T([[1.0, 9.0]])).tolist() == [4.0]


def test_outcomes_of_an_action() -> None:
    """(B, A, Z) by hand."""
    numbers = torch.arange(12.0).view(2, 3, 2)
    assert indexing.take_outputs(numbers, T([2, 0])).tolist() == [[4.0, 5.0], [6.0, 7.0]]


def test_the_last_step_of_an_episode() -> None:
    """The first flag says nothing: a sample may begin with an episode."""
    first = T([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    assert returns.last_step(first).tolist() == [2, 0, 1, 0]
    assert returns.last_step(first[:, :1]).tolist() == [0, 0, 0, 0]


def test_double_q_never_exceeds_max_q() -> None:
    """Overestimation: over noise alone the mean of max Q is above 0, that of double Q is not."""
    rng = np.random.default_rng(0)
    online, target = (torch.from_numpy(rng.standard_normal((5000, 4))) for _ in range(2))
    most = greedy_value(target)
    double = greedy_value(target, online)
    assert (double <= most).all()
    assert float(most.mean()) == pytest.approx(1.0294, abs=0.05)  # E max of four standard normals
    assert abs(float(double.mean())) < 0.05


@pytest.mark.parametrize(("error", "expected"), [(0.0, 0.0), (0.5, 0.125), (1.0, 0.5), (-3.0, 2.5)])
def test_huber(error: float, expected: float) -> None:
    assert float(losses.huber(T([error + 2.0]), T([2.0]))) == pytest.approx(expected)


def test_gradients_of_the_losses() -> None:
    """Huber's is clipped to 1, the squared one's is twice the error."""
    for loss, expected in ((losses.huber, [0.5, 1.0, -1.0]), (losses.squared, [1.0, 6.0, -8.0])):
        value = T([0.5, 3.0, -4.0], requires_grad=True)
        loss(value, torch.zeros(3)).sum().backward()
        assert value.grad is not None
        assert value.grad.tolist() == expected


def test_bandit_cross_entropy_is_the_likelihood_of_an_answer() -> None:
    """-log p of right answers, -log(1 - p) of wrong ones; its gradient is finite where p is 1."""
    logits = T([[0.3, -1.0, 2.0], [0.0, 40.0, -40.0]], requires_grad=True)
    log_prob = logits.log_softmax(-1)
    p = log_prob.exp().tolist()
    for action, reward in itertools.product(range(3), (1.0, -1.0, 0.0)):
        found = float(losses.bandit_cross_entropy(log_prob.detach()[0, action], T(reward)))
        chance = p[0][action] if reward > 0 else 1 - p[0][action]
        assert found == pytest.approx(-math.log(chance), rel=1e-5)
    losses.bandit_cross_entropy(log_prob[:, 1], T([1.0, -1.0])).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    wanted = [p[0][0], p[0][1] - 1, p[0][2]]  # of a right answer: that of a full label
    assert logits.grad[0].tolist() == pytest.approx(wanted, rel=1e-5)


def naive_double(next_q: Any, online: Any) -> list[float]:
    """Element by element."""
    return [q[max(range(len(o)), key=lambda a: o[a])] for q, o in zip(next_q, online, strict=True)]


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
    calls: list[tuple[Any, tuple[torch.Tensor, ...]]] = [
        (indexing.take, (next_q, action)),
        (lambda t: returns.discount_of(0.9, t), (terminated,)),
        (greedy_value, (next_q,)),
        (greedy_value, (next_q, online)),
        (losses.huber, (value, reward)),
        (losses.squared, (value, reward)),
    ]
    for function, arguments in calls:
        stacked = function(*arguments)
        assert stacked.shape == (seeds, batch)
        for s in range(seeds):
            alone = function(*(argument[s] for argument in arguments))
            assert torch.equal(stacked[s], alone)
    double = greedy_value(next_q, online)
    for s in range(seeds):
        assert double[s].tolist() == naive_double(next_q[s].tolist(), online[s].tolist())


Episodes = list[tuple[float, bool, bool]]  # reward, terminated, truncated of successive steps


def naive_target(steps: Episodes, values: list[float], t: int, n: int, gamma: float) -> float:
    """The n-step target of step t, walked through step by step."""
    total, weight = 0.0, 1.0
    for k in range(n):
        reward, terminated, truncated = steps[t + k]
        total += weight * reward
        weight *= gamma
        if terminated:
            return total
        if truncated or k == n - 1 or t + k == len(steps) - 1:
            return total + weight * values[t + k]
    raise AssertionError


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.tuples(st.floats(-2, 2, width=32), st.booleans(), st.booleans()),
        min_size=1, max_size=9,
    ),
    st.integers(1, 9),
    st.integers(0, 2**31),
)  # fmt: skip
def test_n_steps_are_as_by_hand(steps: Episodes, n: int, entropy: int) -> None:
    """Borders of episodes, terminated and truncated, wherever they lie."""
    values = np.random.default_rng(entropy).standard_normal(len(steps)).astype(np.float32)
    reward, terminated, truncated = (T([float(x) for x in column])[None] for column in zip(*steps))
    ended = ((terminated + truncated) > 0).float()
    first = torch.cat([torch.zeros(1, 1), ended[:, :-1]], -1)
    discount = returns.discount_of(0.9, terminated)
    value = torch.from_numpy(values)[None]
    many = returns.n_step_targets(reward, discount, value, first, n)[0]
    for t in range(len(steps)):
        expected = naive_target(steps, values.tolist(), t, n, 0.9)
        assert float(many[t]) == pytest.approx(expected, abs=1e-5)
    whole = min(n, len(steps))
    total, after, last = returns.n_step(*(x[:, :whole] for x in (reward, discount, first)))
    one = total + after * indexing.take(value, last)
    assert float(one[0]) == pytest.approx(
        naive_target(steps, values.tolist(), 0, whole, 0.9), abs=1e-5
    )


def test_n_steps_over_a_border_would_be_caught() -> None:
    """Negative control: without the mark of a new episode its rewards would count."""
    reward, discount, value = T([1.0, 10.0]), T([0.5, 0.5]), T([4.0, 0.0])
    joined = returns.n_step_targets(reward, discount, value, T([1.0, 0.0]), 2)
    apart = returns.n_step_targets(reward, discount, value, T([1.0, 1.0]), 2)
    assert joined.tolist() == [6.0, 10.0]
    assert apart.tolist() == [3.0, 10.0]
