"""Families of convolutional networks against torch's modules, written out by their papers."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from tensors import draw, streams
from torch import Tensor, nn
from worlds import World

from rlbench import agents
from rlbench.errors import UserError
from rlbench.learning.networks.families import Kind, build, units_above

FAMILIES = [name for name in get_args(Kind) if name != "auto"]


class Block(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int, norm: bool) -> None:
        super().__init__()
        if stride > 1 or n_in != n_out:
            self.short = nn.Conv2d(n_in, n_out, 1, stride)
        self.first = nn.Conv2d(n_in, n_out, 3, stride, 1)
        self.second = nn.Conv2d(n_out, n_out, 3, 1, 1)
        self.norm = norm

    def active(self, x: Tensor) -> Tensor:
        if self.norm:
            dims = (1, 2, 3)
            x = (x - x.mean(dims, keepdim=True)) / (x.var(dims, False, keepdim=True) + 1e-5).sqrt()
        return x.clamp(min=0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.active(x)
        short = self.short(y) if hasattr(self, "short") else x
        return short + self.second(self.active(self.first(y)))


def layer(n_in: int, n_out: int, side: int) -> tuple[nn.Module, ...]:
    norm = nn.GroupNorm(1, n_out, affine=False)
    return nn.Conv2d(n_in, n_out, side, padding=side // 2), norm, nn.ReLU()


class Inception(nn.Module):
    def __init__(self, n_in: int, one: int, three: int, five: int, pooled: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            [
                nn.Sequential(*layer(n_in, one, 1)),
                nn.Sequential(*layer(n_in, three // 2, 1), *layer(three // 2, three, 3)),
                nn.Sequential(*layer(n_in, five // 2, 1), *layer(five // 2, five, 5)),
                nn.Sequential(nn.MaxPool2d(3, 1, 1), *layer(n_in, pooled, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([path(x) for path in self.paths], 1)


def reference(kind: str, n_in: int) -> nn.Sequential:
    conv, relu, pool = nn.Conv2d, nn.ReLU, nn.MaxPool2d
    layers: list[nn.Module]
    if kind == "alexnet":
        layers = [conv(n_in, 32, 5, padding=2), relu(), pool(2),
                  conv(32, 64, 5, padding=2), relu(), pool(2),
                  conv(64, 96, 3, padding=1), relu(), conv(96, 64, 3, padding=1), relu(),
                  conv(64, 64, 3, padding=1), relu()]  # fmt: skip
    elif kind == "vgg":
        layers = [conv(n_in, 16, 3, padding=1), relu(), conv(16, 16, 3, padding=1), relu(), pool(2),
                  conv(16, 32, 3, padding=1), relu(), conv(32, 32, 3, padding=1), relu(), pool(2),
                  conv(32, 64, 3, padding=1), relu(), conv(64, 64, 3, padding=1),
                  relu()]  # fmt: skip
    elif kind == "resnet":
        layers = [conv(n_in, 16, 3, padding=1), Block(16, 16, 1, True), Block(16, 32, 2, True),
                  Block(32, 64, 2, True), relu(), nn.AdaptiveAvgPool2d(1)]  # fmt: skip
    elif kind == "inception":
        layers = [
            *layer(n_in, 16, 3),
            pool(2),
            Inception(16, 8, 16, 8, 8),
            Inception(40, 16, 32, 8, 16),
            nn.AdaptiveAvgPool2d(1),
        ]
    else:
        layers = []
        for a, b in ((n_in, 16), (16, 32), (32, 32)):
            layers += [conv(a, b, 3, padding=1), pool(3, 2, 1), Block(b, b, 1, False),
                       Block(b, b, 1, False)]  # fmt: skip
        layers.append(relu())
    return nn.Sequential(*layers, nn.Flatten())


@pytest.mark.parametrize("side", [8, 13, 28])
@pytest.mark.parametrize("kind", FAMILIES[3:])
def test_outputs_and_gradients_are_those_of_the_paper(kind: str, side: int) -> None:
    image = (2, side, side + 1)
    convs, x = build(streams(0, 1), image, kind), draw(2, 3, *image)
    y = convs(x)
    assert y.shape == (2, 3, convs.features)
    y.square().sum().backward()
    outputs = []
    for s in range(2):
        other = reference(kind, 2)
        modules = [m for m in other.modules() if isinstance(m, nn.Conv2d)]
        assert len(modules) == len(convs.weights)
        with torch.no_grad():
            for module, weight, bias in zip(modules, convs.weights, convs.biases, strict=True):
                module.weight.copy_(weight[s])
                assert module.bias is not None
                module.bias.copy_(bias[s])
        outputs.append(other(x[s]))
        torch.testing.assert_close(y[s], outputs[s], rtol=1e-4, atol=1e-5)
        outputs[s].square().sum().backward()
        for module, weight, bias in zip(modules, convs.weights, convs.biases, strict=True):
            for mine, its in ((weight, module.weight), (bias, module.bias)):
                assert mine.grad is not None
                assert its is not None
                assert its.grad is not None
                scale = float(its.grad.abs().max()) + 1e-6
                torch.testing.assert_close(mine.grad[s], its.grad, rtol=0, atol=1e-4 * scale)
    assert (outputs[0] - y[1]).abs().max() > 1e-3  # negative control: seeds differ


@pytest.mark.parametrize("kind", FAMILIES)
def test_sizes_from_small_to_large(kind: str) -> None:
    """Where a network fits, all of its parameters have gradients; else one line says what does."""
    for side in (7, 8, 36, 96):
        image = (1, side, side)
        if kind == "nature" and side < 36:
            with pytest.raises(UserError, match=f"{side} x {side} pixels is too small for cnn=nat"):
                build(streams(0), image, kind)
            continue
        convs = build(streams(0), image, kind)
        convs(draw(1, 2, *image)).square().sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in convs.weights)
        assert convs.computed >= convs.features


@pytest.mark.parametrize("kind", FAMILIES)
def test_an_image_is_read_alone(kind: str) -> None:
    """No statistics of a batch, nor of other seeds."""
    convs, x = build(streams(0, 1), (1, 40, 40), kind), draw(2, 4, 1, 40, 40)
    whole = convs(x)
    torch.testing.assert_close(convs(x[:, :1])[:, 0], whole[:, 0], rtol=1e-5, atol=1e-6)
    alone = build(streams(1), (1, 40, 40), kind)
    assert torch.equal(alone(x[1:]), whole[1:])


def test_width_multiplies_channels() -> None:
    usual, half = (build(streams(0), (1, 28, 28), "vgg", None, width) for width in (1.0, 0.5))
    assert [w.shape[1] for w in usual.weights] == [16, 16, 32, 32, 64, 64]
    assert [w.shape[1] for w in half.weights] == [8, 8, 16, 16, 32, 32]
    tiny = build(streams(0), (1, 28, 28), "inception", None, 0.01)
    assert all(w.shape[1] == 1 for w in tiny.weights)


@pytest.mark.parametrize("kind", ["resnet", "inception", "impala"])
def test_agents_learn_alike_alone_and_in_company(kind: str) -> None:
    """Recorded and not: the same parameters, to the last bit."""
    settings: Any = {
        "cnn": kind, "cnn_width": 0.25, "learning_starts": 16, "batch_size": 8, "train_freq": 4,
        "net_arch": (16,), "device": "cpu",
    }  # fmt: skip

    def env() -> World:
        return World("image")

    both = agents.DQN(env, seeds=[3, 4], **settings).learn(60)
    for record in (True, False):
        alone = agents.DQN(env, seeds=[4], record=record, **settings).learn(60)
        mine, its = alone.learner.stack.data[0], both.learner.stack.data[1]
        assert torch.equal(mine, its)
    assert not torch.equal(both.learner.stack.data[0], its)  # negative control


def test_description_and_units_above() -> None:
    agent = agents.DQN(lambda: World("image"), cnn="impala", cnn_width=0.5, device="cpu")
    assert agent.config.describe(agent.spec) == "cnn impala x0.5 256"
    assert units_above("resnet") == 128
