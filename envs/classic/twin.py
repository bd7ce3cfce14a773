"""Base class of batched twins: L lanes of a Gymnasium environment as arrays, with the same bits.

A twin does the operations of the environment's own code, in their order and dtypes, on arrays of
all lanes. Each lane has a generator of its own, seeded and drawn from as Gymnasium does. The
constants are read from an environment (the pattern) as its constructor left them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils.seeding import np_random
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from rlbench.envs.wrappers import MaskVelocity

# Wrappers whose effect a twin has, by exact type: a subclass may do anything.
_WRAPPERS = (TimeLimit, OrderEnforcing, PassiveEnvChecker, MaskVelocity)


class Twin:
    """L lanes of one environment. A subclass draws, moves and observes; see `wrapped` for wrappers.

    `state` (n, L) are the numbers that the environment keeps; `lengths` (L,) the steps of the
    current episodes. A lane must be reset before it is stepped, and after an episode's end.
    """

    original: ClassVar[str]  # the entry point in Gymnasium's registry
    numbers: ClassVar[int]  # n: how many the environment keeps
    fewest: ClassVar[int]  # lanes from which arrays are quicker than single environments

    def __init__(self, env: gymnasium.Env[Any, Any], lanes: int) -> None:
        self.env: Any = env  # the pattern
        self.state = np.zeros((self.numbers, lanes))
        self.lengths = np.zeros(lanes, np.int64)
        self.generators: list[np.random.Generator] = [np.random.default_rng(0)] * lanes
        self.seeds = [0] * lanes  # what the generators were seeded with
        self.space = space = env.action_space
        self.dtype = np.dtype(np.int64) if isinstance(space, spaces.Discrete) else space.dtype
        self.limit, self.hidden = np.iinfo(np.int64).max, list[int]()
        for layer in layers(env):
            if isinstance(layer, TimeLimit):
                self.limit = min(self.limit, layer._max_episode_steps)
            elif isinstance(layer, MaskVelocity):
                self.hidden += layer.indices
        self.constants(env.unwrapped)

    # What a subclass fills in.

    def constants(self, env: Any) -> None:
        """Read the constants from the bare environment."""
        raise NotImplementedError

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Draw the numbers (n,) that an episode begins with."""
        raise NotImplementedError

    def move(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Change `state` by actions `(L, *action)`; return rewards float64 and terminated, (L,)."""
        raise NotImplementedError

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Return the float32 observations `(k, *obs)` of states (n, k)."""
        raise NotImplementedError

    def observe_first(self, state: np.ndarray) -> np.ndarray:
        """Return the first observations of episodes, where they are computed otherwise."""
        return self.observe(state)

    def write(self, env: Any, lane: int) -> None:
        """Write what a lane keeps into the bare environment."""
        raise NotImplementedError

    def read(self, env: Any, lane: int) -> None:
        """Read what a lane keeps from the bare environment."""
        self.state[:, lane] = env.state

    # What every twin has.

    def reset(self, lanes: Sequence[int], seeds: Sequence[int] | None = None) -> np.ndarray:
        """Begin an episode in these lanes; return their observations `(k, *obs)`.

        `seeds` are reset seeds; without them the generators of the lanes go on.
        """
        for n, lane in enumerate(lanes):
            if seeds is not None:
                self.generators[lane], self.seeds[lane] = np_random(seeds[n])
            self.state[:, lane] = self.draw(self.generators[lane])
            self.lengths[lane] = 0
        return self._hide(self.observe_first(self.state[:, lanes]))

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Step all lanes with actions `(L, *action)`, counted from 0 where they are discrete.

        Returns observations `(L, *obs)`, and rewards float64, terminated and truncated (L,).
        """
        if action.dtype == self.dtype:
            reward, terminated = self.move(action)
        else:  # the environment computes in the dtype of its action
            reward, terminated = np.zeros(len(action)), np.zeros(len(action), bool)
            self.step_single(range(len(action)), action, reward, terminated)
        self.lengths += 1
        return self._hide(self.observe(self.state)), reward, terminated, self.lengths >= self.limit

    def step_single(
        self, lanes: Sequence[int], action: np.ndarray, reward: np.ndarray, terminated: np.ndarray
    ) -> None:
        """Step these lanes one by one in the pattern; write rewards and ends of episodes (L,)."""
        bare = self.env.unwrapped
        for lane in lanes:
            self.write(bare, lane)
            _, reward[lane], terminated[lane], _, _ = bare.step(action[lane])
            self.read(bare, lane)

    def _hide(self, obs: np.ndarray) -> np.ndarray:
        if self.hidden:
            obs[:, self.hidden] = 0
        return obs

    def keep(self, lanes: Sequence[int]) -> None:
        """Drop all lanes but these."""
        index = list(lanes)
        self.state, self.lengths = self.state[:, index].copy(), self.lengths[index]
        self.generators = [self.generators[lane] for lane in index]
        self.seeds = [self.seeds[lane] for lane in index]

    def single(self, lane: int) -> Any:
        """Bring the pattern, with its wrappers, into the state of a lane, and return it."""
        self.env.reset(seed=0)  # makes what only a reset makes
        for layer in layers(self.env):
            if isinstance(layer, TimeLimit):
                vars(layer)["_elapsed_steps"] = int(self.lengths[lane])
        bare: Any = self.env.unwrapped
        bare.np_random.bit_generator.state = self.generators[lane].bit_generator.state
        bare._np_random_seed = self.seeds[lane]
        self.write(bare, lane)
        return self.env

    def adopt(self, lane: int, length: int) -> None:
        """Bring a lane into the state of the pattern, `length` steps after its reset."""
        bare = self.env.unwrapped
        self.generators[lane], _ = np_random(0)
        self.generators[lane].bit_generator.state = bare.np_random.bit_generator.state
        self.seeds[lane], self.lengths[lane] = bare._np_random_seed, length
        self.read(bare, lane)


def layers(env: Any) -> list[Any]:
    """Return the wrappers of an environment, outermost first, and itself."""
    held = [env]
    while isinstance(held[-1], gymnasium.Wrapper):
        held.append(held[-1].env)
    return held


def wrapped(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether a twin has the effect of all wrappers of an environment."""
    return all(type(layer) in _WRAPPERS for layer in layers(env)[:-1])


def squares(x: np.ndarray) -> np.ndarray:
    """Return x ** 2 of floats (L,), rounded as for single numbers.

    Python and numpy call the C library's pow for those, which is not always x * x, and numpy's
    power of arrays is another function.
    """
    numbers = x.tolist() if x.dtype == np.float64 else x
    return np.array([number**2 for number in numbers], x.dtype)
