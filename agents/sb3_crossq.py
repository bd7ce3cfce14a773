"""CrossQ of sb3-contrib (Bhatt et al. 2024), with the settings of crossq or its own defaults."""

from __future__ import annotations

from typing import Any, ClassVar

from rlbench.agents.crossq import CrossQConfig
from rlbench.peers.sb3.agent import Peer
from rlbench.peers.sb3.config import defaults_of
from rlbench.peers.sb3.off_policy import ContinuousOffPolicyPeer, ContinuousPeerConfig


class SB3CrossQConfig(ContinuousPeerConfig, CrossQConfig):  # type: ignore[misc]  # fields are narrower
    """Parameters of CrossQ that sb3-contrib has, in our units: env steps per seed."""

    ours: ClassVar[str] = "crossq"

    @classmethod
    def usual(cls) -> dict[str, Any]:
        """Return the library's defaults; the widths are its policy's."""
        own = defaults_of(SB3CrossQ.algorithm, list(cls.model_fields))
        return {**own, "net_arch": [256, 256], "critic_arch": [1024, 1024]}


class SB3CrossQ(ContinuousOffPolicyPeer, Peer):
    """S soft actor-critics without target networks of sb3-contrib."""

    Config = SB3CrossQConfig
    version = 1
    draws_actions = True
    algorithm = "sb3_contrib.CrossQ"
    libraries = ("stable_baselines3", "sb3_contrib")

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        names = ("ent_coef", "target_entropy", "policy_delay")
        given = {**super().arguments(config, n_envs), **{n: getattr(config, n) for n in names}}
        return {name: value for name, value in given.items() if name != "tau"}

    def policy_arguments(self) -> dict[str, Any]:
        """Return the arguments of the policy class: actor and critics have widths of their own."""
        c, chosen = self.config, super().policy_arguments()
        widths = chosen["net_arch"]
        critics = [*c.critic_arch, *c.heads()] if c.critic_arch else widths
        if c.optimizer in ("adam", "adamw"):
            chosen["optimizer_kwargs"]["betas"] = (c.beta1, 0.999)
        return {
            **chosen,
            "net_arch": {"pi": widths, "qf": critics},
            "renorm_warmup_steps": c.renorm_warmup_steps,
        }
