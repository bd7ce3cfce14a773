"""Symbols to be remembered: one after the other, or all before any is asked for.

After Repeat Previous and Autoencode of POPGym (Morad et al. 2023), with lengths to choose.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class RepeatPrevious(gymnasium.Env[Any, Any]):
    """Episode in which each action names the symbol that was seen `length` steps ago.

    Every observation is one of `symbols`, drawn uniformly. The first `length` actions count
    nothing; each right one of the `answers` after these gives 1 / answers.

    With memory the optimum is 1.0. What is seen does not depend on what is asked for, so every
    policy without memory has an expected return of exactly 1 / symbols.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, length: int = 4, answers: int = 32, symbols: int = 4) -> None:
        _check(length=(length, 1), answers=(answers, 1), symbols=(symbols, 2))
        self.length, self.answers, self.symbols = length, answers, symbols
        self.observation_space = spaces.Discrete(symbols)
        self.action_space = spaces.Discrete(symbols)
        self.shown = np.zeros(1, np.int64)
        self.time = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        # One more than are asked for: the observation after the last action.
        self.shown = self.np_random.integers(self.symbols, size=self.length + self.answers + 1)
        self.time = 0
        return self.shown[0], {}

    def step(self, action: Any) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        asked = self.time - self.length
        right = asked >= 0 and int(action) == self.shown[asked]
        self.time += 1
        over = self.time == self.length + self.answers
        return self.shown[self.time], float(right) / self.answers, over, False, {}


class Autoencode(gymnasium.Env[Any, Any]):
    """Episode that shows `length` symbols, and then asks for all of them in the same order.

    An observation is one of `symbols` while they are shown, and the number `symbols` while they are
    asked for. Each right action of the second half gives 1 / length.

    With memory the optimum is 1.0. What is seen in the second half is always the same, so every
    policy without memory has an expected return of exactly 1 / symbols.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, length: int = 8, symbols: int = 4) -> None:
        _check(length=(length, 1), symbols=(symbols, 2))
        self.length, self.symbols = length, symbols
        self.observation_space = spaces.Discrete(symbols + 1)
        self.action_space = spaces.Discrete(symbols)
        self.shown = np.zeros(1, np.int64)
        self.time = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        super().reset(seed=seed)
        self.shown = self.np_random.integers(self.symbols, size=self.length)
        self.time = 0
        return self.shown[0], {}

    def step(self, action: Any) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        asked = self.time - self.length
        right = asked >= 0 and int(action) == self.shown[asked]
        self.time += 1
        showing = self.time < self.length
        obs = self.shown[self.time] if showing else np.int64(self.symbols)
        return obs, float(right) / self.length, self.time == 2 * self.length, False, {}


def _check(**sizes: tuple[int, int]) -> None:
    for name, (value, least) in sizes.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
