"""MountainCarContinuous as arrays: `gymnasium.envs.classic_control.continuous_mountain_car`."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.envs.classic.twin import Twin


class MountainCarContinuous(Twin):
    """Twin of `Continuous_MountainCarEnv`. State: position, velocity.

    The environment computes the first step of an episode in float64, and all others in float32,
    but for a force beyond its limits, which is a Python number.
    """

    original = "gymnasium.envs.classic_control.continuous_mountain_car:Continuous_MountainCarEnv"
    numbers = 2
    fewest = 6

    def constants(self, env: Any) -> None:
        self.min_action, self.max_action, self.power = env.min_action, env.max_action, env.power
        self.min_position = np.float32(env.min_position)
        self.max_position = np.float32(env.max_position)
        self.max_speed = np.float32(env.max_speed)
        self.goal_position, self.goal_velocity = np.float32(env.goal_position), env.goal_velocity

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return np.array([generator.uniform(low=-0.6, high=-0.4), 0])

    def move(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before = self.state
        position, velocity = before.astype(np.float32)
        force = action[:, 0]
        slope = 0.0025 * np.cos((3 * position).astype(np.float64))
        push = force * np.float32(self.power) - slope.astype(np.float32)
        for bound, beyond in (
            (self.min_action, force < self.min_action),
            (self.max_action, force > self.max_action),
        ):
            if beyond.any():
                push[beyond] = bound * self.power - slope[beyond]
        velocity = np.minimum(np.maximum(velocity + push, -self.max_speed), self.max_speed)
        position = np.minimum(np.maximum(position + velocity, self.min_position), self.max_position)
        velocity[(position == self.min_position) & (velocity < 0)] = 0
        over = (position >= self.goal_position) & (velocity >= self.goal_velocity)
        effort = force.astype(np.float64)
        reward = np.where(over, 100.0, 0.0) - effort * effort * 0.1
        self.state = np.array([position, velocity], np.float64)
        if not self.lengths.all():
            starting = np.flatnonzero(self.lengths == 0)
            self.state[:, starting] = before[:, starting]
            self.step_single(starting.tolist(), action, reward, over)
        return reward, over

    def observe(self, state: np.ndarray) -> np.ndarray:
        return np.array(state.T, np.float32, order="C")

    def write(self, env: Any, lane: int) -> None:
        dtype = np.float32 if self.lengths[lane] else np.float64
        env.state = self.state[:, lane].astype(dtype)
