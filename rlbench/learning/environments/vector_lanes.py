"""Lanes in vector environments: one of N environments for each seed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.learning.environments.calls import (
    BAD_ACTION,
    BAD_OBSERVATION,
    BAD_REWARD,
    BadEnvironment,
    bad_lanes,
)
from rlbench.learning.environments.image_metrics import ImageMetrics
from rlbench.learning.environments.lanes import EpisodeEnd, SeedFailure, Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.environments.vectors import MakeVector, Vector, VectorStep
from rlbench.learning.rng import lane_seed
from rlbench.user_code.calls import UserCodeError

_LOG = logging.getLogger("rlbench")
Broken = dict[int, tuple[str, str]]


class VectorLanes:
    """`EnvLanes` over vector environments: the same interface, a vector environment for each seed.

    Seeds share nothing, so each gets the same numbers in any company. `env` is a single environment
    of the same spaces, which is only looked at. Episodes begin anew when a run goes on.

    Raises:
        UserError: Vector environments cannot be made, or differ from `env`.
    """

    tally: ImageMetrics | None = None

    def __init__(
        self,
        make: MakeVector,
        text: str,
        env: Any,
        seeds: Sequence[int],
        n_envs: int,
        spec: ObsSpec | None,
        say: bool = True,
    ) -> None:
        self.seeds, self.n_envs, self.restart_count = tuple(seeds), n_envs, 0
        self.spec = spec or ObsSpec(env.observation_space)
        space = env.action_space
        self.start = int(space.start) if isinstance(space, spaces.Discrete) else 0
        self.vectors = [Vector(make, text, n_envs, lane_seed(seed, 0)) for seed in self.seeds]
        self.vectors[0].check(self.spec, space, type(env.unwrapped).__name__)
        if say and self.vectors[0].single_lanes:
            _LOG.warning(
                "vector environment %s resets episodes in the next step and cannot reset one lane: "
                "each lane is a vector of one",
                text,
            )
        self.obs = np.zeros((len(self.seeds), n_envs, *self.spec.shape), self.spec.raw)
        self.returns = np.zeros((len(self.seeds), n_envs))
        self.lengths = np.zeros((len(self.seeds), n_envs), np.int64)
        self.finished: list[EpisodeEnd] = []

    def reset(self) -> np.ndarray:
        """Return the first observations `(S, N, *obs)`."""
        broken: Broken = {}
        obs = np.zeros_like(self.obs)
        for row, (seed, vector) in enumerate(zip(self.seeds, self.vectors, strict=True)):
            seeds = [lane_seed(seed, lane, self.restart_count) for lane in range(self.n_envs)]
            try:
                obs[row] = vector.reset(seeds, self.spec)
            except BadEnvironment as fault:
                raise fault.mistake() from None
            except UserCodeError as fault:
                broken[row] = fault.status, fault.reason()
        self._find_bad(obs, broken)
        self.obs, self.returns[:], self.lengths[:] = obs, 0.0, 0
        if broken:
            raise SeedFailure(broken, None)
        return self.obs

    def step(self, action: np.ndarray) -> Step:
        """Step every lane with actions `(S, N, *action)`.

        `finished` lists the episodes that ended.
        """
        lead, broken = action.shape[:2], Broken()
        next_obs, following = np.zeros_like(self.obs), np.zeros_like(self.obs)
        reward, terminated = np.zeros(lead), np.zeros(lead, bool)
        truncated, began = np.zeros(lead, bool), False
        self.finished = []
        for row, vector in enumerate(self.vectors):
            if action.dtype.kind == "f" and not np.isfinite(action[row]).all():
                broken[row] = "diverged", BAD_ACTION
                continue
            chosen = action[row] + self.start if self.start else action[row]
            try:
                step: VectorStep = vector.step(chosen, self.spec)
            except UserCodeError as fault:
                broken[row] = fault.status, fault.reason()
                continue
            next_obs[row], reward[row] = step.next_obs, step.reward
            terminated[row], truncated[row] = step.terminated, step.truncated
            following[row] = step.following
            began = began or step.following is not step.next_obs
        for row in np.flatnonzero(~np.isfinite(reward).all(1)).tolist():
            broken.setdefault(row, ("diverged", BAD_REWARD))
        self._find_bad(next_obs, broken)
        if began:
            self._find_bad(following, broken)
        self.returns += reward
        self.lengths += 1
        for row, lane in np.argwhere(terminated | truncated).tolist():
            if row not in broken:
                ret, length = float(self.returns[row, lane]), int(self.lengths[row, lane])
                self.finished.append(EpisodeEnd(row, ret, length))
            self.returns[row, lane], self.lengths[row, lane] = 0.0, 0
        short = reward.astype(np.float32)
        result = Step(self.obs, action, short, terminated, truncated, next_obs)
        self.obs = following if began else next_obs
        if broken:
            raise SeedFailure(broken, result)
        return result

    def _find_bad(self, values: np.ndarray, broken: Broken) -> None:
        """Add the seeds of lanes whose observation is NaN or infinite."""
        for row in bad_lanes(values, len(self.seeds)).tolist():
            broken.setdefault(row, ("diverged", BAD_OBSERVATION))

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all seeds but these."""
        index = list(rows)
        for row, vector in enumerate(self.vectors):
            if row not in index:
                _close(vector)
        self.vectors = [self.vectors[row] for row in index]
        self.seeds = tuple(self.seeds[row] for row in index)
        self.obs = self.obs[index]
        self.returns, self.lengths = self.returns[index], self.lengths[index]
        self.finished = [
            f._replace(row=index.index(f.row)) for f in self.finished if f.row in index
        ]

    def close(self) -> None:
        """Close the environments of all lanes."""
        for vector in self.vectors:
            _close(vector)

    def state(self) -> dict[str, Any]:
        """Return how often lanes began anew; vector environments cannot be saved."""
        return {"life": self.restart_count}

    def restore(self, state: dict[str, Any]) -> bool:
        """Begin new episodes, with reset seeds of their own; return that they are new."""
        self.restart_count = state["life"] + 1
        self.reset()
        return False


def _close(vector: Vector) -> None:
    try:
        vector.close()
    except UserCodeError as fault:
        _LOG.warning("an environment could not be closed: %s", fault.reason())
