"""QR-DQN of sb3-contrib (Dabney et al. 2018), with the settings of dqn or its own defaults."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field as field

from rlbench.agents.sb3_dqn import SB3DQNConfig
from rlbench.config import Int
from rlbench.peers.sb3.agent import Peer
from rlbench.peers.sb3.config import defaults_of
from rlbench.peers.sb3.off_policy import OffPolicyPeer


class SB3QRDQNConfig(SB3DQNConfig):
    """Parameters of QR-DQN that sb3-contrib has, in our units: env steps per seed."""

    loss: Literal["quantile"] = field(  # type: ignore[assignment]
        "quantile", description="quantiles have a loss of their own"
    )
    distribution: None = field(None, description="sb3-qrdqn learns quantiles, whatever is said")
    n_quantiles: Int = field(200, ge=1, description="quantiles of each action's return")

    def unused(self) -> dict[str, str]:
        return {k: reason for k, reason in super().unused().items() if k != "n_quantiles"}

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return defaults_of(SB3QRDQN.algorithm, list(cls.model_fields))


class SB3QRDQN(OffPolicyPeer, Peer):
    """S quantile-regression DQNs of sb3-contrib."""

    Config = SB3QRDQNConfig
    version = 1
    algorithm = "sb3_contrib.QRDQN"
    libraries = ("stable_baselines3", "sb3_contrib")

    @classmethod
    def networks_bytes(cls, config: Any, *sizes: Any) -> dict[str, int]:
        return super().networks_bytes(config.model_copy(update={"distribution": "qr"}), *sizes)

    def policy_arguments(self) -> dict[str, Any]:
        """Adam's epsilon is the paper's, as where the library is told no optimiser."""
        chosen = super().policy_arguments()
        if self.config.optimizer == "adam":
            chosen["optimizer_kwargs"]["eps"] = 0.01 / self.config.batch_size
        return {**chosen, "n_quantiles": self.config.n_quantiles}
