"""Evaluation on image data: every image of a split is visited exactly once.

Accuracy is then a proportion of images, without any sampling of episodes. An environment on image
data has, under its wrappers,

    data, variant     the data set, and what is made of it
    pass_steps        env steps of one pass over the images
    use(split)        go over to another split
    reset(options={"index": i})  begin with image i
    answer            (label, right, answered) of the last step
    batch(...)        its batched form (see `environments.batched_lanes`), with `begin(index)`, the
                      true classes `truth` (n,), the `labels` that rewards are about, the images of
                      a pass `pool`, and the `steps` that an image takes
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from rlbench.learning.environments.batched_lanes import can_batch, flattened
from rlbench.learning.environments.calls import BAD_OBSERVATION, EnvCalls, bad_lanes
from rlbench.learning.environments.lanes import LabelFeedback, MakeEnv
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.episodes import PULSE_SECONDS, USUAL, WHERE, Playing
from rlbench.learning.policies.policy import Policy
from rlbench.user_code.calls import UserCodeError

# Images that one seed sees at once, batched or one environment each. A part of the protocol, as
# `LANES` in rlbench.learning.evaluation.episodes.
BATCHED, SINGLE = 500, 10
PATIENCE = 100  # times the steps that an image takes, until it counts as not answered

SPLITS = {"grid": "validation", "final": "test"}


class SplitPredictions(NamedTuple):
    """Predictions of S policies for the n images of a split; all `(S, n)`.

    `broken` holds (status, reason) of rows whose environments failed or returned NaN; their
    predictions are meaningless.
    """

    predictions: np.ndarray  # int64: the action that answered, -1 where none did
    right: np.ndarray  # bool
    returns: np.ndarray  # float64
    lengths: np.ndarray  # int64, in env steps
    cut: np.ndarray  # bool: not answered within the step limit
    labels: np.ndarray  # (n,)
    broken: dict[int, tuple[str, str]]


def sweep_split(
    policy: Policy,
    make: MakeEnv,
    split: str,
    limit: StepLimit = USUAL,
    playing: Playing | None = None,
) -> Iterator[SplitPredictions | None]:
    """Let every policy classify every image of the split; the last item is the result.

    An image without an answer within the step limit, or within PATIENCE times its usual steps,
    counts as wrong. None is yielded a few times a second, after `playing` has been updated.
    """
    env, rows = make(), len(policy.seeds)
    images = env.unwrapped.batch([0], 1, split)  # type: ignore[attr-defined]
    labels, count = images.truth, len(images.truth)
    most = limit._replace(usual=min(limit.usual, PATIENCE * images.steps)).of(env)
    steps = 0  # steps of a lane
    predictions = SplitPredictions(
        np.full((rows, count), -1),
        np.zeros((rows, count), bool),
        np.zeros((rows, count)),
        np.zeros((rows, count), np.int64),
        np.zeros((rows, count), bool),
        labels,
        {},
    )
    stage: _Batch | _Singles = (
        _Batch(env, rows, split, predictions.broken)
        if can_batch(env)
        else _Singles(make, rows, split, predictions.broken, policy.spec)
    )
    pulse = time.perf_counter()
    for start in range(0, count, stage.width):
        index = np.arange(start, start + stage.width)
        waiting = np.broadcast_to(index < count, (rows, stage.width)).copy()
        lane = np.minimum(index, count - 1)  # the last batch is filled up with the last image
        obs = stage.begin(np.broadcast_to(lane, (rows, stage.width)))
        policy.reset()
        first = np.ones((rows, stage.width), bool)
        waiting[list(predictions.broken)] = False
        for _ in range(most):
            if not waiting.any():
                break
            if time.perf_counter() - pulse > PULSE_SECONDS:
                if playing is not None:
                    playing.done, playing.of, playing.steps = start, count, steps
                yield None
                pulse = time.perf_counter()
            action, steps = policy.act(obs, first), steps + 1
            first = np.zeros_like(first)
            obs, reward, answer = stage.step(action, waiting)
            waiting[list(predictions.broken)] = False
            r, i = np.nonzero(waiting)
            predictions.returns[r, index[i]] += reward[r, i]
            predictions.lengths[r, index[i]] += 1
            r, i = np.nonzero(waiting & answer.answered)
            predictions.predictions[r, index[i]] = action[r, i]
            predictions.right[r, index[i]] = answer.right[r, i]
            waiting &= ~answer.answered
        r, i = np.nonzero(waiting)
        predictions.cut[r, index[i]] = True
    stage.close()
    yield predictions


def checked(obs: np.ndarray, rows: int, broken: dict[int, tuple[str, str]]) -> np.ndarray:
    """Replace rows of observations that hold NaN or infinity by 0, and record them as broken."""
    for row in bad_lanes(obs, rows):
        broken.setdefault(int(row), ("diverged", f"{BAD_OBSERVATION} {WHERE}"))
        obs[row] = 0
    return obs


class _Batch:
    """Batched form of an environment on a split."""

    width = BATCHED

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        rows: int,
        split: str,
        broken: dict[int, tuple[str, str]],
    ) -> None:
        bare: Any = env.unwrapped
        self.space, self.rows, self.broken = bare.observation_space, rows, broken
        self.batch = bare.batch([0] * rows, self.width, split)

    def begin(self, index: np.ndarray) -> np.ndarray:
        return self._checked(flattened(self.batch.begin(index), self.space))

    def step(
        self, action: np.ndarray, waiting: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, LabelFeedback]:
        out = self.batch.step(action)
        answer = LabelFeedback(out.label, out.right, out.answered)
        return self._checked(flattened(out.obs, self.space)), out.reward, answer

    def _checked(self, obs: np.ndarray) -> np.ndarray:
        return checked(obs, self.rows, self.broken)

    def close(self) -> None:
        """Do nothing, since there is nothing to close."""


class _Singles:
    """Single environments, wrapped as they are in training."""

    width = SINGLE

    def __init__(
        self,
        make: MakeEnv,
        rows: int,
        split: str,
        broken: dict[int, tuple[str, str]],
        spec: ObsSpec,
    ) -> None:
        self.envs = [[make() for _ in range(self.width)] for _ in range(rows)]
        for env in itertools.chain(*self.envs):
            env.unwrapped.use(split)  # type: ignore[attr-defined]
        self.spec = spec
        self.calls, self.broken = EnvCalls(self.spec), broken
        self.obs = np.zeros((rows, self.width, *self.spec.shape), self.spec.raw)

    def begin(self, index: np.ndarray) -> np.ndarray:
        for (r, i), image in np.ndenumerate(index):
            arguments = {"seed": int(image), "options": {"index": int(image)}}
            with self._noted(r):
                self.obs[r, i] = self.calls.reset(self.envs[r][i], **arguments)[0]
        return checked(self.obs, len(self.envs), self.broken)

    def step(
        self, action: np.ndarray, waiting: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, LabelFeedback]:
        reward, label = np.zeros(waiting.shape), np.zeros(waiting.shape, np.int64)
        right, done = np.zeros_like(waiting), np.zeros_like(waiting)
        for r, i in np.argwhere(waiting):
            env: Any = self.envs[r][i]
            with self._noted(r):
                self.obs[r, i], reward[r, i], *_ = self.calls.step(env, action[r, i])
                label[r, i], right[r, i], done[r, i] = env.unwrapped.answer
        obs = checked(self.obs, len(self.envs), self.broken)
        return obs, reward, LabelFeedback(label, right, done)

    @contextmanager
    def _noted(self, row: int) -> Iterator[None]:
        """Record errors within the block as failures of this row."""
        try:
            yield
        except UserCodeError as fault:
            self.broken[int(row)] = (fault.status, fault.reason(WHERE))

    def close(self) -> None:
        for env in itertools.chain(*self.envs):
            self.calls.close(env)
