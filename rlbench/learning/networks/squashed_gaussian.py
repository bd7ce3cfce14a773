"""Policies over bounded Box actions: tanh of a network's output, or of a Gaussian around it.

Networks act in [-1, 1], whatever the environment's bounds are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.errors import UserError
from rlbench.learning.networks.action_distributions import Gaussian

LOG_STD = (-20.0, 2.0)  # bounds of the log-deviation, as in Haarnoja et al.'s code
_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def check_bounded(name: str, space: spaces.Space[Any]) -> None:
    """Reject action spaces that cannot be scaled to [-1, 1]."""
    if isinstance(space, spaces.Box):
        if not np.issubdtype(space.dtype, np.floating):
            raise UserError(f"{name} needs actions that are real numbers, not {space}")
        if not space.is_bounded():
            raise UserError(
                f"{name} needs bounded actions, not {space}: use ppo, or give the environment "
                "an action_space with bounds"
            )


def log_slope(u: Tensor) -> Tensor:
    """Compute log(1 - tanh(u)^2), `(...)`, finite for every finite u.

    It is 2 (log 2 - u - softplus(-2 u)), and even in u, so that softplus, which rounds differently
    for S = 1 and S > 1, is not needed.
    """
    size = u.abs()
    return 2.0 * (math.log(2.0) - size - torch.log(1.0 + torch.exp(-2.0 * size)))


class Squashed(Gaussian):
    """Deterministic policy: tanh of the network's outputs (Fujimoto et al. 2018)."""

    spread = False

    def sample(self, outputs: np.ndarray, normal: np.ndarray, std: Any = None) -> np.ndarray:
        return self.mode(outputs)

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        """Return actions in [-1, 1], `(..., outputs) -> (..., K)`."""
        return np.tanh(outputs)

    def to_env(self, action: np.ndarray) -> np.ndarray:
        """Convert actions to those of lanes, `(S, N, K) -> (S, N, *action)`.

        -1 and 1 map to the bounds exactly, and nothing is beyond them.
        """
        share = (1.0 + action.reshape(*action.shape[:-1], *self.shape).astype(np.float64)) / 2.0
        inside = np.clip((1.0 - share) * self.low + share * self.high, self.low, self.high)
        return inside.astype(self.box)

    def from_env(self, action: np.ndarray) -> np.ndarray:
        """Convert actions of environments, cut at their bounds, `(..., *action) -> (..., K)`."""
        lead = action.shape[: action.ndim - len(self.shape)]
        scaled = (action - self.middle) / np.where(self.half > 0, self.half, 1.0)
        return np.clip(scaled, -1.0, 1.0).reshape(*lead, -1).astype(np.float32)


class SquashedGaussian(Squashed):
    """Tanh of a Gaussian with mean and log-deviation from the network (Haarnoja et al. 2018b)."""

    spread = True

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space)
        self.outputs = 2 * self.actions

    def sample(self, outputs: np.ndarray, normal: np.ndarray, std: Any = None) -> np.ndarray:
        """Sample actions `(..., K)` from standard normal numbers `(..., K)`."""
        mean, log_std = outputs[..., : self.actions], outputs[..., self.actions :]
        gaussian = mean + np.exp(np.clip(log_std, *LOG_STD)) * normal
        return np.tanh(gaussian.astype(np.float32))

    def mode(self, outputs: np.ndarray) -> np.ndarray:
        return np.tanh(outputs[..., : self.actions])

    def drawn(self, outputs: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Sample actions `(..., K)` from standard normal numbers `(..., K)`, differentiably.

        Also returns their log-probabilities `(...)` in these units (appendix C, eq. 21).
        """
        mean, log_std = outputs.split(self.actions, -1)
        log_std = log_std.clamp(*LOG_STD)
        u = torch.addcmul(mean, log_std.exp(), normal)
        log_prob = -0.5 * normal * normal - _HALF_LOG_2PI - log_std - log_slope(u)
        return torch.tanh(u), log_prob.sum(-1)
