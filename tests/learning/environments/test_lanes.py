"""Lanes against a naive loop over single environments, and the ends of episodes."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from probes import Forever, Noise, Pixels, Poison, Rooms

from rlbench.agents import DQN
from rlbench.errors import UserError
from rlbench.learning.environments.lanes import EnvLanes, SeedFailure
from rlbench.learning.rng import lane_seed
from rlbench.learning.training.schedule import TrainingSchedule
from rlbench.learning.training.trainer import Trainer
from rlbench.rows import Heartbeat, SeedEnded

SEEDS = (3, 8)


class Naive:
    """One environment and what happened in it, written down step by step."""

    def __init__(self, make: Any, reset_seed: int) -> None:
        self.env = make()
        self.obs, _ = self.env.reset(seed=reset_seed)
        self.rewards: list[float] = []

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any, tuple[float, int] | None]:
        """(obs, reward, terminated, truncated, true next_obs, (return, length) of an ended one)"""
        before = self.obs
        self.obs, reward, terminated, truncated, _ = self.env.step(action)
        successor, ended = self.obs, None
        self.rewards.append(float(reward))
        if terminated or truncated:
            ended = (sum(self.rewards), len(self.rewards))
            self.rewards = []
            self.obs, _ = self.env.reset()
        return before, reward, terminated, truncated, successor, ended


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize(
    "make",
    [Noise, Rooms, Pixels, Forever, partial(gymnasium.make, "CartPole-v1", max_episode_steps=25)],
    ids=["noise", "integers", "images", "clock", "wrapped"],
)
def test_lanes_are_single_environments(make: Any, n_envs: int) -> None:
    """Every field of 150 steps, and every ended episode, as one environment at a time has them."""
    lanes = EnvLanes(make, SEEDS, n_envs)
    single = [Naive(make, lane_seed(s, n)) for s in SEEDS for n in range(n_envs)]
    rng, actions = np.random.default_rng(0), int(lanes.envs[0].action_space.n)  # type: ignore[attr-defined]
    obs = lanes.reset()
    kinds = set()
    for _ in range(150):
        np.testing.assert_array_equal(obs.reshape(len(single), -1), stored(lanes, single))
        action = rng.integers(actions, size=(2, n_envs))
        step = lanes.step(action)
        expected = [naive.step(int(a)) for naive, a in zip(single, action.ravel(), strict=True)]
        for name, values in zip(
            ("obs", "reward", "terminated", "truncated", "next_obs"), zip(*expected, strict=True)
        ):  # fmt: skip
            found = getattr(step, name)
            assert found.shape[:2] == (2, n_envs)
            truth: list[Any] = list(values)
            if name.endswith("obs"):
                truth = [np.ravel(lanes.spec.array(value)) for value in values]
            np.testing.assert_array_equal(
                found.reshape(len(single), -1),
                np.asarray(truth, found.dtype).reshape(len(single), -1),
            )
        ends = [(i // n_envs, *e[-1]) for i, e in enumerate(expected) if e[-1] is not None]
        assert [tuple(end) for end in lanes.finished] == ends
        kinds |= {e[2:4] for e in expected}
        obs = lanes.obs
    assert kinds - {(False, False)}, "no episode ended: nothing was shown"
    lanes.close()


def stored(lanes: EnvLanes, single: list[Naive]) -> np.ndarray:
    return np.array([np.ravel(lanes.spec.array(naive.obs)) for naive in single])


def test_truncation_is_not_termination() -> None:
    """A clock cuts: truncated, not terminated, and with a lie the other way round."""
    for lie in (False, True):
        lanes = EnvLanes(partial(Forever, limit=3, lie=lie), SEEDS)
        lanes.reset()
        steps = [lanes.step(np.zeros((2, 1), int)) for _ in range(6)]
        ends = np.array([(s.terminated[0, 0], s.truncated[0, 0]) for s in steps])
        np.testing.assert_array_equal(ends[:, 0 if lie else 1], [0, 0, 1, 0, 0, 1])
        assert not ends[:, 1 if lie else 0].any()


def test_next_obs_of_an_end_is_the_last_of_the_old_episode() -> None:
    """Rooms: leaving the last room (3, counted from 0), the successor is that, not the first."""
    lanes = EnvLanes(Rooms, (0,))
    lanes.reset()
    seen = [int(lanes.step(np.ones((1, 1), int)).next_obs[0, 0, 0]) for _ in range(4)]
    assert seen == [1, 2, 3, 3]
    assert lanes.obs[0, 0, 0] == 0
    assert lanes.finished == [(0, 1.0, 4)]


def test_actions_start_where_the_space_does() -> None:
    """Discrete(3, start=5): 0, 1, 2 arrive as 5, 6, 7 (Noise asserts it); rewards as expected."""
    lanes, plain = (
        EnvLanes(partial(Noise, offset=5), SEEDS),
        Naive(partial(Noise, offset=5), lane_seed(3, 0)),
    )
    lanes.reset()
    for action in (0, 1, 2, 2, 1):
        step = lanes.step(np.full((2, 1), action))
        assert step.action[0, 0] == action
        assert step.reward[0, 0] == np.float32(plain.step(action + 5)[1])


def test_continuous_actions_arrive_whole() -> None:
    lanes = EnvLanes(partial(gymnasium.make, "Pendulum-v1"), SEEDS, 2)
    single = [
        Naive(partial(gymnasium.make, "Pendulum-v1"), lane_seed(s, n))
        for s in SEEDS
        for n in (0, 1)
    ]
    lanes.reset()
    for i in range(20):
        action = np.linspace(-2, 2, 4, dtype=np.float32).reshape(2, 2, 1) * np.sin(i)
        step = lanes.step(action)
        expected = [n.step(a) for n, a in zip(single, action.reshape(4, 1), strict=True)]
        rewards = np.array([e[1] for e in expected], np.float32)
        np.testing.assert_array_equal(step.reward.ravel(), rewards)


def test_wrappers_are_respected() -> None:
    """A wrapper that doubles rewards and a clock of 7 steps around CartPole."""

    def make() -> Any:
        env = gymnasium.make("CartPole-v1", max_episode_steps=7)
        return gymnasium.wrappers.TransformReward(env, lambda r: 2 * float(r))

    lanes = EnvLanes(make, SEEDS)
    lanes.reset()
    action = np.zeros((2, 1), int)
    for i in range(7):
        step = lanes.step(action)
        action = 1 - action
        assert (step.reward == 2).all()
        assert step.truncated.all() == (i == 6)
    assert [end[1:] for end in lanes.finished] == [(14.0, 7)] * 2


def test_every_lane_has_its_own_reset_seed() -> None:
    lanes = EnvLanes(Noise, range(4), 3)
    first = lanes.reset().reshape(12, -1)
    assert len({row.tobytes() for row in first}) == 12
    again = EnvLanes(Noise, (2,), 3).reset().reshape(3, -1)
    np.testing.assert_array_equal(first[6:9], again)


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("how", ["raise", "nan-reward", "nan-obs", "inf-obs", "inf-reward"])
def test_a_broken_lane_breaks_its_seed_only(how: str, n_envs: int) -> None:
    """The other seeds' rows of the step hold, and after `keep` they go on as if alone."""
    make = partial(Poison, victims=[lane_seed(8, 0)], how=how, after=5)
    lanes, alone = EnvLanes(make, (3, 8, 4), n_envs), EnvLanes(make, (3, 4), n_envs)
    lanes.reset()
    alone.reset()
    action = np.ones((3, n_envs), int)
    for _ in range(4):
        lanes.step(action)
        alone.step(action[:2])
    with pytest.raises(SeedFailure) as error:
        lanes.step(action)
    ((row, (status, reason)),) = error.value.broken.items()
    assert (row, status) == (1, "failed" if how == "raise" else "diverged")
    assert ("poisoned" if how == "raise" else "NaN or infinite") in reason
    expected = alone.step(action[:2])
    assert error.value.step is not None
    for found, value in zip(error.value.step.rows([0, 2])[:6], expected[:6], strict=True):
        np.testing.assert_array_equal(found, value)
    lanes.keep_seeds([0, 2])
    assert lanes.seeds == (3, 4)
    for _ in range(60):
        one, other = lanes.step(action[:2]), alone.step(action[:2])
        for after, value in zip(one[:6], other[:6], strict=True):
            np.testing.assert_array_equal(after, value)
        assert lanes.finished == alone.finished


@pytest.mark.parametrize("n_envs", [1, 2])
def test_state_is_everything(n_envs: int) -> None:
    """Restored into other lanes they go on alike, open episodes included."""
    lanes, other = (EnvLanes(Noise, SEEDS, n_envs) for _ in range(2))
    lanes.reset()
    action = np.ones((2, n_envs), int)
    for _ in range(37):
        lanes.step(action)
    assert other.restore(lanes.state())
    for _ in range(80):
        one, two = lanes.step(action), other.step(action)
        for found, value in zip(one, two, strict=True):
            np.testing.assert_array_equal(found, value)
        assert lanes.finished == other.finished


class Liar(Noise):
    """Claims five numbers and returns four."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(-np.inf, np.inf, (5,), np.float32)


def test_a_space_that_lies_is_told() -> None:
    with pytest.raises(UserError, match=r"\(4,\).*\(5,\)"):
        EnvLanes(Liar, SEEDS).reset()


class Stillborn(Noise):
    """Cannot be reset with the victim's seed."""

    victim = lane_seed(1, 0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if seed == self.victim:
            raise RuntimeError("stillborn")
        return super().reset(seed=seed)


def test_a_seed_that_cannot_be_reset_leaves_the_others_running_and_resumable() -> None:
    """It is cut at once, and its lane is not reset again when the others go on."""

    def trainer() -> Trainer:
        agent = DQN(Stillborn, seeds=3, net_arch=8, learning_starts=50, device="cpu")
        agent.set_horizon(400)
        return Trainer(agent, TrainingSchedule(400, 0, final_episodes=0))

    first, state = trainer(), None
    ended = {}
    for row in first.rows():
        if isinstance(row, Heartbeat) and row.step >= 200 and state is None:
            state = copy.deepcopy(first.state())
        if isinstance(row, SeedEnded):
            ended[row.seed] = row.status
    assert ended == {0: "done", 1: "failed", 2: "done"}
    second = trainer()
    assert state is not None
    assert second.restore(state)
    rows = [row for row in second.rows() if isinstance(row, SeedEnded)]
    assert [(row.seed, row.status) for row in rows] == [(0, "done"), (2, "done")]
    assert torch.equal(first.agent.online.data, second.agent.online.data)  # type: ignore[attr-defined]
