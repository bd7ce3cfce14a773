"""DQN of Stable-Baselines3, with the settings of dqn or its own defaults."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field as field

from rlbench.errors import UserError
from rlbench.learning.algorithms.dqn_config import DQNConfig
from rlbench.peers.sb3.agent import Peer
from rlbench.peers.sb3.config import NO_HINDSIGHT, NO_MASKS, NO_MEMORY, PeerConfig, defaults_of
from rlbench.peers.sb3.off_policy import OffPolicyPeer


class SB3DQNConfig(PeerConfig, DQNConfig):  # type: ignore[misc]  # fields are narrower
    """Parameters of DQN that Stable-Baselines3 has, in our units: env steps per seed."""

    ours: ClassVar[str] = "dqn"
    of_switches: ClassVar[tuple[str, ...]] = (
        "prioritized_alpha", "prioritized_beta", "prioritized_eps", "noisy_sigma",
        "n_atoms", "v_min", "v_max", "kappa",
        "iqn_samples", "iqn_target_samples", "iqn_acting_samples", "iqn_embedding",
    )  # fmt: skip

    loss: Literal["huber"] = field("huber", description="the library's DQN has no other loss")
    double: Literal[False] = field(False, description="Stable-Baselines3 has no Double DQN")
    ortho_init: Literal[False] = field(
        False, description="the library's DQN has no orthogonal first weights"
    )
    dueling: Literal[False] = field(False, description="Stable-Baselines3 has no dueling networks")
    prioritized: Literal[False] = field(
        False, description="Stable-Baselines3 has no prioritised replay"
    )
    noisy: Literal[False] = field(False, description="Stable-Baselines3 has no noisy networks")
    distribution: None = field(
        None, description="of distributions the library has quantiles alone, as sb3-qrdqn"
    )
    her: Literal[False] = field(False, description=NO_HINDSIGHT)
    action_masks: Literal[True] = field(True, description=NO_MASKS)
    sequence_length: Literal[16] = field(16, description=NO_MEMORY)
    burn_in: Literal[8] = field(8, description=NO_MEMORY)

    def check(self) -> None:
        super().check()
        for name, value in self.changed().items():
            if name in self.of_switches:
                raise UserError(
                    f"{name}={value} goes with a switch of {self.ours} that Stable-Baselines3 has "
                    f"not: leave it out, or run {self.ours}"
                )

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return defaults_of(SB3DQN.algorithm, list(cls.model_fields))


class SB3DQN(OffPolicyPeer, Peer):
    """S deep Q-networks of Stable-Baselines3."""

    Config = SB3DQNConfig
    version = 1
    algorithm = "stable_baselines3.DQN"
