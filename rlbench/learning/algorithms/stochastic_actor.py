"""The policy of agents whose actor is a distribution of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlbench.learning.data.preprocessing import ObservationPipeline
from rlbench.learning.policies.network_policies import StochasticPolicy


def policy_over(
    agent: Any, network: Any, pipeline: ObservationPipeline, seeds: Sequence[int], frozen: bool
) -> StochasticPolicy:
    """Build the policy of an agent with a `distribution`; used as its method `policy_over`."""
    policy = StochasticPolicy(seeds, pipeline, network, agent.action_start, agent.device)
    policy.distribution = agent.distribution
    return policy
