"""The sealed evaluation protocol in numbers; all steps are env steps per seed."""

from __future__ import annotations

EVAL_EPISODES = 10  # at every point of the grid
FINAL_EPISODES = 100  # with the last weights, on episodes of their own


def default_eval_freq(total_timesteps: int) -> int:
    """Steps between two points of the default grid: a tenth of all steps, at least one."""
    return max(total_timesteps // 10, 1)
