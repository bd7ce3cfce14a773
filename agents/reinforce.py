"""REINFORCE: policy gradient with returns to the end of episodes and a learned baseline.

Williams 1992, section 5: A2C with long rollouts and lambda 1. Unlike there, an episode that goes on
when the rollout ends is not thrown away: what follows it is estimated by the baseline.
"""

from __future__ import annotations

from pydantic import Field as field

from rlbench.config import Float, Int
from rlbench.learning.algorithms.on_policy import OnPolicy, OnPolicyConfig
from rlbench.learning.optim.learner import Rule


class ReinforceConfig(OnPolicyConfig):
    """Parameters of REINFORCE: A2C's, with other defaults."""

    n_steps: Int = field(
        256, ge=1, description="steps of each environment between two updates: T of the rollout"
    )
    learning_rate: Float = field(3e-3, gt=0, description="step size of the optimiser")
    optimizer: Rule = field("adam", description="update rule")
    normalize_advantage: bool = field(
        True, description="advantages of a batch to mean 0 and deviation 1"
    )


class Reinforce(OnPolicy):
    """S policies, each with a baseline and N environments of its own."""

    Config = ReinforceConfig
    version = 1
