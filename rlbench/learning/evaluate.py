"""The sealed evaluation: own environments, fixed reset seeds, no trace left in training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from rlbench.learning.lanes import BAD_ACTION, MakeEnv
from rlbench.learning.policy import Policy
from rlbench.learning.seeds import evaluation_seeds

# Episodes that one seed plays at once. A part of the protocol: it fixes the shape of the batches
# that policies see, and with it the last bit of their outputs.
LANES = 10
PULSE_SECONDS = 0.1


class Score(NamedTuple):
    """One evaluation episode of the seed in row `row`; `error` says why it could not be played, and
    `status` what a seed is whose episode has an error or no finite return."""

    row: int
    episode: int
    eval_seed: int
    ret: float
    length: int
    error: str = ""
    status: str = "diverged"


def evaluate(policy: Policy, make: MakeEnv, phase: str, episodes: int) -> Iterator[Score | None]:
    """Play the first `episodes` episodes of a phase, `grid` or `final`, with every policy."""
    return play(policy, make, evaluation_seeds(phase, episodes))


def play(policy: Policy, make: MakeEnv, reset_seeds: Sequence[int]) -> Iterator[Score | None]:
    """Play one episode per reset seed with every seed's policy; scores in order of episodes.

    Environments are made anew, so that nothing is carried over from anywhere. An environment that
    fails ends the episodes of its seed, with the error in their scores. None is yielded a few
    times a second while it lasts.
    """
    width, rows = LANES, len(policy.seeds)
    policy.reset()
    envs = [[make() for _ in range(width)] for _ in range(rows)]
    obs = np.zeros((rows, width, *policy.spec.shape), policy.spec.dtype)
    first = np.ones((rows, width), bool)
    episode = np.tile(np.arange(width), (rows, 1))  # which episode a lane plays
    totals = [[0.0] * width for _ in range(rows)]
    lengths = [[0] * width for _ in range(rows)]
    scores: dict[tuple[int, int], Score] = {}
    broken: dict[int, tuple[str, str]] = {}  # row -> why, status

    def begin(r: int, i: int) -> None:
        start, _ = envs[r][i].reset(seed=reset_seeds[episode[r, i]])
        obs[r, i] = policy.spec.array(start)
        first[r, i], totals[r][i], lengths[r][i] = True, 0.0, 0

    def fail(r: int, error: Exception) -> None:
        broken[r] = f"{type(error).__name__} in evaluation: {error}", "failed"

    playing = [(r, i) for r in range(rows) for i in range(min(width, len(reset_seeds)))]
    for r, i in playing:
        try:
            begin(r, i)
        except Exception as error:
            fail(r, error)
    playing = [(r, i) for r, i in playing if r not in broken]
    plain = isinstance(envs[0][0].action_space, spaces.Discrete)
    pulse = time.perf_counter()
    while playing:
        if time.perf_counter() - pulse > PULSE_SECONDS:
            yield None
            pulse = time.perf_counter()
        action = policy.act(obs, first)
        first[:] = False
        ended_any = False
        sound = plain or bool(np.isfinite(action).all())
        for r, i in playing:
            if not sound and not np.isfinite(action[r, i]).all():
                broken[r], ended_any = (f"{BAD_ACTION} in evaluation", "diverged"), True
                continue
            try:
                chosen = int(action[r, i]) + policy.action_start if plain else action[r, i]
                seen, reward, ended, cut, _ = envs[r][i].step(chosen)
                obs[r, i] = policy.spec.array(seen)
                totals[r][i] += float(reward)
                lengths[r][i] += 1
                if ended or cut:
                    ended_any = True
                    n = int(episode[r, i])
                    scores[r, n] = Score(r, n, reset_seeds[n], totals[r][i], lengths[r][i])
                    episode[r, i] = n + width
                    if n + width < len(reset_seeds):
                        begin(r, i)
            except Exception as error:
                fail(r, error)
                ended_any = True
        if ended_any:
            playing = [
                (r, i) for r, i in playing if r not in broken and episode[r, i] < len(reset_seeds)
            ]
    for lane in envs:
        for env in lane:
            env.close()
    for r in range(rows):
        for n, reset_seed in enumerate(reset_seeds):
            if r in broken:
                yield Score(r, n, reset_seed, float("nan"), 0, *broken[r])
                break
            yield scores[r, n]
