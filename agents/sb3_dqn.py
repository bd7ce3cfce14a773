"""DQN of Stable-Baselines3, with the settings of dqn or its own defaults."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field as field

from rlbench.agents._dqn_config import DQNConfig
from rlbench.agents._sb3 import Peer
from rlbench.agents._sb3_config import NONE_OTHER, PeerConfig, defaults_of
from rlbench.agents._sb3_off_policy import FromReplay
from rlbench.errors import UserError

# What belongs to extensions of dqn that are always off here.
_OF_SWITCHES = (
    "prioritized_alpha", "prioritized_beta", "prioritized_eps", "noisy_sigma",
    "n_atoms", "v_min", "v_max", "kappa",
    "iqn_samples", "iqn_target_samples", "iqn_acting_samples", "iqn_embedding",
)  # fmt: skip


class SB3DQNConfig(PeerConfig, DQNConfig):  # type: ignore[misc]  # fields are narrower
    """Parameters of DQN that Stable-Baselines3 has, in our units: env steps per seed."""

    loss: Literal["huber"] = field("huber", description=NONE_OTHER)
    double: Literal[False] = field(False, description=NONE_OTHER)
    ortho_init: Literal[False] = field(False, description=NONE_OTHER)
    dueling: Literal[False] = field(False, description=NONE_OTHER)
    prioritized: Literal[False] = field(False, description=NONE_OTHER)
    noisy: Literal[False] = field(False, description=NONE_OTHER)
    distribution: None = field(None, description=NONE_OTHER)
    sequence_length: Literal[16] = field(16, description=f"without a memory nothing: {NONE_OTHER}")
    burn_in: Literal[8] = field(8, description=f"without a memory nothing: {NONE_OTHER}")

    def check(self) -> None:
        super().check()
        for name, value in self.changed().items():
            if name in _OF_SWITCHES:
                raise UserError(f"{name}={value} goes with a switch of dqn: {NONE_OTHER}")

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return defaults_of(SB3DQN.algorithm, list(cls.model_fields))


class SB3DQN(FromReplay, Peer):
    """S deep Q-networks of Stable-Baselines3."""

    Config = SB3DQNConfig
    version = 1
    algorithm = "stable_baselines3.DQN"
