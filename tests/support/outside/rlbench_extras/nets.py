"""Encoders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Wide(nn.Module):
    """One wide layer."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(observation_space.shape[0], 32)

    def forward(self, obs: Tensor) -> Tensor:
        return torch.relu(self.layer(obs))
