"""PPO with an LSTM of sb3-contrib, with the settings of ppo or its own defaults."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from gymnasium import spaces
from pydantic import Field as field

from rlbench.agents.ppo import PPOConfig
from rlbench.config import Int
from rlbench.peers.sb3.agent import Peer
from rlbench.peers.sb3.config import NO_MASKS, PeerConfig, defaults_of
from rlbench.peers.sb3.on_policy import OnPolicyPeer, ppo_arguments


class SB3PPOLSTMConfig(PeerConfig, PPOConfig):  # type: ignore[misc]  # fields are narrower
    """Parameters of recurrent PPO that sb3-contrib has, in our units: env steps per seed."""

    ours: ClassVar[str] = "ppo"

    encoder: Literal["lstm", "mlp+lstm", "cnn+lstm"] = field(  # type: ignore[assignment]
        "lstm",
        description="lstm: above what fits the observation; the library has no other memory here",
    )
    hidden_size: Int = field(64, ge=2, description="units of the lstm")  # type: ignore[assignment]
    num_layers: Int = field(1, ge=1, le=16, description="LSTMs above each other")
    action_masks: Literal[True] = field(True, description=NO_MASKS)
    sequence_length: None = field(
        None,
        description="sequences reach from where an episode or rollout begins to its end, always",
    )

    def check(self) -> None:
        """Accept any batch size: minibatches of the library are successive steps.

        One that begins inside a sequence continues from the hidden state stored there.
        """

    @classmethod
    def usual(cls) -> dict[str, Any]:
        """The library has its layers above the memory."""
        defaults = defaults_of(SB3PPOLSTM.algorithm, list(cls.model_fields))
        return {**defaults, "hidden_size": 256, "net_arch": (), "head_arch": (64, 64)}


class SB3PPOLSTM(OnPolicyPeer, Peer):
    """S proximal policy optimisers of sb3-contrib with an LSTM."""

    Config = SB3PPOLSTMConfig
    version = 1
    algorithm = "sb3_contrib.RecurrentPPO"
    # Its rollouts are of the action's dtype, which for MultiBinary is no float.
    action_spaces = (spaces.Discrete, spaces.MultiDiscrete, spaces.Box)
    policy_name = "MlpLstmPolicy"
    libraries = ("stable_baselines3", "sb3_contrib")

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        return ppo_arguments(config)
