"""Running normalisation against numpy over everything that was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from lockstep import differences, make, state_of, train
from probes import Noise
from worlds import OBS, World, image, vector

from rlbench.agents import A2C, DQN, PPO
from rlbench.errors import UserError
from rlbench.learning.data.normalization import Moments, Normalizer, RewardScaler
from rlbench.learning.environments.lanes import EnvLanes
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.rows import Episode


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=9), st.integers(0, 2**31))
def test_moments_are_numpys(sizes: list[int], entropy: int) -> None:
    """Mean and variance of the whole stream, by seed, whatever the sizes of its pieces."""
    rng, moments = np.random.default_rng(entropy), Moments(2, (3,))
    pieces = [100 + 5 * rng.standard_normal((2, n, 3)) for n in sizes]
    for piece in pieces:
        moments.update(piece)
    whole = np.concatenate(pieces, 1)
    assert moments.count == sum(sizes)
    np.testing.assert_allclose(moments.mean[:, 0], whole.mean(1), rtol=1e-12)
    np.testing.assert_allclose(moments.var[:, 0], whole.var(1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stack", [1, 3])
def test_observations(stack: int) -> None:
    """(x - mean) / std clipped to 10, on arrays and on tensors; a constant number becomes 0."""
    spec, rng = ObsSpec(vector(3), stack), np.random.default_rng(0)
    normalizer = Normalizer(2, spec)
    seen = (rng.standard_normal((2, 500, 3)) * [1.0, 20.0, 0.0] + [0.0, 7.0, 5.0]).astype(
        np.float32
    )
    seen[1] *= 3
    for piece in np.split(seen, 10, 1):
        normalizer.update(piece)
    mean, std = (
        seen.mean(1, keepdims=True),
        np.sqrt(seen.astype(float).var(1, keepdims=True) + 1e-8),
    )
    expected = np.clip((seen - mean) / std, -10, 10)
    found = normalizer.array(seen)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[..., :2], expected[..., :2], atol=1e-4)
    far = seen[:, :1] + [0.0, 1e6, 0.0]
    np.testing.assert_array_equal(normalizer.array(far)[..., 1], 10.0)
    obs = torch.from_numpy(seen[:, : 8 * 3]).reshape(2, 8, 3, 3)
    for tensor, lead in ((obs, 3), (torch.from_numpy(seen), 2)):
        again = normalizer.tensor(tensor, lead).numpy().reshape(2, -1, 3)
        assert again.tobytes() == found[:, : again.shape[1]].tobytes()


def test_images_and_categories_in_a_dictionary_stay() -> None:
    space = OBS["mixed"]
    spec = ObsSpec(space)
    normalizer, rng = Normalizer(1, spec), np.random.default_rng(0)
    seen = (50 * rng.standard_normal((1, 40, *spec.shape))).astype(np.float32)
    normalizer.update(seen)
    found = normalizer.array(seen)
    for part in spec.parts:
        same = (found[..., part.columns] == seen[..., part.columns]).all()
        assert same == (part.image is not None or part.hot)


@pytest.mark.parametrize(
    "space", [image(8, 8, 1), spaces.Discrete(3), spaces.Box(-1.0, 1.0, (3, 9, 9), np.float32)]
)
def test_nothing_to_normalise_is_refused(space: Any) -> None:
    with pytest.raises(UserError, match="normalize_obs is for vectors"):
        Normalizer(1, ObsSpec(space))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(1, 3), st.integers(0, 2**31))
def test_rewards(steps: int, lanes: int, entropy: int) -> None:
    """Over the deviation of discounted returns so far, which begin anew with episodes."""
    rng, scaler = np.random.default_rng(entropy), RewardScaler(2, lanes, 0.9)
    totals, stream = np.zeros((2, lanes)), []
    for _ in range(steps):
        reward, ended = rng.standard_normal((2, lanes)) * 40, rng.random((2, lanes)) < 0.2
        found = scaler(reward, ended)
        totals = 0.9 * totals + reward
        stream.append(totals.copy())
        totals[ended] = 0.0
        std = np.sqrt(np.concatenate(stream, 1).var(1, keepdims=True) + 1e-8)
        np.testing.assert_allclose(found, np.clip(reward / std, -10, 10), rtol=1e-4, atol=1e-6)
        assert found.dtype == np.float32


@pytest.mark.parametrize("kind", [A2C, DQN])
def test_statistics_are_of_all_that_was_seen(kind: Any) -> None:
    """Those of the raw observations that training acted on, each once, by seed."""
    agent = make(kind, Noise, (3, 4), n_envs=2, normalize_obs=True)
    agent.set_horizon(1000)
    lanes, seen = EnvLanes(Noise, agent.seeds, 2), []
    obs = lanes.reset()
    for _ in range(60):
        seen.append(obs)
        agent.observe(lanes.step(agent.act(obs)))
        obs = lanes.obs
    lanes.close()
    whole = np.concatenate(seen, 1).astype(float)
    np.testing.assert_allclose(agent.normalizer.moments.mean[:, 0], whole.mean(1), rtol=1e-6)
    np.testing.assert_allclose(agent.normalizer.moments.var[:, 0], whole.var(1), rtol=1e-6)


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_frozen_in_evaluation(kind: Any) -> None:
    """A policy keeps the statistics it was made with; acting with it, or with the agent, takes in
    nothing; training goes on to move the agent's."""
    agent, _ = train(Noise, 2, 60, kind=kind, normalize_obs=True)
    policy = agent.policy(seed=1)
    before, kept = policy.pipeline.normalizer.mean.copy(), agent.normalizer.mean.copy()
    np.testing.assert_array_equal(before[0], kept[1])
    obs = 100 + np.zeros((50, 4), np.float32)
    action, _ = policy.predict(obs, deterministic=True)
    agent.live_policy().act(np.stack([obs, obs]), np.zeros((2, 50), bool))
    np.testing.assert_array_equal(agent.normalizer.mean, kept)
    agent.learn(60)
    assert (agent.normalizer.mean != kept).any()
    np.testing.assert_array_equal(policy.pipeline.normalizer.mean, before)
    np.testing.assert_array_equal(policy.predict(obs, deterministic=True)[0], action)


def test_rewards_are_reported_raw() -> None:
    """Rows of episodes do not know of the scaling, and learning does."""
    plain, rows = train(World, 2, 60, kind=A2C, learning_rate=1e-30)
    scaled, its_rows = train(World, 2, 60, kind=A2C, learning_rate=1e-30, normalize_reward=True)
    ends, its_ends = (
        [(r.seed, r.step, r.ret) for r in some if isinstance(r, Episode)]
        for some in (rows, its_rows)
    )
    assert ends == its_ends
    assert len(ends) > 5
    found = differences(state_of(plain, 0), state_of(scaled, 0))
    assert "/rollout/arrays/reward" in found
