"""Epsilon-greedy exploration: its schedule, and the policy of agents that use it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field as field

from rlbench.config import Float
from rlbench.learning.data.preprocessing import ObservationPipeline
from rlbench.learning.environments.masked_space import draw_legal
from rlbench.learning.environments.masks import ACTION_MASKS
from rlbench.learning.networks import noisy
from rlbench.learning.networks.models import QNetwork
from rlbench.learning.optim.learner import LearnerConfig
from rlbench.learning.policies.network_policies import GreedyQ
from rlbench.learning.rng import RandomStream


class ExplorationConfig(LearnerConfig):
    """Schedule of the share of random actions, epsilon."""

    exploration_initial_eps: Float = field(
        1.0, ge=0, le=1, description="share of random actions at the first step"
    )
    exploration_final_eps: Float = field(
        0.05, ge=0, le=1, description="share of random actions once exploration has ended"
    )
    exploration_fraction: Float = field(
        0.2, ge=0, le=1, description="share of all steps over which it falls"
    )
    action_masks: bool = field(True, description=ACTION_MASKS)

    def epsilon(self, progress: float) -> float:
        """Share of random actions at this share of training: falls linearly, then stays."""
        share = 1.0
        if progress < self.exploration_fraction:
            share = progress / self.exploration_fraction
        return self.exploration_initial_eps + share * (
            self.exploration_final_eps - self.exploration_initial_eps
        )


def drawn(uniform: np.ndarray, n_actions: int, legal: np.ndarray | None) -> np.ndarray:
    """Draw random actions `(S, N)` by uniform numbers, of the `legal` ones (S, N, A) if given."""
    return (uniform * n_actions).astype(np.int64) if legal is None else draw_legal(legal, uniform)


def policy_over(
    agent: Any, network: QNetwork, pipeline: ObservationPipeline, seeds: Sequence[int], frozen: bool
) -> GreedyQ:
    """Build the policy of a Q-learning agent; used as its method `policy_over`.

    With `deterministic=False` it explores as training does: as it does now where `frozen`, else as
    it does at each step.
    """

    def rate() -> float | np.ndarray:
        return 0.0 if agent.total_timesteps is None else agent.exploration_rate()

    rate_now = rate()
    policy = GreedyQ(seeds, pipeline, network, agent.action_start, agent.device)
    policy.exploration_rate = functools.partial(_same, rate_now) if frozen else rate
    if network.noisy:
        width = (noisy.width(network.noisy),)
        policy.noise = RandomStream(seeds, "policy-noise", width, 16, normal=True)
    return policy


def _same(rate: float | np.ndarray) -> float | np.ndarray:
    return rate
