"""Acrobot as arrays: `gymnasium.envs.classic_control.acrobot`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import cos, pi, sin

from rlbench.envs.classic.twin import Twin, squares


class Acrobot(Twin):
    """Twin of `AcrobotEnv` with the book's dynamics. State: two angles, two angular velocities.

    The environment keeps float32 from a reset to the first step, and observes that in float32.
    """

    original = "gymnasium.envs.classic_control.acrobot:AcrobotEnv"
    numbers = 4
    fewest = 4

    def constants(self, env: Any) -> None:
        self.masses, self.inertia = (env.LINK_MASS_1, env.LINK_MASS_2), env.LINK_MOI
        self.lengths_of_links = env.LINK_LENGTH_1, env.LINK_COM_POS_1, env.LINK_COM_POS_2
        self.torques, self.dt = np.array(env.AVAIL_TORQUE), env.dt
        self.limits = np.array([[env.MAX_VEL_1], [env.MAX_VEL_2]])

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return generator.uniform(low=-0.1, high=0.1, size=(4,)).astype(np.float32)

    def move(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y0, torque, dt = self.state, self.torques[action], self.dt
        dt2 = dt / 2.0
        k1 = self._derivatives(y0, torque)
        k2 = self._derivatives(y0 + dt2 * k1, torque)
        k3 = self._derivatives(y0 + dt2 * k2, torque)
        k4 = self._derivatives(y0 + dt * k3, torque)
        state = y0 + dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        angles, speeds = state[:2], state[2:]
        while (large := angles > pi).any():
            angles[large] -= 2 * pi
        while (small := angles < -pi).any():
            angles[small] += 2 * pi
        np.minimum(np.maximum(speeds, -self.limits), self.limits, out=speeds)
        self.state = state
        over = -cos(state[0]) - cos(state[1] + state[0]) > 1.0
        return np.where(over, 0.0, -1.0), over

    def _derivatives(self, s: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Return the derivatives (4, L) of the states by time."""
        m1, m2 = self.masses
        l1, lc1, lc2 = self.lengths_of_links
        I1 = I2 = self.inertia
        g = 9.8
        theta1, theta2, dtheta1, dtheta2 = s
        sin2, cos2 = sin(theta2), cos(theta2)
        d1 = m1 * lc1**2 + m2 * (l1**2 + lc2**2 + 2 * l1 * lc2 * cos2) + I1 + I2
        d2 = m2 * (lc2**2 + l1 * lc2 * cos2) + I2
        phi2 = m2 * lc2 * g * cos(theta1 + theta2 - pi / 2.0)
        phi1 = (
            -m2 * l1 * lc2 * squares(dtheta2) * sin2
            - 2 * m2 * l1 * lc2 * dtheta2 * dtheta1 * sin2
            + (m1 * lc1 + m2 * l1) * g * cos(theta1 - pi / 2)
            + phi2
        )
        ddtheta2 = (a + d2 / d1 * phi1 - m2 * l1 * lc2 * squares(dtheta1) * sin2 - phi2) / (
            m2 * lc2**2 + I2 - squares(d2) / d1
        )
        ddtheta1 = -(d2 * ddtheta2 + phi1) / d1
        return np.array([dtheta1, dtheta2, ddtheta1, ddtheta2])

    def observe(self, state: np.ndarray) -> np.ndarray:
        first, second, *speeds = state
        parts = [cos(first), sin(first), cos(second), sin(second), *speeds]
        return np.array(np.array(parts).T, np.float32, order="C")

    def observe_first(self, state: np.ndarray) -> np.ndarray:
        return self.observe(state.astype(np.float32))

    def write(self, env: Any, lane: int) -> None:
        dtype = np.float64 if self.lengths[lane] else np.float32
        env.state = self.state[:, lane].astype(dtype)
