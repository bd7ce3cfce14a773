"""Environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Walk(gymnasium.Env[Any, Any]):
    """A walk to the right end of a line."""

    def __init__(self, length: int = 6) -> None:
        self.length, self.place = length, 0
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(self.length - 1))
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = min(max(self.place + (1 if action else -1), 0), self.length - 1)
        at_end = self.place == self.length - 1
        return self._obs(), float(at_end) - 0.1, at_end, False, {}

    def _obs(self) -> Any:
        return np.array([self.place / (self.length - 1)], np.float32)


gymnasium.register(
    "extras/Walk-v0", "rlbench_extras.envs:Walk", max_episode_steps=40, reward_threshold=0.5
)
