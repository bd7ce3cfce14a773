"""Market: a price that returns to its mean, and a cost of trading; the smallest task of finance."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Market(gymnasium.Env[np.ndarray, Any]):
    """Hold a stock short (0), not at all (1) or long (2) from one price to the next.

    The price is that of Ehrenfest's urn: k of `balls` lie in it, and in each step one of all balls,
    drawn uniformly, changes its side. So the price k - balls / 2 goes up by 1 with probability
    1 - k / balls, else down by 1, and comes back to 0 in the mean; episodes begin with its
    stationary distribution, binomial, and without stock. Reward: position times change of the
    price, less `cost` for each unit of change of the position. Observation: [price / (balls / 2),
    position], both from -1 to 1. As registered, an episode is cut after 100 steps.

    The optimum follows by dynamic programming over the 3 (balls + 1) states: 12.67 in 100 steps. To
    be long from a price of -2 on and short from 2 on, and else to leave the position as it is, is
    worth 12.65, as the end is not seen. Uniformly random actions win nothing and pay for each
    change: -44.33. Doing nothing is worth 0.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, balls: int = 16, cost: float = 0.5) -> None:
        if balls < 2 or balls % 2:
            raise ValueError(f"balls must be an even number of at least 2, got {balls}")
        if not 0 <= cost < np.inf:
            raise ValueError(f"cost must be a number of at least 0, got {cost}")
        self.balls, self.cost = balls, float(cost)
        self.observation_space = spaces.Box(-1, 1, (2,))
        self.action_space = spaces.Discrete(3)
        self.inside, self.position = balls // 2, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.inside, self.position = int(self.np_random.binomial(self.balls, 0.5)), 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        position = int(action) - 1
        traded, self.position = abs(position - self.position), position
        change = -1 if self.np_random.integers(self.balls) < self.inside else 1
        self.inside += change
        return self._observe(), position * change - self.cost * traded, False, False, {}

    def _observe(self) -> np.ndarray:
        return np.array([2 * self.inside / self.balls - 1, self.position], np.float32)
