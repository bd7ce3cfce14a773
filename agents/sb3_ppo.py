"""PPO of Stable-Baselines3, with the settings of ppo or its own defaults."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field as field

from rlbench.agents.ppo import PPOConfig
from rlbench.peers.sb3.agent import Peer
from rlbench.peers.sb3.config import NO_MASKS, NO_MEMORY, PeerConfig, defaults_of
from rlbench.peers.sb3.on_policy import OnPolicyPeer, ppo_arguments


class SB3PPOConfig(PeerConfig, PPOConfig):  # type: ignore[misc]  # fields are narrower
    """Parameters of PPO that Stable-Baselines3 has, in our units: env steps per seed."""

    ours: ClassVar[str] = "ppo"

    action_masks: Literal[True] = field(True, description=NO_MASKS)
    sequence_length: None = field(None, description=NO_MEMORY)

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return defaults_of(SB3PPO.algorithm, list(cls.model_fields))


class SB3PPO(OnPolicyPeer, Peer):
    """S proximal policy optimisers of Stable-Baselines3."""

    Config = SB3PPOConfig
    version = 1
    algorithm = "stable_baselines3.PPO"

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        return ppo_arguments(config)
