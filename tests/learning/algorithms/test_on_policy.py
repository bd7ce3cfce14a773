"""Advantages, losses and first updates of actor-critics, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lockstep import make, train
from worlds import World

from rlbench.agents import A2C, PPO
from rlbench.errors import UserError
from rlbench.learning.equations import losses, returns

T = torch.tensor


def naive_gae(
    reward: Any, value: Any, after: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> np.ndarray:
    """Forwards, as the sum of discounted errors up to the end of the episode (eq. 16)."""
    steps, result = len(reward), np.zeros(len(reward))
    for t in range(steps):
        weight = 1.0
        for k in range(t, steps):
            future = 0.0 if terminated[k] else after[k]
            result[t] += weight * (reward[k] + gamma * future - value[k])
            weight *= gamma * lam
            if terminated[k] or truncated[k]:
                break
    return result


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 12), st.integers(0, 2**31), st.floats(0.0, 1.0), st.floats(0.0, 1.0),
    st.floats(0.0, 0.5),
)  # fmt: skip
def test_gae(steps: int, entropy: int, gamma: float, lam: float, often: float) -> None:
    """Against the naive sum; (S, N, T) gives row by row what (T,) gives, bit for bit."""
    rng = np.random.default_rng(entropy)
    reward, value, after = rng.standard_normal((3, 2, 3, steps)).astype(np.float32)
    terminated = rng.random((2, 3, steps)) < often
    truncated = (rng.random((2, 3, steps)) < often) & ~terminated
    following = np.where(terminated, np.float32(0.0), after)
    decay = (gamma * lam * (1.0 - (terminated | truncated))).astype(np.float32)
    given = [torch.from_numpy(x) for x in (reward, value, following)]
    found = returns.gae(given[0], given[1], given[2], gamma, torch.from_numpy(decay))
    for key in np.ndindex(2, 3):
        r, v, f = (x[key] for x in given)
        alone = returns.gae(r, v, f, gamma, torch.from_numpy(decay)[key])
        assert torch.equal(found[key], alone)
        naive = naive_gae(
            reward[key], value[key], after[key], terminated[key], truncated[key], gamma, lam
        )
        np.testing.assert_allclose(alone, naive, rtol=1e-4, atol=1e-4)


def test_ends_matter() -> None:
    """Negative control, closed form: the same step terminated, truncated, and going on."""
    reward, value = T([1.0, 1.0]), T([0.0, 0.0])
    for following, decay, expected in (
        ([0.0, 4.0], [0.0, 0.0], [1.0, 3.0]),  # terminated after the first
        ([2.0, 4.0], [0.0, 0.0], [2.0, 3.0]),  # truncated: its own successor's value counts
        ([2.0, 4.0], [0.5, 0.5], [3.5, 3.0]),  # going on, with lambda = 1
    ):
        assert returns.gae(reward, value, T(following), 0.5, T(decay)).tolist() == expected


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        (1.1, 2.0, -2.2, -2.0),
        (1.5, 2.0, -2.4, 0.0),  # no more to be had
        (0.5, 2.0, -1.0, -2.0),  # a mistake is mended in full
        (0.5, -2.0, 1.6, 0.0),
        (1.5, -2.0, 3.0, 2.0),
    ],
)
def test_clipped_surrogate(ratio: float, advantage: float, expected: float, slope: float) -> None:
    x = T([ratio], requires_grad=True)
    loss = losses.clipped_surrogate(x, T([advantage]), 0.2)
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(expected)
    assert x.grad is not None
    assert float(x.grad) == slope


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [(1.1, 2.0, 0.81), (1.5, 2.0, 0.64), (1.5, 1.0, 0.25), (0.2, 1.0, 0.64), (0.2, 0.0, 0.64)],
)
def test_clipped_value(value: float, target: float, expected: float) -> None:
    """From an old value of 1, within 0.2: the larger of both errors."""
    found = losses.clipped_value(T([value]), T([1.0]), T([target]), 0.2)
    assert float(found) == pytest.approx(expected)


def test_standardised() -> None:
    x = torch.arange(12.0).reshape(2, 6) * T([[1.0], [50.0]])
    y = losses.standardised(x)
    torch.testing.assert_close(y[0], y[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(y.mean(-1), torch.zeros(2), rtol=0, atol=1e-6)
    torch.testing.assert_close(y.std(-1), torch.ones(2))
    assert losses.standardised(T([[3.0]])).tolist() == [[3.0]]


def test_policy_gradient() -> None:
    assert losses.policy_gradient(T([-0.5, -2.0]), T([2.0, -1.0])).tolist() == [1.0, -2.0]


SAME: dict[str, Any] = {"n_steps": 8, "n_envs": 2, "gae_lambda": 0.9, "learning_rate": 1e-2,
                        "optimizer": "sgd", "max_grad_norm": None, "ent_coef": 0.01,
                        "normalize_advantage": False}  # fmt: skip


@pytest.mark.parametrize("action", ["discrete", "multi", "box6"])
@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
def test_first_update_of_ppo_is_a2cs(action: str, encoder: str) -> None:
    """One epoch of one minibatch: the ratio is 1, so gradients agree; two epochs do not."""
    env, given = lambda: World("vector", action), {**SAME, "encoder": encoder, "hidden_size": 5}
    weights = {}
    ways: list[tuple[str, Any, dict[str, Any]]] = [
        ("a2c", A2C, {}),
        ("ppo", PPO, {"n_epochs": 1, "batch_size": 16}),
        ("more", PPO, {"n_epochs": 2, "batch_size": 16}),
    ]
    for name, kind, others in ways:
        agent, _ = train(env, 2, 16, kind=kind, **given, **others)
        weights[name] = agent.learner.stack.data
        if name == "ppo":
            assert agent.metrics["train/approx_kl"].abs().max() < 1e-5
            assert (agent.metrics["train/clip_fraction"] == 0).all()
    start = make(A2C, env, 2, **given).learner.stack.data
    torch.testing.assert_close(weights["a2c"], weights["ppo"], rtol=1e-4, atol=1e-6)
    assert (weights["a2c"] - start).abs().max() > 1e-3
    assert (weights["a2c"] - weights["more"]).abs().max() > 1e-4


def test_the_loss_by_hand() -> None:
    """One rollout of A2C: returns from rewards, the logs of chosen probabilities, the values."""
    agent = make(A2C, World, 2, **{**SAME, "gae_lambda": 1.0})
    agent.set_horizon(1000)
    lanes, seen = agent.lanes(), []
    obs = lanes.reset()
    start: Any = agent.policy()
    for _ in range(8):
        step = lanes.step(agent.act(obs))
        seen.append(step)
        agent.observe(step)
        obs = lanes.obs
    lanes.close()

    def value(x: np.ndarray) -> Any:
        with torch.no_grad():
            return start.network(torch.from_numpy(x))[1].numpy()

    expected = np.zeros((3, 2))  # policy, value, entropy
    for s, n in np.ndindex(2, 2):
        future = value(seen[-1].next_obs)[s, n]
        for step in seen[::-1]:
            if step.terminated[s, n]:
                future = 0.0
            elif step.truncated[s, n]:
                future = value(step.next_obs)[s, n]
            future = step.reward[s, n] + 0.99 * future
            with torch.no_grad():
                logits = start.network(torch.from_numpy(step.obs))[0]
            logs = torch.log_softmax(logits, -1)[s, n].numpy()
            advantage = future - value(step.obs)[s, n]
            expected[0, s] -= advantage * logs[step.action[s, n]] / 16
            expected[1, s] += advantage**2 / 16
            expected[2, s] += (np.exp(logs) * logs).sum() / 16
    found = [
        agent.metrics[f"train/{name}_loss"] for name in ("policy_gradient", "value", "entropy")
    ]
    np.testing.assert_allclose(torch.stack(found), expected, rtol=1e-4)
    total = expected[0] + 0.5 * expected[1] + 0.01 * expected[2]
    np.testing.assert_allclose(agent.metrics["train/loss"], total, rtol=1e-4)


def test_minibatches_use_every_step_once() -> None:
    """Each epoch is a permutation, whose last minibatch may be smaller; no seed takes another's."""
    agent = make(PPO, World, 2, n_envs=3, n_steps=7, batch_size=8, n_epochs=3, gae_lambda=1.0)
    agent.set_horizon(1000)
    sizes, names = [], []
    objective = agent.objective

    def spy(**items: torch.Tensor) -> Any:
        sizes.append(items["value"].shape[1])
        names.append(items["seen"][..., 0].clone())
        return objective(**items)

    agent.objective = spy
    lanes = agent.lanes()
    obs = lanes.reset()
    for _ in range(7):
        agent.observe(lanes.step(agent.act(obs)))
        obs = lanes.obs
    lanes.close()
    assert sizes == [8, 8, 5] * 3
    kept = agent.rollout.arrays["seen"][..., 0].reshape(2, -1)
    epochs = [torch.cat(names[i : i + 3], 1).numpy() for i in (0, 3, 6)]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch, 1), np.sort(kept, 1))
    assert (epochs[0] != epochs[1]).any()


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (A2C, {"encoder": "lstm", "sequence_length": 3}, "sequence_length=3 does not divide"),
        (PPO, {"encoder": "gru", "batch_size": 7}, "smaller than the sequence length"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(kind: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make(kind, World, **given)


def test_advantages_are_recomputed_before_each_pass() -> None:
    """As one pass, and another one over estimates by the network after it, made step by step."""
    given = {**SAME, "normalize_advantage": True, "batch_size": 5, "clip_range_vf": 0.2}
    agents = [
        make(PPO, World, 2, **given, n_epochs=n, recompute_advantages=again)
        for n, again in ((2, True), (1, False), (2, False))
    ]
    once = agents[1]
    first: dict[str, Any] = {}

    def improve(items: dict[str, Any]) -> None:
        first.update(items)
        PPO.improve(once, items)

    once.improve = improve
    for agent in agents:
        agent.set_horizon(1000)
        lanes, seen = agent.lanes(), []
        obs = lanes.reset()
        for _ in range(8):
            step = lanes.step(agent.act(obs))
            seen.append(step)
            agent.observe(step)
            obs = lanes.obs
        lanes.close()

    fields = once.rollout.tensors(once.device)
    with torch.no_grad():
        values = [once.net.values(step.obs, np.zeros((2, 2, 0)), once.device) for step in seen]
    value, cut = np.stack([np.asarray(v) for v in values], -1), fields["cut_value"].numpy()
    ended, advantage = fields["ended"].numpy() > 0, np.zeros((2, 2, 8), np.float32)
    for s, n in np.ndindex(2, 2):
        later = 0.0
        for t in reversed(range(8)):
            after = cut[s, n, t] if ended[s, n, t] or t == 7 else value[s, n, t + 1]
            error = seen[t].reward[s, n] + 0.99 * after - value[s, n, t]
            later = error + 0.99 * 0.9 * (0.0 if ended[s, n, t] else later)
            advantage[s, n, t] = later
    items = {"value": torch.from_numpy(value), "advantage": torch.from_numpy(advantage)}
    PPO.improve(once, first | {name: once.rollout.items(item) for name, item in items.items()})
    found = [agent.learner.stack.data for agent in agents]
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)
    assert (found[0] - found[2]).abs().max() > 1e-4
