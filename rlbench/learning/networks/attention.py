"""Attention over the last steps of an episode as a memory (Vaswani et al. 2017).

A layer of a transformer with normalisation before each part, so that inputs reach outputs unchanged
but for what the parts add (Parisotto et al. 2020). What is carried from step to step are the
layer's last inputs, as in Transformer-XL (Dai et al. 2019), and where a step was is told by how
many steps ago, by a learned key for each number (Shaw et al. 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.compile import product
from rlbench.learning.networks.layers import Generators, Linear, initial
from rlbench.learning.networks.recurrent import MemoryCell, cut, join

FAR = 1e9  # taken from scores of what must not be read, which then weighs exactly 0


class Attention(MemoryCell):
    """Layer of H units that reads its own input and those of up to N - 1 steps before.

    y = x + W attention(norm(x)); output = y + W2 relu(W1 norm(y) + b1) + b2, of 4 H units between.
    A lane's state: the output (H), which of the N - 1 inputs before are of this episode (1, or 0),
    and these, normalised ((N - 1) H), the oldest first. A state of zeros remembers nothing.
    """

    def __init__(
        self, generators: Generators, n_in: int, hidden: int, ortho: bool, window: int, heads: int
    ) -> None:
        super().__init__()
        self.hidden, self.window, self.heads = hidden, window, heads
        self.sizes = (hidden, window - 1, (window - 1) * hidden)
        self.state_size = sum(self.sizes)
        gain = 1.0 if ortho else None
        self.inputs = None if n_in == hidden else Linear(generators, n_in, hidden, gain)
        self.queries = Linear(generators, hidden, hidden, gain)
        # Without biases: softmax ignores what all keys share, and what all values share is in the
        # bias of `outputs`.
        self.keys, self.values = (
            nn.Parameter(initial(generators, hidden, hidden, gain)[0]) for _ in range(2)
        )
        self.places = nn.Parameter(initial(generators, window, hidden, gain)[0])  # oldest first
        self.outputs = Linear(generators, hidden, hidden, gain)
        self.up = Linear(generators, hidden, 4 * hidden, gain)
        self.down = Linear(generators, 4 * hidden, hidden, gain)

    @property
    def computed(self) -> int:
        """Numbers that a step of a sequence computes: vectors, scores and the state."""
        return 12 * self.hidden + 6 * self.heads * self.window + 2 * self.state_size

    def unroll(self, x: Tensor, memory: Tensor, first: Tensor) -> Tensor:
        """Return states after each step of sequences, see `MemoryCell.unroll`."""
        steps = x.shape[1:3]  # B, T
        x = x.flatten(1, 2)
        x = x if self.inputs is None else self.inputs.forward(x)
        new = _normal(x)
        query = self._split(self.queries.forward(new) * self._scale())  # (S, B T, h, H / h)
        _, kept, past = cut(memory, *self.sizes)
        seen = torch.cat(
            [past.unflatten(-1, (-1, self.hidden)), new.unflatten(1, steps)], 2
        )  # (S, B, N - 1 + T, H)
        key, value = (
            self._split(product(seen.flatten(1, 2), weight)).unflatten(1, seen.shape[1:3])
            for weight in (self.keys, self.values)
        )
        readable = self._readable(kept, first)  # (S, B, T, N)
        at = query.unflatten(1, steps).transpose(2, 3)  # (S, B, h, T, H / h)
        scores = _band(product(at, key.transpose(2, 3), False, True), self.window)
        scores = scores + self._by_place(query).unflatten(1, steps).transpose(2, 3)
        weights = torch.softmax(scores + ((readable - 1.0) * FAR).unsqueeze(2), -1)
        read = product(_matrix(weights), value.transpose(2, 3))  # (S, B, h, T, H / h)
        y = self._rest(x, read.transpose(2, 3).flatten(3).flatten(1, 2)).unflatten(1, steps)
        kept = readable[..., 1:]
        windows = seen[:, :, 1:].unfold(2, self.window - 1, 1).transpose(-1, -2)
        return torch.cat([y, kept, (windows * kept.unsqueeze(-1)).flatten(3)], -1)

    def after(self, x: Tensor, memory: Tensor) -> Tensor:
        """Return states one step after `memory`, see `MemoryCell.after`."""
        return self._step(x, memory)

    def forward_numpy(self, x: np.ndarray, memory: np.ndarray) -> np.ndarray:
        return self._step(x, memory)

    def _step(self, x: Any, memory: Any) -> Any:
        """Take one step on tensors or arrays.

        Keys and values of past inputs are not computed: queries are multiplied by the weights of
        keys and what was read by those of values, which is the same and less.
        """
        x = x if self.inputs is None else _layer(self.inputs, x)
        new = _normal(x)
        lead = x.shape[:2]
        _, kept, past = cut(memory, *self.sizes)
        seen = join(past.reshape(*lead, -1, self.hidden), new[:, :, None], axis=2)  # (S, B, N, H)
        readable = join(kept, kept[..., :1] * 0.0 + 1.0)
        query = self._split(_layer(self.queries, new) * self._scale())  # (S, B, h, H / h)
        keys, values = (
            self._split(_like(weight, x)).swapaxes(1, 2) for weight in (self.keys, self.values)
        )  # (S, h, H, H / h)
        at = _product(query.swapaxes(1, 2), keys, turned=True).swapaxes(1, 2)  # (S, B, h, H)
        scores = _product(at, seen, turned=True) + self._by_place(query)  # (S, B, h, N)
        weights = _softmax(scores + ((readable - 1.0) * FAR)[:, :, None])
        mixed = _product(weights, seen)  # (S, B, h, H)
        read = _product(mixed.swapaxes(1, 2), values).swapaxes(1, 2).reshape(*lead, -1)
        y = self._rest(x, read)
        return join(y, readable[..., 1:], seen[:, :, 1:].reshape(*lead, -1))

    def _rest(self, x: Any, read: Any) -> Any:
        """Return the output from the input and what was read, both (S, B, H)."""
        y = x + _layer(self.outputs, read)
        return y + _layer(self.down, _layer(self.up, _normal(y), "relu"))

    def _scale(self) -> float:
        return float((self.hidden // self.heads) ** -0.5)

    def _split(self, x: Any) -> Any:
        """Split the last axis by head: `(..., H) -> (..., h, H / h)`."""
        return x.reshape(*x.shape[:-1], self.heads, self.hidden // self.heads)

    def _by_place(self, query: Any) -> Any:
        """Return scores by how many steps ago: `(S, B, h, H / h) -> (S, B, h, N)`."""
        places = self._split(_like(self.places, query)).swapaxes(1, 2)  # (S, h, N, H / h)
        return _product(query.swapaxes(1, 2), places, turned=True).swapaxes(1, 2)

    def _readable(self, kept: Tensor, first: Tensor) -> Tensor:
        """Return which of the N inputs up to each step are of its episode, (S, B, T, N) of 0 or 1.

        `kept` (S, B, N - 1) says which of those before the sequence are of the episode then.
        """
        episode = first.to(torch.int64).cumsum(-1)  # counted from 0, that of the state
        steps = torch.cat([torch.where(kept > 0.0, 0, -1), episode], -1)  # (S, B, N - 1 + T)
        same = steps.unfold(-1, self.window, 1) == episode.unsqueeze(-1)
        return same.to(kept.dtype)


def _band(scores: Tensor, window: int) -> Tensor:
    """Select columns t to t + N - 1 of row t: `(..., T, N - 1 + T) -> (..., T, N)`.

    Rows one element longer, in the same memory, begin one column later each.
    """
    t, columns = scores.shape[-2:]
    longer = nn.functional.pad(scores.flatten(-2), (0, t)).unflatten(-1, (t, columns + 1))
    return longer[..., :window]


def _matrix(band: Tensor) -> Tensor:
    """Place row t at columns t to t + N - 1, zeros elsewhere: the inverse of `_band`."""
    t, window = band.shape[-2:]
    columns = window - 1 + t
    longer = nn.functional.pad(band, (0, columns + 1 - window)).flatten(-2)
    return longer[..., : t * columns].unflatten(-1, (t, columns))


def _like(parameter: Tensor, x: Any) -> Any:
    """Return a parameter as a tensor or an array, as `x` is; without a copy."""
    return parameter if isinstance(x, Tensor) else np.asarray(parameter.data)


def _layer(layer: Linear, x: Any, activation: str = "") -> Any:
    if isinstance(x, Tensor):
        return layer.forward(x, activation)
    x = layer.forward_numpy(x)
    return np.maximum(x, 0.0, out=x) if activation else x


def _product(x: Any, y: Any, turned: bool = False) -> Any:
    """Return x @ y, or x @ y.T where `turned`, for tensors or arrays."""
    if isinstance(x, Tensor):
        return product(x, y, False, turned)
    return np.matmul(x, y.swapaxes(-1, -2) if turned else y)


def _normal(x: Any) -> Any:
    if isinstance(x, Tensor):
        return nn.functional.layer_norm(x, x.shape[-1:])
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-5))


def _softmax(x: Any) -> Any:
    if isinstance(x, Tensor):
        return torch.softmax(x, -1)
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)
