"""Noisy networks of S seeds: noise in weights instead of random actions (Fortunato et al. 2018).

Factorised Gaussian noise: a layer's weights are mu + sigma f(e_in) f(e_out)' and its biases mu +
sigma f(e_out), with f(e) = sgn(e) sqrt|e| of standard normal e. A network has noise only within
`laid_on`; otherwise, as in evaluation, layers use the means alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.compile import affine
from rlbench.learning.networks.layers import MLP, Linear
from rlbench.learning.rng import RandomStream


class NoisyLinear(nn.Module):
    """S linear layers with learned noise, `(S, B, n_in) -> (S, B, n_out)`, from plain layers."""

    def __init__(self, means: Linear, sigma: float) -> None:
        super().__init__()
        self.weight, self.bias = means.weight, means.bias
        self.n_in, self.n_out = self.weight.shape[1:]
        first = sigma * self.n_in**-0.5
        self.weight_sigma = nn.Parameter(torch.full_like(self.weight, first))
        self.bias_sigma = nn.Parameter(torch.full_like(self.bias, first))
        self.views: tuple[np.ndarray, ...] = ()
        self.noise: tuple[Any, Any] | None = None  # (S, 1, n_in), (S, 1, n_out)

    def forward(self, x: Tensor, activation: str = "") -> Tensor:
        if self.noise is None:
            return affine(x, self.weight, self.bias, activation)
        into, out = (torch.as_tensor(e).to(x.device) for e in self.noise)
        weight = torch.addcmul(self.weight, self.weight_sigma, into.mT * out)
        return affine(x, weight, torch.addcmul(self.bias, self.bias_sigma, out), activation)

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        """Apply `forward` for acting, without computing the noisy weights."""
        if not self.views:
            self.views = tuple(np.asarray(p.data) for p in self.parameters())
        weight, bias, weight_sigma, bias_sigma = self.views
        y = np.matmul(x, weight)
        y += bias
        if self.noise is not None:
            into, out = self.noise
            y += (np.matmul(x * into, weight_sigma) + bias_sigma) * out
        return y


def add_noise(network: nn.Module, sigma: float) -> list[NoisyLinear]:
    """Make all fully connected layers of encoder and heads noisy, and return them.

    Convolutions, recurrent cells and user modules stay as they are.
    """
    noisy_layers: list[NoisyLinear] = []
    for module in network.modules():
        if isinstance(module, MLP):
            layers = [NoisyLinear(layer, sigma) for layer in module.layers]
            module.layers = nn.ModuleList(layers)
            noisy_layers += layers
    return noisy_layers


def width(layers: Sequence[NoisyLinear]) -> int:
    """Return the number of normal numbers per draw of noise, by seed."""
    return sum(layer.n_in + layer.n_out for layer in layers)


def drawn(draws: RandomStream) -> np.ndarray:
    """Make noise (S, 1, width) of the next normal numbers of each seed's stream."""
    return shaped(draws.next())[:, None]


def shaped(normal: np.ndarray) -> np.ndarray:
    """Return f(e) of normal numbers e, as float32."""
    return (np.sign(normal) * np.sqrt(np.abs(normal))).astype(np.float32)


@contextmanager
def laid_on(layers: Sequence[NoisyLinear], noise: Any) -> Iterator[None]:
    """Apply noise (S, 1, width), an array, a tensor or the next draw, within the block."""
    if isinstance(noise, RandomStream):
        noise = drawn(noise)
    if noise is not None:
        start = 0
        for layer in layers:
            middle, stop = start + layer.n_in, start + layer.n_in + layer.n_out
            layer.noise = noise[..., start:middle], noise[..., middle:stop]
            start = stop
    try:
        yield
    finally:
        for layer in layers:
            layer.noise = None
