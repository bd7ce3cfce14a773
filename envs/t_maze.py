"""T-maze: a sign at the start says which way to turn at the far end of a corridor (Bakker 2002)."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

FORWARD, UP, DOWN = range(3)
BUMP = -0.1  # for walking into a wall
PATIENCE = 4  # times the shortest way, after which an episode is cut off


class TMaze(gymnasium.Env[np.ndarray, Any]):
    """Corridor of `length` steps, from a sign to a junction with one good arm.

    The first observation shows the sign, +1 (up) or -1 (down) with equal chance, and the junction
    is seen when it is reached; everything between is blank. Actions: 0 forward, 1 up, 2 down. The
    good arm gives 1 and the other one 0, which ends the episode; walking into a wall costs 0.1 and
    moves nobody. After 4 times the shortest way an episode is truncated.

    With memory the optimum is 1.0. What is seen at the junction does not depend on the sign, so no
    policy without memory has an expected return above 0.5.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, length: int = 10) -> None:
        if length < 1:
            raise ValueError(f"length must be at least 1, got {length}")
        self.length = length
        low, high = np.array([-1, 0], np.float32), np.ones(2, np.float32)
        self.observation_space = spaces.Box(low, high)  # [sign, junction]
        self.action_space = spaces.Discrete(3)
        self.sign, self.place, self.time = 1, 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.sign = 2 * int(self.np_random.integers(2)) - 1
        self.place, self.time = 0, 0
        return np.array([self.sign, 0], np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        action, junction = int(action), self.place == self.length
        reward, over = BUMP, False
        if junction and action != FORWARD:
            reward, over = float((action == UP) == (self.sign == 1)), True
        elif not junction and action == FORWARD:
            reward, self.place = 0.0, self.place + 1
        obs = np.array([0, self.place == self.length], np.float32)
        return obs, reward, over, not over and self.time == PATIENCE * (self.length + 1), {}
