"""Families of convolutional networks by name, in sizes that suit images of 7 to 96 pixels a side.

Depths and widths are smaller than in the papers, whose images are larger and classes more; what
makes each family what it is stays: large kernels first, blocks of 3x3, residuals, branches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from rlbench.errors import UserError
from rlbench.learning.networks.convolution import (
    Branches,
    Convolution,
    Convolutions,
    Layer,
    Mean,
    Operation,
    Pool,
    Relu,
    Residual,
    Shape,
)  # fmt: skip
from rlbench.learning.networks.layers import Generators

Kind = Literal[
    "auto", "minatar", "small", "nature", "alexnet", "vgg", "resnet", "inception", "impala"
]
Widen = Callable[[int], int]
SMALLEST_NATURE = 36  # pixels a side, below which nothing would be left
SMALLEST_SMALL = 8  # below which pooling would leave one pixel


def kind_for(image: Shape, choice: str = "auto") -> str:
    """Return a family's name: as configured, else by the image."""
    if choice != "auto":
        return choice
    side = min(image[1:])
    if side < SMALLEST_SMALL:
        return "minatar"
    return "nature" if side >= SMALLEST_NATURE else "small"


def plain_layers(kind: str) -> tuple[Layer, ...]:
    """Return the layers of a family that has one after the other."""
    return _PLAIN[kind](lambda channels: channels)


def units_above(kind: str) -> int:
    """Return the usual width of the fully connected layer above a family."""
    return {"nature": 512, "impala": 256}.get(kind, 128)


def build(
    generators: Generators, image: Shape, kind: str, gain: float | None = None, width: float = 1.0
) -> Convolutions:
    """Build a family's network for images of a shape.

    Raises:
        UserError: They are too small for it.
    """
    try:
        operations = (_PLAIN | _BRANCHED)[kind](lambda channels: max(1, round(channels * width)))
        return Convolutions(generators, image, operations, gain)
    except ValueError:
        raise UserError(
            f"an image of {image[1]} x {image[2]} pixels is too small for cnn={kind}: "
            "use cnn=minatar, or encoder=mlp"
        ) from None


def _minatar(w: Widen) -> tuple[Layer, ...]:
    """Young & Tian 2019."""
    return (Layer(w(16), 3),)


def _small(w: Widen) -> tuple[Layer, ...]:
    """The classic network for 28x28 digits (LeCun et al. 1998, with relu)."""
    return Layer(w(32), 3, padding=1, pool=2), Layer(w(64), 3, padding=1, pool=2)


def _nature(w: Widen) -> tuple[Layer, ...]:
    """Mnih et al. 2015."""
    return Layer(w(32), 8, 4), Layer(w(64), 4, 2), Layer(w(64), 3, 1)


def _alexnet(w: Widen) -> tuple[Layer, ...]:
    """Krizhevsky et al. 2012: large kernels first, then three of 3x3, pooled at both ends."""
    return (
        Layer(w(32), 5, padding=2, pool=2),
        Layer(w(64), 5, padding=2, pool=2),
        Layer(w(96), 3, padding=1),
        Layer(w(64), 3, padding=1),
        Layer(w(64), 3, padding=1),
    )


def _vgg(w: Widen) -> tuple[Layer, ...]:
    """Simonyan & Zisserman 2015: pairs of 3x3, pooled after each, with twice the channels."""
    return tuple(
        Layer(w(channels), 3, padding=1, pool=pool)
        for channels, pool in ((16, 1), (16, 2), (32, 1), (32, 2), (64, 1), (64, 1))
    )


def _resnet(w: Widen) -> tuple[Operation, ...]:
    """He et al. 2016: the CIFAR network with a block a stage, and Wu & He's normalisation."""
    return (
        Convolution(w(16), 3),
        Residual(w(16), norm=True),
        Residual(w(32), 2, norm=True),
        Residual(w(64), 2, norm=True),
        Relu(),
        Mean(),
    )


def _inception(w: Widen) -> tuple[Operation, ...]:
    """Szegedy et al. 2015: kernels of several sizes side by side, narrowed by 1x1 first.

    Each layer is normalised, as Ioffe & Szegedy 2015 have it, but an image by itself.
    """

    def layer(channels: int, kernel: int, pool: int = 1) -> Layer:
        return Layer(w(channels), kernel, padding=kernel // 2, pool=pool, norm=True)

    def module(one: int, three: int, five: int, pooled: int) -> Branches:
        return Branches((
            (layer(one, 1),),
            (layer(three // 2, 1), layer(three, 3)),
            (layer(five // 2, 1), layer(five, 5)),
            (Pool(), layer(pooled, 1)),
        ))  # fmt: skip

    return layer(16, 3, pool=2), module(8, 16, 8, 8), module(16, 32, 8, 16), Mean()


def _impala(w: Widen) -> tuple[Operation, ...]:
    """Espeholt et al. 2018, the deep network: three stages of a pooling and two residual blocks."""
    stages: list[Operation] = []
    for channels in (16, 32, 32):
        stages += [Convolution(w(channels), 3), Pool(3, 2)]
        stages += [Residual(w(channels)), Residual(w(channels))]
    return (*stages, Relu())


_PLAIN: dict[str, Callable[[Widen], tuple[Layer, ...]]] = {
    "minatar": _minatar, "small": _small, "nature": _nature, "alexnet": _alexnet, "vgg": _vgg,
}  # fmt: skip
_BRANCHED: dict[str, Callable[[Widen], tuple[Operation, ...]]] = {
    "resnet": _resnet, "inception": _inception, "impala": _impala,
}  # fmt: skip
