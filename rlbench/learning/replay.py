"""Replay memory of S seeds (Lin 1992; Mnih et al. 2015): uniform, with replacement."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.seeds import Uniforms


class Field(NamedTuple):
    """One field of a transition: its shape and numpy dtype."""

    shape: tuple[int, ...]
    dtype: Any


def replay_bytes(seeds: int, capacity: int, fields: dict[str, Field]) -> int:
    """Bytes that a `Replay` of these sizes takes."""
    widths = (int(np.prod(f.shape)) * np.dtype(f.dtype).itemsize for f in fields.values())
    return seeds * capacity * sum(widths)


class Replay:
    """Ring of `capacity` transitions per seed; `add` writes N a call, `sample` reads `(S, B)`.

    Fields of one dtype share one matrix `(S, capacity, width)`, so that a batch is gathered by one
    call per dtype.
    """

    def __init__(
        self,
        capacity: int,
        fields: dict[str, Field],
        n_envs: int,
        uniforms: Uniforms,
        device: torch.device,
    ) -> None:
        seeds = len(uniforms.generators)
        self.n_envs = n_envs
        self.capacity = max(capacity // n_envs, 1) * n_envs  # whole steps of all lanes
        self.uniforms = uniforms
        self.position = self.size = 0
        self.columns: dict[str, tuple[torch.dtype, slice, tuple[int, ...]]] = {}
        widths: dict[torch.dtype, int] = {}
        for name, (shape, dtype) in fields.items():
            kind = torch.from_numpy(np.empty(0, dtype)).dtype
            start = widths.get(kind, 0)
            widths[kind] = start + int(np.prod(shape))
            self.columns[name] = (kind, slice(start, widths[kind]), shape)
        self.data = {
            kind: torch.zeros(seeds, self.capacity, width, dtype=kind, device=device)
            for kind, width in widths.items()
        }
        # On a CPU transitions are written straight into `data`; for another device they are
        # put together here and sent as one block.
        self.host = {
            kind: (
                data if device.type == "cpu" else torch.zeros(seeds, n_envs, width, dtype=kind)
            ).numpy()
            for (kind, data), width in zip(self.data.items(), widths.values(), strict=True)
        }
        self.staged = device.type != "cpu"
        self.device = device
        self.rows = np.arange(seeds)[:, None] * self.capacity  # (S, 1)
        drawn = uniforms.values[:, 0].size  # S x B
        self._drawn = {
            kind: torch.empty(drawn, width, dtype=kind, device=device)
            for kind, width in widths.items()
        }
        self._batch = self._views()

    def add(self, **values: np.ndarray) -> None:
        """Store one transition of every lane; each value is `(S, N, *shape)`."""
        here = slice(self.position, self.position + self.n_envs)
        slot = slice(0, self.n_envs) if self.staged else here
        for name, value in values.items():
            kind, columns, _ = self.columns[name]
            block = self.host[kind][:, slot, columns]
            block[...] = value.reshape(block.shape)
        if self.staged:
            for kind, data in self.data.items():
                data[:, here] = torch.from_numpy(self.host[kind]).to(data.device)
        self.position = here.stop % self.capacity
        self.size = max(self.size, here.stop)

    def sample(self) -> dict[str, Tensor]:
        """A batch drawn uniformly from what is stored: name -> `(S, B, *shape)`.

        The tensors are the same ones at every call: use them before the next.
        """
        uniform = self.uniforms.next()  # (S, B)
        index = torch.from_numpy((uniform * self.size).astype(np.int64) + self.rows).reshape(-1)
        index = index.to(self.device)
        for kind, data in self.data.items():
            torch.index_select(data.flatten(0, 1), 0, index, out=self._drawn[kind])
        return self._batch

    def _views(self) -> dict[str, Tensor]:
        """The fields of a batch as views of where it is gathered."""
        views = {}
        for name, (kind, columns, shape) in self.columns.items():
            batch = self._drawn[kind].unflatten(0, (len(self.rows), -1))
            if shape:
                field = batch[..., columns]
                views[name] = field if len(shape) == 1 else field.unflatten(-1, shape)
            else:
                views[name] = batch[..., columns.start]
        return views

    def state(self) -> dict[str, Any]:
        stored = {str(kind): data[:, : self.size] for kind, data in self.data.items()}
        return {"position": self.position, "data": stored, "uniforms": self.uniforms.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.position = state["position"]
        for kind, data in self.data.items():
            stored = torch.as_tensor(state["data"][str(kind)])
            self.size = stored.shape[1]
            data[:, : self.size] = stored.to(data.device)
        self.uniforms.restore(state["uniforms"])
