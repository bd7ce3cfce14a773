"""DDPG: deep deterministic policy gradient (Lillicrap et al. 2016).

TD3 with one critic, a policy that moves with it, and no noise on the target's action.
"""

from __future__ import annotations

from rlbench.agents.td3 import TD3

DDPGConfig = TD3.Config.having(
    "DDPGConfig", __name__, n_critics=1, policy_delay=1, target_policy_noise=0.0
)


class DDPG(TD3):
    """S deep deterministic policy gradients."""

    Config = DDPGConfig
