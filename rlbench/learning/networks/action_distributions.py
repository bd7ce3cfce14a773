"""Action distributions of policies: categories, one or several at a time, and Gaussians.

Parameters come from a network, `(..., outputs)`; actions are `(..., K)`. Acting uses arrays, with
uniform or normal numbers from a seed's stream; learning uses tensors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.errors import UserError

_LOG_2PI = math.log(2.0 * math.pi)


class Categorical:
    """K independent categories with probabilities softmax(logits).

    For Discrete, MultiDiscrete and MultiBinary actions.
    """

    normal = False  # draws from uniform numbers
    spread = True  # draws actions that differ
    dtype: Any = np.int64

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.shape: tuple[int, ...] = ()
        self.own = space.dtype
        self.start: np.ndarray = np.array(0)  # lanes add that of Discrete themselves
        if isinstance(space, spaces.Discrete):
            sizes = np.array([space.n])
        elif isinstance(space, spaces.MultiDiscrete):
            sizes, self.shape, self.start = space.nvec.ravel(), space.nvec.shape, space.start
        else:
            assert isinstance(space, spaces.MultiBinary)
            self.shape = space.shape
            sizes = np.full(int(np.prod(self.shape)), 2)
        self.sizes = [int(n) for n in sizes]
        self.outputs, self.actions = sum(self.sizes), len(self.sizes)
        self._ends = np.cumsum(self.sizes).tolist()

    def parts(self, logits: Any) -> list[Any]:
        """Split the logits by category."""
        starts = [0, *self._ends[:-1]]
        return [logits[..., a:b] for a, b in zip(starts, self._ends, strict=True)]

    def sample(self, logits: np.ndarray, uniform: np.ndarray, std: Any = None) -> np.ndarray:
        """Sample actions `(..., K)` from uniform numbers `(..., K)` by the inverse CDF."""
        samples = []
        for k, part in enumerate(self.parts(logits)):
            cumulative = np.exp(part - part.max(-1, keepdims=True)).cumsum(-1)
            below = cumulative[..., :-1] <= uniform[..., k, None] * cumulative[..., -1:]
            samples.append(below.sum(-1, keepdims=True))
        return samples[0] if len(samples) == 1 else np.concatenate(samples, -1)

    def mode(self, logits: np.ndarray) -> np.ndarray:
        """Return the most probable actions `(..., K)`."""
        return np.stack([part.argmax(-1) for part in self.parts(logits)], -1)

    def evaluate(
        self, logits: Tensor, action: Tensor, log_std: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of actions `(..., K)` and the entropy, both `(...)`."""
        log_prob = entropy = None
        for k, part in enumerate(self.parts(logits)):
            logs = torch.log_softmax(part, -1)
            own = logs.gather(-1, action[..., k : k + 1]).squeeze(-1)
            spread = -(logs.exp() * logs).sum(-1)
            log_prob = own if log_prob is None else log_prob + own
            entropy = spread if entropy is None else entropy + spread
        assert log_prob is not None
        assert entropy is not None
        return log_prob, entropy

    def to_env(self, action: np.ndarray) -> np.ndarray:
        """Convert actions to those of lanes: `(S, N, K) -> (S, N, *action)`."""
        result = action.reshape(*action.shape[:-1], *self.shape)
        return (result + self.start).astype(self.own) if self.shape else result


class Gaussian:
    """Diagonal Gaussian for Box actions; its standard deviation does not depend on the state.

    Components with finite bounds are scaled so that the bounds are -1 and 1. Actions beyond a bound
    are clipped on their way to the environment; the log-probability is that of the unclipped
    action.
    """

    normal = True  # draws from normal numbers
    spread = True
    dtype: Any = np.float32

    def __init__(self, space: spaces.Box) -> None:
        self.shape, self.box = space.shape, space.dtype
        self.outputs = self.actions = int(np.prod(space.shape))
        self.low, self.high = (np.asarray(b, np.float64) for b in (space.low, space.high))
        both = np.isfinite(self.low) & np.isfinite(self.high)
        low, high = np.where(both, self.low, -1.0), np.where(both, self.high, 1.0)
        self.middle, self.half = (low + high) / 2, (high - low) / 2

    def sample(self, mean: np.ndarray, normal: np.ndarray, std: Any) -> np.ndarray:
        """Sample actions `(..., K)` from standard normal numbers `(..., K)`."""
        return (mean + std * normal).astype(np.float32)

    def mode(self, mean: np.ndarray) -> np.ndarray:
        """Return the most probable actions `(..., K)`."""
        return mean

    def evaluate(
        self, mean: Tensor, action: Tensor, log_std: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of actions `(..., K)` and the entropy, both `(...)`."""
        assert log_std is not None
        z = (action - mean) * torch.exp(-log_std)
        log_prob = (-0.5 * z * z - log_std - 0.5 * _LOG_2PI).sum(-1)
        entropy = (log_std + 0.5 * (1.0 + _LOG_2PI)).sum(-1)
        return log_prob, entropy.expand_as(log_prob)

    def to_env(self, action: np.ndarray) -> np.ndarray:
        """Convert actions to those of lanes: `(S, N, K) -> (S, N, *action)`."""
        result = action.reshape(*action.shape[:-1], *self.shape)
        inside = np.clip(self.middle + result * self.half, self.low, self.high)
        return inside.astype(self.box)


Distribution = Categorical | Gaussian


def distribution(space: spaces.Space[Any]) -> Distribution:
    """Return the action distribution for an action space."""
    if isinstance(space, spaces.Box):
        if not np.issubdtype(space.dtype, np.floating):
            raise UserError(f"actions of {space} are whole numbers: use MultiDiscrete for these")
        return Gaussian(space)
    return Categorical(space)
