"""`predict` of policies that remember: (action, state) in and out, as Stable-Baselines3 has it."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from lockstep import differences, make
from worlds import World, draw

from rlbench.agents import A2C, DQN, PPO
from rlbench.errors import UserError

CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "ppo lstm": (PPO, partial(World, "vector", "box6"), {"encoder": "lstm",
                 "normalize_obs": True}),
    "a2c gru": (A2C, partial(World, "mixed", "multi"), {"encoder": "auto+gru", "n_envs": 2}),
    "a2c own": (A2C, partial(World, "vector", "offset"), {"share_encoder": False,
                "encoder": "rnn"}),
    "ppo frames": (PPO, partial(World, "number"), {"encoder": "mlp", "frame_stack": 3}),
    "dqn lstm": (DQN, partial(World, "vector", "offset"), {"encoder": "lstm", "frame_stack": 2,
                                                           "sequence_length": 4, "burn_in": 0}),
    "dqn frames": (DQN, partial(World, "image"), {"frame_stack": 2}),
}  # fmt: skip
STATELESS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "ppo": (PPO, partial(World, "vector", "box"), {}),
    "dqn": (DQN, World, {}),
}


@cache
def trained(case: str) -> Any:
    kind, env, given = {**CASES, **STATELESS}[case]
    return make(kind, env, hidden_size=5, **given).learn(60)


def observations(agent: Any, lanes: int, steps: int, seed: int = 0) -> list[list[Any]]:
    """T x B observations."""
    rng = np.random.default_rng(seed)
    return [[draw(agent.observation_space, rng) for _ in range(lanes)] for _ in range(steps)]


def batch(obs: list[Any]) -> Any:
    if isinstance(obs[0], dict):
        return {key: np.stack([o[key] for o in obs]) for key in obs[0]}
    return np.stack(obs)


@pytest.mark.parametrize("case", CASES)
def test_step_by_step_it_is_acting(case: str) -> None:
    """Without a state an episode begins; with `episode_start` one does in that lane."""
    agent = trained(case)
    steps = observations(agent, 3, 6)
    policy, state = agent.policy(), None
    starts = np.zeros((6, 3), bool)
    starts[0], starts[3, 1], starts[4, 0] = True, True, True
    for obs, start in zip(steps, starts, strict=True):
        stored = np.stack([np.asarray(agent.spec.array(o), agent.spec.dtype) for o in obs])
        stored = stored.reshape(1, 3, *agent.spec.shape)
        expected = policy.act(stored, start[None])[0] + policy.action_start
        action, state = agent.predict(batch(obs), state, start, deterministic=True)
        np.testing.assert_array_equal(action, expected)
        assert all(len(part) == 3 for part in state)
        assert differences(tuple(part[0] for part in policy.carry), state) == []


@pytest.mark.parametrize("case", CASES)
def test_a_beginning_forgets(case: str) -> None:
    """State after a beginning is that of a new start; without one it is not."""
    agent = trained(case)
    (one,), (two,) = observations(agent, 1, 2)
    _, fresh = agent.predict(two)
    _, state = agent.predict(one)
    starts: list[Any] = [True, np.array([True]), [1]]
    for start in starts:
        assert differences(agent.predict(two, state, start)[1], fresh) == []
    starts = [None, False, np.array([False])]
    for start in starts:
        assert differences(agent.predict(two, state, start)[1], fresh)
    for start in starts:  # without a state all begin, whatever is said
        assert differences(agent.predict(two, None, start)[1], fresh) == []


@pytest.mark.parametrize("case", CASES)
def test_lanes_of_a_batch_are_apart(case: str) -> None:
    """A batch is its observations one by one, within rounding; a state is never changed."""
    agent = trained(case)
    steps = observations(agent, 3, 4)
    alone: list[Any] = [None] * 3
    together: Any = None
    for obs in steps:
        before: Any = None if together is None else tuple(part.copy() for part in together)
        kept = together
        action, together = agent.predict(batch(obs), together, deterministic=True)
        assert differences(before, kept) == []
        for i, each in enumerate(obs):
            one, alone[i] = agent.predict(each, alone[i], deterministic=True)
            np.testing.assert_allclose(one, action[i], atol=1e-5)
            assert np.shape(one) == (agent.action_space.shape or ())
            for mine, its in zip(alone[i], together, strict=True):
                np.testing.assert_allclose(mine[0], its[i], atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_state_of_another_batch_is_refused(case: str) -> None:
    agent = trained(case)
    obs = observations(agent, 3, 1)[0]
    _, state = agent.predict(batch(obs))
    with pytest.raises(UserError, match="state is of 3 observations and there are 2"):
        agent.predict(batch(obs[:2]), state)
    with pytest.raises(UserError, match="state is of 3 observations and there are 1"):
        agent.predict(obs[0], state)


@pytest.mark.parametrize("case", ["ppo lstm", "dqn frames"])
@pytest.mark.parametrize("wrong", [[True, False], np.ones(4, bool)], ids=["list", "array"])
def test_episode_starts_that_do_not_fit_are_refused(case: str, wrong: Any) -> None:
    agent = trained(case)
    obs = observations(agent, 3, 1)[0]
    _, state = agent.predict(batch(obs))
    with pytest.raises(UserError, match="episode_start"):
        agent.predict(batch(obs), state, wrong)


@pytest.mark.parametrize("case", STATELESS)
def test_without_memory_there_is_no_state(case: str) -> None:
    """None comes back, and what is passed makes no difference."""
    agent = trained(case)
    obs = batch(observations(agent, 3, 1)[0])
    action, state = agent.predict(obs, deterministic=True)
    assert state is None
    again, state = agent.predict(obs, None, np.array([True, False, False]), deterministic=True)
    assert state is None
    np.testing.assert_array_equal(action, again)


def test_memory_matters() -> None:
    """Negative control: the same observation after another one gives other numbers."""
    agent = trained("ppo lstm")
    one, two, three = (step[0] for step in observations(agent, 1, 3))
    after = [
        agent.predict(three, agent.predict(first)[1], deterministic=True)[0] for first in (one, two)
    ]
    assert (after[0] != after[1]).any()
