"""PPO with action masks of sb3-contrib (Huang & Ontañón 2022), with the settings of ppo."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from pydantic import Field as field

from rlbench.agents.sb3_ppo import SB3PPOConfig
from rlbench.errors import UserError
from rlbench.learning.environments.facts import EnvFacts
from rlbench.peers.sb3.agent import Peer
from rlbench.peers.sb3.config import defaults_of
from rlbench.peers.sb3.on_policy import OnPolicyPeer, ppo_arguments


class SB3MaskablePPOConfig(SB3PPOConfig):
    """Parameters of maskable PPO that sb3-contrib has, in our units: env steps per seed."""

    ours: ClassVar[str] = "ppo"

    action_masks: Literal[True] = field(
        True, description="it plays by masks: sb3-ppo is the same without"
    )

    @classmethod
    def usual(cls) -> dict[str, Any]:
        return defaults_of(SB3MaskablePPO.algorithm, list(cls.model_fields))


class SB3MaskablePPO(OnPolicyPeer, Peer):
    """S proximal policy optimisers of sb3-contrib that play legal actions only."""

    Config = SB3MaskablePPOConfig
    version = 1
    algorithm = "sb3_contrib.MaskablePPO"
    action_spaces = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
    libraries = ("stable_baselines3", "sb3_contrib")
    takes_masks = True

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        return ppo_arguments(config)

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        if not facts.masked:
            raise UserError(
                f"{cls.name()} plays by action masks, and the environment gives none: use sb3-ppo"
            )

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: Any, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        parts = super().estimate_bytes(config, spec, action_space, seeds, n_envs)
        masks = 4 * config.n_steps * n_envs * (spec.shape[0] - int(np.prod(spec.inner.shape)))
        return {**parts, "rollouts": parts["rollouts"] + masks}

    def policy_arguments(self) -> dict[str, Any]:
        """Return the arguments of the policy class, which draws from no Gaussian."""
        arguments = super().policy_arguments()
        del arguments["log_std_init"]
        return arguments
