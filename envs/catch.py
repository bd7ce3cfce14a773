"""Catch: move a paddle below a falling ball; the smallest game played from pixels."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Catch(gymnasium.Env[np.ndarray, Any]):
    """Board of `size` x `size` cells, drawn as a grey image of `pixels` x `pixels`.

    A ball starts in a uniformly random column of the top row and falls one row a step; a paddle of
    one cell starts in the middle of the bottom row and goes left (0), stays (1) or goes right (2).
    The episode ends with the ball in the bottom row: +1 if the paddle is there, else -1.

    Every ball can be caught: the optimum is 1.0. Where a blind policy has its paddle in the end
    does not depend on the ball, so its expected return is exactly 2 / size - 1, which is -0.8.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self, size: int = 10, pixels: int | None = None, render_mode: str | None = None
    ) -> None:
        pixels = size if pixels is None else pixels
        if size < 2 or pixels < size:
            raise ValueError(
                f"a board needs at least 2 rows and a pixel for each, got size={size}, "
                f"pixels={pixels}"
            )
        self.size, self.pixels, self.render_mode = size, pixels, render_mode
        self.cell = pixels // size
        self.border = (pixels - self.cell * size) // 2
        self.observation_space = spaces.Box(0, 255, (pixels, pixels, 1), np.uint8)
        self.action_space = spaces.Discrete(3)
        self.row, self.column, self.paddle = 0, 0, size // 2

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.row, self.paddle = 0, self.size // 2
        self.column = int(self.np_random.integers(self.size))
        return self._draw(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.paddle = min(max(self.paddle + int(action) - 1, 0), self.size - 1)
        self.row += 1
        over = self.row == self.size - 1
        reward = (1.0 if self.column == self.paddle else -1.0) if over else 0.0
        return self._draw(), reward, over, False, {}

    def render(self) -> Any:
        return np.repeat(self._draw(), 3, axis=2) if self.render_mode == "rgb_array" else None

    def _draw(self) -> np.ndarray:
        picture = np.zeros(self.observation_space.shape or (), np.uint8)
        for row, column in ((self.row, self.column), (self.size - 1, self.paddle)):
            top, left = (self.border + self.cell * place for place in (row, column))
            picture[top : top + self.cell, left : left + self.cell] = 255
        return picture
