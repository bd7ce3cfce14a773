"""Stacked parameters: gradients of each seed's own loss."""

from __future__ import annotations

import torch
from torch import nn

from rlbench.learning.networks.stack import StackedParameters


def test_gradients_are_those_of_each_loss() -> None:
    """To the bit what autograd gives for ones, and nothing for a parameter that is left out."""
    module, weight = nn.Module(), nn.Parameter(torch.linspace(-2, 3, 33).view(3, 11))
    module.register_parameter("weight", weight)
    module.register_parameter("unused", nn.Parameter(torch.ones(3, 2)))
    stack = StackedParameters(module, torch.device("cpu"))
    x = torch.linspace(0, 7, 11)

    def loss() -> torch.Tensor:
        return torch.tanh(weight * x).square().mean(-1) * torch.tensor([1.0, 3.0, 0.1])

    (expected,) = torch.autograd.grad(loss(), [weight], torch.ones(3))
    stack.backward(loss())
    assert stack.grad[:, :11].contiguous().numpy().tobytes() == expected.numpy().tobytes()
    assert float(stack.grad[:, 11:].abs().sum()) == 0
    assert bool((expected.abs().amax(1) > 0).all())
    alone = StackedParameters(module, torch.device("cpu"))
    alone.backward(loss() * torch.tensor([1.0, 0.0, 1.0]))
    assert float(alone.grad[1].abs().sum()) == 0
