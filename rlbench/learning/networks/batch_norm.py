"""Batch renormalisation of S networks, each by the statistics of its own batch (Ioffe 2017).

Running statistics are parameters without gradients. So they lie in the row of their seed, and are
saved, copied into policies and dropped with the other weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.networks.layers import MLP, Generators


class BatchRenorm(nn.Module):
    """S layers of gain * normal + bias, where `normal` is (x - mean) / deviation over a batch.

    Outside `Statistics.of_batch` mean and deviation are the running ones. Inside they are those of
    the batch, and with a `renorm` of 1 corrected towards the running ones: normal * r + d, without
    gradients of r and d (algorithm 1). A `renorm` of 0 is batch normalisation (Ioffe & Szegedy
    2015).
    """

    eps = 1e-3
    momentum = 0.01  # share of a batch in the running statistics
    r_max, d_max = 3.0, 5.0  # bounds of the correction

    def __init__(self, seeds: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(seeds, 1, width))
        self.bias = nn.Parameter(torch.zeros(seeds, 1, width))
        self.mean = nn.Parameter(torch.zeros(seeds, 1, width), requires_grad=False)
        self.variance = nn.Parameter(torch.ones(seeds, 1, width), requires_grad=False)
        self.renorm: Tensor | None = None
        self.batch: tuple[Tensor, ...] = ()  # mean and variance of the latest batch

    def forward(self, x: Tensor) -> Tensor:
        # Products and sums of their own: fused ones round otherwise at the end of a tensor, which
        # is another row alone and in company.
        if self.renorm is None:
            normal = (x - self.mean) / (self.variance + self.eps).sqrt()
            return normal * self.gain + self.bias
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        variance = (centred * centred).mean(1, keepdim=True)
        deviation = (variance + self.eps).sqrt()
        with torch.no_grad():
            self.batch = mean.detach(), variance.detach()
            running = (self.variance + self.eps).sqrt()
            most, shift = 1.0 + (self.r_max - 1.0) * self.renorm, self.d_max * self.renorm
            r = torch.minimum(torch.maximum(deviation / running, most.reciprocal()), most)
            d = torch.minimum(torch.maximum((mean - self.mean) / running, -shift), shift)
        return (centred / deviation * r + d) * self.gain + self.bias

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        """Apply `forward` on arrays, by the running statistics."""
        mean, variance, gain, bias = (
            part.data.numpy() for part in (self.mean, self.variance, self.gain, self.bias)
        )
        x = x - mean
        x /= np.sqrt(variance + np.float32(self.eps))
        x *= gain
        x += bias
        return x

    def follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch, each `(S, 1, width)`."""
        for running, batch in ((self.mean.data, mean), (self.variance.data, variance)):
            running.add_((batch - running) * self.momentum)


class NormalizedMLP(MLP):
    """An `MLP` that normalises the input of each of its layers."""

    inputs: Any  # its norms

    def __init__(
        self, generators: Generators, n_in: int, sizes: Sequence[int], *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(generators, n_in, sizes, *args, **kwargs)
        widths = [n_in, *sizes][: len(sizes)]
        self.inputs = nn.ModuleList(BatchRenorm(len(generators), width) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        for before, (layer, norm, activate) in zip(self.inputs, self.path(), strict=True):
            name = self.activation_name if activate and norm is None else ""
            x = layer.forward(before.forward(x), name)
            if norm is not None:
                x = self.activation(norm.forward(x))
        return x

    def forward_numpy(self, x: np.ndarray) -> np.ndarray:
        """Apply `forward` for acting on a CPU, by the running statistics."""
        for before, (layer, norm, activate) in zip(self.inputs, self.path(), strict=True):
            x = layer.forward_numpy(before.forward_numpy(x))
            if norm is not None:
                x = norm.forward_numpy(x)
            if activate:
                self.activation_array(x, out=x)
        return x


class Statistics:
    """The batch statistics of a network's layers, and their running averages."""

    def __init__(self, network: nn.Module) -> None:
        self.norms: list[Any] = [
            each for each in network.modules() if isinstance(each, BatchRenorm)
        ]
        self.widths = [norm.mean.shape[-1] for norm in self.norms for _ in range(2)]

    @contextmanager
    def of_batch(self, renorm: Tensor) -> Iterator[None]:
        """Normalise by the batch in this context; `renorm` is 0 or 1, see `BatchRenorm`."""
        for norm in self.norms:
            norm.renorm = renorm
        try:
            yield
        finally:
            for norm in self.norms:
                norm.renorm = None

    def latest(self) -> Tensor:
        """Return means and variances of the latest batch, side by side, `(S, 1, F)`."""
        return torch.cat([each for norm in self.norms for each in norm.batch], -1)

    def follow(self, latest: Tensor) -> None:
        """Move the running statistics towards what `latest` returned."""
        parts = latest.split(self.widths, -1)
        for norm, mean, variance in zip(self.norms, parts[::2], parts[1::2], strict=True):
            norm.follow(mean, variance)
