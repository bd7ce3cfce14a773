"""Cells above each other against torch's layers, and agents that have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensors import draw, streams
from torch import nn
from worlds import World

from rlbench import agents
from rlbench.learning.networks.dropout import Dropout
from rlbench.learning.networks.recurrent import CELLS, CellStack

S, B, T, F, H, LAYERS = 2, 3, 5, 4, 6, 3
ORDER = {"rnn": [0], "gru": [0, 1, 2], "lstm": [0, 1, 3, 2]}  # torch's order of gates


def stack(name: str, seeds: int = S, dropout: float = 0.0) -> CellStack:
    generators = streams(*range(seeds))
    cells = [CELLS[name](generators, F if i == 0 else H, H, False, None) for i in range(LAYERS)]
    return CellStack(cells, [Dropout(generators, dropout) for _ in cells[1:]] if dropout else [])


def torchs(name: str, ours: CellStack, s: int) -> Any:
    made = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[name](F, H, LAYERS, batch_first=True)
    with torch.no_grad():
        for i, cell in enumerate(ours.cells):
            each: Any = cell

            def blocks(values: Any) -> Any:
                return torch.cat([values.split(H, -1)[k] for k in ORDER[name]], -1)

            getattr(made, f"weight_ih_l{i}").copy_(blocks(each.inputs.weight[s]).T)
            getattr(made, f"weight_hh_l{i}").copy_(blocks(each.weight[s]).T)
            getattr(made, f"bias_ih_l{i}").copy_(blocks(each.inputs.bias[s, 0]))
            getattr(made, f"bias_hh_l{i}").zero_()
    return made


@pytest.mark.parametrize("name", CELLS)
def test_outputs_and_gradients_are_torchs(name: str) -> None:
    ours, x = stack(name), draw(S, B, T, F).requires_grad_()
    memory = draw(S, B, ours.state_size)
    states = ours.unroll(x, memory, torch.zeros(S, B, T))
    assert states.shape == (S, B, T, ours.state_size)
    states[..., :H].square().sum().backward()
    for s in range(S):
        other, its_x = torchs(name, ours, s), x[s].detach().clone().requires_grad_()
        parts = memory[s].split(ours.state_size // LAYERS, -1)[::-1]  # torch's lowest is first
        h = torch.stack([part[:, :H] for part in parts])
        start = (h, torch.stack([part[:, H:] for part in parts])) if name == "lstm" else h
        expected = other(its_x, start)[0]
        torch.testing.assert_close(states[s, ..., :H], expected)
        expected.square().sum().backward()
        torch.testing.assert_close(x.grad[s], its_x.grad, rtol=1e-4, atol=1e-5)  # type: ignore[index]
    assert (torchs(name, ours, 1)(x[0])[0] - states[0, ..., :H]).abs().max() > 1e-3  # control


@pytest.mark.parametrize("name", CELLS)
def test_steps_on_tensors_and_arrays_are_the_sequence(name: str) -> None:
    ours, x = stack(name), draw(S, B, T, F)
    memory = torch.zeros(S, B, ours.state_size)
    with torch.no_grad():
        states = ours.unroll(x, memory, torch.zeros(S, B, T))
        here, there = memory, memory.numpy()
        for t in range(T):
            here = ours.after(x[:, :, t], here)
            there = ours.forward_numpy(x[:, :, t].numpy(), there)
            torch.testing.assert_close(here, states[:, :, t])
            np.testing.assert_allclose(there, here.numpy(), rtol=1e-5, atol=1e-6)


def test_dropout_is_between_cells_while_learning_only() -> None:
    ours, x = stack("gru", dropout=0.5), draw(S, B, T, F)
    plain = stack("gru")
    memory, first = torch.zeros(S, B, ours.state_size), torch.zeros(S, B, T)
    plain.load_state_dict(ours.state_dict())
    with torch.no_grad():
        assert torch.equal(ours.unroll(x, memory, first), plain.unroll(x, memory, first))
    learning, full = ours.unroll(x, memory, first), plain.unroll(x, memory, first)
    assert not torch.allclose(learning[..., :H], full[..., :H])
    assert torch.equal(learning[..., -H:], full[..., -H:])  # nothing is below the lowest


@pytest.mark.parametrize(
    ("kind", "encoder", "more"),
    [
        ("PPO", "lstm", {"n_steps": 16, "batch_size": 32}),
        (
            "DQN",
            "gru",
            {"learning_starts": 16, "batch_size": 4, "sequence_length": 4, "burn_in": 2},
        ),
    ],
)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_agents_learn_alike_alone_and_in_company(
    kind: str, encoder: str, more: dict[str, Any], dropout: float, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "encoder": encoder, "num_layers": 2, "hidden_size": 8, "dropout": dropout, "device": "cpu",
        **more,
    }  # fmt: skip
    make = getattr(agents, kind)
    both = make(World, seeds=[3, 4], **settings).learn(80)
    alone = make(World, seeds=[4], **settings).learn(80)
    mine = alone.learner.stack.data[0]
    assert torch.equal(mine, both.learner.stack.data[1])
    assert not torch.equal(mine, both.learner.stack.data[0])  # negative control
    assert alone.config.describe(alone.spec).startswith(f"mlp 64 + {encoder} 8 x2")
    loaded = make.load(alone.save(tmp_path / "agent"))
    obs = np.zeros(alone.spec.shape, np.float32)
    first, state = alone.predict(obs, deterministic=True)
    again, its = loaded.predict(obs, deterministic=True)
    assert first == again
    np.testing.assert_array_equal(state, its)
