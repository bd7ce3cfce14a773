"""Evaluation protocol in numbers; all steps are env steps per seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

EVAL_EPISODES = 10  # at every point of the grid
FINAL_EPISODES = 100  # with the last weights, on episodes of their own
EVAL_MAX_STEPS = 27_000  # of an evaluation episode without a limit: half an hour of Atari
LEAST_MAX_STEPS = 1_000


def default_eval_freq(total_timesteps: int) -> int:
    """Return the default steps between evaluations: a tenth of all steps, at least one."""
    return max(total_timesteps // 10, 1)


def last_step(total_timesteps: Any, n_envs: int) -> Any:
    """Return a seed's steps at the end: a multiple of `n_envs`, which step together."""
    return -(-total_timesteps // n_envs) * n_envs


def grid_size(total_timesteps: int, n_envs: int, eval_freq: int) -> int:
    """Return the number of points of `grid_steps`."""
    if not eval_freq:
        return 0
    return 1 + last_step(total_timesteps, n_envs) // max(eval_freq, n_envs)


def grid_steps(total_timesteps: int, n_envs: int, eval_freq: int) -> Iterator[int]:
    """Yield the steps at which a seed is evaluated: 0 and each multiple of `eval_freq` reached."""
    if eval_freq:
        for mark in range(0, last_step(total_timesteps, n_envs) + 1, max(eval_freq, n_envs)):
            yield last_step(mark, n_envs)


def is_grid_step(step: Any, n_envs: int, eval_freq: int) -> Any:
    """Return whether a step, or each in an array, is one that `grid_steps` may yield."""
    every = max(eval_freq, n_envs)
    return (eval_freq > 0) & (last_step(step // every * every, n_envs) == step)


def default_eval_max_steps(total_timesteps: int) -> int:
    """Return the step limit of evaluation episodes in an environment without a limit.

    A tenth of the steps that a seed trains, within bounds: no more than between two evaluations, so
    that these do not dominate the time. An agent that does not train has the upper bound.
    """
    if not total_timesteps:
        return EVAL_MAX_STEPS
    return min(max(total_timesteps // 10, LEAST_MAX_STEPS), EVAL_MAX_STEPS)
