"""Dropout of S seeds, each with its own random stream (Srivastava et al. 2014)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.networks.layers import Generators


class Dropout(nn.Module):
    """Dropout: sets a share `rate` of features to 0 and scales the others by 1 / (1 - rate).

    Active only when gradients are computed: targets, actions and evaluations use all features.
    `calls` counts the draws; with the seeds' keys it is the whole random state.
    """

    def __init__(self, generators: Generators, rate: float) -> None:
        super().__init__()
        self.rate, self.calls = rate, 0
        self.keys = [int(g.integers(2**63)) for g in generators]

    def forward(self, x: Tensor) -> Tensor:
        """Apply dropout, `(S, B, F) -> (S, B, F)`."""
        if not torch.is_grad_enabled():
            return x
        self.calls += 1
        streams = [np.random.default_rng([key, self.calls]) for key in self.keys]
        uniform = np.stack([g.random(tuple(x.shape[1:]), np.float32) for g in streams])
        mask = torch.from_numpy(uniform).to(x.device) >= self.rate
        return x * mask / (1.0 - self.rate)
