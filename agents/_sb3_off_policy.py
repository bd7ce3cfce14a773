"""What DQN and QR-DQN of Stable-Baselines3 and its contrib package share."""

from __future__ import annotations

from typing import Any, ClassVar

from gymnasium import spaces

from rlbench.errors import UserError
from rlbench.learning.spaces import ObsSpec


class FromReplay:
    """Beside `Peer`: Q-networks, which learn from a replay memory."""

    action_spaces: ClassVar[tuple[type[spaces.Space[Any]], ...]] = (spaces.Discrete,)

    @classmethod
    def arguments(cls, config: Any, n_envs: int) -> dict[str, Any]:
        """The library counts steps of all environments together, but `train_freq` in calls."""
        c = config
        updates = c.train_freq if c.gradient_steps < 0 else c.gradient_steps
        names = ("buffer_size", "learning_starts", "batch_size", "tau", "gamma", "n_steps",
                 "exploration_initial_eps", "exploration_final_eps",
                 "exploration_fraction")  # fmt: skip
        return {
            **{name: getattr(c, name) for name in names},
            "train_freq": max(c.train_freq // n_envs, 1),
            "gradient_steps": updates * max(n_envs // c.train_freq, 1),
            "target_update_interval": max(c.target_update_interval, n_envs),
            "max_grad_norm": float("inf") if c.max_grad_norm is None else c.max_grad_norm,
        }

    @classmethod
    def check_env(cls, env: Any, config: Any, n_envs: int) -> None:
        super().check_env(env, config, n_envs)  # type: ignore[misc]  # of Peer
        if config.train_freq % n_envs and n_envs % config.train_freq:
            raise UserError(
                f"updates come after whole steps of all {n_envs} environments: "
                f"train_freq={config.train_freq} must be a multiple or a divisor of that"
            )

    @classmethod
    def samples_of(cls, config: Any, n_envs: int, updates: int) -> int:
        return updates * config.batch_size

    @classmethod
    def memory(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        """Of one seed: they come one after the other."""
        return {"replay": config.buffer_size * replayed(spec)}

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.learning_starts + 1


def replayed(spec: ObsSpec) -> int:
    """Bytes of one transition: both observations, action, reward and how it ended."""
    size = int(spec.space.dtype.itemsize)  # type: ignore[union-attr]  # checked: Box and the like
    return 2 * size * int(spec.parts[0].columns.stop) + 20
