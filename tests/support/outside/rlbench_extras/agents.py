"""Agents."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rlbench.agents.dqn import DQN
from rlbench.learning.algorithms.dqn_config import DQNConfig


class CautiousConfig(DQNConfig):
    """DQN's parameters and one more."""

    doubt: float = Field(0.1, ge=0, description="share of each reward that is not believed")


class Cautious(DQN):
    """Cautious DQN: believes only a part of each reward."""

    Config = CautiousConfig  # type: ignore[assignment]
    config: CautiousConfig

    def loss(self, obs: Any, action: Any, reward: Any, tau: Any = None, **rest: Any) -> Any:
        return super().loss(obs, action, (1 - self.config.doubt) * reward, tau, **rest)
