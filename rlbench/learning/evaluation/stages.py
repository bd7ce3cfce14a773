"""Environments that evaluation plays in: one for each lane, or all lanes as a batched twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.envs.classic.twin import Twin
from rlbench.learning.environments.calls import BAD_ACTION, BAD_OBSERVATION, EnvCalls, bad_lanes
from rlbench.learning.environments.lanes import MakeEnv
from rlbench.learning.environments.source import make_envs, release_envs, twin_of
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.environments.twin_lanes import action_faults, without
from rlbench.user_code.calls import UserCodeError

WHERE = "in evaluation"
Lane = tuple[int, int]  # row and place in it


def stage_of(make: MakeEnv, spec: ObsSpec, rows: int, width: int) -> Singles | Batch:
    """Return rows x width lanes, batched if possible."""
    twin = twin_of(make, rows * width)
    return Batch(make, spec, twin, rows, width) if twin else Singles(make, spec, rows, width)


class Singles:
    """An environment for each lane. `broken`: row -> why it cannot go on, and status.

    `obs` (R, W, *obs) are the observations to act on; those of lanes that have ended stay.
    """

    def __init__(self, make: MakeEnv, spec: ObsSpec, rows: int, width: int) -> None:
        self.make, self.rows, self.width = make, rows, width
        made = make_envs(make, rows * width)
        self.envs = [made[r * width : (r + 1) * width] for r in range(rows)]
        self.env = made[0]
        self.discrete = isinstance(self.env.action_space, spaces.Discrete)
        self.calls = EnvCalls(spec)
        self.obs = np.zeros((rows, width, *spec.shape), spec.raw)
        self.broken: dict[int, tuple[str, str]] = {}
        self.lanes: list[Lane] = []  # those that are stepped

    def begin(self, lanes: Sequence[Lane], seeds: Sequence[int]) -> None:
        """Begin episodes in these lanes, from their reset seeds."""
        for (r, i), seed in zip(lanes, seeds, strict=True):
            try:
                self.obs[r, i] = self.calls.reset(self.envs[r][i], seed=seed)[0]
            except UserCodeError as fault:
                self._fail(r, fault)
        self._check()

    def step(self, action: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Step the lanes that play by their actions; return rewards and ends of episodes (R, W).

        Discrete actions count from 0, and the environment's from `start`.
        """
        reward, ended = np.zeros(action.shape[:2]), np.zeros(action.shape[:2], bool)
        obs, envs, call, discrete = self.obs, self.envs, self.calls.step, self.discrete
        sound = discrete or bool(np.isfinite(action).all())
        for r, i in self.lanes:
            if not sound and not np.isfinite(action[r, i]).all():
                self.broken[r] = f"{BAD_ACTION} {WHERE}", "diverged"
                continue
            lane_action = int(action[r, i]) + start if discrete else action[r, i]
            try:
                obs[r, i], reward[r, i], task_over, time_over, _ = call(envs[r][i], lane_action)
            except UserCodeError as fault:
                self._fail(r, fault)
                continue
            if task_over or time_over:
                ended[r, i] = True
        self._check()  # while last observations are still in place
        return reward, ended

    def _fail(self, r: int, fault: UserCodeError) -> None:
        self.broken[r] = fault.reason(WHERE), fault.status

    def _check(self) -> None:
        for n in bad_lanes(self.obs, self.rows * self.width):
            row = int(n) // self.width
            self.broken.setdefault(row, (f"{BAD_OBSERVATION} {WHERE}", "diverged"))
            self.obs[row] = 0  # observations of lanes that have ended

    def narrow(self, active: np.ndarray) -> None:
        """Step only these lanes from now on, (R, W) bool."""
        rows, places = np.nonzero(active)
        self.lanes = list(zip(rows.tolist(), places.tolist(), strict=True))

    def close(self) -> None:
        """Give the environments back, but for those of broken rows."""
        for env in [env for r in self.broken for env in self.envs[r]]:
            self.calls.close(env)
        sound = [r for r in range(self.rows) if r not in self.broken]
        release_envs(self.make, [env for r in sound for env in self.envs[r]])


class Batch:
    """`Singles` as a batched twin."""

    def __init__(self, make: MakeEnv, spec: ObsSpec, twin: Twin, rows: int, width: int) -> None:
        self.make, self.twin, self.width = make, twin, width
        self.env: Any = twin.env
        self.discrete = isinstance(self.env.action_space, spaces.Discrete)
        self.obs = np.zeros((rows, width, *spec.shape), spec.raw)
        self.flat = self.obs.reshape(-1, *spec.shape)
        self.broken: dict[int, tuple[str, str]] = {}
        self.lanes = np.arange(rows * width)  # the lanes of the twin

    def begin(self, lanes: Sequence[Lane], seeds: Sequence[int]) -> None:
        """Begin episodes in these lanes, from their reset seeds."""
        if lanes:
            index = [r * self.width + i for r, i in lanes]
            self.flat[index] = self.twin.reset(np.searchsorted(self.lanes, index).tolist(), seeds)

    def step(self, action: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Step the lanes that play, as `Singles.step` does; `start` is 0 in all twins."""
        flat = action.reshape(-1, *action.shape[2:])
        if self.discrete:
            flat = flat.astype(np.int64, copy=False)
        narrow = len(self.lanes) < len(flat)
        if narrow:
            flat = flat[self.lanes]
        if faults := action_faults(self.twin, flat, plain=True):
            for lane, fault in faults.items():
                row = int(self.lanes[lane]) // self.width
                self.broken[row] = fault.reason(WHERE), fault.status
            flat = without(flat, faults)
        obs, reward, terminated, truncated = self.twin.step(flat)
        ended = terminated | truncated
        if not narrow:
            self.flat[:] = obs
            return reward.reshape(self.obs.shape[:2]), ended.reshape(self.obs.shape[:2])
        self.flat[self.lanes] = obs
        every = np.zeros(self.obs.shape[:2]), np.zeros(self.obs.shape[:2], bool)
        every[0].ravel()[self.lanes], every[1].ravel()[self.lanes] = reward, ended
        return every

    def narrow(self, active: np.ndarray) -> None:
        """Step only these lanes from now on, (R, W) bool."""
        lanes = np.flatnonzero(active)
        if len(lanes) < len(self.lanes):
            self.twin.keep(np.searchsorted(self.lanes, lanes).tolist())
            self.lanes = lanes

    def close(self) -> None:
        """Give the pattern back."""
        release_envs(self.make, [self.env])
