"""Lanes of Gymnasium environments: S seeds x N environments each, as `(S, N, ...)` arrays.

Each lane steps its environment directly (a vector environment of one costs 3.6 times as much),
resets it in the step in which an episode ends, and returns the true successor of every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from rlbench.learning.environments import snapshot
from rlbench.learning.environments.calls import (
    BAD_ACTION,
    BAD_OBSERVATION,
    BadEnvironment,
    EnvCalls,
    bad_lanes,
)
from rlbench.learning.environments.image_metrics import ImageMetrics
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.rng import lane_seed
from rlbench.user_code.calls import UserCodeError

MakeEnv = Callable[[], gymnasium.Env[Any, Any]]


class LabelFeedback(NamedTuple):
    """Answers of the last step on image data, all `(S, N)`.

    `label` is the class of the answered image, for supervised learners and `hybrid`; agents that
    learn from rewards alone ignore it.
    """

    label: np.ndarray  # int64
    right: np.ndarray  # bool
    answered: np.ndarray  # bool: an image was answered; the others mean nothing where none was


class Step(NamedTuple):
    """One transition of every lane, all `(S, N, ...)`.

    `next_obs` is the true successor of `obs`, also at the end of an episode.
    """

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray  # float32
    terminated: np.ndarray  # bool: terminal state, no bootstrapping
    truncated: np.ndarray  # bool: time limit, bootstrap from next_obs
    next_obs: np.ndarray
    answer: LabelFeedback | None = None  # of environments on image data

    def rows(self, rows: Sequence[int]) -> Step:
        """Return the transitions of these seeds only."""
        index = list(rows)
        arrays = {name: part[index] for name, part in self._asdict().items() if name != "answer"}
        answer = self.answer and LabelFeedback(*(part[index] for part in self.answer))
        return Step(**arrays, answer=answer)


class EpisodeEnd(NamedTuple):
    """Episode that ended in the last step: its seed's row, return and length."""

    row: int
    ret: float
    length: int


class SeedFailure(Exception):
    """Error: environments of some seeds failed or returned NaN or infinity.

    `broken`: row -> (status, reason), with status `failed` or `diverged`. `step` is valid for the
    other seeds; None if it happened at the first reset.
    """

    def __init__(self, broken: dict[int, tuple[str, str]], step: Step | None) -> None:
        super().__init__("; ".join(reason for _, reason in broken.values()))
        self.broken, self.step = broken, step


class EnvLanes:
    """N environments for each seed, stepped together. `obs` is the observation to act on next."""

    tally: ImageMetrics | None = None  # of image data, where episodes are counted instead of listed

    def __init__(
        self, make: MakeEnv, seeds: Sequence[int], n_envs: int = 1, spec: ObsSpec | None = None
    ) -> None:
        self.seeds, self.n_envs = tuple(seeds), n_envs
        self.envs = [make() for _ in range(len(self.seeds) * n_envs)]
        self.spec = spec or ObsSpec(self.envs[0].observation_space)
        self.calls = EnvCalls(self.spec, watch=True)
        action_space = self.envs[0].action_space
        self.discrete = isinstance(action_space, spaces.Discrete)
        self.start = int(action_space.start) if isinstance(action_space, spaces.Discrete) else 0
        self.restart_count = 0
        self.obs = np.zeros((len(self.seeds), n_envs, *self.spec.shape), self.spec.raw)
        self.returns = [0.0] * len(self.envs)
        self.lengths = [0] * len(self.envs)
        self.finished: list[EpisodeEnd] = []

    def reset(self) -> np.ndarray:
        """Return the first observations `(S, N, *obs)`; every lane gets its own reset seed."""
        obs = np.zeros((len(self.envs), *self.spec.shape), self.spec.raw)
        broken: dict[int, tuple[str, str]] = {}
        for i, env in enumerate(self.envs):
            try:
                obs[i] = self.calls.reset(env, seed=self._reset_seed(i))[0]
            except BadEnvironment as fault:
                raise fault.mistake() from None
            except UserCodeError as fault:
                broken[i // self.n_envs] = (fault.status, fault.reason())
        self._find_bad(obs, broken)
        self.returns = [0.0] * len(self.envs)
        self.lengths = [0] * len(self.envs)
        self.obs = obs.reshape(len(self.seeds), self.n_envs, *self.spec.shape)
        if broken:
            raise SeedFailure(broken, None)
        return self.obs

    def _reset_seed(self, i: int) -> int:
        return lane_seed(self.seeds[i // self.n_envs], i % self.n_envs, self.restart_count)

    def step(self, action: np.ndarray) -> Step:
        """Step every lane with actions `(S, N, *action)`.

        `finished` lists the episodes that ended.
        """
        count = len(self.envs)
        spec, n_envs, call = self.spec, self.n_envs, self.calls.step
        if self.discrete:
            # As numpy's integers: a Discrete space is quicker to find that it contains them.
            actions = list(action.ravel() + self.start if self.start else action.ravel())
        else:
            actions = list(action.reshape(count, *action.shape[2:]))
        next_obs = np.empty((count, *spec.shape), spec.raw)
        reward = np.empty(count, np.float32)
        terminated = np.zeros(count, bool)
        truncated = np.zeros(count, bool)
        starts: list[tuple[int, Any]] = []  # lanes whose next episode has begun
        broken: dict[int, tuple[str, str]] = {}
        if self.finished:
            self.finished = []
        if action.dtype.kind == "f" and not np.isfinite(action).all():
            bad = ~np.isfinite(action).reshape(len(self.seeds), -1).all(-1)
            broken = dict.fromkeys(np.flatnonzero(bad).tolist(), ("diverged", BAD_ACTION))
        for i, env in enumerate(self.envs):
            # Do not pass NaN to an environment, or step one of a seed that ended.
            if broken and i // n_envs in broken:
                next_obs[i], reward[i] = 0, 0.0
                continue
            try:
                next_obs[i], r, ended, cut, _ = call(env, actions[i])
                reward[i] = r
                self.returns[i] += r
                self.lengths[i] += 1
                if ended or cut:
                    terminated[i], truncated[i] = ended, cut
                    self.finished.append(EpisodeEnd(i // n_envs, self.returns[i], self.lengths[i]))
                    self.returns[i], self.lengths[i] = 0.0, 0
                    starts.append((i, self.calls.reset(env)[0]))
            except UserCodeError as fault:
                broken[i // n_envs] = (fault.status, fault.reason())
                next_obs[i], reward[i] = 0, 0.0
        following = next_obs.copy() if starts else next_obs
        for i, start in starts:
            following[i] = start
        self._find_bad(next_obs, broken)
        if starts:
            self._find_bad(following, broken)
        lead = (len(self.seeds), n_envs)
        step = Step(
            self.obs,
            action,
            reward.reshape(lead),
            terminated.reshape(lead),
            truncated.reshape(lead),
            next_obs.reshape(lead + spec.shape),
        )
        self.obs = step.next_obs if following is next_obs else following.reshape(lead + spec.shape)
        if broken:
            self.finished = [end for end in self.finished if end.row not in broken]
            raise SeedFailure(broken, step)
        return step

    def _find_bad(self, values: np.ndarray, broken: dict[int, tuple[str, str]]) -> None:
        """Add the seeds of lanes whose observation is NaN or infinite."""
        for i in bad_lanes(values, len(self.envs)):
            broken.setdefault(int(i) // self.n_envs, ("diverged", BAD_OBSERVATION))

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all seeds but these."""
        lanes = [r * self.n_envs + j for r in rows for j in range(self.n_envs)]
        for i in set(range(len(self.envs))) - set(lanes):
            self.calls.close(self.envs[i])
        self.envs = [self.envs[i] for i in lanes]
        self.returns = [self.returns[i] for i in lanes]
        self.lengths = [self.lengths[i] for i in lanes]
        self.seeds = tuple(self.seeds[r] for r in rows)
        self.obs = self.obs[list(rows)]
        self.finished = [f._replace(row=rows.index(f.row)) for f in self.finished if f.row in rows]

    def close(self) -> None:
        """Close the environments of all lanes."""
        for env in self.envs:
            self.calls.close(env)

    def state(self) -> dict[str, Any]:
        """Return open episodes, and the environments themselves if they are plain data."""
        return {
            "life": self.restart_count,
            "obs": self.obs,
            "returns": self.returns,
            "lengths": self.lengths,
            "envs": [snapshot.capture(env) for env in self.envs],
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue from a `state`.

        Returns False if environments could not be restored: they then begin new episodes, with
        reset seeds of their own.
        """
        self.restart_count = state["life"]
        if any(env_state is None for env_state in state["envs"]):
            self.restart_count += 1
            self.reset()
            return False
        for i, (env, env_state) in enumerate(zip(self.envs, state["envs"], strict=True)):
            self.calls.reset(env, seed=self._reset_seed(i))  # create what only reset creates
            snapshot.reinstate(env, env_state)
        self.obs = np.asarray(state["obs"])
        self.returns, self.lengths = list(state["returns"]), list(state["lengths"])
        return True
