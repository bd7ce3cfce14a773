"""Stacked networks against torch's own, seed by seed, and their one-matrix layout."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tensors import CPU, draw, streams
from torch import Tensor, nn

from rlbench.learning.networks.layers import MLP, Linear
from rlbench.learning.networks.stack import StackedParameters

SHAPES = [(4, 3), (1, 8), (8, 1), (1, 1), (5, 18), (33, 7)]


def torch_linear(layer: Linear, s: int) -> nn.Linear:
    """Seed s of a stacked layer as a layer of torch."""
    made = nn.Linear(layer.weight.shape[1], layer.weight.shape[2])
    with torch.no_grad():
        made.weight.copy_(layer.weight[s].T)
        made.bias.copy_(layer.bias[s, 0])
    return made


def torch_mlp(mlp: MLP, s: int, activate_last: bool = False) -> nn.Sequential:
    parts: list[nn.Module] = []
    for layer in mlp.layers:
        assert isinstance(layer, Linear)
        parts += [torch_linear(layer, s), nn.Tanh() if mlp.activation_name == "tanh" else nn.ReLU()]
    return nn.Sequential(*(parts if activate_last else parts[:-1]))


@pytest.mark.parametrize(("n_in", "n_out"), SHAPES)
def test_linear_is_torchs_seed_by_seed(n_in: int, n_out: int) -> None:
    """Outputs and gradients of weight, bias and input."""
    layer, x = Linear(streams(0, 1, 2), n_in, n_out), draw(3, 9, n_in).requires_grad_()
    y = layer.forward(x)
    assert y.shape == (3, 9, n_out)
    y.square().sum().backward()
    for s in range(3):
        other, its_x = torch_linear(layer, s), x[s].detach().clone().requires_grad_()
        its_y = other(its_x)
        its_y.square().sum().backward()
        torch.testing.assert_close(y[s], its_y)
        for mine, its in (
            (layer.weight.grad[s].T, other.weight.grad),  # type: ignore[index]
            (layer.bias.grad[s, 0], other.bias.grad),  # type: ignore[index]
            (x.grad[s], its_x.grad),  # type: ignore[index]
        ):
            assert its is not None
            torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("activate_last", [True, False])
@pytest.mark.parametrize("sizes", [[16, 16, 4], [3], [8, 1]])
def test_mlp_is_torchs(activation: str, activate_last: bool, sizes: list[int]) -> None:
    mlp, x = MLP(streams(4, 5), 6, sizes, activation, activate_last), draw(2, 11, 6)
    y = mlp.forward(x)
    for s in range(2):
        torch.testing.assert_close(y[s], torch_mlp(mlp, s, activate_last)(x[s]))


def test_a_mixed_up_seed_would_be_caught() -> None:
    """Negative control: seed 0's output is not that of seed 1's layers."""
    mlp, x = MLP(streams(0, 1), 6, [8, 3]), draw(1, 11, 6).expand(2, 11, 6)
    assert (mlp.forward(x)[0] - torch_mlp(mlp, 1)(x[0])).abs().max() > 0.01


def test_initial_weights_are_torchs_distribution_from_the_seeds_own_stream() -> None:
    """Uniform within 1 / sqrt(n_in), weights and biases; equal in any company."""
    layer = Linear(streams(3, 7), 100, 50)
    for values in (layer.weight, layer.bias):
        assert values.abs().max() <= 0.1
    assert float(layer.weight.detach().std()) == pytest.approx(0.2 / 12**0.5, rel=0.03)
    assert torch.equal(layer.weight[1], Linear(streams(7), 100, 50).weight[0])
    assert not torch.equal(layer.weight[0], layer.weight[1])


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("sizes", [[64, 64, 2], [7, 5, 1], [18], [33, 3]])
@pytest.mark.parametrize("width", [1, 3, 4])
@pytest.mark.parametrize("lanes", [1, 3, 10])
def test_forward_numpy_equals_forward_and_is_lockstep(
    activation: str, sizes: list[int], width: int, lanes: int
) -> None:
    """`arrays` is `forward` within 1e-5, and bit-equal at every position of the stack."""
    seeds = range(10)
    mlp, x = MLP(streams(*seeds), width, sizes, activation), draw(10, lanes, width)
    StackedParameters(mlp, CPU)
    before = x.clone()
    fast = mlp.forward_numpy(x.numpy())
    assert torch.equal(x, before)
    np.testing.assert_allclose(fast, mlp.forward(x).detach(), atol=1e-5)
    for s in seeds:
        alone = MLP(streams(s), width, sizes, activation)
        StackedParameters(alone, CPU)
        assert fast[s].tobytes() == alone.forward_numpy(x[s : s + 1].numpy().copy()).tobytes()


def test_acting_path_sees_updates() -> None:
    """It reads the parameters where they are: a step of the optimiser needs no refresh."""
    mlp, x = MLP(streams(0), 4, [8, 2]), draw(1, 5, 4)
    stack = StackedParameters(mlp, CPU)
    mlp.forward_numpy(x.numpy())
    stack.data.mul_(0.5)
    np.testing.assert_allclose(mlp.forward_numpy(x.numpy()), mlp.forward(x).detach(), atol=1e-6)


def test_stack_is_one_matrix_with_a_row_a_seed() -> None:
    """Values stay, parameters are views, tensors start on 64-byte borders, padding is 0."""
    mlp = MLP(streams(0, 1, 2), 5, [7, 3])
    before = [p.detach().clone() for p in mlp.parameters()]
    stack = StackedParameters(mlp, CPU)
    assert stack.data.shape[0] == 3
    assert stack.data.shape[1] % 32 == 0
    used = torch.zeros_like(stack.data)
    for p, old in zip(mlp.parameters(), before, strict=True):
        assert torch.equal(p, old)
        offset = p.storage_offset()
        assert offset % 16 == 0
        assert p.untyped_storage().data_ptr() == stack.data.untyped_storage().data_ptr()
        used[:, offset : offset + p[0].numel()] += 1
    assert used.max() == 1  # no two parameters overlap
    assert (stack.data[used == 0] == 0).all()
    assert int(used[0].sum()) == 5 * 7 + 7 + 7 * 3 + 3
    stack.data.zero_()
    assert all((p == 0).all() for p in mlp.parameters())
    row = stack.data[1]
    row.fill_(1.0)
    assert all((p[1] == 1).all() and (p[0] == 0).all() for p in mlp.parameters())


def gradients(max_norm: float | None, scale: tuple[float, ...] = (1e-3, 1.0, 30.0)) -> Tensor:
    mlp, x = MLP(streams(0, 1, 2), 5, [7, 3]), draw(3, 9, 5)
    stack = StackedParameters(mlp, CPU)
    stack.backward(mlp.forward(x).square().mean((-1, -2)) * torch.tensor(scale), max_norm)
    return stack.grad


def test_gradients_are_autograds_in_the_parameters_places() -> None:
    mlp, x = MLP(streams(0, 1, 2), 5, [7, 3]), draw(3, 9, 5)
    other = MLP(streams(0, 1, 2), 5, [7, 3])
    stack = StackedParameters(mlp, CPU)
    stack.backward(mlp.forward(x).square().mean((-1, -2)))
    other.forward(x).square().mean((-1, -2)).sum().backward()
    for p, its in zip(stack.parameters, other.parameters(), strict=True):
        place = slice(p.storage_offset(), p.storage_offset() + p[0].numel())
        assert its.grad is not None
        assert torch.equal(stack.grad[:, place].view(p.shape), its.grad)


def test_each_seed_is_clipped_by_its_own_norm() -> None:
    """Norms end at most at the maximum, directions stay, and small gradients are not touched."""
    free, clipped = gradients(None), gradients(0.5)
    norms = free.norm(dim=-1)
    assert norms[0] < 0.5 < norms[2]
    assert (clipped.norm(dim=-1) <= 0.5 + 1e-6).all()
    for s in range(3):
        if norms[s] < 0.5:
            assert torch.equal(free[s], clipped[s])
        else:
            torch.testing.assert_close(clipped[s], free[s] * 0.5 / norms[s], rtol=1e-4, atol=1e-7)
    louder = gradients(0.5, (1e-3, 1.0, 3000.0))  # another seed's gradient grows a hundredfold
    assert torch.equal(louder[:2], clipped[:2])


def test_several_networks_a_seed_lie_in_its_row() -> None:
    """Two for each of three seeds: one row, one norm and one optimiser's step for both."""
    mlp, x = MLP(streams(0, 0, 1, 1, 2, 2), 5, [7, 3]), draw(6, 9, 5)
    mlp.copies = 2  # type: ignore[assignment]
    stack = StackedParameters(mlp, CPU)
    assert stack.data.shape[0] == 3
    for p in mlp.parameters():
        for network in range(6):
            row = stack.data[network // 2]
            before = row.clone()
            p[network].data.add_(1.0)
            assert int((row != before).sum()) == p[0].numel()
    loss = mlp.forward(x).square().mean((-1, -2)).view(3, 2).sum(-1)
    stack.backward(loss, 0.1)
    assert torch.allclose(stack.grad.norm(dim=-1), torch.full((3,), 0.1), atol=1e-4)


def test_finite_names_the_broken_row() -> None:
    mlp = MLP(streams(0, 1, 2), 5, [7, 3])
    stack = StackedParameters(mlp, CPU)
    assert stack.finite().tolist() == [True, True, True]
    for value in (float("nan"), float("inf")):
        stack.parameters[1].data[1, 0, 3] = value
        assert stack.finite().tolist() == [True, False, True]


def test_frozen_parameters_take_no_gradient() -> None:
    mlp = MLP(streams(0), 5, [7, 3])
    StackedParameters(mlp, CPU).freeze()
    assert not mlp.forward(draw(1, 2, 5)).requires_grad


def test_one_thread_multiplies() -> None:
    """numpy's own BLAS too, and in a new process; unless told it takes every core."""
    code = (
        "import numpy, threadpoolctl\n"
        "{}\n"
        "print(max(lib['num_threads'] for lib in threadpoolctl.threadpool_info()))"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    said = [
        subprocess.run(
            [sys.executable, "-c", code.format(line)],
            capture_output=True, text=True, check=True, env=environment,
        ).stdout.strip()
        for line in ("import rlbench; rlbench.configure_process()", "pass")
    ]  # fmt: skip
    assert said[0] == "1"
    assert int(said[1]) > 1 or os.cpu_count() == 1  # negative control
