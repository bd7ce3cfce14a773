"""Dropout of S seeds, each with a stream of its own (Srivastava et al. 2014)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.networks.layers import Generators


class Dropout(nn.Module):
    """Sets a share `rate` of features to 0 and scales the others by 1 / (1 - rate).

    Only where gradients are wanted: targets, actions and evaluations see all features. `calls`
    counts how often it has drawn; with the seeds' keys it is all that the draws depend on.
    """

    def __init__(self, generators: Generators, rate: float) -> None:
        super().__init__()
        self.rate, self.calls = rate, 0
        self.keys = [int(g.integers(2**63)) for g in generators]

    def forward(self, x: Tensor) -> Tensor:
        """`(S, B, F) -> (S, B, F)`."""
        if not torch.is_grad_enabled():
            return x
        self.calls += 1
        streams = [np.random.default_rng([key, self.calls]) for key in self.keys]
        drawn = np.stack([g.random(tuple(x.shape[1:]), np.float32) for g in streams])
        kept = torch.from_numpy(drawn).to(x.device) >= self.rate
        return x * kept / (1.0 - self.rate)
