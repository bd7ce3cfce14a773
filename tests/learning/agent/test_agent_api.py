"""Agents in other people's code: making, training and asking them."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import lockstep
import numpy as np
import pytest
import torch
from gymnasium import spaces
from lockstep import SHORT, differences, train
from probes import Mixed, Noise, Pixels, Rooms

from rlbench.agents import A2C, DQN, PPO, Random, Reinforce
from rlbench.errors import UserError
from rlbench.learning.environments.lanes import Step
from rlbench.rows import Episode, Evaluation, Metric


def make(env: Any = "CartPole-v1", **parameters: Any) -> DQN:
    return DQN(env, device="cpu", **{**SHORT, **parameters})


@pytest.mark.parametrize(
    "env",
    [
        "CartPole-v1",
        "gymnasium.envs.classic_control:CartPole-v1",
        partial(gymnasium.make, "CartPole-v1"),
        gymnasium.make("CartPole-v1"),
    ],
    ids=["id", "module:id", "function", "instance"],
)
def test_forms_of_an_environment(env: Any) -> None:
    """An id, an id in a module, a function and an instance: bit-equal training."""
    one, other = make(env, seeds=2).learn(120), make(seeds=2).learn(120)
    assert differences(one.state(), other.state()) == []


def test_a_class_and_its_name_are_the_same() -> None:
    one, other = make(Noise).learn(80), make("probes:Noise").learn(80)
    assert differences(one.state(), other.state()) == []


def test_an_instance_is_left_alone() -> None:
    """Lanes are copies: the environment of the user does not move."""
    env = Noise()
    obs, _ = env.reset(seed=4)
    make(env, seeds=3, n_envs=2).learn(60)
    np.testing.assert_array_equal(env.obs, obs)


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [(1, (0,)), (3, (0, 1, 2)), ("4-6", (4, 5, 6)), ([9, 2], (9, 2)), (range(2), (0, 1))],
)
def test_seeds(seeds: Any, expected: tuple[int, ...]) -> None:
    assert make(seeds=seeds).seeds == expected


@pytest.mark.parametrize("seeds", [0, [], [1, 1], [-1], "none"])
def test_impossible_seeds(seeds: Any) -> None:
    with pytest.raises(UserError, match="seed"):
        make(seeds=seeds)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"env": None}, "needs an environment"),
        ({"env": "Pendulum-v1"}, "Discrete"),
        ({"env": "CartPole-v9"}, "CartPole"),
        ({"gama": 0.9}, "Did you mean 'gamma'"),
        ({"gamma": 2}, "gamma"),
        ({"gamma": True}, "gamma"),
        ({"n_envs": 0}, "n_envs"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_mistakes_are_told_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        DQN(**{"env": "CartPole-v1", "device": "cpu", **given})
    assert "\n" not in str(error.value)


def test_memory_is_refused_with_the_numbers() -> None:
    """10^12 transitions of CartPole: 2 x 4 floats, reward, end and an 8-byte action each."""
    with pytest.raises(UserError, match=r"48 TB.*free.*buffer_size"):
        make(buffer_size=10**12)
    with pytest.raises(UserError, match="96 TB"):
        make(buffer_size=10**12, seeds=2)


def test_learn_hands_out_rows_and_stops_when_told() -> None:
    rows: list[Any] = []
    agent = make(Noise, seeds=2).learn(200, rows.append, eval_freq=50, eval_episodes=2)
    assert agent.num_timesteps == 200
    assert {type(row) for row in rows} > {Episode, Evaluation, Metric}
    grid = {row.step for row in rows if isinstance(row, Evaluation)}
    assert grid == {0, 50, 100, 150, 200}
    count = 0

    def until(row: Any) -> bool:
        nonlocal count
        count += isinstance(row, Episode)
        return count < 3

    stopped = make(Noise, seeds=2).learn(10_000, until)
    assert count == 3
    assert 0 < stopped.num_timesteps < 10_000


def test_predict_single_batch_and_shapes() -> None:
    """A single observation gives a scalar, a batch a vector; both agree with argmax Q."""
    agent = make(Noise).learn(100)
    obs = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    actions, state = agent.predict(obs, deterministic=True)
    assert state is None
    assert actions.shape == (7,)
    with torch.no_grad():
        best = agent.q(torch.from_numpy(obs)[None]).argmax(-1)[0].numpy()
    np.testing.assert_array_equal(actions, best)
    for o, action in zip(obs, actions, strict=True):
        single = agent.predict(o, deterministic=True)[0]
        assert np.shape(single) == ()
        assert single == action
    assert agent.predict(obs.astype(np.float64), deterministic=True)[0].tolist() == best.tolist()
    with pytest.raises(UserError, match="not fit"):
        agent.predict(np.zeros((2, 5)))


@pytest.mark.parametrize("env", [Rooms, Pixels, Mixed])
def test_predict_other_observations(env: Any) -> None:
    """Integers, images and dictionaries, one at a time and as a batch."""
    agent = make(env).learn(80)
    space = agent.observation_space
    space.seed(0)
    some = [space.sample() for _ in range(5)]
    single = [int(agent.predict(obs, deterministic=True)[0]) for obs in some]
    batch: Any = np.stack(some) if not isinstance(space, spaces.Dict) else {
        key: np.stack([obs[key] for obs in some]) for key in space.spaces
    }  # fmt: skip
    assert agent.predict(batch, deterministic=True)[0].tolist() == single


def test_offset_actions() -> None:
    """Actions of Discrete(3, start=5) are 5, 6 and 7 for whoever asks."""
    agent = make(partial(Noise, offset=5)).learn(100)
    obs = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    assert set(agent.predict(obs)[0].tolist()) <= {5, 6, 7}
    random = Random(partial(Noise, offset=5)).policy()
    assert set(random.predict(obs)[0].tolist()) == {5, 6, 7}


def test_several_seeds_point_to_a_policy() -> None:
    agent = make(seeds=[3, 4])
    with pytest.raises(UserError, match=r"policy\(seed=3\)"):
        agent.predict(np.zeros(4))
    with pytest.raises(UserError, match="no seed 7"):
        agent.policy(seed=7)


def test_a_policy_is_frozen_and_the_agent_is_not() -> None:
    """What `policy()` gave stays as it was; `predict` of the agent follows its training."""
    agent = make(Noise).learn(60)
    obs = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
    policy, before = agent.policy(), agent.predict(obs, deterministic=True)[0]
    agent.online.data.mul_(-1.0)
    np.testing.assert_array_equal(policy.predict(obs, deterministic=True)[0], before)
    assert (agent.predict(obs, deterministic=True)[0] != before).any()


def test_stochastic_predictions_explore_as_training_does() -> None:
    """SB3's default is deterministic=False: then epsilon is that of now, also after training."""
    agent = make(Noise, exploration_initial_eps=0.0, exploration_final_eps=1.0)
    obs = np.zeros((400, 4), np.float32)
    assert len(set(agent.predict(obs)[0].tolist())) == 1  # before any training
    agent.learn(60)
    shares = np.bincount(agent.predict(obs)[0], minlength=3) / 400
    assert shares.min() > 0.2


@pytest.mark.parametrize("kind", [DQN, A2C, PPO, Reinforce])
def test_documented_loop_is_what_learn_does(kind: Any) -> None:
    """`begin`, then `act` and `observe` by hand: the same weights, bit for bit."""
    agent = lockstep.make(kind, "CartPole-v1", 2, n_envs=2)
    agent.set_horizon(200)
    lanes = agent.lanes()
    obs = lanes.reset()
    while agent.num_timesteps < 200:
        action = agent.act(obs)
        assert action.shape == (2, 2)
        step = lanes.step(action)
        assert isinstance(step, Step)
        agent.observe(step)
        obs = lanes.obs
    lanes.close()
    other = lockstep.make(kind, "CartPole-v1", 2, n_envs=2).learn(200)
    assert differences(agent.state(), other.state()) == []


def test_act_without_a_horizon_says_what_to_do() -> None:
    agent = make()
    with pytest.raises(UserError, match="set_horizon"):
        agent.act(np.zeros((1, 1, 4), np.float32))


def test_training_does_not_touch_global_generators() -> None:
    """Nobody else's random numbers move, and nobody else's move ours."""
    np.random.seed(3)  # noqa: NPY002
    before = (np.random.get_state()[1].tolist(), torch.get_rng_state())  # type: ignore[index] # noqa: NPY002
    agent, _ = train(Noise, 2)
    assert np.random.get_state()[1].tolist() == before[0]  # type: ignore[index] # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    np.random.seed(4)  # noqa: NPY002
    other, _ = train(Noise, 2)
    assert differences(agent.state(), other.state()) == []
