"""Replay memory of S seeds (Lin 1992; Mnih et al. 2015): uniform, with replacement."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlbench.errors import UserError
from rlbench.learning.seeds import Draws
from rlbench.learning.spaces import ObsSpec


class Field(NamedTuple):
    """One field of a transition: its shape and numpy dtype."""

    shape: tuple[int, ...]
    dtype: Any


def replay_bytes(seeds: int, capacity: int, fields: dict[str, Field]) -> int:
    """Bytes that a `Replay` of these sizes takes."""
    widths = (int(np.prod(f.shape)) * np.dtype(f.dtype).itemsize for f in fields.values())
    return seeds * capacity * sum(widths)


def transition_fields(
    spec: ObsSpec, memory: int, gamma: float, n_steps: int = 1
) -> dict[str, Field]:
    """What a transition with one discrete action is made of; without a future (gamma = 0) nobody
    asks for its successor."""
    obs, scalar = Field(spec.shape, spec.dtype), Field((), np.float32)
    fields = {
        "obs": obs,
        "next_obs": obs,
        "reward": scalar,
        "terminated": scalar,
        "action": Field((), np.int64),
    }
    if not gamma and not memory and spec.stack == 1:
        del fields["next_obs"], fields["terminated"]
    if memory or spec.stack > 1 or n_steps > 1:
        fields["first"] = scalar
    if memory:
        fields["memory"] = Field((memory,), np.float32)
    return fields


class Replay:
    """Ring of `capacity` transitions per seed; `add` writes N a call, `sample` reads `(S, B)`.

    Fields of one dtype share one matrix `(S, capacity, width)`, so that a batch is gathered by one
    call per dtype. With `length` above 1, samples are successive steps of one lane, whatever
    episodes they belong to; with `stack` above 1, observations come with those before them.
    """

    def __init__(
        self,
        capacity: int,
        fields: dict[str, Field],
        n_envs: int,
        uniforms: Draws,
        device: torch.device,
        length: int = 1,
        stack: int = 1,
    ) -> None:
        seeds = len(uniforms.generators)
        self.n_envs, self.length, self.stack = n_envs, length, stack
        self.capacity = max(capacity // n_envs, 1) * n_envs  # whole steps of all lanes
        least = (length + stack - 1) * n_envs
        if self.capacity < least:
            raise UserError(
                f"buffer_size={capacity} is too small for sequences of {length} steps and "
                f"frame_stack={stack} in {n_envs} environments: it must be at least {least}"
            )
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
        drawn = uniforms.values[:, 0].size * length  # S x B x T
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

    def ready(self) -> bool:
        """Whether there is anything to sample."""
        return self._starts()[1] > 0

    def _starts(self) -> tuple[int, int]:
        """The first step, counted from the oldest one stored, at which a sample may begin, and
        how many such steps there are."""
        full = self.size == self.capacity
        first = self.stack - 1 if full else 0  # what was stacked below the oldest is overwritten
        return first, self.size // self.n_envs - first - self.length + 1

    def sample(self) -> dict[str, Tensor]:
        """A batch drawn uniformly from what is stored: name -> `(S, B, *shape)`, or
        `(S, B, T, *shape)` for sequences.

        The tensors are the same ones at every call: use them before the next.
        """
        uniform = self.uniforms.next()  # (S, B)
        if self.length == self.stack == 1:
            slots = (uniform * self.size).astype(np.int64)
        else:
            slots = self._sequences(uniform)
        index = torch.from_numpy((slots + self.rows).reshape(-1)).to(self.device)
        for kind, data in self.data.items():
            torch.index_select(data.flatten(0, 1), 0, index, out=self._drawn[kind])
        return self._batch if self.stack == 1 else self._stacked(slots)

    def _sequences(self, uniform: np.ndarray) -> np.ndarray:
        """Slots of samples, `(S, B) -> (S, B T)`."""
        first, count = self._starts()
        drawn = (uniform * (count * self.n_envs)).astype(np.int64)
        step, lane = first + drawn // self.n_envs, drawn % self.n_envs
        if self.size == self.capacity:
            step += self.position // self.n_envs  # the oldest
        steps = (step[..., None] + np.arange(self.length)) % (self.capacity // self.n_envs)
        return (steps * self.n_envs + lane[..., None]).reshape(len(uniform), -1)

    def _stacked(self, slots: np.ndarray) -> dict[str, Tensor]:
        """The batch with stacked observations, `(S, B, [T,] K, *shape)`; frames before an episode
        are copies of its first."""
        kind, columns, shape = self.columns["obs"]
        (_, flag, _), (_, after, _) = self.columns["first"], self.columns["next_obs"]
        data = self.data[kind].flatten(0, 1)
        begins = self.data[torch.float32].flatten(0, 1)[:, flag.start]  # a view
        now, base = (torch.from_numpy(x).to(self.device) for x in (slots, self.rows))
        older = []
        for _ in range(self.stack):
            older.append(now)
            before = (now - self.n_envs) % self.capacity
            now = torch.where(begins[now + base] > 0, now, before)
        index = torch.stack(older[::-1], -1) + base[..., None]  # (S, B T, K)
        frames = data[:, columns][index]
        newest = self._drawn[kind][:, after].view(*index.shape[:2], 1, -1)
        batch = dict(self._batch)
        lead = (len(index), -1) if self.length == 1 else (len(index), -1, self.length)
        for name, seen in (("obs", frames), ("next_obs", torch.cat([frames[:, :, 1:], newest], 2))):
            batch[name] = seen.reshape(*lead, self.stack, *shape)
        return batch

    def _views(self) -> dict[str, Tensor]:
        """The fields of a batch as views of where it is gathered."""
        views = {}
        lead = (len(self.rows), -1) if self.length == 1 else (len(self.rows), -1, self.length)
        for name, (kind, columns, shape) in self.columns.items():
            batch = self._drawn[kind].unflatten(0, lead)
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
