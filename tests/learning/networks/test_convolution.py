"""Convolutions of a stack against torch's layers, seed by seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tensors import draw, streams
from torch import nn

from rlbench.errors import UserError
from rlbench.learning.networks.convolution import Convolutions
from rlbench.learning.networks.families import build, kind_for
from rlbench.learning.networks.layers import initial

IMAGES = [
    ((4, 7, 10), "minatar"), ((2, 8, 9), "small"), ((1, 28, 28), "small"), ((3, 36, 40), "nature"),
]  # fmt: skip


def torchs(convs: Convolutions, kind: str, s: int) -> nn.Sequential:
    """Written out as in the papers; weights are those of seed s."""
    channels = convs.weights[0].shape[2]
    if kind == "minatar":
        made = nn.Sequential(nn.Conv2d(channels, 16, 3), nn.ReLU(), nn.Flatten())
    elif kind == "small":
        made = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
    else:
        made = nn.Sequential(
            nn.Conv2d(channels, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
    layers = [layer for layer in made if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for layer, weight, bias in zip(layers, convs.weights, convs.biases, strict=True):
            layer.weight.copy_(weight[s])
            assert layer.bias is not None
            layer.bias.copy_(bias[s])
    return made


@pytest.mark.parametrize(("image", "kind"), IMAGES)
def test_outputs_and_gradients_are_torchs(image: tuple[int, int, int], kind: str) -> None:
    convs, x = build(streams(0, 1), image, kind, None), draw(2, 3, *image)
    x.requires_grad_()
    y = convs(x)
    assert y.shape == (2, 3, convs.features)
    y.square().mean().mul(100).backward()
    for s in range(2):
        other, its_x = torchs(convs, kind, s), x[s].detach().clone().requires_grad_()
        its_y = other(its_x)
        torch.testing.assert_close(y[s], its_y)
        (its_y.square().mean() * 50).backward()
        assert x.grad is not None
        torch.testing.assert_close(x.grad[s], its_x.grad, rtol=1e-4, atol=1e-6)
        for mine, its in zip((*convs.weights, *convs.biases), its_parameters(other), strict=True):
            assert mine.grad is not None
            torch.testing.assert_close(mine.grad[s], its, rtol=1e-4, atol=1e-5)
    assert (y[0] - torchs(convs, kind, 1)(x[0])).abs().max() > 0.01  # negative control


def its_parameters(made: nn.Sequential) -> list[torch.Tensor]:
    """Gradients of all weights, then of all biases."""
    layers = [layer for layer in made if isinstance(layer, nn.Conv2d)]
    gradients = [layer.weight.grad for layer in layers]
    gradients += [layer.bias.grad for layer in layers if layer.bias is not None]
    return [g for g in gradients if g is not None]


def test_initial_weights_are_orthogonal_or_torchs_by_seed() -> None:
    """Orthogonal over flattened kernels where asked, else torch's own distribution, by seed."""
    convs = build(streams(0, 1), (3, 36, 36), "nature", math.sqrt(2.0))
    for weight, bias in zip(convs.weights, convs.biases, strict=True):
        flat = weight.detach().flatten(2)  # (S, out, in kernel kernel): more columns than rows
        eye = torch.eye(flat.shape[1]).expand(2, -1, -1)
        torch.testing.assert_close(flat @ flat.mT, 2 * eye, rtol=0, atol=1e-4)
        assert (bias == 0).all()
    plain = build(streams(0, 1), (3, 36, 36), "nature", None)
    reference = nn.Conv2d(3, 32, 8, 4).weight.detach()
    weight, bound = plain.weights[0].detach(), 1 / math.sqrt(3 * 64)
    assert weight.abs().max() <= bound
    assert float(weight.std()) == pytest.approx(float(reference.std()), rel=0.05)
    assert torch.equal(weight[1], build(streams(1), (3, 36, 36), "nature", None).weights[0][0])
    assert not torch.equal(weight[0], weight[1])


@pytest.mark.parametrize(("n_in", "n_out"), [(5, 5), (9, 4), (4, 9), (1, 6), (6, 1)])
def test_orthogonal_weights_are_orthonormal_times_the_gain(n_in: int, n_out: int) -> None:
    """Rows or columns, whichever are fewer, are orthonormal times the gain; biases are 0."""
    weight, bias = initial(streams(0, 1, 2), n_in, n_out, 0.5)
    assert weight.shape == (3, n_in, n_out)
    product = weight @ weight.mT if n_in <= n_out else weight.mT @ weight
    eye = torch.eye(min(n_in, n_out)).expand(3, -1, -1)
    torch.testing.assert_close(product, 0.25 * eye, rtol=0, atol=1e-5)
    assert (bias == 0).all()
    assert torch.equal(weight[2], initial(streams(2), n_in, n_out, 0.5)[0][0])


def test_orthogonal_weights_are_uniform() -> None:
    """Signs included: without the correction of Mezzadri 2007, diagonals would all be of one."""
    drawn = np.stack([initial(streams(k), 2, 2, 1.0)[0][0].numpy() for k in range(400)])
    for entry in drawn.reshape(400, 4).T:
        assert abs(entry.mean()) < 0.12  # standard error 0.035
        assert 0.4 < (entry > 0).mean() < 0.6
        assert entry.var() == pytest.approx(0.5, abs=0.06)


def test_kinds_by_size() -> None:
    assert kind_for((1, 28, 28)) == "small"
    assert kind_for((4, 84, 84)) == "nature"
    assert kind_for((4, 84, 84), "small") == "small"
    for smaller, kind in ((7, "minatar"), (8, "small"), (35, "small"), (36, "nature")):
        assert kind_for((1, smaller, 100)) == kind
    assert build(streams(0), (1, 36, 36), "nature", None).features == 64
    with pytest.raises(UserError, match="35 x 36 pixels is too small for cnn=nature"):
        build(streams(0), (1, 35, 36), "nature", None)
