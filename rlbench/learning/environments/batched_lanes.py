"""Lanes of an environment that is written in batches: S x N of them in a handful of array calls.

Such an environment says so by a method `batch(streams, lanes, split=None)`, which gives its
batched form: `reset`, `step`, `keep`, `state` and `restore` for S rows of N lanes, one random
stream a row. Those of `rlbench.envs.images.batch` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker

from rlbench.errors import UserError
from rlbench.learning.environments.calls import BAD_OBSERVATION, EnvCalls, bad_lanes
from rlbench.learning.environments.image_metrics import ImageMetrics
from rlbench.learning.environments.lanes import (
    EnvLanes,
    EpisodeEnd,
    LabelFeedback,
    MakeEnv,
    SeedFailure,
    Step,
)
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.rng import lane_seed
from rlbench.user_code.calls import UserCodeError, guarded


def is_data(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether the environment is made of images in splits (see `evaluation.image_sweep`)."""
    return hasattr(env.unwrapped, "use") and hasattr(env.unwrapped, "data")


def can_batch(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether its batched form does the same: no wrapper that changes anything is around it."""
    while isinstance(env, OrderEnforcing | PassiveEnvChecker):
        env = env.env
    return env is env.unwrapped and hasattr(env, "batch")


def check_split(env: gymnasium.Env[Any, Any]) -> None:
    """Refuse to train on validation or test images."""
    if is_data(env) and getattr(env.unwrapped, "split", "train") != "train":
        raise UserError(
            "training is on the training images: leave out split= (the others are for evaluation)"
        )


def lanes_for(
    make: MakeEnv, seeds: Sequence[int], n_envs: int, spec: ObsSpec | None = None
) -> EnvLanes | BatchedLanes:
    """Training environments: batched where they can be."""
    env = make()
    check_split(env)
    if can_batch(env):
        return BatchedLanes(env.unwrapped, seeds, n_envs)
    kind = CountedLanes if is_data(env) else EnvLanes
    EnvCalls.close(env)
    return kind(make, seeds, n_envs, spec)


def flattened(obs: Any, space: spaces.Space[Any]) -> np.ndarray:
    """Batched observations as `ObsSpec` stores single ones: arrays `(S, N, *obs)` as they are, a
    Dict of them as one vector `(S, N, features)` in the order of the space.
    """
    if not isinstance(space, spaces.Dict):
        return obs
    parts = [obs[name] for name in space.spaces]
    lead = parts[0].shape[:2]
    return np.concatenate([part.reshape(*lead, -1) for part in parts], -1, dtype=np.float32)


class BatchedLanes:
    """What `EnvLanes` is, over a batch: the same interface, without a loop over lanes."""

    finished: tuple[EpisodeEnd, ...] = ()  # episodes are counted in the tally instead

    def __init__(self, env: Any, seeds: Sequence[int], n_envs: int = 1) -> None:
        self.seeds, self.n_envs, self.restart_count = tuple(seeds), n_envs, 0
        self.spec = ObsSpec(env.observation_space)
        self.space = env.observation_space
        self.batch = env.batch([lane_seed(seed, 0) for seed in seeds], n_envs)
        self.tally = ImageMetrics(len(self.seeds))
        self._begin(np.zeros((len(self.seeds), n_envs, *self.spec.shape), self.spec.dtype))

    def _begin(self, obs: np.ndarray) -> None:
        self.obs = obs
        self.returns = np.zeros(obs.shape[:2])
        self.lengths = np.zeros(obs.shape[:2], np.int64)

    def reset(self) -> np.ndarray:
        """First observations `(S, N, *obs)`."""
        try:
            obs = flattened(guarded(self.batch.reset), self.space)
        except UserCodeError as fault:
            raise SeedFailure(self._all(fault), None) from fault
        self._begin(obs)
        if broken := self._bad(obs):
            raise SeedFailure(broken, None)
        return self.obs

    def _all(self, fault: UserCodeError) -> dict[int, tuple[str, str]]:
        return dict.fromkeys(range(len(self.seeds)), (fault.status, fault.reason()))

    def _bad(self, obs: np.ndarray) -> dict[int, tuple[str, str]]:
        bad = bad_lanes(obs, len(self.seeds)).tolist()
        return dict.fromkeys(bad, ("diverged", BAD_OBSERVATION))

    def step(self, action: np.ndarray) -> Step:
        """Act `(S, N)` in every lane."""
        try:
            out = guarded(self.batch.step, action)
        except UserCodeError as fault:
            raise SeedFailure(self._all(fault), None) from fault
        ended = out.terminated | out.truncated
        following = flattened(out.obs, self.space)
        next_obs = following
        if ended.any():
            next_obs = flattened(out.next_obs, self.space)
        answer = LabelFeedback(out.label, out.right, out.answered)
        step = Step(self.obs, action, out.reward, out.terminated, out.truncated, next_obs, answer)
        self.obs = following
        self.returns += out.reward
        self.lengths += 1
        self.tally.answers(out.answered, out.right)
        if ended.any():
            self.tally.episodes(ended, self.returns, self.lengths)
            self.returns[ended], self.lengths[ended] = 0.0, 0
        broken = self._bad(following)
        if next_obs is not following:
            broken |= self._bad(next_obs)
        if broken:
            raise SeedFailure(broken, step)
        return step

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Go on with these seeds only."""
        chosen = list(rows)
        self.batch.keep_seeds(chosen)
        self.tally.keep_seeds(chosen)
        self.seeds = tuple(self.seeds[r] for r in chosen)
        self.obs = self.obs[chosen]
        self.returns, self.lengths = self.returns[chosen], self.lengths[chosen]

    def close(self) -> None:
        """Nothing is open."""

    def state(self) -> dict[str, Any]:
        return {
            "batch": self.batch.state(),
            "tally": self.tally.state(),
            "obs": self.obs,
            "returns": self.returns,
            "lengths": self.lengths,
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Go on where `state` was taken."""
        self.batch.restore(state["batch"])
        self.tally.restore(state["tally"])
        self.obs = np.asarray(state["obs"])
        self.returns, self.lengths = np.array(state["returns"]), np.array(state["lengths"])
        return True


class CountedLanes(EnvLanes):
    """Image data under wrappers that change something: lanes of single environments.

    Each lane goes through the images in an order of its own, so that a pass of N lanes together
    shows some images more than once and others not at all; batched, lanes share one pass.
    """

    def __init__(
        self, make: MakeEnv, seeds: Sequence[int], n_envs: int = 1, spec: ObsSpec | None = None
    ) -> None:
        super().__init__(make, seeds, n_envs, spec)
        self.tally: ImageMetrics = ImageMetrics(len(self.seeds))

    def step(self, action: np.ndarray) -> Step:
        """Act in every lane; episodes and answers are counted in the tally."""
        try:
            return self._count(super().step(action))
        except SeedFailure as error:
            error.step = error.step and self._count(error.step)
            raise

    def _count(self, step: Step) -> Step:
        lead = step.reward.shape
        told = zip(*(env.unwrapped.answer for env in self.envs))  # type: ignore[attr-defined]
        answer = LabelFeedback(*(np.array(part).reshape(lead) for part in told))
        self.tally.answers(answer.answered, answer.right)
        for end in self.finished:
            self.tally.episode(end.row, end.ret, end.length)
        self.finished = []
        return step._replace(answer=answer)

    def keep_seeds(self, rows: Sequence[int]) -> None:
        super().keep_seeds(rows)
        self.tally.keep_seeds(rows)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "tally": self.tally.state()}

    def restore(self, state: dict[str, Any]) -> bool:
        self.tally.restore(state["tally"])
        return super().restore(state)
