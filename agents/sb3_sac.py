"""SAC of Stable-Baselines3, with the settings of sac or its own defaults."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field as field

from rlbench.agents._sb3 import Peer
from rlbench.agents._sb3_config import NONE_OTHER, PeerConfig, defaults_of
from rlbench.agents._sb3_off_policy import ContinuousFromReplay
from rlbench.agents.sac import SACConfig


class SB3SACConfig(PeerConfig, SACConfig):  # type: ignore[misc]  # fields are narrower
    """Parameters of SAC that Stable-Baselines3 has, in our units: env steps per seed."""

    max_grad_norm: None = field(None, description=NONE_OTHER)
    ortho_init: Literal[False] = field(False, description=NONE_OTHER)
    sequence_length: Literal[16] = field(16, description=f"without a memory nothing: {NONE_OTHER}")
    burn_in: Literal[8] = field(8, description=f"without a memory nothing: {NONE_OTHER}")

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return defaults_of(SB3SAC.algorithm, list(cls.model_fields))


class SB3SAC(ContinuousFromReplay, Peer):
    """S soft actor-critics of Stable-Baselines3."""

    Config = SB3SACConfig
    version = 1
    algorithm = "stable_baselines3.SAC"

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        names = ("ent_coef", "target_entropy")
        return {**super().arguments(config, n_envs), **{n: getattr(config, n) for n in names}}
