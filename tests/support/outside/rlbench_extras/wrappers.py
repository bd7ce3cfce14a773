"""Wrappers."""

from __future__ import annotations

from typing import Any

import gymnasium


class ScaledReward(gymnasium.RewardWrapper[Any, Any]):
    """Rewards times a factor, a half unless told."""

    def __init__(self, env: gymnasium.Env[Any, Any], factor: float = 0.5) -> None:
        super().__init__(env)
        self.factor = factor

    def reward(self, reward: Any) -> float:
        return self.factor * float(reward)
