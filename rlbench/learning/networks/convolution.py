"""Convolutional networks of S seeds: `(S, B, C, H, W) -> (S, B, features)`.

A network is a sequence of operations on images (B, C, H, W) of one seed; `families` has them by
name. Nothing in them depends on other observations of a batch, so no seed or batch size changes
what an image becomes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlbench.learning.networks.layers import Generators, initial

Shape = tuple[int, int, int]  # channels, height, width
Kernels = Iterator[tuple[Tensor, Tensor]]  # (out, in, k, k) and (out,), in the order of `build`


class Operation(ABC):
    """One operation of a network. Both methods go through its kernels in the same order."""

    @abstractmethod
    def build(self, image: Shape, kernels: NewKernels) -> Shape:
        """Draw the kernels for images of a shape, and return the shape of what comes out."""

    @abstractmethod
    def apply(self, x: Tensor, kernels: Kernels) -> Tensor:
        """Compute images (B, C, H, W)."""


class NewKernels:
    """Parameters of a network that is built, and a count of the numbers that it computes."""

    def __init__(self, generators: Generators, gain: float | None) -> None:
        self.generators, self.gain = generators, gain
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        self.computed = 0  # numbers of one image

    def draw(self, channels: int, out: int, side: int) -> None:
        """Draw a kernel (S, out, channels, side, side) and its biases (S, out)."""
        shape = (channels, side, side)
        weight, bias = initial(self.generators, math.prod(shape), out, self.gain)
        self.weights.append(weight.mT.reshape(-1, out, *shape).contiguous())
        self.biases.append(bias)

    def count(self, image: Shape) -> Shape:
        """Count an image that is computed, and return its shape."""
        self.computed += math.prod(image)
        return image


@dataclass(frozen=True)
class Layer(Operation):
    """Convolution, normalisation of the image (optional), max-pooling over squares, relu.

    The normalisation is that of Wu & He 2018 with one group: over channels and pixels of an image.
    """

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    pool: int = 1
    norm: bool = False

    def side(self, side: int) -> int:
        """Return the height or width after this layer."""
        return ((side + 2 * self.padding - self.kernel) // self.stride + 1) // self.pool

    def build(self, image: Shape, kernels: NewKernels) -> Shape:
        kernels.draw(image[0], self.channels, self.kernel)
        height, width = self.side(image[1]), self.side(image[2])
        kernels.count((self.channels * (1 + self.norm), height * self.pool, width * self.pool))
        return self.channels, height, width

    def apply(self, x: Tensor, kernels: Kernels) -> Tensor:
        x = F.conv2d(x, *next(kernels), self.stride, self.padding)
        x = F.group_norm(x, 1) if self.norm else x
        if self.pool > 1:  # before relu: the same, and cheaper
            x = F.max_pool2d(x, self.pool)
        return torch.relu(x)


@dataclass(frozen=True)
class Pool(Operation):
    """Max-pooling over squares that overlap."""

    size: int = 3
    stride: int = 1

    def build(self, image: Shape, kernels: NewKernels) -> Shape:
        channels, *sides = image
        height, width = (
            (side + 2 * (self.size // 2) - self.size) // self.stride + 1 for side in sides
        )
        return kernels.count((channels, height, width))

    def apply(self, x: Tensor, kernels: Kernels) -> Tensor:
        return F.max_pool2d(x, self.size, self.stride, self.size // 2)


@dataclass(frozen=True)
class Convolution(Operation):
    """Convolution alone, which keeps height and width."""

    channels: int
    kernel: int

    def build(self, image: Shape, kernels: NewKernels) -> Shape:
        kernels.draw(image[0], self.channels, self.kernel)
        return kernels.count((self.channels, *image[1:]))

    def apply(self, x: Tensor, kernels: Kernels) -> Tensor:
        return F.conv2d(x, *next(kernels), 1, self.kernel // 2)


@dataclass(frozen=True)
class Residual(Operation):
    """Two convolutions of 3x3 added to their input, each after relu (He et al. 2016b).

    Where channels or sides change, a convolution of 1x1 fits the input.
    """

    channels: int
    stride: int = 1
    norm: bool = False

    def build(self, image: Shape, kernels: NewKernels) -> Shape:
        channels, *sides = image
        if self._fits(channels):
            kernels.draw(channels, self.channels, 1)
        kernels.draw(channels, self.channels, 3)
        kernels.draw(self.channels, self.channels, 3)
        height, width = ((side - 1) // self.stride + 1 for side in sides)
        after = (self.channels, height, width)
        for _ in range(5 + 2 * self.norm):
            kernels.count(after)
        return after

    def apply(self, x: Tensor, kernels: Kernels) -> Tensor:
        y = self._active(x)
        if self._fits(x.shape[1]):
            x = F.conv2d(y, *next(kernels), self.stride)
        y = F.conv2d(y, *next(kernels), self.stride, 1)
        return x + F.conv2d(self._active(y), *next(kernels), 1, 1)

    def _fits(self, channels: int) -> bool:
        """Return whether a convolution of 1x1 is needed."""
        return self.stride > 1 or channels != self.channels

    def _active(self, x: Tensor) -> Tensor:
        return torch.relu(F.group_norm(x, 1) if self.norm else x)


@dataclass(frozen=True)
class Branches(Operation):
    """Sequences of operations on one input, whose channels are joined."""

    branches: tuple[tuple[Operation, ...], ...]

    def build(self, image: Shape, kernels: NewKernels) -> Shape:
        shapes = [_build(branch, image, kernels) for branch in self.branches]
        return kernels.count((sum(shape[0] for shape in shapes), *shapes[0][1:]))

    def apply(self, x: Tensor, kernels: Kernels) -> Tensor:
        return torch.cat([apply_all(branch, x, kernels) for branch in self.branches], 1)


@dataclass(frozen=True)
class Relu(Operation):
    """Relu, after the last residual block."""

    def build(self, image: Shape, kernels: NewKernels) -> Shape:
        return kernels.count(image)

    def apply(self, x: Tensor, kernels: Kernels) -> Tensor:
        return torch.relu(x)


@dataclass(frozen=True)
class Mean(Operation):
    """Mean over the pixels of each channel."""

    def build(self, image: Shape, kernels: NewKernels) -> Shape:
        return kernels.count((image[0], 1, 1))

    def apply(self, x: Tensor, kernels: Kernels) -> Tensor:
        return x.mean((2, 3), keepdim=True)


def _build(operations: Sequence[Operation], image: Shape, kernels: NewKernels) -> Shape:
    for operation in operations:
        image = operation.build(image, kernels)
        if min(image[1:]) < 1:
            raise ValueError("nothing is left of the image")
    return image


def apply_all(operations: Sequence[Operation], x: Tensor, kernels: Kernels) -> Tensor:
    """Apply operations one after the other to images of one seed."""
    for operation in operations:
        x = operation.apply(x, kernels)
    return x


class Convolutions(nn.Module):
    """Operations of S seeds, with parameters, that end in a vector.

    Raises:
        ValueError: The image is too small for them.
    """

    def __init__(
        self,
        generators: Generators,
        image: Shape,
        operations: Sequence[Operation],
        gain: float | None,
    ) -> None:
        super().__init__()
        self.operations, kernels = operations, NewKernels(generators, gain)
        self.features = math.prod(_build(operations, image, kernels))
        self.weights, self.biases = kernels.weights, kernels.biases
        self.computed = kernels.computed

    def forward(self, x: Tensor) -> Tensor:
        """Apply them one seed at a time, since a grouped convolution rounds differently."""
        rows = []
        for s in range(x.shape[0]):
            kernels = ((w[s], b[s]) for w, b in zip(self.weights, self.biases, strict=True))
            rows.append(apply_all(self.operations, x[s], kernels).flatten(1))
        return torch.stack(rows)
