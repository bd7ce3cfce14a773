"""Random actions instead of greedy ones, with a share that falls (epsilon-greedy)."""

from __future__ import annotations

from pydantic import Field as field

from rlbench.config import Float
from rlbench.learning.optim.learner import LearnerConfig


class ExplorationConfig(LearnerConfig):
    """How the share of random actions falls."""

    exploration_initial_eps: Float = field(
        1.0, ge=0, le=1, description="share of random actions at the first step"
    )
    exploration_final_eps: Float = field(
        0.05, ge=0, le=1, description="share of random actions once exploration has ended"
    )
    exploration_fraction: Float = field(
        0.2, ge=0, le=1, description="share of all steps over which exploration falls"
    )

    def epsilon(self, passed: float) -> float:
        """Share of random actions when this share of all steps has passed: linear, then final."""
        share = passed / self.exploration_fraction if passed < self.exploration_fraction else 1.0
        return self.exploration_initial_eps + share * (
            self.exploration_final_eps - self.exploration_initial_eps
        )
