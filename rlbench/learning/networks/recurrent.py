"""Recurrent layers of S seeds: torch for learning, numpy for acting.

A cell keeps M numbers of recurrent state per lane. `step` is one step, written once for tensors and
arrays; `unroll` is T steps, with the state reset at the start of an episode: on CPUs by the kernels
of `learning.compile`, which take a fraction of autograd's time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.compile import tanh, unroll
from rlbench.learning.networks.dropout import Dropout
from rlbench.learning.networks.layers import Generators, Linear, initial


class MemoryCell(nn.Module):
    """Base class of memories: of M numbers of state per lane the first H are the output."""

    hidden: int
    state_size: int

    def unroll(self, x: Tensor, memory: Tensor, first: Tensor) -> Tensor:
        """Return states `(S, B, T, M)` after each of T steps, from features `x` (S, B, T, F).

        `memory` (S, B, M) is the state before the first step; `first` (S, B, T) is 1 at the start
        of an episode, which resets it.
        """
        raise NotImplementedError

    def after(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return states one step after `memory` (S, B, M), from features `x` (S, B, F)."""
        raise NotImplementedError

    def forward_numpy(self, x: np.ndarray, memory: np.ndarray) -> np.ndarray:
        """Take one step on arrays, for acting: x (S, N, F), memory (S, N, M) -> memory."""
        raise NotImplementedError


class RecurrentCell(MemoryCell):
    """Base class of cells with G gates of H units; inputs are already multiplied by `inputs`."""

    gates: ClassVar[int] = 1
    memories: ClassVar[int] = 1  # vectors of H numbers that are carried on

    def __init__(
        self, generators: Generators, n_in: int, hidden: int, ortho: bool, horizon: int | None
    ) -> None:
        super().__init__()
        self.hidden, self.state_size = hidden, self.memories * hidden
        self.inputs = Linear(generators, n_in, self.gates * hidden, 1.0 if ortho else None)
        if self.inputs.weight.is_meta:  # to join blocks there would import half of torch
            self.weight = nn.Parameter(torch.empty(len(generators), hidden, self.gates * hidden))
            return
        blocks = [
            initial(generators, hidden, hidden, 1.0 if ortho else None)[0]
            for _ in range(self.gates)
        ]
        self.weight = nn.Parameter(torch.cat(blocks, -1))  # (S, H, G H)
        with torch.no_grad():
            self.remember(generators, self.inputs.bias, horizon)

    def remember(self, generators: Generators, bias: Tensor, horizon: int | None) -> None:
        """Initialise the biases that determine how long the state is kept."""

    def step(self, z: Any, memory: Any, weight: Any, tanh: Callable[[Any], Any]) -> Any:
        """Return the new state (S, B, M) from inputs z (S, B, G H) and the previous state.

        The first H numbers of a state are the cell's output.
        """
        raise NotImplementedError

    def unroll(self, x: Tensor, memory: Tensor, first: Tensor) -> Tensor:
        """Return states after each step of sequences, see `MemoryCell.unroll`."""
        z = self.inputs.forward(x.flatten(1, 2)).unflatten(1, x.shape[1:3])
        return unroll(type(self).__name__.lower(), self.step, z, memory, first, self.weight)

    def after(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return states one step after `memory`, see `MemoryCell.after`."""
        return self.step(self.inputs.forward(x), memory, self.weight, tanh)

    def forward_numpy(self, x: np.ndarray, memory: np.ndarray) -> np.ndarray:
        z = np.matmul(x, np.asarray(self.inputs.weight.data))
        z += np.asarray(self.inputs.bias.data)
        return self.step(z, memory, np.asarray(self.weight.data), np.tanh)


def _sigmoid(x: Any, tanh: Callable[[Any], Any]) -> Any:
    """Compute 1 / (1 + exp(-x)) by tanh, since torch's sigmoid rounds differently for S = 1."""
    return tanh(x * 0.5) * 0.5 + 0.5


def cut(x: Any, *widths: int) -> Any:
    """Split the last axis into parts of these widths.

    Of tensors by one call, whose gradient is one too: that of a slice is as large as the whole.
    """
    if isinstance(x, Tensor):
        return x.split(widths, -1)
    ends = np.cumsum(widths)
    return [x[..., end - width : end] for end, width in zip(ends, widths, strict=True)]


def join(*parts: Any, axis: int = -1) -> Any:
    """Concatenate tensors or arrays."""
    return torch.cat(parts, axis) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis)


class RNN(RecurrentCell):
    """h' = tanh(W x + U h + b) (Elman 1990)."""

    def step(self, z: Any, memory: Any, weight: Any, tanh: Callable[[Any], Any]) -> Any:
        return tanh(z + memory @ weight)


class GRU(RecurrentCell):
    """Gated recurrent unit (Cho et al. 2014), as torch.nn.GRU but with one bias.

    r = sigmoid(..); u = sigmoid(..); n = tanh(W x + b + r * (U h)); h' = (1 - u) n + u h.
    """

    gates = 3

    def step(self, z: Any, memory: Any, weight: Any, tanh: Callable[[Any], Any]) -> Any:
        h, n = memory, self.hidden
        gates, new = cut(z, 2 * n, n)
        own_gates, own_new = cut(h @ weight, 2 * n, n)
        reset, update = cut(_sigmoid(gates + own_gates, tanh), n, n)
        new = tanh(new + reset * own_new)
        return new + update * (h - new)

    def remember(self, generators: Generators, bias: Tensor, horizon: int | None) -> None:
        if horizon is not None:
            bias[..., self.hidden : 2 * self.hidden] = _chrono(generators, self.hidden, horizon)


class LSTM(RecurrentCell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gates of Gers et al. 2000).

    c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) tanh(c'). The memory is [h, c].
    """

    gates, memories = 4, 2

    def step(self, z: Any, memory: Any, weight: Any, tanh: Callable[[Any], Any]) -> Any:
        n = self.hidden
        h, c = cut(memory, n, n)
        gates, new = cut(z + h @ weight, 3 * n, n)
        take, keep, give = cut(_sigmoid(gates, tanh), n, n, n)  # input, forget, output
        c = keep * c + take * tanh(new)
        return join(give * tanh(c), c)

    def remember(self, generators: Generators, bias: Tensor, horizon: int | None) -> None:
        """Set the forget gate's bias to 1 without a horizon (Jozefowicz et al. 2015)."""
        n = self.hidden
        if horizon is None:
            bias[..., n : 2 * n] = 1.0
        else:
            bias[..., n : 2 * n] = _chrono(generators, n, horizon)
            bias[..., :n] = -bias[..., n : 2 * n]


def _chrono(generators: Generators, units: int, horizon: int) -> Tensor:
    """Log U(1, horizon - 1): gates that keep for up to so many steps (Tallec & Ollivier 2018)."""
    draws = np.stack([g.uniform(1.0, horizon - 1, (1, units)) for g in generators])
    return torch.from_numpy(np.log(draws).astype(np.float32))


class CellStack(MemoryCell):
    """Cells one above the other, with dropout between them (Zaremba et al. 2014).

    Each reads the output of the one below. A state is the states of all cells, the topmost first,
    so that its first H numbers are the output.
    """

    def __init__(self, cells: Sequence[MemoryCell], dropouts: Sequence[Dropout]) -> None:
        super().__init__()
        self.cells, self.dropouts = nn.ModuleList(cells), nn.ModuleList(dropouts)
        self.hidden, self.sizes = cells[0].hidden, [cell.state_size for cell in cells][::-1]
        self.state_size = sum(self.sizes)

    def unroll(self, x: Tensor, memory: Tensor, first: Tensor) -> Tensor:
        """Return states after each step of sequences, see `MemoryCell.unroll`."""
        return self._through(x, memory, lambda cell, x, own: cell.unroll(x, own, first))

    def after(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return states one step after `memory`, see `MemoryCell.after`."""
        return self._through(x, memory, lambda cell, x, own: cell.after(x, own))

    def forward_numpy(self, x: np.ndarray, memory: np.ndarray) -> np.ndarray:
        return self._through(x, memory, lambda cell, x, own: cell.forward_numpy(x, own))

    def _through(self, x: Any, memory: Any, call: Callable[[Any, Any, Any], Any]) -> Any:
        """Call cells from the lowest up, each with its part of the memory."""
        states = cut(memory, *self.sizes)[::-1]
        after: list[Any] = []
        for i, (cell, own) in enumerate(zip(self.cells, states, strict=True)):
            if after:
                x = after[-1][..., : self.hidden]
                if self.dropouts and isinstance(x, Tensor):
                    x = self.dropouts[i - 1](x)
            after.append(call(cell, x, own))
        return join(*after[::-1])


CELLS: dict[str, type[RecurrentCell]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
