"""Schedule of training and evaluation, and the interface of trainers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from rlbench.learning.evaluation.episode_limit import StepLimit
from rlbench.learning.training.time_profile import TimeProfile
from rlbench.protocol import (
    EVAL_EPISODES,
    FINAL_EPISODES,
    default_eval_freq,
)
from rlbench.rows import Row


class TrainingSchedule(NamedTuple):
    """Length of training and evaluation points. All counts are env steps per seed, or episodes."""

    total_timesteps: int
    eval_freq: int | None = None  # None: ten points; 0: never
    eval_episodes: int = EVAL_EPISODES
    final_episodes: int = FINAL_EPISODES
    log_points: int = 100
    eval_max_steps: int | None = None  # None: see `rlbench.learning.evaluation.episode_limit`
    eval_workers: int = 0  # processes that play evaluations beside training; 0: this one plays

    @property
    def limit(self) -> StepLimit:
        """Return the step limit of evaluation episodes."""
        return StepLimit.within(self.total_timesteps, self.eval_max_steps)

    def every(self) -> int:
        """Return the env steps between two evaluations; 0 without any."""
        return default_eval_freq(self.total_timesteps) if self.eval_freq is None else self.eval_freq


class TrainerProtocol(Protocol):
    """Interface of trainers: `rows()` trains a part, state can be saved and restored."""

    resume_note: str  # message for users if `restore` returned False

    @property
    def step(self) -> int:
        """Env steps per seed so far."""

    @property
    def seconds(self) -> float:
        """Seconds of training so far, without evaluation."""

    @property
    def seed_seconds(self) -> dict[int, float] | None:
        """Seconds of each seed, where seeds train one after the other; else None."""

    @property
    def split(self) -> TimeProfile | None:
        """Where the time went; None if it was not measured."""

    def rows(self) -> Iterator[Row]:
        """Train, and yield rows in order of time."""

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""

    def restore(self, state: dict[str, Any]) -> bool:
        """Go on from what `state` returned; False if not all of it can (`resume_note`)."""

    def close(self) -> None:
        """Close all environments."""


def overflow_allowed() -> np.errstate:
    """Silence overflow warnings: diverging seeds are detected by their weights."""
    return np.errstate(over="ignore", invalid="ignore")
