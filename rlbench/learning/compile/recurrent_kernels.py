"""Recurrent cells over T steps on CPUs, with their gradients, in numpy: few calls a step.

Sequences lie with time first. The factors of a step's gradient do not depend on later steps, so
they are computed for T steps at once; only the recurrence itself is in the loops. Sigmoids are
computed by tanh, and the halving of their argument is moved out of the loops: halving is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.compile.dense_kernels import LIBRARY, array, tanh, use_cpu_kernels

Known = tuple[np.ndarray, ...]
Keep = Sequence[np.ndarray | None]  # by step: 0 where memory is cleared, (S, B, 1); None: nowhere


def _halved(values: np.ndarray, count: int) -> np.ndarray:
    """Return a copy with the first `count` elements of the last axis halved."""
    values = values.copy()
    values[..., :count] *= 0.5
    return values


def _rnn(z: np.ndarray, memory: np.ndarray, keep: Keep, weight: np.ndarray) -> Known:
    h, own = memory, np.empty_like(z[0])
    for a, kept in zip(z, keep, strict=True):
        np.matmul(h if kept is None else h * kept, weight, own)
        np.add(a, own, a)
        h = np.tanh(a, a)
    return (z,)


def _rnn_back(
    grads: np.ndarray, memory: np.ndarray, whole: np.ndarray, keep: Keep, weight: np.ndarray,
    known: Known,
) -> Known:  # fmt: skip
    (h,) = known
    slope, down = 1.0 - h * h, weight.swapaxes(1, 2)
    d = np.zeros_like(memory)
    for grad, a, kept in _back(grads, slope, keep):
        np.add(d, grad, d)
        np.multiply(a, d, a)
        np.matmul(a, down, d)
        if kept is not None:
            d *= kept
    return slope, d, _weight(_before(memory, h, whole), slope)


def _gru(z: np.ndarray, memory: np.ndarray, keep: Keep, weight: np.ndarray) -> Known:
    n = weight.shape[1]
    z[..., : 2 * n] *= 0.5
    weight, h, own = _halved(weight, 2 * n), memory, np.empty_like(z)
    after = np.empty((*z.shape[:3], n), np.float32)
    parts = z[..., : 2 * n], z[..., :n], z[..., n : 2 * n], z[..., 2 * n :]
    own_gates, own_new = own[..., : 2 * n], own[..., 2 * n :]
    steps = zip(*parts, own, own_gates, own_new, after, keep, strict=True)
    for gates, reset, update, new, mine, my_gates, my_new, out, kept in steps:
        h = h if kept is None else h * kept
        np.matmul(h, weight, mine)
        np.add(gates, my_gates, gates)
        np.tanh(gates, gates)
        np.multiply(gates, 0.5, gates)
        np.add(gates, 0.5, gates)
        np.multiply(reset, my_new, out)
        np.add(new, out, new)
        np.tanh(new, new)
        np.subtract(h, new, out)
        np.multiply(update, out, out)
        h = np.add(new, out, out)
    return after, z, own_new.copy()


def _gru_back(
    grads: np.ndarray, memory: np.ndarray, whole: np.ndarray, keep: Keep, weight: np.ndarray,
    known: Known,
) -> Known:  # fmt: skip
    (after, z, own), n = known, weight.shape[1]
    reset, update, new = z[..., :n], z[..., n : 2 * n], z[..., 2 * n :]
    before = _before(memory, after, whole)
    dz, down = np.empty_like(z), np.empty_like(z)
    dr, du, dn = dz[..., :n], dz[..., n : 2 * n], dz[..., 2 * n :]
    np.multiply(own, reset * (1.0 - reset), dr)
    np.multiply(before - new, update * (1.0 - update), du)
    np.multiply(1.0 - update, 1.0 - new * new, dn)
    d, part, up = np.zeros_like(memory), np.empty_like(memory), weight.swapaxes(1, 2)
    parts = dz[..., n:].reshape(*dz.shape[:3], 2, n), dr, dn, dz, reset, update
    for grad, both, a_r, a_n, a, r, u, below, kept in _back(grads, *parts, down, keep):
        np.add(d, grad, d)
        np.multiply(both, d[:, :, None], both)
        np.multiply(a_r, a_n, a_r)
        np.copyto(below, a)
        below[..., 2 * n :] *= r
        np.multiply(d, u, d)
        np.add(d, np.matmul(below, up, part), d)
        if kept is not None:
            d *= kept
    return dz, d, _weight(before, down)


def _lstm(z: np.ndarray, memory: np.ndarray, keep: Keep, weight: np.ndarray) -> Known:
    n = weight.shape[1]
    z[..., : 3 * n] *= 0.5
    weight, own, part = _halved(weight, 3 * n), np.empty_like(z[0]), np.empty_like(memory[..., :n])
    hidden, cells, bounded = (np.empty((*z.shape[:3], n), np.float32) for _ in range(3))
    h, c = memory[..., :n], memory[..., n:]
    blocks = [z[..., i * n : (i + 1) * n] for i in range(4)]  # input, forget, output, new
    steps = zip(z, z[..., : 3 * n], *blocks, hidden, cells, bounded, keep, strict=True)
    for a, gates, take, hold, give, new, out, cell, bound, kept in steps:
        if kept is not None:
            h, c = h * kept, c * kept
        np.matmul(h, weight, own)
        np.add(a, own, a)
        np.tanh(a, a)
        np.multiply(gates, 0.5, gates)
        np.add(gates, 0.5, gates)
        np.multiply(hold, c, cell)
        np.multiply(take, new, part)
        c = np.add(cell, part, cell)
        np.tanh(c, bound)
        h = np.multiply(give, bound, out)
    return hidden, cells, z, bounded


def _lstm_back(
    grads: np.ndarray, memory: np.ndarray, whole: np.ndarray, keep: Keep, weight: np.ndarray,
    known: Known,
) -> Known:  # fmt: skip
    (hidden, cells, z, bounded), n = known, weight.shape[1]
    take, hold, give, new = (z[..., i * n : (i + 1) * n] for i in range(4))
    before = _before(memory[..., :n], hidden, whole)
    dz = z * (1.0 - z)
    di, df, do, dn = (dz[..., i * n : (i + 1) * n] for i in range(4))
    np.multiply(di, new, di)
    np.multiply(df, _before(memory[..., n:], cells, whole), df)
    np.multiply(do, bounded, do)
    np.multiply(take, 1.0 - new * new, dn)
    slope = give * (1.0 - bounded * bounded)
    dh, dc, up = np.zeros_like(before[0]), np.zeros_like(before[0]), weight.swapaxes(1, 2)
    part, parts = np.empty_like(dh), (dz[..., : 2 * n].reshape(*dz.shape[:3], 2, n), do, dn)
    of_h, of_c = grads[..., :n], grads[..., n:]
    for gh, gc, both, o, g, a, s, f, kept in _back(of_h, of_c, *parts, dz, slope, hold, keep):
        np.add(dh, gh, dh)
        np.multiply(dh, s, part)
        np.add(dc, gc, dc)
        np.add(dc, part, dc)
        np.multiply(both, dc[:, :, None], both)  # input and forget gates
        np.multiply(o, dh, o)
        np.multiply(g, dc, g)
        np.matmul(a, up, dh)
        np.multiply(dc, f, dc)
        if kept is not None:
            dh *= kept
            dc *= kept
    return dz, np.concatenate([dh, dc], -1), _weight(before, dz)


def _back(*sequences: Any) -> Any:
    """Iterate over the steps of sequences together, the last one first."""
    return zip(*(sequence[::-1] for sequence in sequences), strict=True)


def _before(memory: np.ndarray, after: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the memory that each step began with, (T, S, B, n)."""
    return np.concatenate([memory[None], after[:-1]]) * whole


def _weight(before: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the gradient of the weights, from that of their products, (T, S, B, .) both."""
    h, d = (np.ascontiguousarray(x.swapaxes(0, 1)) for x in (before, down))
    seeds = h.shape[0]
    product: np.ndarray = np.matmul(
        h.reshape(seeds, -1, h.shape[-1]).swapaxes(1, 2), d.reshape(seeds, -1, d.shape[-1])
    )
    return product


FORWARD: dict[str, Callable[..., Known]] = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}
BACK: dict[str, Callable[..., Known]] = {"rnn": _rnn_back, "gru": _gru_back, "lstm": _lstm_back}
HIDDEN = {"rnn": 1, "gru": 1, "lstm": 2}  # of what is known: the memory's parts


def _timed(x: Tensor) -> np.ndarray:
    """Return (S, B, T, ...) as a copy with time first."""
    return array(x).transpose(2, 0, 1, *range(3, x.ndim)).copy()


def _lanes(x: np.ndarray) -> np.ndarray:
    """Return (T, S, B, n) as a view with time behind lanes."""
    return x.transpose(1, 2, 0, 3)


def _keep(first: Tensor) -> tuple[np.ndarray, Keep]:
    whole = 1.0 - _timed(first)[..., None]
    clears = (whole == 0.0).any((1, 2, 3)).tolist()
    return whole, [step if clear else None for step, clear in zip(whole, clears, strict=True)]


def _unroll(cell: str, z: Tensor, memory: Tensor, first: Tensor, weight: Tensor) -> list[Tensor]:
    known = FORWARD[cell](_timed(z), array(memory), _keep(first)[1], array(weight))
    parts = [torch.from_numpy(part) for part in known]
    after = torch.cat([part.permute(1, 2, 0, 3) for part in parts[: HIDDEN[cell]]], -1)
    return [after, *parts]


def _unroll_back(
    cell: str, grad: Tensor, memory: Tensor, first: Tensor, weight: Tensor, known: list[Tensor]
) -> list[Tensor]:
    given = array(memory), *_keep(first), array(weight), tuple(map(array, known))
    dz, *others = BACK[cell](_timed(grad), *given)
    return [torch.from_numpy(_lanes(dz).copy()), *map(torch.from_numpy, others)]


LIBRARY.define("unroll(str cell, Tensor z, Tensor memory, Tensor first, Tensor weight) -> Tensor[]")
LIBRARY.define(
    "unroll_back(str cell, Tensor grad, Tensor memory, Tensor first, Tensor weight, Tensor[] known)"
    " -> Tensor[]"
)
LIBRARY.impl("unroll", _unroll, "CPU")
LIBRARY.impl("unroll_back", _unroll_back, "CPU")


def unroll(
    cell: str,
    step: Callable[..., Tensor],
    z: Tensor,
    memory: Tensor,
    first: Tensor,
    weight: Tensor,
) -> Tensor:
    """Run a recurrent cell over T steps and return its memories after each, `(S, B, T, M)`.

    Args:
        cell: `rnn`, `gru` or `lstm`.
        step: one step, `step(z, memory, weight, tanh) -> memory`, for devices other than CPUs.
        z: inputs times their weights, `(S, B, T, G H)`.
        memory: what was carried up to the first step, `(S, B, M)`.
        first: 1 where an episode begins, which clears the memory, `(S, B, T)`.
        weight: of the memory's own product, `(S, H, G H)`.
    """
    if use_cpu_kernels(z):
        return _Unroll.apply(cell, z, memory, first, weight)
    keep, after = (1.0 - first).unsqueeze(-1), []
    for t in range(z.shape[2]):
        memory = step(z[:, :, t], memory * keep[:, :, t], weight, tanh)
        after.append(memory)
    return torch.stack(after, 2)


class _Unroll(torch.autograd.Function):
    """`unroll` on CPUs, with its gradient."""

    @staticmethod
    def forward(
        ctx: Any, cell: str, z: Tensor, memory: Tensor, first: Tensor, weight: Tensor
    ) -> Tensor:
        after, *known = torch.ops.rlbench.unroll(cell, z, memory, first, weight)
        ctx.cell = cell
        ctx.save_for_backward(memory, first, weight, *known)
        return after

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        memory, first, weight, *known = ctx.saved_tensors
        given = ctx.cell, *grads, memory, first, weight, known
        dz, begin, dw = torch.ops.rlbench.unroll_back(*given)
        return None, dz, begin, None, dw
