"""Convolutional networks of S seeds: `(S, B, C, H, W) -> (S, B, features)`."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlbench.errors import UserError
from rlbench.learning.networks.layers import Generators, initial


class Layer(NamedTuple):
    """Convolution, relu and, if `pool` is above 1, max-pooling over squares."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    pool: int = 1

    def side(self, side: int) -> int:
        """Return the height or width after this layer."""
        return ((side + 2 * self.padding - self.kernel) // self.stride + 1) // self.pool


# `minatar` is the network of Young & Tian 2019, `small` the classic one for 28x28 digits, `nature`
# that of Mnih et al. 2015.
LAYERS = {
    "minatar": (Layer(16, 3),),
    "small": (Layer(32, 3, padding=1, pool=2), Layer(64, 3, padding=1, pool=2)),
    "nature": (Layer(32, 8, 4), Layer(64, 4, 2), Layer(64, 3, 1)),
}
SMALLEST_NATURE = 36  # pixels a side, below which nothing would be left
SMALLEST_SMALL = 8  # below which pooling would leave one pixel


def kind_for(image: tuple[int, int, int], choice: str = "auto") -> str:
    """Return a key of LAYERS: as configured, else by the image (channels, height, width)."""
    if choice != "auto":
        return choice
    side = min(image[1:])
    if side < SMALLEST_SMALL:
        return "minatar"
    return "nature" if side >= SMALLEST_NATURE else "small"


class Convolutions(nn.Module):
    """Stack of convolutions that ends in a vector."""

    def __init__(
        self,
        generators: Generators,
        image: tuple[int, int, int],
        kind: str,
        gain: float | None,
    ) -> None:
        super().__init__()
        self.layers = LAYERS[kind]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        channels, height, width = image
        self.computed = 0  # numbers of one image, pooled ones apart
        for layer in self.layers:
            shape = (channels, layer.kernel, layer.kernel)
            weight, bias = initial(generators, math.prod(shape), layer.channels, gain)
            # (S, out, in, kernel, kernel)
            self.weights.append(weight.mT.reshape(-1, layer.channels, *shape).contiguous())
            self.biases.append(bias)  # (S, out)
            channels, height, width = layer.channels, layer.side(height), layer.side(width)
            self.computed += channels * height * width * layer.pool**2
        if min(height, width) < 1:
            raise UserError(
                f"an image of {image[1]} x {image[2]} pixels is too small for cnn={kind}: "
                "use cnn=small, or encoder=mlp"
            )
        self.features = channels * height * width

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers one seed at a time, since a grouped convolution rounds differently."""
        rows = []
        for s in range(x.shape[0]):
            y = x[s]
            for layer, weight, bias in zip(self.layers, self.weights, self.biases, strict=True):
                y = F.conv2d(y, weight[s], bias[s], layer.stride, layer.padding)
                if layer.pool > 1:  # before relu: the same, and cheaper
                    y = F.max_pool2d(y, layer.pool)
                y = torch.relu(y)
            rows.append(y.flatten(1))
        return torch.stack(rows)
