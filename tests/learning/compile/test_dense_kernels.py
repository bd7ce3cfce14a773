"""Kernels of our own against torch's, with their gradients, alone and in company."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tensors import draw, streams
from torch import Tensor

from rlbench.learning.compile import dense_kernels
from rlbench.learning.networks.recurrent import CELLS

S = 3
SIZES = [(1, 5, 4), (7, 5, 1), (7, 1, 4), (2, 1, 1), (64, 17, 33), (130, 84, 2)]  # B, n_in, n_out


def both(function: Callable[..., Tensor], *given: Tensor) -> list[list[Tensor]]:
    """Its value and all gradients by our kernels and by torch's."""
    found = []
    for ours in (True, False):
        leaves = [x.detach().clone().requires_grad_() for x in given]
        if ours:
            y = function(*leaves)
        else:
            with dense_kernels.torch_kernels_only():
                y = function(*leaves)
        weights = torch.linspace(-1.0, 1.0, y.numel()).view(y.shape)
        found.append([y.detach(), *torch.autograd.grad((y * weights).sum(), leaves)])
    return found


def close(function: Callable[..., Tensor], *given: Tensor) -> None:
    ours, torchs = both(function, *given)
    for mine, other in zip(ours, torchs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("activation", ["", "relu", "tanh"])
@pytest.mark.parametrize("size", SIZES)
def test_affine(size: tuple[int, int, int], activation: str) -> None:
    batch, n_in, n_out = size
    given = draw(S, batch, n_in), draw(S, n_in, n_out), draw(S, 1, n_out)
    close(lambda x, w, b: dense_kernels.affine(x, w, b, activation), *given)


def test_the_comparison_can_fail() -> None:
    """The control: a layer whose gradient is a tenth too large."""
    with pytest.raises(AssertionError):
        close(
            lambda x: dense_kernels.tanh(x) * (1.0 if dense_kernels._torch_only else 1.1),
            draw(S, 4, 5),
        )


@pytest.mark.parametrize("function", [dense_kernels.tanh, dense_kernels.mean])
@pytest.mark.parametrize("shape", [(S, 1), (S, 4, 7), (5, 1, 3), (2, 33)])
def test_of_one_tensor(function: Any, shape: tuple[int, ...]) -> None:
    close(function, draw(*shape))


def test_row_norm() -> None:
    x = draw(S, 1001)
    torch.testing.assert_close(dense_kernels.row_norm(x), x.norm(dim=-1, keepdim=True))


def test_whatever_lies_in_memory() -> None:
    """Transposed, expanded and sliced tensors, and those that must be read where they are."""
    x, weight, bias = draw(S, 5, 8), draw(S, 6, 5), draw(S, 1, 6)
    expected = dense_kernels.affine(x.mT.contiguous(), weight.mT.contiguous(), bias)
    torch.testing.assert_close(dense_kernels.affine(x.mT, weight.mT, bias), expected)
    wide = torch.zeros(S, 400)
    inside = wide[:, 32:62].view(S, 5, 6)
    inside.copy_(weight.mT)
    assert np.shares_memory(dense_kernels.array(inside), wide.numpy())
    torch.testing.assert_close(dense_kernels.affine(x.mT, inside, bias), expected)
    grad = draw(S, 1, 6).expand(S, 8, 6)
    torch.testing.assert_close(
        torch.ops.rlbench.weight_grad(grad, x.mT), torch.bmm(x, grad.contiguous())
    )


@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False), (True, True)])
def test_product(turned: tuple[bool, bool]) -> None:
    """Of matrices as they are and transposed, such as lie in memory apart from their rows."""
    x, y = draw(S, 2, 5, 7), draw(S, 2, 7, 3)
    x, y = (z.mT.contiguous() if turn else z for z, turn in zip((x, y), turned, strict=True))
    close(lambda x, y: dense_kernels.product(x, y, *turned), x, y)
    apart = draw(S, *x.shape[2:], 2).movedim(-1, 1)
    close(lambda x, y: dense_kernels.product(x, y, *turned), apart, y)


@pytest.mark.parametrize("size", SIZES)
def test_a_seed_alone(size: tuple[int, int, int]) -> None:
    """The same bits in company, at every place."""
    batch, n_in, n_out = size
    given = draw(S, batch, n_in), draw(S, n_in, n_out), draw(S, 1, n_out)

    def function(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return dense_kernels.mean(dense_kernels.affine(dense_kernels.tanh(x), w, b, "tanh"))

    together = both(function, *given)[0]
    for s in range(S):
        leaves = [x[s : s + 1].clone().requires_grad_() for x in given]
        y = function(*leaves)
        weights = torch.linspace(-1.0, 1.0, S * y.numel()).view(S, -1)[s : s + 1]
        alone = [y, *torch.autograd.grad((y * weights).sum(), leaves)]
        for mine, other in zip(alone, together, strict=True):
            assert torch.equal(mine[0], other[s])


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_sequences(name: str, share: float) -> None:
    """T steps of a cell against autograd through its single step, where episodes begin in some
    lanes, in none, and at every step in all."""
    cell = CELLS[name](streams(*range(S)), 6, 8, False, None)
    begins = np.random.default_rng(1).random((S, 4, 9)) < share
    first = torch.from_numpy(begins.astype(np.float32))

    def function(x: Tensor, memory: Tensor, weight: Tensor) -> Tensor:
        cell.weight.data.copy_(weight.detach())
        after = cell.unroll(x, memory, first)
        return after + 0.0 * weight.sum()

    given = draw(S, 4, 9, 6), draw(S, 4, cell.state_size), cell.weight.detach().clone()
    close(function, *given)
    grads = []
    for plain in (False, True):
        cell.zero_grad()
        if plain:
            with dense_kernels.torch_kernels_only():
                cell.unroll(given[0], given[1], first).square().sum().backward()
        else:
            cell.unroll(given[0], given[1], first).square().sum().backward()
        grads.append([p.grad.clone() for p in cell.parameters()])  # type: ignore[union-attr]
    for mine, other in zip(*grads, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)
