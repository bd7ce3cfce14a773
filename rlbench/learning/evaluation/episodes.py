"""Sealed evaluation: separate environments and fixed reset seeds, without effect on training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rlbench.learning.environments.lanes import MakeEnv
from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.evaluation.stages import WHERE as WHERE
from rlbench.learning.evaluation.stages import stage_of
from rlbench.learning.policies.policy import Policy
from rlbench.learning.rng import evaluation_seeds

# Episodes that one seed plays at once. A part of the protocol: it fixes the shape of the batches
# that policies see, and with it the last bit of their outputs.
LANES = 10
PULSE_SECONDS = 0.1
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
    state is carried over; a batched twin takes their place where there is one. An environment that
    fails or returns NaN ends the episodes of its seed, with the error in their scores. An episode
    is cut at the step limit. None is yielded a few times a second, after `playing` has been
    updated.
    """
    count, rows = len(reset_seeds), len(policy.seeds)
    policy.reset()
    stage = stage_of(make, policy.spec, rows, LANES)
    most, broken = limit.of(stage.env), stage.broken
    first = np.ones((rows, LANES), bool)
    episode = np.tile(np.arange(LANES), (rows, 1))  # which episode a lane plays
    totals, lengths = np.zeros((rows, LANES)), np.zeros((rows, LANES), np.int64)
    scores: dict[tuple[int, int], Score] = {}
    active = episode < count
    lanes = list(zip(*(index.tolist() for index in np.nonzero(active)), strict=True))
    stage.begin(lanes, [reset_seeds[i] for _, i in lanes])
    active[list(broken)] = False
    stage.narrow(active)
    pulse = time.perf_counter()
    playing_lanes, steps = int(active.sum()), 0  # steps of all seeds
    while playing_lanes:
        if time.perf_counter() - pulse > PULSE_SECONDS:
            if playing is not None:
                playing.done, playing.of = len(scores) // rows, count
                playing.steps = steps // rows
            yield None
            pulse = time.perf_counter()
        action = policy.act(stage.obs, first)
        first[:] = False
        failures = len(broken)
        reward, ended = stage.step(action, policy.action_start)
        steps += playing_lanes
        totals += reward
        lengths += 1
        over = (ended | (lengths >= most)) & active
        if 1 not in over.tobytes() and len(broken) == failures:
            continue
        lanes = []
        for r, i in zip(*(index.tolist() for index in np.nonzero(over)), strict=True):
            n = int(episode[r, i])
            ret, length = float(totals[r, i]), int(lengths[r, i])
            scores[r, n] = Score(r, n, reset_seeds[n], ret, length, cut=not ended[r, i])
            episode[r, i] = n + LANES
            if n + LANES < count and r not in broken:
                lanes.append((r, i))
                first[r, i], totals[r, i], lengths[r, i] = True, 0.0, 0
        stage.begin(lanes, [reset_seeds[episode[lane]] for lane in lanes])
        active = episode < count
        active[list(broken)] = False
        stage.narrow(active)
        playing_lanes = int(active.sum())
    stage.close()
    for r in range(rows):
        for n, reset_seed in enumerate(reset_seeds):
            if r in broken:
                yield Score(r, n, reset_seed, float("nan"), 0, *broken[r])
                break
            yield scores[r, n]
