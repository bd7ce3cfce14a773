"""Batched twins against Gymnasium's own environments, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.wrappers import PassiveEnvChecker, RecordEpisodeStatistics, TimeLimit
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled import sampled
from twin_cases import KINDS, actions, made, play_singles, play_twin

from rlbench.envs.classic.cartpole import CartPole
from rlbench.envs.classic.twin import wrapped
from rlbench.envs.wrappers import BlankFrames, MaskVelocity
from rlbench.learning.environments.twins import comparison


@pytest.mark.parametrize("name", KINDS)
def test_every_lane_equals_a_single_environment(name: str) -> None:
    lanes, steps, limit = 13, 170, 150
    seeds = list(range(50, 50 + lanes))
    single = play_singles([made(name, limit) for _ in seeds], seeds, steps)
    assert play_twin(KINDS[name](made(name, limit), lanes), seeds, steps) == single
    assert single.terminated + single.truncated >= lanes  # episodes ended and began anew


@pytest.mark.slow
@pytest.mark.parametrize("lanes", sampled([50, 500], [50]))
@pytest.mark.parametrize("name", KINDS)
def test_long_episodes_are_equal(name: str, lanes: int) -> None:
    """A million steps, or a tenth of that in CI, with the registered time limit, at which episodes
    end as well as by themselves."""
    steps = 2001
    seeds = list(range(lanes))
    single = play_singles([made(name) for _ in seeds], seeds, steps)
    assert play_twin(KINDS[name](made(name), lanes), seeds, steps) == single
    assert single.truncated > 0
    if name != "Pendulum-v1":  # which has no end of its own
        assert single.terminated > 0


# Constants that take part in float64, and in float32. Ends are not among them that no state comes
# within a bit of.
CONSTANTS = {
    "Acrobot-v1": ["dt"],
    "CartPole-v1": [
        "gravity", "factors", "total_mass", "length", "polemass_length", "tau", "forces",
    ],
    "MountainCar-v0": ["force", "gravity", "min_position"],
    "MountainCarContinuous-v0": ["power", "min_position"],
    "Pendulum-v1": ["g", "l", "dt", "max_speed", "m", "max_torque"],
}  # fmt: skip
SHORT = ("power", "m", "max_torque")


@pytest.mark.parametrize(
    ("name", "constant"), [(name, each) for name, every in CONSTANTS.items() for each in every]
)
def test_a_constant_changed_in_its_last_bit_is_found(name: str, constant: str) -> None:
    seeds = list(range(10))
    twin: Any = KINDS[name](made(name, 150), len(seeds))
    single = play_singles([made(name, 150) for _ in seeds], seeds, 170)
    assert play_twin(twin, seeds, 170) == single
    value = np.asarray(getattr(twin, constant))
    if value.dtype.kind == "i" or constant in SHORT:
        value = value.astype(np.float32 if constant in SHORT else np.float64)
    changed = np.nextafter(value, value * 2)
    setattr(twin, constant, changed if value.ndim or value.dtype == "f4" else float(changed))
    assert play_twin(twin, seeds, 170) != single


# Ranges of positions and velocities, beyond what episodes visit.
ANYWHERE = {
    "Acrobot-v1": [3.2, 3.2, 13, 29],
    "CartPole-v1": [2.5, 3, 0.22, 3],
    "MountainCar-v0": [1.2, 0.07],
    "MountainCarContinuous-v0": [1.2, 0.07],
    "Pendulum-v1": [50, 8],
}


@pytest.mark.parametrize("name", ANYWHERE)
@pytest.mark.parametrize("changed", [False, True])
def test_a_step_from_anywhere(name: str, changed: bool) -> None:
    """All limits are met. If `changed`, the speed limit of the cars is another by one bit."""
    lanes, generator = 600, np.random.default_rng(0)
    twin: Any = KINDS[name](made(name), lanes)
    obs = twin.reset(range(lanes), range(lanes))
    twin.lengths += 1  # as in the midst of an episode
    dtype = np.float32 if name == "MountainCarContinuous-v0" else np.float64
    starts = generator.uniform(-1, 1, (lanes, twin.numbers)) * np.array(ANYWHERE[name])
    env = made(name).unwrapped
    env.reset(seed=0)
    for lane, start in enumerate(starts):
        env.state = start.astype(dtype)
        twin.read(env, lane)
    action = actions(env.action_space, obs, generator)
    limit = {"MountainCar-v0": "max_speed", "MountainCarContinuous-v0": "max_speed"}.get(name, "")
    if changed and limit:
        setattr(twin, limit, np.nextafter(getattr(twin, limit), dtype(1)))
    seen, reward, terminated, _ = twin.step(action)
    same = True
    for lane, start in enumerate(starts):
        env.state, env.steps_beyond_terminated = start.astype(dtype), None
        obs, each, over, _, _ = env.step(action[lane])
        same &= obs.tobytes() == seen[lane].tobytes()
        same &= twin.state[:, lane].tobytes() == np.asarray(env.state, np.float64).tobytes()
        same &= (float(each), over) == (reward[lane], terminated[lane])
    assert same != (changed and bool(limit))


def test_the_self_check_finds_a_constant_changed_in_its_last_bit() -> None:
    class Off(CartPole):
        def constants(self, env: Any) -> None:
            super().constants(env)
            self.gravity = np.nextafter(self.gravity, 10)

    assert comparison(CartPole)
    assert not comparison(Off)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(sorted(set(KINDS) - {"Acrobot-v1"})),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=40),
    st.integers(1, 30),
)
def test_any_lanes_seeds_and_limits(name: str, seeds: list[int], limit: int) -> None:
    single = play_singles([made(name, limit) for _ in seeds], seeds, 40)
    assert play_twin(KINDS[name](made(name, limit), len(seeds)), seeds, 40) == single
    assert single.truncated >= len(seeds) or single.terminated


def test_limits_and_masks_around_each_other() -> None:
    def wrap(env: Any) -> Any:
        return PassiveEnvChecker(TimeLimit(MaskVelocity(TimeLimit(env, 30)), 20))

    for name in ("CartPole-v1", "Pendulum-v1"):
        seeds = list(range(5))
        single = play_singles([wrap(made(name)) for _ in seeds], seeds, 50)
        twin = KINDS[name](wrap(made(name)), len(seeds))
        assert (twin.limit, wrapped(twin.env)) == (20, True)
        assert play_twin(twin, seeds, 50) == single


def test_wrappers_that_a_twin_does_not_know() -> None:
    class Mine(TimeLimit):
        """May do anything."""

    env = made("CartPole-v1")
    assert wrapped(env)
    assert not wrapped(Mine(env, 100))
    assert not wrapped(BlankFrames(env))
    assert not wrapped(TimeLimit(RecordEpisodeStatistics(env), 9))


@pytest.mark.parametrize("name", ["MountainCarContinuous-v0", "Pendulum-v1"])
def test_actions_of_another_dtype(name: str) -> None:
    """The environment computes with float64 then, and so does its twin."""
    env, twin = made(name), KINDS[name](made(name), 1)
    env.reset(seed=0)
    twin.reset([0], [0])
    for action in np.random.default_rng(0).uniform(-1, 1, (40, 1, 1)):
        obs, reward, *_ = env.step(action[0])
        seen, given, *_ = twin.step(action)
        assert (obs.tobytes(), float(reward)) == (seen.tobytes(), given[0])


@pytest.mark.parametrize("name", KINDS)
def test_a_lane_goes_on_as_a_single_environment(name: str) -> None:
    """After a reset, in the first steps and later, over the borders of episodes, and back."""
    twin, other = (KINDS[name](made(name, 7), 3) for _ in range(2))
    generator = np.random.default_rng(0)
    obs = twin.reset(range(3), [4, 5, 6])
    for _ in range(12):
        env = twin.single(1)
        other.env = env
        other.adopt(1, int(twin.lengths[1]))
        assert env.unwrapped.np_random_seed == 5
        action = actions(env.action_space, obs, generator)
        seen, reward, terminated, truncated, _ = env.step(action[1])
        obs, rewards, ended, cut = twin.step(action)
        again = other.step(action)
        for got in (obs[1], again[0][1]):
            assert got.tobytes() == seen.tobytes()
        assert rewards[1] == again[1][1] == reward
        assert (bool(ended[1]), bool(cut[1])) == (terminated, truncated)
        assert (again[2][1], again[3][1]) == (ended[1], cut[1])
        over = np.flatnonzero(ended | cut).tolist()
        if over:
            obs[over] = twin.reset(over)
        if terminated or truncated:
            first = env.reset()[0]
            assert first.tobytes() == obs[1].tobytes() == other.reset([1])[0].tobytes()


def test_dropped_lanes_leave_the_others_as_they_are() -> None:
    for name, kind in KINDS.items():
        seeds, generator = list(range(6)), np.random.default_rng(1)
        twin, fewer = kind(made(name, 9), 6), kind(made(name, 9), 2)
        obs, less = twin.reset(range(6), seeds), fewer.reset(range(2), [4, 1])
        for t in range(12):
            if t == 5:
                twin.keep([4, 1])
                obs = obs[[4, 1]]
            action = actions(twin.env.action_space, obs, generator)
            outcome = twin.step(action)
            expected = fewer.step(action[[4, 1]] if t < 5 else action)
            for part, other in zip(outcome, expected, strict=True):
                assert (part[[4, 1]] if t < 5 else part).tobytes() == other.tobytes()
            obs, less = outcome[0], expected[0]
            over = np.flatnonzero(expected[2] | expected[3]).tolist()
            if over:
                less[over] = fewer.reset(over)
                place = [[4, 1][lane] for lane in over] if t < 5 else over
                obs[place] = twin.reset(place)
        assert len(obs) == len(less) == 2
