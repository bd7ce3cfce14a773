"""Cue: a sign is shown once and asked for many steps later; the smallest test of memory."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Cue(gymnasium.Env[np.ndarray, Any]):
    """Episode of `length` actions of which only the last is rewarded.

    The first observation shows a cue, +1 or -1 with equal chance, the last one a flag that asks for
    it; everything between is blank. Action 1 names +1, action 0 names -1; the right one gives 1.

    With memory the optimum is 1.0. What is seen when the action counts does not depend on the cue,
    so every policy without memory has an expected return of exactly 0.5.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, length: int = 50) -> None:
        if length < 2:
            raise ValueError(f"length must be at least 2 (cue and question), got {length}")
        self.length = length
        low, high = np.array([-1, 0], np.float32), np.ones(2, np.float32)
        self.observation_space = spaces.Box(low, high)  # [cue, go]
        self.action_space = spaces.Discrete(2)
        self.cue, self.time = 1, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.cue = 2 * int(self.np_random.integers(2)) - 1
        self.time = 0
        return np.array([self.cue, 0], np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        over = self.time == self.length
        right = over and 2 * int(action) - 1 == self.cue
        obs = np.array([0, self.time == self.length - 1], np.float32)
        return obs, float(right), over, False, {}
