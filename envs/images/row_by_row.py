"""Classification of an image shown row by row: the answer needs memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.envs.images.batch import ImageBatch, Obs, StepOutcome


class Rows(ImageBatch):
    """Show the image row by row, and name it at the last row.

    Observation: row t of the image at step t, Box uint8 (W * C,). Action: a class,
    Discrete(classes); all but the one at the last row are ignored and rewarded with 0. Reward of
    that one: 1 if it is right, else -1, and the episode ends (terminated); its last observation is
    the last row again.

    The optimum with memory is 1. Uniform guessing among K classes has an expected return of exactly
    2 / K - 1, which is -0.8 for ten; without memory there is only the last row to go by.
    """

    memory = ("time",)

    def prepare(self, options: dict[str, Any]) -> None:
        self.steps, width, channels = self.data.shape
        self.observation_space = spaces.Box(0, 255, (width * channels,), np.uint8)
        self.action_space = spaces.Discrete(len(self.class_names))
        self.lines = self.pictures.reshape(-1, width * channels)  # of all images, a view
        self.time = 0

    def clear(self) -> None:
        self.time = 0

    def observe(self) -> Obs:
        return self.lines.take(self.index * self.steps + self.time, axis=0)

    def step(self, action: np.ndarray) -> StepOutcome:
        if self.time + 1 < self.steps:
            self.time += 1
            self.obs = self.observe()
            return self.unanswered()
        return self.answer(action)
