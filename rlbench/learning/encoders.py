"""From observations to what an agent's heads need."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.nets import MLP
from rlbench.learning.spaces import ObsSpec


class NetConfig(Protocol):
    """The parameters that describe a network."""

    @property
    def net_arch(self) -> tuple[int, ...]: ...
    @property
    def activation(self) -> str: ...


class QNetwork(nn.Module):
    """Action values of S seeds: `(S, B, *obs) -> (S, B, A)`."""

    def __init__(
        self,
        generators: Sequence[np.random.Generator],
        spec: ObsSpec,
        n_actions: int,
        config: NetConfig,
    ) -> None:
        super().__init__()
        self.spec = spec
        sizes = [*config.net_arch, n_actions]
        self.mlp = MLP(generators, spec.features, sizes, config.activation)

    def forward(self, obs: Tensor) -> Tensor:
        return self.mlp.forward(self.spec.encode(obs))

    def best(self, obs: np.ndarray, device: torch.device) -> np.ndarray:
        """argmax_a Q(obs, a), `(S, N, *obs) -> (S, N)`."""
        if device.type == "cpu" and obs.dtype == np.float32:
            flat = obs if obs.ndim == 3 else obs.reshape(*obs.shape[:2], -1)
            return self.mlp.arrays(flat).argmax(-1)
        with torch.inference_mode():
            return self.forward(torch.from_numpy(obs).to(device)).argmax(-1).cpu().numpy()

    @staticmethod
    def parameters_of(spec: ObsSpec, n_actions: int, config: NetConfig) -> int:
        """Parameters of one seed's network."""
        widths = [spec.features, *config.net_arch, n_actions]
        return sum((a + 1) * b for a, b in itertools.pairwise(widths))
