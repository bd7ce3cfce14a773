"""A2C: advantage actor-critic, one update per rollout (Mnih et al. 2016, synchronous)."""

from __future__ import annotations

from rlbench.learning.algorithms.on_policy import OnPolicy, OnPolicyConfig


class A2CConfig(OnPolicyConfig):
    """Parameters of A2C; their defaults are those of the on-policy agents."""


class A2C(OnPolicy):
    """S advantage actor-critics, each with N environments of its own."""

    Config = A2CConfig
    version = 1
