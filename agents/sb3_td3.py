"""TD3 of Stable-Baselines3, with the settings of td3 or its own defaults."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rlbench.agents.td3 import TD3Config
from rlbench.errors import UserError
from rlbench.learning.environments.facts import EnvFacts
from rlbench.peers.sb3.agent import Peer
from rlbench.peers.sb3.config import defaults_of
from rlbench.peers.sb3.off_policy import ContinuousOffPolicyPeer, ContinuousPeerConfig


class SB3TD3Config(ContinuousPeerConfig, TD3Config):  # type: ignore[misc]  # fields are narrower
    """Parameters of TD3 that Stable-Baselines3 has, in our units: env steps per seed."""

    ours: ClassVar[str] = "td3"

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return {**defaults_of(SB3TD3.algorithm, list(cls.model_fields)), "noise_type": None}


class SB3TD3(ContinuousOffPolicyPeer, Peer):
    """S twin delayed deterministic policy gradients of Stable-Baselines3."""

    Config = SB3TD3Config
    version = 1
    algorithm = "stable_baselines3.TD3"

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        names = ("policy_delay", "target_policy_noise", "target_noise_clip")
        return {**super().arguments(config, n_envs), **{n: getattr(config, n) for n in names}}

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        action = facts.action_space  # its noise is of the action's dtype and shape
        if not np.issubdtype(action.dtype, np.floating) or action.shape == ():
            raise UserError(f"{cls.name()} needs actions that are arrays of floats, not {action}")
