"""Sealed evaluation: separate environments and fixed reset seeds, without effect on training."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from rlbench.learning.environments.calls import BAD_ACTION, BAD_OBSERVATION, EnvCalls, bad_lanes
from rlbench.learning.environments.lanes import MakeEnv
from rlbench.learning.environments.source import make_envs, release_envs
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.policies.policy import Policy
from rlbench.learning.rng import evaluation_seeds
from rlbench.user_code.calls import UserCodeError

# Episodes that one seed plays at once. A part of the protocol: it fixes the shape of the batches
# that policies see, and with it the last bit of their outputs.
LANES = 10
PULSE_SECONDS = 0.1
WHERE = "in evaluation"
USUAL = StepLimit()


class Score(NamedTuple):
    """One evaluation episode of the seed in row `row`.

    `error` says why it could not be played; `status` is the status of a seed whose episode has an
    error or no finite return.
    """

    row: int
    episode: int
    eval_seed: int
    ret: float
    length: int
    error: str = ""
    status: str = "diverged"
    cut: bool = False  # by the step limit of evaluation, not by the environment


@dataclass
class Playing:
    """Progress of an evaluation: episodes or images done, of how many, and steps of a seed."""

    what: str
    done: int = 0
    of: int = 0
    steps: int = 0

    def __str__(self) -> str:
        return f"evaluating {self.done:,} of {self.of:,} {self.what}, {self.steps:,} steps"


def evaluate(
    policy: Policy,
    make: MakeEnv,
    phase: str,
    episodes: int,
    limit: StepLimit = USUAL,
    playing: Playing | None = None,
) -> Iterator[Score | None]:
    """Play the first `episodes` episodes of a phase, `grid` or `final`, with every policy."""
    return play(policy, make, evaluation_seeds(phase, episodes), limit, playing)


def play(
    policy: Policy,
    make: MakeEnv,
    reset_seeds: Sequence[int],
    limit: StepLimit = USUAL,
    playing: Playing | None = None,
) -> Iterator[Score | None]:
    """Play one episode per reset seed with every seed's policy; yield scores in order of episodes.

    Environments are new, or brought back to what new ones are (see `environments.source`), so no
    state is carried over. An environment that fails or returns NaN ends the episodes of its seed,
    with the error in their scores. An episode is cut at the step limit. None is yielded a few times
    a second, after `playing` has been updated.
    """
    width, rows = LANES, len(policy.seeds)
    policy.reset()
    made = make_envs(make, rows * width)
    envs = [made[r * width : (r + 1) * width] for r in range(rows)]
    calls, most = EnvCalls(policy.spec), limit.of(envs[0][0])
    obs = np.zeros((rows, width, *policy.spec.shape), policy.spec.raw)
    first = np.ones((rows, width), bool)
    episode = np.tile(np.arange(width), (rows, 1))  # which episode a lane plays
    totals = [[0.0] * width for _ in range(rows)]
    lengths = [[0] * width for _ in range(rows)]
    scores: dict[tuple[int, int], Score] = {}
    broken: dict[int, tuple[str, str]] = {}  # row -> why, status

    def begin(these: Iterable[tuple[int, int]]) -> None:
        for r, i in these:
            try:
                obs[r, i] = calls.reset(envs[r][i], seed=reset_seeds[episode[r, i]])[0]
            except UserCodeError as fault:
                fail(r, fault)
            first[r, i], totals[r][i], lengths[r][i] = True, 0.0, 0
        check()

    def check() -> None:
        for n in bad_lanes(obs, rows * width):
            row = int(n) // width
            broken.setdefault(row, (f"{BAD_OBSERVATION} {WHERE}", "diverged"))
            obs[row] = 0  # observations of lanes that have ended

    def fail(r: int, fault: UserCodeError) -> None:
        broken[r] = fault.reason(WHERE), fault.status

    active = [(r, i) for r in range(rows) for i in range(min(width, len(reset_seeds)))]
    begin(active)
    active = [(r, i) for r, i in active if r not in broken]
    plain = isinstance(envs[0][0].action_space, spaces.Discrete)
    pulse = time.perf_counter()
    steps = 0  # steps of all seeds
    while active:
        if time.perf_counter() - pulse > PULSE_SECONDS:
            if playing is not None:
                playing.done, playing.of = len(scores) // rows, len(reset_seeds)
                playing.steps = steps // rows
            yield None
            pulse = time.perf_counter()
        action = policy.act(obs, first)
        first[:] = False
        sound = plain or bool(np.isfinite(action).all())
        failures = len(broken)
        over: list[tuple[int, int, bool]] = []  # lanes whose episode has ended; cut by the limit?
        steps += len(active)
        for r, i in active:
            if not sound and not np.isfinite(action[r, i]).all():
                broken[r] = f"{BAD_ACTION} {WHERE}", "diverged"
                continue
            lane_action = int(action[r, i]) + policy.action_start if plain else action[r, i]
            try:
                obs[r, i], reward, task_over, time_over, _ = calls.step(envs[r][i], lane_action)
            except UserCodeError as fault:
                fail(r, fault)
                continue
            totals[r][i] += reward
            lengths[r][i] = length = lengths[r][i] + 1
            if task_over or time_over or length >= most:
                over.append((r, i, not (task_over or time_over)))
        check()  # while last observations are still in place
        for r, i, by_limit in over:
            n = int(episode[r, i])
            scores[r, n] = Score(r, n, reset_seeds[n], totals[r][i], lengths[r][i], cut=by_limit)
            episode[r, i] = n + width
        if over:
            begin(
                (r, i) for r, i, _ in over if episode[r, i] < len(reset_seeds) and r not in broken
            )
        if over or len(broken) > failures:
            active = [
                (r, i) for r, i in active if r not in broken and episode[r, i] < len(reset_seeds)
            ]
    for env in [env for r in broken for env in envs[r]]:
        calls.close(env)
    release_envs(make, [env for r in range(rows) if r not in broken for env in envs[r]])
    for r in range(rows):
        for n, reset_seed in enumerate(reset_seeds):
            if r in broken:
                yield Score(r, n, reset_seed, float("nan"), 0, *broken[r])
                break
            yield scores[r, n]
