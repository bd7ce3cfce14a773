"""CartPole as arrays: `gymnasium.envs.classic_control.cartpole`."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.envs.classic.twin import Twin


class CartPole(Twin):
    """Twin of `CartPoleEnv`. State: position, velocity, angle, angular velocity."""

    original = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
    numbers = 4
    fewest = 4

    def constants(self, env: Any) -> None:
        self.gravity, self.masspole, self.total_mass = env.gravity, env.masspole, env.total_mass
        self.length, self.polemass_length, self.tau = env.length, env.polemass_length, env.tau
        self.forces = np.array([-env.force_mag, env.force_mag])
        self.ends = np.array([[env.x_threshold], [env.theta_threshold_radians]])

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return generator.uniform(low=-0.05, high=0.05, size=(4,))

    def move(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        state = self.state
        theta, theta_dot = state[2], state[3]
        sin, cos = np.sin(theta), np.cos(theta)
        temp = self.polemass_length * (theta_dot * theta_dot) * sin
        temp += self.forces[action]
        temp /= self.total_mass
        change = np.empty((2, len(theta)))  # of both velocities, a second
        scale = self.length * (4.0 / 3.0 - self.masspole * (cos * cos) / self.total_mass)
        np.divide(self.gravity * sin - cos * temp, scale, out=change[1])
        np.subtract(temp, self.polemass_length * change[1] * cos / self.total_mass, out=change[0])
        places, speeds = state[0::2], state[1::2]
        places += self.tau * speeds
        speeds += self.tau * change
        over = np.abs(places) > self.ends
        return np.ones(len(theta)), over[0] | over[1]

    def observe(self, state: np.ndarray) -> np.ndarray:
        return np.array(state.T, np.float32, order="C")

    def write(self, env: Any, lane: int) -> None:
        env.state, env.steps_beyond_terminated = self.state[:, lane].copy(), None
