"""Base of PPO and A2C of Stable-Baselines3."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from gymnasium import spaces

from rlbench.learning.environments.spaces import ObsSpec
from rlbench.peers.sb3.config import falling


class OnPolicyPeer:
    """Peer with actor-critics that learn from their own rollouts."""

    action_spaces: ClassVar[tuple[type[spaces.Space[Any]], ...]] = (
        spaces.Discrete,
        spaces.MultiDiscrete,
        spaces.MultiBinary,
        spaces.Box,
    )
    default_envs = 8
    actor_critic = True
    draws_actions = True

    @classmethod
    def samples_of(cls, config: Any, n_envs: int, updates: int) -> int:
        """Count the transitions learned from, where updates are passes over a rollout."""
        return updates * config.n_steps * n_envs

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        """Estimate the bytes of one seed, since seeds train one after the other."""
        step = 4 * (math.prod(spec.shape) + math.prod(action_space.shape or (1,)) + 6)
        networks = cls.networks_bytes(config, spec, action_space, n_envs)  # type: ignore[attr-defined]
        return {"rollouts": config.n_steps * n_envs * step, **networks}

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        """Env steps per seed before the first update: one rollout."""
        return config.n_steps * n_envs


def rollout_arguments(config: Any) -> dict[str, Any]:
    """Return the arguments of the library's classes that learn from rollouts."""
    names = ("n_steps", "gamma", "gae_lambda", "ent_coef", "vf_coef", "normalize_advantage")
    clip = config.max_grad_norm
    return {
        **{name: getattr(config, name) for name in names},
        "max_grad_norm": float("inf") if clip is None else clip,
    }


def ppo_arguments(config: Any) -> dict[str, Any]:
    """Return the arguments of the library's PPO; its clip ranges decay as learning rates do."""
    c = config
    vf = c.clip_range_vf
    return {
        **rollout_arguments(c),
        "batch_size": c.batch_size,
        "n_epochs": c.n_epochs,
        "clip_range": falling(c.clip_range, c.clip_schedule),
        "clip_range_vf": None if vf is None else falling(vf, c.clip_schedule),
    }
