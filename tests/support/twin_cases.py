"""Twins by environment, a naive loop over single environments, and actions for both."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from rlbench.envs.classic.twin import Twin
from rlbench.learning.environments.twins import TWINS, twin_class

KINDS: dict[str, type[Twin]] = {
    name: twin_class(TWINS[str(gymnasium.registry[name].entry_point)])
    for name in (
        "Acrobot-v1",
        "CartPole-v0",
        "CartPole-v1",
        "MountainCar-v0",
        "MountainCarContinuous-v0",
        "Pendulum-v1",
    )
}


class Played(NamedTuple):
    """Bits of all observations, rewards, ends and states; how many episodes ended, and how."""

    bits: list[bytes]
    terminated: int
    truncated: int


def made(name: str, limit: int | None = None) -> Any:
    """Make an environment, with another time limit if one is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of CartPole-v0
        return gymnasium.make(name, max_episode_steps=limit, disable_env_checker=True)


def states(envs: list[Any]) -> np.ndarray:
    """Return what environments keep, (n, L) float64: float32 observations hide the last bits."""
    return np.array([np.asarray(env.unwrapped.state, np.float64) for env in envs]).T


def actions(space: Any, obs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return actions (L, ...): in every other lane random, else with the motion.

    The latter balance a pole, and swing the others up to their limits and goals.
    """
    count = len(obs)
    # In the direction in which it moves already; in CartPole also against the fall.
    onwards = obs[:, -1] + obs[:, -2] * (obs.shape[1] == 4) > 0
    random = np.arange(count) % 2 == 0
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.where(random, generator.integers(space.n, size=count), onwards * (space.n - 1))
    drawn = generator.uniform(1.4 * space.low, 1.4 * space.high, (count, 1)).astype(np.float32)
    return np.where(random, drawn[:, 0], np.where(onwards, space.high, space.low))[:, None]


def play_singles(envs: list[Any], seeds: list[int], steps: int) -> Played:
    """Step environments one by one; each is reset in the step in which its episode ends."""
    obs = np.array([env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)])
    bits, ends, generator = [obs.tobytes()], [0, 0], np.random.default_rng(0)
    for _ in range(steps):
        action = actions(envs[0].action_space, obs, generator)
        rewards, over = [], []
        for lane, env in enumerate(envs):
            obs[lane], reward, terminated, truncated, _ = env.step(action[lane])
            rewards.append(float(reward))
            over.append((bool(terminated), bool(truncated)))
        bits += [obs.tobytes(), np.array(rewards).tobytes(), np.array(over).tobytes()]
        bits.append(states(envs).tobytes())
        for lane, (terminated, truncated) in enumerate(over):
            ends[0] += terminated
            ends[1] += truncated
            if terminated or truncated:
                obs[lane] = envs[lane].reset()[0]
    return Played([*bits, obs.tobytes()], *ends)


def play_twin(twin: Twin, seeds: list[int], steps: int) -> Played:
    """The same with a twin."""
    lanes = range(len(seeds))
    obs = twin.reset(lanes, seeds)
    bits, ends, generator = [obs.tobytes()], [0, 0], np.random.default_rng(0)
    for _ in range(steps):
        action = actions(twin.env.action_space, obs, generator)
        obs, reward, terminated, truncated = twin.step(action)
        over = np.stack([terminated, truncated], -1)
        bits += [obs.tobytes(), reward.tobytes(), over.tobytes()]
        bits.append(twin.state.tobytes())
        ends[0] += int(terminated.sum())
        ends[1] += int(truncated.sum())
        if over.any():
            ended = np.flatnonzero(terminated | truncated).tolist()
            obs[ended] = twin.reset(ended)
    return Played([*bits, obs.tobytes()], *ends)
