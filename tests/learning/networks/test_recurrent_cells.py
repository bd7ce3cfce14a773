"""Recurrent cells against torch's own, seed by seed, and their two ways of running."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tensors import CPU, draw, streams
from torch import Tensor, nn

from rlbench.learning.networks.recurrent import CELLS, GRU, LSTM, RecurrentCell
from rlbench.learning.networks.stack import StackedParameters

S, B, T, F, H = 3, 4, 5, 6, 7
NONE = torch.zeros(S, B, T)
# Blocks of our gates in torch's order: torch's LSTM has input, forget, new, output.
ORDER = {"rnn": [0], "gru": [0, 1, 2], "lstm": [0, 1, 3, 2]}


def make(
    name: str, seeds: int = S, ortho: bool = False, horizon: int | None = None
) -> RecurrentCell:
    return CELLS[name](streams(*range(seeds)), F, H, ortho, horizon)


def blocks(name: str, values: Tensor) -> Tensor:
    """(..., G H) in torch's order of gates."""
    return torch.cat([values.split(H, -1)[i] for i in ORDER[name]], -1)


def torchs(name: str, cell: RecurrentCell, s: int) -> Any:
    """Seed s as a layer of torch: its second bias is 0, since ours have one."""
    made = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[name](F, H, batch_first=True)
    with torch.no_grad():
        made.weight_ih_l0.copy_(blocks(name, cell.inputs.weight[s]).T)
        made.weight_hh_l0.copy_(blocks(name, cell.weight[s]).T)
        made.bias_ih_l0.copy_(blocks(name, cell.inputs.bias[s, 0]))
        made.bias_hh_l0.zero_()
    return made


def run(name: str, layer: Any, x: Tensor, memory: Tensor) -> Tensor:
    """Outputs (B, T, H) of torch's layer from our memory (B, M)."""
    h = memory[None, :, :H].contiguous()
    start = (h, memory[None, :, H:].contiguous()) if name == "lstm" else h
    return layer(x, start)[0]


@pytest.mark.parametrize("name", CELLS)
def test_outputs_and_gradients_are_torchs(name: str) -> None:
    """Of all weights, the bias, the inputs and the memory before the first step."""
    cell, x = make(name), draw(S, B, T, F).requires_grad_()
    memory = draw(S, B, cell.state_size).requires_grad_()
    found = cell.unroll(x, memory, NONE)
    assert found.shape == (S, B, T, cell.state_size)
    found[..., :H].square().sum().backward()
    for s in range(S):
        other, its_x = torchs(name, cell, s), x[s].detach().clone().requires_grad_()
        its_memory = memory[s].detach().clone().requires_grad_()
        expected = run(name, other, its_x, its_memory)
        torch.testing.assert_close(found[s, ..., :H], expected)
        expected.square().sum().backward()
        for mine, its in (
            (x.grad[s], its_x.grad),  # type: ignore[index]
            (memory.grad[s], its_memory.grad),  # type: ignore[index]
            (blocks(name, cell.inputs.weight.grad[s]).T, other.weight_ih_l0.grad),  # type: ignore[index]
            (blocks(name, cell.weight.grad[s]).T, other.weight_hh_l0.grad),  # type: ignore[index]
            (blocks(name, cell.inputs.bias.grad[s, 0]), other.bias_ih_l0.grad),  # type: ignore[index]
        ):
            torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)


def test_torchs_memory_cell_is_ours() -> None:
    """An LSTM carries [h, c]: the second half is torch's c."""
    cell, x, memory = make("lstm"), draw(S, B, T, F), draw(S, B, 2 * H)
    found = cell.unroll(x, memory, NONE)
    for s in range(S):
        start = (memory[s][None, :, :H].contiguous(), memory[s][None, :, H:].contiguous())
        _, (h, c) = torchs("lstm", cell, s)(x[s], start)
        torch.testing.assert_close(found[s, :, -1], torch.cat([h[0], c[0]], -1))


def test_swapped_gates_would_be_caught() -> None:
    """Negative control: input and forget gates exchanged give something else."""
    cell, x, memory = make("lstm"), draw(S, B, T, F), draw(S, B, 2 * H)
    found = cell.unroll(x, memory, NONE)[0, ..., :H]
    other = torchs("lstm", cell, 0)
    with torch.no_grad():
        for p in other.parameters():
            p.copy_(torch.cat([p[H : 2 * H], p[:H], p[2 * H :]]))
    assert (found - run("lstm", other, x[0], memory[0])).abs().max() > 0.01


@pytest.mark.parametrize("name", CELLS)
def test_acting_is_learning(name: str) -> None:
    """Step by step on arrays, step by step on tensors, and all steps at once are the same."""
    cell, x = make(name), draw(S, B, T, F)
    StackedParameters(cell, CPU)
    memory = draw(S, B, cell.state_size)
    fast, slow = memory.numpy().copy(), memory
    whole = cell.unroll(x, memory, NONE).detach()
    for t in range(T):
        fast = cell.forward_numpy(x[:, :, t].numpy(), fast)
        slow = cell.after(x[:, :, t], slow).detach()
        np.testing.assert_allclose(fast, slow, atol=1e-6)
        torch.testing.assert_close(slow, whole[:, :, t])
        assert fast.dtype == np.float32


@pytest.mark.parametrize("name", CELLS)
def test_acting_is_equal_at_every_position(name: str) -> None:
    cell, x = make(name, 10), draw(10, B, F)
    StackedParameters(cell, CPU)
    memory = draw(10, B, cell.state_size).numpy()
    together = cell.forward_numpy(x.numpy(), memory)
    for s in range(10):
        alone = CELLS[name](streams(s), F, H, False, None)
        StackedParameters(alone, CPU)
        one = alone.forward_numpy(x[s : s + 1].numpy().copy(), memory[s : s + 1].copy())
        assert one.tobytes() == together[s].tobytes()


@pytest.mark.parametrize("name", CELLS)
def test_an_episode_that_begins_clears_memory(name: str) -> None:
    """An unroll with a beginning inside equals two: up to there, and from nothing on."""
    cell, x, memory = make(name), draw(S, B, T, F), draw(S, B, CELLS[name].memories * H)
    first = NONE.clone()
    first[1, 2, 3] = 1.0
    found = cell.unroll(x, memory, first)
    plain = cell.unroll(x, memory, NONE)
    anew = cell.unroll(x[:, :, 3:], torch.zeros_like(memory), NONE[:, :, 3:])
    expected = plain.clone()
    expected[1, 2, 3:] = anew[1, 2]
    torch.testing.assert_close(found, expected)
    assert (found[1, 2, 3:] - plain[1, 2, 3:]).abs().max() > 0.01  # negative control
    first = torch.ones_like(NONE)
    each = cell.unroll(x, memory, first)
    alone = cell.after(x[:, :, 2], torch.zeros_like(memory))
    torch.testing.assert_close(each[:, :, 2], alone)


@pytest.mark.parametrize("name", CELLS)
def test_no_gradient_crosses_a_beginning(name: str) -> None:
    cell, x = make(name), draw(S, B, T, F).requires_grad_()
    first = NONE.clone()
    first[:, :, 3] = 1.0
    memory = draw(S, B, cell.state_size).requires_grad_()
    cell.unroll(x, memory, first)[:, :, 3:].sum().backward()
    assert x.grad is not None
    assert memory.grad is not None
    assert (x.grad[:, :, :3] == 0).all()
    assert (memory.grad == 0).all()
    assert (x.grad[:, :, 3:] != 0).any()


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_weights_start_orthogonal(name: str) -> None:
    """Every gate's recurrent weights are a rotation; without `ortho` they are not."""
    for ortho in (True, False):
        cell = make(name, ortho=ortho)
        for gate in cell.weight.detach().split(H, -1):
            near = (gate @ gate.mT - torch.eye(H)).abs().max() < 1e-5
            assert bool(near) == ortho


@pytest.mark.parametrize("horizon", [20, 500])
def test_chrono_biases_follow_the_horizon(horizon: int) -> None:
    """The forget gate's are log U(1, horizon - 1): it keeps for up to `horizon` steps."""
    many, seeds = 100, range(40)
    lstm = LSTM(streams(*seeds), 2, many, False, horizon)
    gru = GRU(streams(*seeds), 2, many, False, horizon)
    bias = lstm.inputs.bias.detach()[:, 0]
    forget = bias[:, many : 2 * many]
    for found in (forget, gru.inputs.bias.detach()[:, 0, many : 2 * many]):
        assert found.min() >= 0.0
        assert found.max() <= np.log(horizon - 1)
    keep = torch.exp(forget)
    assert float(keep.mean()) == pytest.approx(horizon / 2, rel=0.03)  # of U(1, horizon - 1)
    assert torch.equal(bias[:, :many], -forget)
    assert (forget[0] != forget[1]).all()
    usual = LSTM(streams(0), 2, H, False, None).inputs.bias[0, 0]
    assert (usual[H : 2 * H] == 1.0).all()
    assert (usual[:H].abs() < 1.0).all()
