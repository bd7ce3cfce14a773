"""The sealed evaluation protocol in numbers; all steps are env steps per seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

EVAL_EPISODES = 10  # at every point of the grid
FINAL_EPISODES = 100  # with the last weights, on episodes of their own
EVAL_MAX_STEPS = 27_000  # of an evaluation episode without a limit: half an hour of Atari
LEAST_MAX_STEPS = 1_000


def default_eval_freq(total_timesteps: int) -> int:
    """Steps between two points of the default grid: a tenth of all steps, at least one."""
    return max(total_timesteps // 10, 1)


def last_step(total_timesteps: Any, n_envs: int) -> Any:
    """Steps of a seed when it ends: all its environments step together."""
    return -(-total_timesteps // n_envs) * n_envs


def grid_size(total_timesteps: int, n_envs: int, eval_freq: int) -> int:
    """How many points `grid_steps` gives."""
    if not eval_freq:
        return 0
    return 1 + last_step(total_timesteps, n_envs) // max(eval_freq, n_envs)


def grid_steps(total_timesteps: int, n_envs: int, eval_freq: int) -> Iterator[int]:
    """Steps at which a seed is evaluated: 0, and where it reaches a multiple of `eval_freq`."""
    if eval_freq:
        for mark in range(0, last_step(total_timesteps, n_envs) + 1, max(eval_freq, n_envs)):
            yield last_step(mark, n_envs)


def is_grid_step(step: Any, n_envs: int, eval_freq: int) -> Any:
    """Whether a number of steps, or each in an array, is one that `grid_steps` may give."""
    every = max(eval_freq, n_envs)
    return (eval_freq > 0) & (last_step(step // every * every, n_envs) == step)


def default_eval_max_steps(total_timesteps: int) -> int:
    """Steps of an evaluation episode in an environment without a limit of its own.

    A tenth of the steps that a seed trains, within bounds: no more than it trains between two
    evaluations, so that these do not take most of the time. An agent that does not train has the
    upper bound.
    """
    if not total_timesteps:
        return EVAL_MAX_STEPS
    return min(max(total_timesteps // 10, LEAST_MAX_STEPS), EVAL_MAX_STEPS)
