"""Base classes of peers with a replay buffer: DQN, QR-DQN, SAC, TD3."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from pydantic import Field as field

from rlbench.errors import UserError
from rlbench.learning.algorithms.off_policy import updates_per_round
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.peers.sb3.config import NO_HINDSIGHT, NO_MEMORY, PeerConfig, library


class OffPolicyPeer:
    """Peer with Q-networks that learn from a replay buffer."""

    action_spaces: ClassVar[tuple[type[spaces.Space[Any]], ...]] = (spaces.Discrete,)

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        """Return the arguments of Stable-Baselines3's DQN or QR-DQN."""
        c = config
        names = ("exploration_initial_eps", "exploration_final_eps", "exploration_fraction")
        return {
            **replay_arguments(c, n_envs),
            **{name: getattr(c, name) for name in names},
            "target_update_interval": max(c.target_update_interval, n_envs),
            "max_grad_norm": float("inf") if c.max_grad_norm is None else c.max_grad_norm,
        }

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        """Refuse an update frequency that does not fit the number of environments."""
        super().check_env(facts, config, n_envs)  # type: ignore[misc]  # of Peer
        if config.train_freq % n_envs and n_envs % config.train_freq:
            raise UserError(
                f"updates come after whole steps of all {n_envs} environments: "
                f"train_freq={config.train_freq} must be a multiple or a divisor of that"
            )

    @classmethod
    def samples_of(cls, config: Any, n_envs: int, updates: int) -> int:
        """Number of transitions that so many updates have learned from."""
        return updates * config.batch_size

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        """Estimate the bytes of one seed, since seeds train one after the other."""
        networks = cls.networks_bytes(config, spec, action_space, n_envs)  # type: ignore[attr-defined]
        return {"replay": config.buffer_size * replayed(spec, action_space), **networks}

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        """Env steps per seed before the first update."""
        return config.learning_starts + 1


class ContinuousPeerConfig(PeerConfig):
    """Settings that SAC and TD3 of the library do not support."""

    max_grad_norm: None = field(None, description="here the library does not clip gradients")
    her: Literal[False] = field(False, description=NO_HINDSIGHT)
    ortho_init: Literal[False] = field(
        False, description="the library has no orthogonal first weights here"
    )
    sequence_length: Literal[16] = field(16, description=NO_MEMORY)
    burn_in: Literal[8] = field(8, description=NO_MEMORY)


class ContinuousOffPolicyPeer(OffPolicyPeer):
    """Actor-critic peer for continuous actions."""

    action_spaces: ClassVar[tuple[type[spaces.Space[Any]], ...]] = (spaces.Box,)

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        """Return the arguments that Stable-Baselines3's SAC and TD3 share."""
        return replay_arguments(config, n_envs)

    def policy_arguments(self) -> dict[str, Any]:
        """Return the arguments of the policy class.

        As in our networks, the action enters below the fully connected layers, including those
        above convolutions; the library's own layers come after them.
        """
        policy_kwargs = super().policy_arguments()  # type: ignore[misc]  # of Peer
        c: Any = self.config  # type: ignore[attr-defined]
        below = policy_kwargs.get("features_extractor_kwargs")
        if below and c.settings == "defaults":
            policy_kwargs["net_arch"] = [256, 256]
        elif below:
            policy_kwargs["net_arch"] = [*below["arch"], *policy_kwargs["net_arch"]]
            below["arch"] = ()
        return {**policy_kwargs, "n_critics": c.n_critics}

    def make(self, seed: int, env: Any) -> Any:
        """Make the model of one seed, with the noise that explores."""
        model = super().make(seed, env)  # type: ignore[misc]  # of Peer
        kinds = {
            "normal": "NormalActionNoise",
            "ornstein-uhlenbeck": "OrnsteinUhlenbeckActionNoise",
        }
        c: Any = self.config  # type: ignore[attr-defined]
        if c.noise_type:
            zeros = np.zeros(env.action_space.shape)
            kind = library(f"stable_baselines3.common.noise.{kinds[c.noise_type]}")
            model.action_noise = kind(zeros, zeros + c.noise_std)
        return model


def replay_arguments(config: Any, n_envs: int) -> dict[str, Any]:
    """Return replay settings: the library counts env steps, but `train_freq` in calls."""
    c = config
    names = ("buffer_size", "learning_starts", "batch_size", "tau", "gamma", "n_steps")
    return {
        **{name: getattr(c, name) for name in names},
        "train_freq": max(c.train_freq // n_envs, 1),
        "gradient_steps": updates_per_round(c) * max(n_envs // c.train_freq, 1),
    }


def replayed(spec: ObsSpec, action_space: spaces.Space[Any]) -> int:
    """Return the bytes of one transition: both observations, action, reward and flags."""
    size = int(spec.space.dtype.itemsize)  # type: ignore[union-attr]  # checked: Box and the like
    components = int(np.prod(action_space.shape or 1))
    return 2 * size * int(spec.parts[0].columns.stop) + 8 * components + 12
