"""MountainCar as arrays: `gymnasium.envs.classic_control.mountain_car`."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.envs.classic.twin import Twin


class MountainCar(Twin):
    """Twin of `MountainCarEnv`. State: position, velocity."""

    original = "gymnasium.envs.classic_control.mountain_car:MountainCarEnv"
    numbers = 2
    fewest = 2

    def constants(self, env: Any) -> None:
        self.min_position, self.max_position = env.min_position, env.max_position
        self.max_speed, self.force, self.gravity = env.max_speed, env.force, env.gravity
        self.goal_position, self.goal_velocity = env.goal_position, env.goal_velocity

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return np.array([generator.uniform(low=-0.6, high=-0.4), 0])

    def move(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        position, velocity = self.state
        velocity += (action - 1) * self.force + np.cos(3 * position) * -self.gravity
        np.minimum(np.maximum(velocity, -self.max_speed), self.max_speed, out=velocity)
        position += velocity
        np.minimum(np.maximum(position, self.min_position), self.max_position, out=position)
        velocity[(position == self.min_position) & (velocity < 0)] = 0
        over = (position >= self.goal_position) & (velocity >= self.goal_velocity)
        return np.full(len(position), -1.0), over

    def observe(self, state: np.ndarray) -> np.ndarray:
        return np.array(state.T, np.float32, order="C")

    def write(self, env: Any, lane: int) -> None:
        env.state = tuple(self.state[:, lane])
