"""Lanes of a batched twin: `EnvLanes` in a few array calls, with the same bits and states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from rlbench.envs.classic.twin import Twin
from rlbench.learning.environments import snapshot
from rlbench.learning.environments.calls import BAD_ACTION, EnvCalls
from rlbench.learning.environments.image_metrics import ImageMetrics
from rlbench.learning.environments.lanes import EpisodeEnd, SeedFailure, Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.rng import lane_seed
from rlbench.user_code.calls import UserCodeError, guarded

Faults = dict[int, UserCodeError]  # by lane


class TwinLanes:
    """`EnvLanes` over a twin: the same interface, without a loop over lanes."""

    tally: ImageMetrics | None = None

    def __init__(
        self, twin: Twin, seeds: Sequence[int], n_envs: int = 1, spec: ObsSpec | None = None
    ) -> None:
        self.twin, self.seeds, self.n_envs, self.restart_count = twin, tuple(seeds), n_envs, 0
        self.spec = spec or ObsSpec(twin.env.observation_space)
        self.obs = np.zeros((len(self.seeds), n_envs, *self.spec.shape), self.spec.raw)
        self.returns = np.zeros(len(self.seeds) * n_envs)
        self.finished: list[EpisodeEnd] = []

    def reset(self) -> np.ndarray:
        """Return the first observations `(S, N, *obs)`; every lane gets its own reset seed."""
        lanes = range(len(self.returns))
        obs = self.twin.reset(lanes, [self._reset_seed(lane) for lane in lanes])
        self.returns[:] = 0.0
        self.obs = obs.reshape(self.obs.shape)
        return self.obs

    def _reset_seed(self, lane: int) -> int:
        seed = self.seeds[lane // self.n_envs]
        return lane_seed(seed, lane % self.n_envs, self.restart_count)

    def step(self, action: np.ndarray) -> Step:
        """Step every lane with actions `(S, N, *action)`.

        `finished` lists the episodes that ended.
        """
        lead = action.shape[:2]
        flat = action.reshape(-1, *action.shape[2:])
        faults = action_faults(self.twin, flat)
        broken: dict[int, tuple[str, str]] = {}
        if faults:
            flat = without(flat, faults)
            for lane, fault in faults.items():
                broken[lane // self.n_envs] = fault.status, fault.reason()
        obs, reward, terminated, truncated = self.twin.step(flat)
        self.returns += reward
        over = terminated | truncated
        following = obs
        if self.finished:
            self.finished = []
        if 1 in over.tobytes():  # quicker than any()
            lanes = np.flatnonzero(over).tolist()
            for lane in lanes:
                row, ret = lane // self.n_envs, float(self.returns[lane])
                if row not in broken:
                    self.finished.append(EpisodeEnd(row, ret, int(self.twin.lengths[lane])))
            following = obs.copy()
            following[lanes] = self.twin.reset(lanes)
            self.returns[lanes] = 0.0
        step = Step(
            self.obs,
            action,
            reward.astype(np.float32).reshape(lead),
            terminated.reshape(lead),
            truncated.reshape(lead),
            obs.reshape(self.obs.shape),
        )
        self.obs = step.next_obs if following is obs else following.reshape(self.obs.shape)
        if broken:
            raise SeedFailure(broken, step)
        return step

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all seeds but these."""
        lanes = [r * self.n_envs + j for r in rows for j in range(self.n_envs)]
        self.twin.keep(lanes)
        self.returns = self.returns[lanes]
        self.seeds = tuple(self.seeds[r] for r in rows)
        self.obs = self.obs[list(rows)]
        self.finished = [f._replace(row=rows.index(f.row)) for f in self.finished if f.row in rows]

    def close(self) -> None:
        """Close the pattern of the twin."""
        EnvCalls.close(self.twin.env)

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from, as `EnvLanes` does: either restores the other's."""
        lanes = range(len(self.returns))
        return {
            "life": self.restart_count,
            "obs": self.obs,
            "returns": self.returns.tolist(),
            "lengths": self.twin.lengths.tolist(),
            "envs": [snapshot.capture(self.twin.single(lane)) for lane in lanes],
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue from a `state` of these lanes, or of single environments."""
        self.restart_count = state["life"]
        if any(env_state is None for env_state in state["envs"]):
            self.restart_count += 1
            self.reset()
            return False
        pairs = zip(state["envs"], state["lengths"], strict=True)
        for lane, (env_state, length) in enumerate(pairs):
            self.twin.env.reset(seed=self._reset_seed(lane))  # create what only reset creates
            snapshot.reinstate(self.twin.env, env_state)
            self.twin.adopt(lane, int(length))
        self.obs = np.asarray(state["obs"])
        self.returns = np.array(state["returns"], np.float64)
        return True


def action_faults(twin: Twin, action: np.ndarray, plain: bool = False) -> Faults:
    """Return which lanes cannot be stepped by their actions `(L, *action)`, and why.

    With `plain` the environment is told discrete ones as Python's integers.
    """
    if action.dtype.kind == "f":
        if np.isfinite(action).all():
            return {}
        bad = np.flatnonzero(~np.isfinite(action).reshape(len(action), -1).all(-1))
        return dict.fromkeys(bad.tolist(), UserCodeError("diverged", BAD_ACTION))
    space, faults = twin.space, Faults()
    if isinstance(space, spaces.Discrete):
        # As unsigned numbers, of which negative ones are the largest: one call instead of three.
        if action.dtype == np.int64 and np.maximum.reduce(action.view(np.uint64)) < space.n:
            return faults
        for lane in np.flatnonzero((action < 0) | (action >= space.n)).tolist():
            twin.write(twin.env.unwrapped, lane)
            try:  # the environment says what is wrong
                guarded(twin.env.unwrapped.step, int(action[lane]) if plain else action[lane])
            except UserCodeError as fault:
                faults[lane] = fault
    return faults


def without(action: np.ndarray, faults: Faults) -> np.ndarray:
    """Return the actions with zeros in lanes whose results will not be used."""
    action = action.copy()
    action[list(faults)] = 0
    return action
