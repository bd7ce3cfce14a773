"""BitFlip: turn bits one by one into those of a goal (Andrychowicz et al. 2017, section 3.1)."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class BitFlip(gymnasium.Env[Any, Any]):
    """Make the bits equal to the goal's; an action names the bit that is turned over.

    Each step gives -1, but the one that reaches the goal 0, with which the episode ends; else it
    ends after `bits` steps. States and goals are random and differ. The best return is minus the
    number of bits that differ at first, plus 1: -4.0049 in the mean of 10 bits, 1 - n / (2 - 2^(1 -
    n)) of n; -n is that of who never arrives.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, bits: int = 10) -> None:
        if bits < 1:
            raise ValueError(f"there must be at least one bit, got {bits}")
        self.bits = bits
        parts = ("observation", "achieved_goal", "desired_goal")
        self.observation_space = spaces.Dict({name: spaces.MultiBinary(bits) for name in parts})
        self.action_space = spaces.Discrete(bits)
        self.state, self.goal = np.zeros(bits, np.int8), np.zeros(bits, np.int8)
        self.steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.np_random.integers(2, size=self.bits, dtype=np.int8)
        self.goal = self.np_random.integers(2, size=self.bits, dtype=np.int8)
        while np.array_equal(self.state, self.goal):
            self.goal = self.np_random.integers(2, size=self.bits, dtype=np.int8)
        self.steps = 0
        return self._seen(), {}

    def _seen(self) -> dict[str, np.ndarray]:
        return {
            "observation": self.state.copy(),
            "achieved_goal": self.state.copy(),
            "desired_goal": self.goal.copy(),
        }

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """Return 0 where the goal is reached and -1 elsewhere, `(..., n), (..., n) -> (...)`."""
        return self.compute_terminated(achieved_goal, desired_goal, info) - 1.0

    def compute_terminated(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        """Return whether the goal is reached, `(..., n), (..., n) -> (...)`."""
        return (np.asarray(achieved_goal) == desired_goal).all(-1)

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        self.state[int(action)] ^= 1
        self.steps += 1
        reached = bool(self.compute_terminated(self.state, self.goal, {}))
        over = not reached and self.steps >= self.bits
        return self._seen(), reached - 1.0, reached, over, {"is_success": reached}
