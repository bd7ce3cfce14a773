"""SAC of Stable-Baselines3, with the settings of sac or its own defaults."""

from __future__ import annotations

from typing import Any, ClassVar

from rlbench.agents.sac import SACConfig
from rlbench.peers.sb3.agent import Peer
from rlbench.peers.sb3.config import defaults_of
from rlbench.peers.sb3.off_policy import ContinuousOffPolicyPeer, ContinuousPeerConfig


class SB3SACConfig(ContinuousPeerConfig, SACConfig):  # type: ignore[misc]  # fields are narrower
    """Parameters of SAC that Stable-Baselines3 has, in our units: env steps per seed."""

    ours: ClassVar[str] = "sac"

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return defaults_of(SB3SAC.algorithm, list(cls.model_fields))


class SB3SAC(ContinuousOffPolicyPeer, Peer):
    """S soft actor-critics of Stable-Baselines3."""

    Config = SB3SACConfig
    version = 1
    draws_actions = True
    algorithm = "stable_baselines3.SAC"

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        names = ("ent_coef", "target_entropy")
        return {**super().arguments(config, n_envs), **{n: getattr(config, n) for n in names}}
