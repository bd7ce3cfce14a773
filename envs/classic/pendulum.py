"""Pendulum as arrays: `gymnasium.envs.classic_control.pendulum`."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.envs.classic_control.pendulum import DEFAULT_X, DEFAULT_Y

from rlbench.envs.classic.twin import Twin, squares

_HIGH = np.array([DEFAULT_X, DEFAULT_Y])


class Pendulum(Twin):
    """Twin of `PendulumEnv`. State: angle, angular velocity."""

    original = "gymnasium.envs.classic_control.pendulum:PendulumEnv"
    numbers = 2
    fewest = 2

    def constants(self, env: Any) -> None:
        self.max_speed, self.max_torque, self.dt = env.max_speed, env.max_torque, env.dt
        self.g, self.m, self.l = env.g, env.m, env.l
        self.torque = np.zeros(len(self.lengths), np.float32)  # of the last step

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return generator.uniform(low=-_HIGH, high=_HIGH)

    def move(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        th, thdot = self.state
        g, m, l, dt = self.g, self.m, self.l, self.dt  # noqa: E741
        u = np.minimum(np.maximum(action[:, 0], -self.max_torque), self.max_torque)
        normal = ((th + np.pi) % (2 * np.pi)) - np.pi
        costs = squares(normal) + 0.1 * squares(thdot) + 0.001 * squares(u)
        speed = thdot + (3 * g / (2 * l) * np.sin(th) + 3.0 / (m * l**2) * u) * dt
        thdot[:] = np.minimum(np.maximum(speed, -self.max_speed), self.max_speed)
        th += thdot * dt
        self.torque = u
        return -costs, np.zeros(len(th), bool)

    def observe(self, state: np.ndarray) -> np.ndarray:
        obs = np.empty((state.shape[1], 3), np.float32)
        obs[:, 0], obs[:, 1], obs[:, 2] = np.cos(state[0]), np.sin(state[0]), state[1]
        return obs

    def keep(self, lanes: Any) -> None:
        super().keep(lanes)
        self.torque = self.torque[list(lanes)]

    def write(self, env: Any, lane: int) -> None:
        env.state = self.state[:, lane].copy()
        env.last_u = self.torque[lane] if self.lengths[lane] else None
