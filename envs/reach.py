"""Reach: move a point to a goal, which alone is rewarded; the smallest continuous goal task."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SPEED = 0.1  # the most a coordinate changes in a step
NEAR = 0.05  # distance from the goal within which it is reached


class ReachGoal(gymnasium.Env[Any, Any]):
    """Move a point from the middle of the square [-1, 1]^2 to a random goal, and stay there.

    An action in [-1, 1]^2 moves the point by a tenth of it, up to the border. A step after which
    the point is within 0.05 of the goal gives 0, any other -1. Episodes end after 50 steps and not
    before. The best return is -5.68 in the mean over goals, and -50 that of who never arrives.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self) -> None:
        square = spaces.Box(-1.0, 1.0, (2,), np.float32)
        parts = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = spaces.Dict(dict.fromkeys(parts, square))
        self.action_space = square
        self.point = self.goal = np.zeros(2, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self.point = np.zeros(2, np.float32)
        self.goal = self.np_random.uniform(-1.0, 1.0, 2).astype(np.float32)
        return self._seen(), {}

    def _seen(self) -> dict[str, np.ndarray]:
        return {
            "observation": self.point.copy(),
            "achieved_goal": self.point.copy(),
            "desired_goal": self.goal.copy(),
        }

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """Return 0 near the goal and -1 elsewhere, `(..., 2), (..., 2) -> (...)`."""
        offset = np.asarray(achieved_goal) - desired_goal
        return np.where((offset * offset).sum(-1) <= NEAR**2, 0.0, -1.0)

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        move = SPEED * np.clip(np.asarray(action, np.float32), -1.0, 1.0)
        self.point = np.clip(self.point + move, -1.0, 1.0).astype(np.float32)
        reward = float(self.compute_reward(self.point, self.goal, {}))
        return self._seen(), reward, False, False, {"is_success": reward == 0.0}
