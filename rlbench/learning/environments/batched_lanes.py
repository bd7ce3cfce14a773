"""Lanes of a batched environment: S x N of them in a few array calls.

Such an environment has a method `batch(streams, lanes, split=None)` that returns its batched form:
`reset`, `step`, `keep_seeds`, `state` and `restore` for S rows of N lanes, with one random stream
per row, as in `rlbench.envs.images.batch`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Union

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker

from rlbench.errors import UserError
from rlbench.learning.environments.calls import BAD_OBSERVATION, bad_lanes
from rlbench.learning.environments.facts import is_data
from rlbench.learning.environments.image_metrics import ImageMetrics
from rlbench.learning.environments.lanes import (
    EnvLanes,
    EpisodeEnd,
    LabelFeedback,
    MakeEnv,
    SeedFailure,
    Step,
)
from rlbench.learning.environments.source import EnvSource, release_envs, twin_of
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.environments.twin_lanes import TwinLanes
from rlbench.learning.environments.workers import worker_count
from rlbench.learning.rng import lane_seed
from rlbench.user_code.calls import UserCodeError, guarded

if TYPE_CHECKING:
    from rlbench.learning.data.recorded_lanes import IdleLanes, RecordedLanes
    from rlbench.learning.environments.vector_lanes import VectorLanes
    from rlbench.learning.environments.worker_lanes import WorkerLanes

_LOG = logging.getLogger("rlbench")


def can_batch(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether the batched form is equivalent: no wrapper around it changes anything."""
    while isinstance(env, OrderEnforcing | PassiveEnvChecker):
        env = env.env
    return env is env.unwrapped and hasattr(env, "batch")


def check_split(split: str) -> None:
    """Reject training on validation or test images."""
    if split != "train":
        raise UserError(
            "training is on the training images: leave out split= (the others are for evaluation)"
        )


def lanes_for(
    make: MakeEnv, seeds: Sequence[int], n_envs: int, spec: ObsSpec | None = None
) -> Lanes:
    """Make the lanes of training environments, batched if possible."""
    workers = worker_count()
    if isinstance(make, EnvSource) and make.vector:
        return _vector_lanes(make, seeds, n_envs, spec, workers)
    if twin := twin_of(make, len(seeds) * n_envs):
        if workers:
            _LOG.warning(
                "these environments are stepped as arrays, sooner than --env-workers could; "
                "--no-batched-envs lets workers step them"
            )
        return TwinLanes(twin, seeds, n_envs, spec)
    env = make()
    if is_data(env):
        check_split(getattr(env.unwrapped, "split", "train"))
    if can_batch(env):
        return BatchedLanes(env.unwrapped, seeds, n_envs)
    if workers and not is_data(env):
        from rlbench.learning.environments.worker_lanes import WorkerLanes

        lanes = WorkerLanes(make, env, seeds, n_envs, spec, workers)
        release_envs(make, [env])
        return lanes
    kind, unused = CountedLanes if is_data(env) else EnvLanes, [env]
    return kind(lambda: unused.pop() if unused else make(), seeds, n_envs, spec)


def _vector_lanes(
    source: EnvSource, seeds: Sequence[int], n_envs: int, spec: ObsSpec | None, workers: int
) -> VectorLanes:
    from rlbench.learning.environments.vector_lanes import VectorLanes
    from rlbench.learning.environments.vectors import vector_factory

    if workers:
        _LOG.warning("vector environments step their lanes themselves, without --env-workers")
    make = vector_factory(source.vector, source.env, source.kwargs)
    env = source()
    lanes = VectorLanes(make, source.vector, env, seeds, n_envs, spec)
    source.release([env])
    return lanes


def flattened(obs: Any, space: spaces.Space[Any]) -> np.ndarray:
    """Convert batched observations to the arrays that `ObsSpec` stores.

    Arrays `(S, N, *obs)` stay as they are; a Dict of them becomes one vector `(S, N, features)` in
    the order of the space.
    """
    if not isinstance(space, spaces.Dict):
        return obs
    parts = [obs[name] for name in space.spaces]
    lead = parts[0].shape[:2]
    return np.concatenate([part.reshape(*lead, -1) for part in parts], -1, dtype=np.float32)


class BatchedLanes:
    """`EnvLanes` over a batch: the same interface, without a loop over lanes."""

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
        """Return the first observations `(S, N, *obs)`."""
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
        """Step every lane with the actions `(S, N)`."""
        try:
            out = guarded(self.batch.step, action)
        except UserCodeError as fault:
            raise SeedFailure(self._all(fault), None) from fault
        over = out.terminated | out.truncated
        following = flattened(out.obs, self.space)
        next_obs = following
        if over.any():
            next_obs = flattened(out.next_obs, self.space)
        answer = LabelFeedback(out.label, out.right, out.answered)
        step = Step(self.obs, action, out.reward, out.terminated, out.truncated, next_obs, answer)
        self.obs = following
        self.returns += out.reward
        self.lengths += 1
        self.tally.answers(out.answered, out.right)
        if over.any():
            self.tally.episodes(over, self.returns, self.lengths)
            self.returns[over], self.lengths[over] = 0.0, 0
        broken = self._bad(following)
        if next_obs is not following:
            broken |= self._bad(next_obs)
        if broken:
            raise SeedFailure(broken, step)
        return step

    def keep_seeds(self, rows: Sequence[int]) -> None:
        """Drop all seeds but these."""
        index = list(rows)
        self.batch.keep_seeds(index)
        self.tally.keep_seeds(index)
        self.seeds = tuple(self.seeds[r] for r in index)
        self.obs = self.obs[index]
        self.returns, self.lengths = self.returns[index], self.lengths[index]

    def close(self) -> None:
        """Do nothing, since there is nothing to close."""

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {
            "batch": self.batch.state(),
            "tally": self.tally.state(),
            "obs": self.obs,
            "returns": self.returns,
            "lengths": self.lengths,
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue from a `state`."""
        self.batch.restore(state["batch"])
        self.tally.restore(state["tally"])
        self.obs = np.asarray(state["obs"])
        self.returns, self.lengths = np.array(state["returns"]), np.array(state["lengths"])
        return True


class CountedLanes(EnvLanes):
    """Lanes of single image environments, for wrappers that change something.

    Each lane visits the images in its own order, so a pass of N lanes together shows some images
    more than once and others not at all; batched lanes share one pass.
    """

    def __init__(
        self, make: MakeEnv, seeds: Sequence[int], n_envs: int = 1, spec: ObsSpec | None = None
    ) -> None:
        super().__init__(make, seeds, n_envs, spec)
        self.tally: ImageMetrics = ImageMetrics(len(self.seeds))

    def step(self, action: np.ndarray) -> Step:
        """Step every lane, and count episodes and answers in the tally."""
        try:
            return self._count(super().step(action))
        except SeedFailure as error:
            error.step = error.step and self._count(error.step)
            raise

    def _count(self, step: Step) -> Step:
        lead = step.reward.shape
        answers = zip(*(env.unwrapped.answer for env in self.envs))  # type: ignore[attr-defined]
        answer = LabelFeedback(*(np.array(part).reshape(lead) for part in answers))
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


Lanes = Union[
    EnvLanes, BatchedLanes, TwinLanes, "WorkerLanes", "VectorLanes", "RecordedLanes", "IdleLanes"
]
