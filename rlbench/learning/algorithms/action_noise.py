"""Exploration noise for continuous actions, in units in which bounds are -1 and 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field as field

from rlbench.config import Float
from rlbench.learning.optim.learner import LearnerConfig
from rlbench.learning.rng import RandomStream
from rlbench.learning.row_values import RowValues, column

THETA, DT = 0.15, 0.01  # pull to 0 and time step, as in Stable-Baselines3


class ActionNoiseConfig(LearnerConfig):
    """Parameters of the noise on actions in training."""

    noise_type: Literal["normal", "ornstein-uhlenbeck"] | None = field(
        None,
        description="noise added to actions in training. normal: independent at every step; "
        "ornstein-uhlenbeck: correlated over time (Lillicrap et al. 2016)",
    )
    noise_std: Float = field(
        0.1,
        ge=0,
        description="its standard deviation, of actions in [-1, 1]; ornstein-uhlenbeck: after 100 "
        "steps, without its pull to 0",
    )

    def unused(self) -> dict[str, str]:
        none = {} if self.noise_type else {"noise_std": "noise_type=none"}
        return super().unused() | none


class ActionNoise:
    """Noise of every lane, `(S, N, K)`."""

    def __init__(self, by_row: RowValues, seeds: Sequence[int], lead: tuple[int, int]):
        self.correlated = by_row.first.noise_type == "ornstein-uhlenbeck"
        self.std = column(by_row.value("noise_std"), 3)
        self.draws = RandomStream(seeds, "action-noise", lead, normal=True)
        self.value = np.zeros((len(seeds), *lead))

    def next(self, first: np.ndarray) -> np.ndarray:
        """Noise of this step; `first` (S, N) marks lanes in which an episode begins."""
        normal = self.std * self.draws.next()
        if not self.correlated:
            return normal
        before = np.where(first[..., None], 0.0, self.value)
        self.value = before - THETA * DT * before + math.sqrt(DT) * normal
        return self.value

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"value": self.value, "draws": self.draws.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.value = np.asarray(state["value"])
        self.draws.restore(state["draws"])
