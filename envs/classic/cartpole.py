"""CartPole as arrays: `gymnasium.envs.classic_control.cartpole`."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.envs.classic.twin import Twin


class CartPole(Twin):
    """Twin of `CartPoleEnv`. State: position, velocity, angle, angular velocity."""

    original = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
    numbers = 4
    fewest = 3

    def constants(self, env: Any) -> None:
        self.gravity, self.total_mass = env.gravity, env.total_mass
        self.length, self.polemass_length, self.tau = env.length, env.polemass_length, env.tau
        self.forces = np.array([-env.force_mag, env.force_mag])
        self.ends = np.array([[env.x_threshold], [env.theta_threshold_radians]])
        self.factors = np.array([[env.masspole], [env.polemass_length]])
        self.work = np.empty((2, 4, 0))

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return generator.uniform(low=-0.05, high=0.05, size=(4,))

    def move(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Do what `CartPoleEnv.step` does, with two rows at once where it does the same to both."""
        state = self.state
        if self.work.shape[2] != state.shape[1]:
            self.work = np.ones((2, 4, state.shape[1]))
        change, (numerators, denominators) = self.work[0], (self.work[1, 0:2], self.work[1, 2])
        reward = self.work[1, 3]  # stays 1
        change[0::2] = state[1::2]
        # Until xacc takes its place, the cosine is beside theta_dot.
        cos, thetaacc, sin = change[1], change[3], np.sin(state[2])
        np.cos(state[2], out=cos)
        np.multiply(change[1:3], change[1:3], out=numerators)
        numerators *= self.factors
        temp = numerators[1]
        temp *= sin
        temp += self.forces[action]
        numerators /= self.total_mass
        np.subtract(4.0 / 3.0, numerators[0], out=denominators)
        denominators *= self.length
        np.multiply(self.gravity, sin, out=thetaacc)
        thetaacc -= cos * temp
        thetaacc /= denominators
        recoil = self.polemass_length * thetaacc
        recoil *= cos
        recoil /= self.total_mass
        np.subtract(temp, recoil, out=change[1])
        change *= self.tau
        state += change
        over = np.abs(state[0::2]) > self.ends
        return reward.copy(), over[0] | over[1]

    def observe(self, state: np.ndarray) -> np.ndarray:
        return np.array(state.T, np.float32, order="C")

    def write(self, env: Any, lane: int) -> None:
        env.state, env.steps_beyond_terminated = self.state[:, lane].copy(), None
