"""Attention against torch's transformer, a naive oracle, and itself in company."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from tensors import CPU, draw, streams
from torch import Tensor, nn
from worlds import World

from rlbench.agents import PPO
from rlbench.errors import UserError
from rlbench.learning.networks.attention import Attention
from rlbench.learning.networks.recurrent import CellStack
from rlbench.learning.networks.stack import StackedParameters

S, B, T, F, H, N, HEADS = 3, 4, 11, 5, 6, 4, 2
NONE = torch.zeros(S, B, T)


def make(seeds: int = S, n_in: int = F, window: int = N) -> Attention:
    return Attention(streams(*range(seeds)), n_in, H, False, window, HEADS)


def beginnings(share: float = 0.2) -> Tensor:
    return torch.from_numpy((np.random.default_rng(3).random((S, B, T)) < share).astype(np.float32))


def naive(layer: Attention, s: int, episode: Tensor) -> Tensor:
    """Outputs (T, H) of one seed over one episode (T, F), step by step and head by head."""
    x = episode if layer.inputs is None else episode @ layer.inputs.weight[s] + layer.inputs.bias[s]
    normal = nn.functional.layer_norm(x, (H,))
    outputs = []
    for t in range(len(x)):
        before = range(max(0, t - layer.window + 1), t + 1)
        query = normal[t] @ layer.queries.weight[s] + layer.queries.bias[s, 0]
        parts = []
        for head in range(HEADS):
            own = slice(head * H // HEADS, (head + 1) * H // HEADS)
            scores = []
            for j in before:
                key = normal[j] @ layer.keys[s] + layer.places[s, layer.window - 1 - (t - j)]
                scores.append(query[own] @ key[own] / (H // HEADS) ** 0.5)
            shares = torch.stack(scores).softmax(0)
            read = [shares[i] * (normal[j] @ layer.values[s])[own] for i, j in enumerate(before)]
            parts.append(torch.stack(read).sum(0))
        y = x[t] + torch.cat(parts) @ layer.outputs.weight[s] + layer.outputs.bias[s, 0]
        inner = nn.functional.layer_norm(y, (H,)) @ layer.up.weight[s] + layer.up.bias[s, 0]
        outputs.append(y + inner.relu() @ layer.down.weight[s] + layer.down.bias[s, 0])
    return torch.stack(outputs)


@pytest.mark.parametrize("n_in", [F, H])
@pytest.mark.parametrize("window", [2, N, 2 * T])
def test_sequences_are_full_attention_within_episodes(n_in: int, window: int) -> None:
    """Values and gradients, with episodes that begin within sequences."""
    layer, x, first = make(n_in=n_in, window=window), draw(S, B, T, n_in), beginnings()
    x = x.requires_grad_()
    found = layer.unroll(x, torch.zeros(S, B, layer.state_size), first)[..., :H]
    found.square().sum().backward()
    gradients = [x.grad.clone(), *(p.grad.clone() for p in layer.parameters())]  # type: ignore[union-attr]
    x.grad = None
    layer.zero_grad()
    rows = []
    for s in range(S):
        for b in range(B):
            starts = [0, *(t for t in range(1, T) if first[s, b, t]), T]
            pieces = itertools.pairwise(starts)
            rows.append(torch.cat([naive(layer, s, x[s, b, a:z]) for a, z in pieces]))
    expected = torch.stack(rows).view(S, B, T, H)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    expected.square().sum().backward()
    for mine, its in zip(gradients, (x.grad, *(p.grad for p in layer.parameters())), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-4)


def test_without_places_it_is_torchs_transformer() -> None:
    layer, x = make(n_in=H, window=T), draw(S, B, T, H)
    layer.places.data.zero_()
    found = layer.unroll(x, torch.zeros(S, B, layer.state_size), NONE)[..., :H]
    for s in range(S):
        other: Any = nn.TransformerEncoderLayer(
            H, HEADS, 4 * H, dropout=0.0, batch_first=True, norm_first=True
        )
        own = other.self_attn
        with torch.no_grad():
            weights = [layer.queries.weight[s], layer.keys[s], layer.values[s]]
            own.in_proj_weight.copy_(torch.cat(weights, -1).T)
            own.in_proj_bias.zero_()
            own.in_proj_bias[:H] = layer.queries.bias[s, 0]
            for its, mine in (
                (own.out_proj, layer.outputs), (other.linear1, layer.up),
                (other.linear2, layer.down),
            ):  # fmt: skip
                its.weight.copy_(mine.weight[s].T)
                its.bias.copy_(mine.bias[s, 0])
        mask = nn.Transformer.generate_square_subsequent_mask(T)
        torch.testing.assert_close(found[s], other(x[s], src_mask=mask), rtol=1e-4, atol=1e-5)


def test_places_tell_the_order() -> None:
    """What was before may come in any order, unless places say how long ago it was."""
    layer, x = make(window=T), draw(S, B, T, F)
    zeros = torch.zeros(S, B, layer.state_size)
    other = torch.cat([x[:, :, :-1].flip(2), x[:, :, -1:]], 2)

    def last(steps: Tensor) -> Tensor:
        return layer.unroll(steps, zeros, NONE)[:, :, -1, :H].detach()

    assert (last(x) - last(other)).abs().max() > 1e-3
    layer.places.data.zero_()
    torch.testing.assert_close(last(x), last(other))


@pytest.mark.parametrize("layers", [1, 2])
def test_acting_is_learning(layers: int) -> None:
    """Steps on arrays, steps on tensors, and a sequence cut in two give the same states."""
    generators = streams(*range(S))
    parts = [Attention(generators, F if i == 0 else H, H, False, N, HEADS) for i in range(layers)]
    cell: Any = parts[0] if layers == 1 else CellStack(parts, [])
    StackedParameters(cell, CPU)
    x, first = draw(S, B, T, F), beginnings()
    memory = torch.zeros(S, B, cell.state_size)
    with torch.no_grad():
        whole = cell.unroll(x, memory, first)
        fast, slow = memory.numpy(), memory
        for t in range(T):
            keep = 1.0 - first[:, :, t, None]
            slow = cell.after(x[:, :, t], slow * keep)
            fast = cell.forward_numpy(x[:, :, t].numpy(), fast * keep.numpy())
            torch.testing.assert_close(slow, whole[:, :, t])
            np.testing.assert_allclose(fast, slow.numpy(), rtol=1e-5, atol=1e-5)
            assert fast.dtype == np.float32
        for cut in (1, N, T - 1):
            rest = cell.unroll(x[:, :, cut:], whole[:, :, cut - 1], first[:, :, cut:])
            torch.testing.assert_close(rest, whole[:, :, cut:])
        forgotten = cell.unroll(x[:, :, 2:], memory, first[:, :, 2:])
        assert (forgotten[:, :, 0] - whole[:, :, 2]).abs().max() > 1e-3  # negative control


def test_a_seed_alone_gets_the_same_bits() -> None:
    """Of states, gradients and steps, at every place in company."""
    together, x, first = make(), draw(S, B, T, F), beginnings()
    StackedParameters(together, CPU)
    memory = together.unroll(x, torch.zeros(S, B, together.state_size), NONE)[:, :, -1].detach()

    def results(layer: Attention, rows: slice) -> list[Tensor]:
        mine = [z[rows].clone() for z in (x, memory, first)]
        states = layer.unroll(*mine)
        weight = torch.linspace(-1.0, 1.0, states[0].numel()).view(1, *states.shape[1:])
        gradients = torch.autograd.grad((states * weight).sum(), list(layer.parameters()))
        step = layer.after(mine[0][:, :, 0], mine[1]).detach()
        array = layer.forward_numpy(mine[0][:, :, 0].numpy(), mine[1].numpy())
        return [states.detach(), step, torch.from_numpy(array), *gradients]

    company = results(together, slice(S))
    for s in range(S):
        alone = Attention(streams(s), F, H, False, N, HEADS)
        StackedParameters(alone, CPU)
        for mine, other in zip(results(alone, slice(s, s + 1)), company, strict=True):
            assert torch.equal(mine[0], other[s])


def test_no_gradient_crosses_a_beginning() -> None:
    layer, x, first = make(), draw(S, B, T, F).requires_grad_(), NONE.clone()
    first[:, :, 3] = 1.0
    memory = draw(S, B, layer.state_size).requires_grad_()
    layer.unroll(x, memory, first)[:, :, 3:, :H].sum().backward()
    assert x.grad is not None
    assert memory.grad is not None
    assert not x.grad[:, :, :3].any()
    assert not memory.grad.any()
    assert x.grad[:, :, 3:].any()


def test_heads_divide_the_units() -> None:
    with pytest.raises(UserError, match="attention_heads=4 does not divide hidden_size=6"):
        PPO(World, encoder="attention", hidden_size=6)
    PPO(World, encoder="gru", hidden_size=6)
