"""A2C of Stable-Baselines3, with the settings of a2c or its own defaults."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field as field

from rlbench.agents.a2c import A2CConfig
from rlbench.peers.sb3.agent import Peer
from rlbench.peers.sb3.config import NO_MASKS, NO_MEMORY, PeerConfig, defaults_of
from rlbench.peers.sb3.on_policy import OnPolicyPeer, rollout_arguments


class SB3A2CConfig(PeerConfig, A2CConfig):  # type: ignore[misc]  # fields are narrower
    """Parameters of A2C that Stable-Baselines3 has, in our units: env steps per seed."""

    ours: ClassVar[str] = "a2c"

    action_masks: Literal[True] = field(True, description=NO_MASKS)
    sequence_length: None = field(None, description=NO_MEMORY)

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return defaults_of(SB3A2C.algorithm, list(cls.model_fields))


class SB3A2C(OnPolicyPeer, Peer):
    """S advantage actor-critics of Stable-Baselines3."""

    Config = SB3A2CConfig
    version = 1
    algorithm = "stable_baselines3.A2C"

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        return rollout_arguments(config)
