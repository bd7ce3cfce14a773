"""Environments with known answers, and some that misbehave, for the tests of the learning core.

Probes, whose best actions and values are known, come from `rlbench.envs.probes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlbench.envs.probes import Chosen as Chosen
from rlbench.envs.probes import ChosenSeen as ChosenSeen
from rlbench.envs.probes import Constant as Constant
from rlbench.envs.probes import Forever as Forever
from rlbench.envs.probes import Noise as Noise
from rlbench.envs.probes import Probe as Probe
from rlbench.envs.probes import Seen as Seen
from rlbench.envs.probes import Stepped as Stepped
from rlbench.envs.probes import TwoSteps as TwoSteps


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
