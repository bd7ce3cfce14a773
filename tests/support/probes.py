"""Environments with known answers, and some that misbehave, for the tests of the learning core.

The first five are the probes of https://andyljones.com/posts/rl-debugging.html: each needs exactly
one more thing to work than the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

Stepped = tuple[Any, float, bool, bool, dict[str, Any]]


class Probe(gymnasium.Env[Any, Any]):
    """One observation of width 1 and one action, unless a subclass says otherwise."""

    def __init__(self, actions: int = 1) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(actions)
        self.obs = np.zeros(1, np.float32)

    def begin(self) -> float:
        return 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.obs = np.full(1, self.begin(), np.float32)
        return self.obs, {}

    def sign(self) -> float:
        return float(self.np_random.integers(2) * 2 - 1)


class Constant(Probe):
    """Reward 1, then the end: the value is 1. Only the loss and the optimiser have to work."""

    def step(self, action: Any) -> Stepped:
        return self.obs, 1.0, True, False, {}


class Seen(Probe):
    """Reward is what was observed, +1 or -1: the value depends on the observation."""

    def begin(self) -> float:
        return self.sign()

    def step(self, action: Any) -> Stepped:
        return self.obs, float(self.obs[0]), True, False, {}


class TwoSteps(Probe):
    """Reward 1 at the second step: the first observation (0) is worth gamma, the second (1) 1."""

    def step(self, action: Any) -> Stepped:
        last = bool(self.obs[0])
        self.obs = np.ones(1, np.float32)
        return self.obs, float(last), last, False, {}


class Chosen(Probe):
    """Reward +1 for action 1 and -1 for action 0."""

    def __init__(self) -> None:
        super().__init__(actions=2)

    def step(self, action: Any) -> Stepped:
        return self.obs, float(2 * action - 1), True, False, {}


class ChosenSeen(Chosen):
    """Reward +1 for action 1 where 1 was observed and action 0 where -1 was, else -1."""

    def begin(self) -> float:
        return self.sign()

    def step(self, action: Any) -> Stepped:
        return self.obs, float(2 * action - 1) * float(self.obs[0]), True, False, {}


class Forever(Probe):
    """Reward 1 forever; a clock interrupts after `limit` steps, which it reports as a truncation.

    With `lie` it reports the interruption as a termination.
    """

    def __init__(self, limit: int = 5, lie: bool = False) -> None:
        super().__init__()
        self.limit, self.lie, self.time = limit, lie, 0

    def begin(self) -> float:
        self.time = 0
        return 1.0

    def step(self, action: Any) -> Stepped:
        self.time += 1
        over = self.time == self.limit
        return self.obs, 1.0, over and self.lie, over and not self.lie, {}


class Noise(gymnasium.Env[Any, Any]):
    """Random observations of any width, any number of actions, random ends of both kinds.

    Reward and next observation depend on the action. `offset` is the first action.
    """

    def __init__(self, width: int = 4, actions: int = 3, offset: int = 0) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.action_space = spaces.Discrete(actions, start=offset)
        self.obs = np.zeros(width, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.obs = self.np_random.standard_normal(self.obs.shape).astype(np.float32)
        return self.obs.copy(), {}

    def step(self, action: Any) -> Stepped:
        assert self.action_space.contains(action), f"{action} is not in {self.action_space}"
        chance = float(self.np_random.random())
        reward = float(self.obs[0]) * np.cos(float(action)) + chance
        noise = self.np_random.standard_normal(self.obs.shape).astype(np.float32)
        self.obs = np.float32(0.9) * self.obs + noise + np.float32(0.1) * np.float32(action)
        return self.obs.copy(), float(reward), chance < 0.05, 0.05 <= chance < 0.1, {}


class Canary(Noise):
    """Appends every reset seed that it receives to a file."""

    def __init__(self, log: str) -> None:
        super().__init__()
        self.log = log

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        with Path(self.log).open("a") as file:
            print(seed, file=file)
        return super().reset(seed=seed)


class Poison(Noise):
    """Breaks after `after` steps if its first reset seed is among `victims`.

    `how`: `nan-reward`, `inf-reward`, `nan-obs`, `inf-obs` or `raise`.
    """

    def __init__(self, victims: Sequence[int] = (), how: str = "raise", after: int = 50) -> None:
        super().__init__()
        self.victims, self.how, self.after = list(victims), how, after
        self.doomed, self.steps = False, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.doomed = seed in self.victims
        return super().reset(seed=seed)

    def step(self, action: Any) -> Stepped:
        obs, reward, terminated, truncated, info = super().step(action)
        self.steps += 1
        if self.doomed and self.steps >= self.after:
            bad = np.nan if self.how.startswith("nan") else np.inf
            if self.how == "raise":
                raise RuntimeError("poisoned")
            if self.how.endswith("obs"):
                obs = np.full_like(obs, bad)
            else:
                reward = float(bad)
        return obs, reward, terminated, truncated, info


class Rooms(gymnasium.Env[Any, Any]):
    """Rooms 3 to 6 in a row, observed by number: action 1 leads on, and out of the last: reward 1.

    Action 0 ends the episode with nothing.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Discrete(4, start=3)
        self.action_space = spaces.Discrete(2)
        self.room = 3

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.room = 3
        return self.room, {}

    def step(self, action: Any) -> Stepped:
        out = bool(action) and self.room == 6
        self.room = min(self.room + int(action), 6)
        return self.room, float(out), out or not action, False, {}


class Pixels(gymnasium.Env[Any, Any]):
    """A small image, dark or bright: action 1 is right where it is bright, action 0 elsewhere."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 255, (5, 4, 3), np.uint8)
        self.action_space = spaces.Discrete(2)
        self.bright = False

    def look(self) -> np.ndarray:
        self.bright = bool(self.np_random.integers(2))
        return np.full((5, 4, 3), 255 * self.bright, np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.look(), {}

    def step(self, action: Any) -> Stepped:
        reward = float(bool(action) == self.bright)
        return self.look(), reward, True, False, {}


class Mixed(Noise):
    """The observation is a dictionary of a number from 0 to 2 and a vector of three."""

    def __init__(self) -> None:
        super().__init__(width=3)
        self.observation_space = spaces.Dict(
            {"kind": spaces.Discrete(3), "vector": spaces.Box(-np.inf, np.inf, (3,), np.float32)}
        )

    def dress(self, obs: np.ndarray) -> dict[str, Any]:
        return {"kind": int(abs(obs[0]) * 10) % 3, "vector": obs}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        obs, info = super().reset(seed=seed)
        return self.dress(obs), info

    def step(self, action: Any) -> Stepped:
        obs, reward, terminated, truncated, info = super().step(action)
        return self.dress(obs), reward, terminated, truncated, info


class Opaque(Noise):
    """Holds something that cannot be written down, as a physics engine is."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = object()
