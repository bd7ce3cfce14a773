"""Running normalisation of observations and returns, one set of statistics per seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.errors import UserError
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.hardware import graphs, transfer

CLIP = 10.0  # standard deviations


class Moments:
    """Running mean and variance, by seed (Chan et al. 1983, eq. 2.1)."""

    def __init__(self, seeds: int, shape: tuple[int, ...]) -> None:
        self.mean = np.zeros((seeds, 1, *shape))
        self.var = np.ones((seeds, 1, *shape))
        self.count = 0

    def update(self, batch: np.ndarray) -> None:
        """Include a batch `(S, B, *shape)`."""
        new = batch.astype(np.float64)
        size, mean = new.shape[1], new.mean(1, keepdims=True)
        total = self.count + size
        delta = mean - self.mean
        squares = self.var * self.count + new.var(1, keepdims=True) * size
        self.var = (squares + delta * delta * (self.count * size / total)) / total
        self.mean = self.mean + delta * (size / total)
        self.count = total

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"mean": self.mean, "var": self.var, "count": self.count}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.mean, self.var = np.asarray(state["mean"]), np.asarray(state["var"])
        self.count = state["count"]


class Normalizer:
    """(obs - mean) / std, clipped to 10 standard deviations; images and categories are kept."""

    packet: transfer.Packet | None = None  # mean and scale on a GPU

    def __init__(self, seeds: int, spec: ObsSpec, device: torch.device | None = None) -> None:
        numbers = [not (p.image or p.hot or p.scale != 1.0) for p in spec.parts]
        if spec.dtype != np.float32 or not any(numbers):
            raise UserError(
                f"normalize_obs is for vectors of real numbers, and {spec.space} has none (bytes "
                "are scaled to [0, 1] and categories are one-hot already): leave it out"
            )
        self.moments, self.dtype = Moments(seeds, spec.shape), spec.raw
        self.vectors = np.zeros(int(np.prod(spec.shape)), bool)  # not those of a mask
        for part, number in zip(spec.parts, numbers, strict=True):
            self.vectors[part.columns] = number
        self.vectors = self.vectors.reshape(spec.shape)
        self.keep = torch.from_numpy(self.vectors)
        if device is not None and graphs.used(device):
            self.keep = self.keep.to(device)
            kind = torch.from_numpy(np.empty(0, self.dtype)).dtype
            shape = (seeds, 1, *spec.shape)
            self.packet = transfer.Packet({"mean": (shape, kind), "scale": (shape, kind)}, device)
        self._refresh()

    def update(self, obs: np.ndarray) -> None:
        """Include raw observations `(S, B, *obs)` in the statistics."""
        self.moments.update(obs)
        self._refresh()

    def _refresh(self) -> None:
        m = self.moments
        mean = np.where(self.vectors, m.mean, 0.0)
        std = np.where(self.vectors, np.sqrt(m.var + 1e-8), 1.0)
        self.mean, self.scale = mean.astype(self.dtype), (1.0 / std).astype(self.dtype)
        if self.packet is not None:
            self.packet.send(mean=self.mean, scale=self.scale)

    def array(self, obs: np.ndarray) -> np.ndarray:
        """Normalise raw observations `(S, N, *obs)`; returns float32."""
        x = (obs - self.mean) * self.scale
        x = np.where(self.vectors, np.clip(x, -CLIP, CLIP), obs)
        return x.astype(np.float32, copy=False)

    def tensor(self, obs: Tensor, lead: int) -> Tensor:
        """Normalise tensors with `lead` axes before those of an observation."""
        shape = self.mean.shape[:1] + (1,) * (lead - 1) + self.mean.shape[2:]
        if self.packet is None:
            mean, scale = (torch.from_numpy(a).to(obs.device) for a in (self.mean, self.scale))
        else:
            mean, scale = self.packet.tensors.values()
        scaled = ((obs - mean.view(shape)) * scale.view(shape)).clamp(-CLIP, CLIP)
        return torch.where(self.keep, scaled, obs).float()

    def rows(self, rows: list[int]) -> Normalizer:
        """Make a frozen copy for some seeds."""
        copy = object.__new__(Normalizer)
        copy.vectors, copy.mean, copy.scale = self.vectors, self.mean[rows], self.scale[rows]
        return copy

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return self.moments.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.moments.restore(state)
        self._refresh()


class RewardScaler:
    """reward / std of the discounted return so far, clipped to 10 (Engstrom et al. 2020)."""

    def __init__(self, seeds: int, n_envs: int, gamma: float | np.ndarray) -> None:
        """Begin without returns; gamma is a number, or one for each seed, (S, 1)."""
        self.moments, self.gamma = Moments(seeds, ()), gamma
        self.returns = np.zeros((seeds, n_envs))

    def __call__(self, reward: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """Scale raw rewards `(S, N)`, after including them in the statistics."""
        self.returns = self.returns * self.gamma + reward
        self.moments.update(self.returns)
        self.returns[ended] = 0.0
        scaled = reward / np.sqrt(self.moments.var + 1e-8)
        return np.clip(scaled, -CLIP, CLIP).astype(np.float32)

    def restart(self) -> None:
        """Begin new episodes in all lanes."""
        self.returns[:] = 0.0

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"moments": self.moments.state(), "returns": self.returns}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.moments.restore(state["moments"])
        self.returns = np.array(state["returns"])
