"""Recurrent layers of S seeds, written so that torch learns with them and numpy acts with them.

A cell keeps M numbers per lane, its memory. `step` is one step of it, with the same text for
tensors and arrays; `unroll` is T of them, with the memory cleared where an episode begins. Its
gradient is written out (`run` and `back`), which takes half the time that autograd takes for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.nets import Generators, Linear, initial


class Cell(nn.Module):
    """Base of the cells: G gates of H units each; inputs come already multiplied by `inputs`."""

    gates: ClassVar[int] = 1
    memories: ClassVar[int] = 1  # vectors of H numbers that are carried on

    def __init__(
        self, generators: Generators, n_in: int, hidden: int, ortho: bool, horizon: int | None
    ) -> None:
        super().__init__()
        self.hidden, self.memory = hidden, self.memories * hidden
        self.inputs = Linear(generators, n_in, self.gates * hidden, 1.0 if ortho else None)
        blocks = [
            initial(generators, hidden, hidden, 1.0 if ortho else None)[0]
            for _ in range(self.gates)
        ]
        self.weight = nn.Parameter(torch.cat(blocks, -1))  # (S, H, G H)
        with torch.no_grad():
            self.remember(generators, self.inputs.bias, horizon)

    def remember(self, generators: Generators, bias: Tensor, horizon: int | None) -> None:
        """Set the biases of what decides how long memory lasts."""

    def step(self, z: Any, memory: Any, weight: Any, tanh: Callable[[Any], Any]) -> Any:
        """New memory (S, B, M) from inputs z (S, B, G H) and the memory before.

        The first H numbers of a memory are what the cell gives to the layers above it.
        """
        raise NotImplementedError

    def unroll(self, x: Tensor, memory: Tensor, first: Tensor) -> Tensor:
        """Memories `(S, B, T, M)` after each of T steps, from features `x` (S, B, T, F).

        `memory` (S, B, M) is what was carried up to the first step; `first` (S, B, T) is 1 where
        an episode begins, which clears it.
        """
        z = self.inputs.forward(x.flatten(1, 2)).unflatten(1, x.shape[1:3])
        return _Unroll.apply(self, z, memory, first, self.weight)

    def run(self, z: Tensor, memory: Tensor, weight: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`step` outside of autograd: the new memory, and what `back` needs to know of it."""
        raise NotImplementedError

    def back(
        self, known: tuple[Tensor, ...], memory: Tensor, grad: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """From the gradient of the new memory those of z, of h @ weight, and of the old memory."""
        raise NotImplementedError

    def after(self, x: Tensor, memory: Tensor) -> Tensor:
        """Memories one step after `memory` (S, B, M), from features `x` (S, B, F)."""
        return self.step(self.inputs.forward(x), memory, self.weight, torch.tanh)

    def arrays(self, x: np.ndarray, memory: np.ndarray) -> np.ndarray:
        """One step on arrays, for acting: x (S, N, F), memory (S, N, M) -> memory."""
        z = np.matmul(x, np.asarray(self.inputs.weight.data))
        z += np.asarray(self.inputs.bias.data)
        return self.step(z, memory, np.asarray(self.weight.data), np.tanh)


class _Unroll(torch.autograd.Function):
    """T steps of a cell, and their gradient."""

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, z: Tensor, memory: Tensor, first: Tensor, weight: Tensor
    ) -> Tensor:
        keep = (1.0 - first).unsqueeze(-1)
        ctx.cell, ctx.keep, ctx.weight = cell, keep, weight
        ctx.before, ctx.known, after = [], [], []
        for t in range(z.shape[2]):
            memory = memory * keep[:, :, t]
            ctx.before.append(memory)
            memory, known = cell.run(z[:, :, t], memory, weight)
            ctx.known.append(known)
            after.append(memory)
        return torch.stack(after, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        cell, (grad,) = ctx.cell, grads
        dz, own = [], []
        d = torch.zeros_like(ctx.before[0])
        for t in reversed(range(len(ctx.before))):
            z, h, d = cell.back(ctx.known[t], ctx.before[t], d + grad[:, :, t], ctx.weight)
            dz.append(z)
            own.append(h)
            d = d * ctx.keep[:, :, t]
        h = torch.stack([memory[..., : cell.hidden] for memory in ctx.before[::-1]], 1)
        weight = torch.bmm(h.flatten(1, 2).mT, torch.stack(own, 1).flatten(1, 2))
        return None, torch.stack(dz[::-1], 2), d, None, weight


def _slope(gates: Tensor) -> Tensor:
    """Derivative s (1 - s) of the sigmoid where its value is s."""
    return torch.addcmul(gates, gates, gates, value=-1.0)


def _sigmoid_(x: Tensor) -> Tensor:
    """`_sigmoid` in place."""
    return x.mul_(0.5).tanh_().mul_(0.5).add_(0.5)


def _sigmoid(x: Any, tanh: Callable[[Any], Any]) -> Any:
    """1 / (1 + exp(-x)), by tanh: torch's sigmoid rounds differently for S = 1 and S > 1."""
    return tanh(x * 0.5) * 0.5 + 0.5


def _cut(x: Any, *widths: int) -> Any:
    """Parts of the last axis. Of tensors by one call, whose gradient is one too: that of a slice is
    as large as what it was cut from."""
    if isinstance(x, Tensor):
        return x.split(widths, -1)
    ends = np.cumsum(widths)
    return [x[..., end - width : end] for end, width in zip(ends, widths, strict=True)]


def _join(tanh: Callable[[Any], Any], *parts: Any) -> Any:
    return torch.cat(parts, -1) if tanh is torch.tanh else np.concatenate(parts, -1)


class RNN(Cell):
    """h' = tanh(W x + U h + b) (Elman 1990)."""

    def step(self, z: Any, memory: Any, weight: Any, tanh: Callable[[Any], Any]) -> Any:
        return tanh(z + memory @ weight)

    def run(self, z: Tensor, memory: Tensor, weight: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        h = torch.baddbmm(z, memory, weight).tanh_()
        return h, (h,)

    def back(
        self, known: tuple[Tensor, ...], memory: Tensor, grad: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        (h,) = known
        dz = grad * (1.0 - h * h)
        return dz, dz, torch.bmm(dz, weight.mT)


class GRU(Cell):
    """Gated recurrent unit (Cho et al. 2014), as torch.nn.GRU has it but for one bias:

    r = sigmoid(..); u = sigmoid(..); n = tanh(W x + b + r * (U h)); h' = (1 - u) n + u h.
    """

    gates = 3

    def step(self, z: Any, memory: Any, weight: Any, tanh: Callable[[Any], Any]) -> Any:
        h, n = memory, self.hidden
        gates, new = _cut(z, 2 * n, n)
        own_gates, own_new = _cut(h @ weight, 2 * n, n)
        reset, update = _cut(_sigmoid(gates + own_gates, tanh), n, n)
        new = tanh(new + reset * own_new)
        return new + update * (h - new)

    def run(self, z: Tensor, memory: Tensor, weight: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        n = self.hidden
        own = torch.bmm(memory, weight)
        gates = _sigmoid_(z[..., : 2 * n] + own[..., : 2 * n])
        new = torch.addcmul(z[..., 2 * n :], gates[..., :n], own[..., 2 * n :]).tanh_()
        return torch.addcmul(new, gates[..., n:], memory - new), (own, gates, new)

    def back(
        self, known: tuple[Tensor, ...], memory: Tensor, grad: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, (own, gates, new) = self.hidden, known
        reset, update = gates[..., :n], gates[..., n:]
        dz = torch.empty_like(own)
        dz[..., 2 * n :] = grad * (1.0 - update) * (1.0 - new * new)
        dz[..., :n] = dz[..., 2 * n :] * own[..., 2 * n :]
        dz[..., n : 2 * n] = grad * (memory - new)
        dz[..., : 2 * n] *= _slope(gates)
        down = dz.clone()
        down[..., 2 * n :] *= reset
        return dz, down, torch.baddbmm(grad * update, down, weight.mT)

    def remember(self, generators: Generators, bias: Tensor, horizon: int | None) -> None:
        if horizon is not None:
            bias[..., self.hidden : 2 * self.hidden] = _chrono(generators, self.hidden, horizon)


class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gates of Gers et al. 2000):

    c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) tanh(c'). The memory is [h, c].
    """

    gates, memories = 4, 2

    def step(self, z: Any, memory: Any, weight: Any, tanh: Callable[[Any], Any]) -> Any:
        n = self.hidden
        h, c = _cut(memory, n, n)
        gates, new = _cut(z + h @ weight, 3 * n, n)
        take, keep, give = _cut(_sigmoid(gates, tanh), n, n, n)  # input, forget, output
        c = keep * c + take * tanh(new)
        return _join(tanh, give * tanh(c), c)

    def run(self, z: Tensor, memory: Tensor, weight: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        n = self.hidden
        a = torch.baddbmm(z, memory[..., :n], weight)
        gates, new, after = _sigmoid_(a[..., : 3 * n]), a[..., 3 * n :].tanh_(), memory.clone()
        c = after[..., n:].mul_(gates[..., n : 2 * n]).addcmul_(gates[..., :n], new)
        t = torch.tanh(c)
        torch.mul(gates[..., 2 * n :], t, out=after[..., :n])
        return after, (a, t)

    def back(
        self, known: tuple[Tensor, ...], memory: Tensor, grad: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, (a, t) = self.hidden, known
        gates, new, dh = a[..., : 3 * n], a[..., 3 * n :], grad[..., :n]
        dc = torch.addcmul(grad[..., n:], dh * gates[..., 2 * n :], 1.0 - t * t)
        da = torch.empty_like(a)
        torch.mul(dc, new, out=da[..., :n])
        torch.mul(dc, memory[..., n:], out=da[..., n : 2 * n])
        torch.mul(dh, t, out=da[..., 2 * n : 3 * n])
        da[..., : 3 * n] *= _slope(gates)
        torch.mul(dc * gates[..., :n], 1.0 - new * new, out=da[..., 3 * n :])
        before = torch.cat([torch.bmm(da, weight.mT), dc * gates[..., n : 2 * n]], -1)
        return da, da, before

    def remember(self, generators: Generators, bias: Tensor, horizon: int | None) -> None:
        """Without a horizon the forget gate starts at 1 (Jozefowicz et al. 2015)."""
        n = self.hidden
        if horizon is None:
            bias[..., n : 2 * n] = 1.0
        else:
            bias[..., n : 2 * n] = _chrono(generators, n, horizon)
            bias[..., :n] = -bias[..., n : 2 * n]


def _chrono(generators: Generators, units: int, horizon: int) -> Tensor:
    """log U(1, horizon - 1): gates that keep for up to so many steps (Tallec & Ollivier 2018)."""
    draws = np.stack([g.uniform(1.0, horizon - 1, (1, units)) for g in generators])
    return torch.from_numpy(np.log(draws).astype(np.float32))


CELLS: dict[str, type[Cell]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
