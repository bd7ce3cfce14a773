"""Replay buffer of S seeds (Lin 1992; Mnih et al. 2015), sampled uniformly with replacement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlbench.errors import UserError
from rlbench.learning.data.frame_store import FrameStore
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import indexing, returns
from rlbench.learning.rng import RandomStream


class Field(NamedTuple):
    """One field of a transition: its shape and numpy dtype."""

    shape: tuple[int, ...]
    dtype: Any


ONE_DISCRETE = Field((), np.int64)  # action


def replay_bytes(seeds: int, capacity: int, fields: dict[str, Field]) -> int:
    """Estimate the bytes that a `Replay` of these sizes takes.

    Observations that are stored once take one more for each interrupted episode.
    """
    widths = (math.prod(f.shape) * np.dtype(f.dtype).itemsize for f in fields.values())
    return seeds * capacity * sum(widths)


def transition_fields(
    spec: ObsSpec,
    memory: int,
    gamma: float,
    n_steps: int = 1,
    action: Field = ONE_DISCRETE,
    more: Mapping[str, Field] | None = None,
) -> dict[str, Field]:
    """Fields of a transition, with one discrete action by default.

    `memory` is the size of the hidden state that is stored. Without a future (gamma = 0) there is
    no successor. `more` are fields of the buffer's own.
    """
    obs, scalar = Field(spec.shape, spec.raw), Field((), np.float32)
    future = bool(gamma or memory or spec.stack > 1)
    # A vector is read faster where its successor is stored beside it.
    once = spec.stack > 1 or any(part.image for part in spec.parts)
    fields = {"obs": obs, "reward": scalar, "action": action}
    if future:
        fields |= {"terminated": scalar} if once else {"next_obs": obs, "terminated": scalar}
    if memory or n_steps > 1 or (future and once):
        fields["first"] = scalar
    if memory:
        fields["memory"] = Field((memory,), np.float32)
    return {**fields, **(more or {})}


def _zeros(shape: tuple[int, ...], kind: torch.dtype, device: torch.device) -> Tensor:
    """Make zeros; on a CPU, pages that are never written take no memory and no time."""
    if device.type != "cpu":
        return torch.zeros(shape, dtype=kind, device=device)
    return torch.from_numpy(np.zeros(shape, torch.empty(0, dtype=kind).numpy().dtype))


class Replay:
    """Ring buffer of `capacity` transitions per seed; `add` writes N, `sample` reads `(S, B)`.

    Fields of one dtype share one matrix `(S, capacity, width)`, so that a batch is gathered by one
    call per dtype; observations without `next_obs` but with `first` are in a `FrameStore`, each
    stored once. With `length` above 1, samples are successive steps of one lane, across episodes:
    all fields of all steps where `whole`, else all rewards, the first observation and action, and
    the successor of the last step that is of the same episode. With `stack` above 1, observations
    are stacked with those before them.
    """

    def __init__(
        self,
        capacity: int,
        fields: dict[str, Field],
        n_envs: int,
        uniforms: RandomStream,
        device: torch.device,
        length: int = 1,
        stack: int = 1,
        whole: bool = True,
    ) -> None:
        seeds = len(uniforms.generators)
        self.n_envs, self.length, self.stack, self.whole = n_envs, length, stack, whole
        self.capacity = max(capacity // n_envs, 1) * n_envs  # whole steps of all lanes
        least = (length + stack - 1) * n_envs
        if self.capacity < least:
            raise UserError(
                f"buffer_size={capacity} is too small for sequences of {length} steps and "
                f"frame_stack={stack} in {n_envs} environments: it must be at least {least}"
            )
        self.timed = length > 1 or "memory" in fields  # whether batches have an axis of time
        self.frames: Any = None
        if "first" in fields and "next_obs" not in fields:
            obs = fields["obs"]
            self.frames = self._frame_store(seeds, n_envs, self.capacity, *obs, stack, device)
            fields = {name: field for name, field in fields.items() if name != "obs"}
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
            kind: _zeros((seeds, self.capacity, width), kind, device)
            for kind, width in widths.items()
        }
        self.device = device
        self.rows = np.arange(seeds)[:, None] * self.capacity  # (S, 1)
        items = uniforms.values[:, 0].size * length  # S x B x T
        self._buffers = {
            kind: torch.empty(items, width, dtype=kind, device=device)
            for kind, width in widths.items()
        }
        self.host = self._host()
        self._batch = self._views()

    def _host(self) -> dict[torch.dtype, np.ndarray]:
        """Make the arrays that a step is written into: the memory of `data` itself."""
        self._arrays = [  # of `data` and `_buffers`, by rows
            (data.flatten(0, 1).numpy(), self._buffers[kind].numpy())
            for kind, data in self.data.items()
        ]
        return {kind: data.numpy() for kind, data in self.data.items()}

    def _frame_store(self, *arguments: Any) -> Any:
        """Make the store of observations that are kept once."""
        return FrameStore(*arguments)

    def add(self, **values: np.ndarray) -> None:
        """Store one transition of every lane, each value `(S, N, *shape)`.

        Values without a field are ignored.
        """
        here = slice(self.position, self.position + self.n_envs)
        for name, (kind, columns, _) in self.columns.items():
            block = self.host[kind][:, here, columns]
            block[...] = values[name].reshape(block.shape)
        if self.frames is not None:
            self.frames.add(*(values[k] for k in ("obs", "next_obs", "first", "terminated")))
        self.position = here.stop % self.capacity
        self.size = max(self.size, here.stop)

    def ready(self) -> bool:
        """True if a batch can be sampled."""
        return self._starts()[1] > 0

    def _starts(self) -> tuple[int, int]:
        """First step at which a sample may begin, and the number of such steps.

        Steps are counted from the oldest that is stored.
        """
        full = self.size == self.capacity
        first = self.stack - 1 if full else 0  # frames before the oldest are overwritten
        return first, self.size // self.n_envs - first - self.length + 1

    def sample(self) -> dict[str, Tensor]:
        """Sample a batch uniformly, by field: `(S, B, *shape)`.

        Fields are `(S, B, T, *shape)` for sequences, and where hidden states are stored. The next
        call overwrites the tensors.
        """
        begin = self._begin(self.uniforms.next())  # (S, B)
        slots = begin
        if self.length > 1:
            steps = self.n_envs * np.arange(self.length)
            slots = ((begin[..., None] + steps) % self.capacity).reshape(len(begin), -1)  # (S, B T)
        self._gather((slots + self.rows).reshape(-1))
        return self._fields_of(begin, slots)

    def _gather(self, index: np.ndarray) -> None:
        """Copy these rows of `data`, counted through all seeds, into the batch buffers."""
        for stored, out in self._arrays:
            stored.take(index, 0, out, "clip")

    def _fields_of(self, begin: Any, slots: Any) -> dict[str, Tensor]:
        """Return a batch whose rows are gathered: first slots (S, B), and those of all steps."""
        if self.length > 1 and not self.whole:
            return self._n_step_batch(begin)
        if self.frames is None:
            return self._batch
        pair = self.frames.pair(slots, self._first())
        lead = (begin.shape[1], self.length) if self.timed else begin.shape[1:]
        both = (self.frames.shaped(some, lead) for some in pair)
        return {**self._batch, **dict(zip(("obs", "next_obs"), both, strict=True))}

    def _n_step_batch(self, begin: Any) -> dict[str, Tensor]:
        """Select what n-step targets need of the batch: see the class."""
        batch = dict(self._batch)
        batch["action"] = batch["action"][:, :, 0]
        last = returns.last_step(batch["first"])  # (S, B)
        if self.frames is None:
            batch["obs"] = batch["obs"][:, :, 0]
            batch["next_obs"] = indexing.take_step(batch["next_obs"], last)
            return batch
        flags, lead = self._first(), begin.shape[1:]
        end = (begin + self.n_envs * self._as_slots(last)) % self.capacity
        batch["obs"] = self.frames.shaped(self.frames.read(begin, flags), lead)
        batch["next_obs"] = self.frames.shaped(self.frames.pair(end, flags)[1], lead)
        return batch

    def _as_slots(self, steps: Tensor) -> Any:
        """Return numbers of steps as what slots are made of: an array."""
        return steps.numpy()

    def _begin(self, uniform: np.ndarray) -> np.ndarray:
        """Slots of the first steps of samples, from uniform numbers in [0, 1), both `(S, B)`."""
        if self.length == self.stack == 1:
            return (uniform * self.size).astype(np.int64)
        first, count = self._starts()
        index = (uniform * (count * self.n_envs)).astype(np.int64)
        step, lane = first + index // self.n_envs, index % self.n_envs
        if self.size == self.capacity:
            step += self.position // self.n_envs  # the oldest
        return step % (self.capacity // self.n_envs) * self.n_envs + lane

    def _first(self) -> Tensor:
        """(S, capacity): 1 for steps that begin an episode."""
        return self.data[torch.float32][..., self.columns["first"][1].start]

    def _views(self) -> dict[str, Tensor]:
        """Fields of a batch as views of the batch buffers."""
        views = {}
        lead = (len(self.rows), -1, self.length) if self.timed else (len(self.rows), -1)
        for name, (kind, columns, shape) in self.columns.items():
            batch = self._buffers[kind].unflatten(0, lead)
            if shape:
                field = batch[..., columns]
                views[name] = field if len(shape) == 1 else field.unflatten(-1, shape)
            else:
                views[name] = batch[..., columns.start]
        return views

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        stored = {str(kind): data[:, : self.size] for kind, data in self.data.items()}
        state = {"position": self.position, "data": stored, "uniforms": self.uniforms.state()}
        return state if self.frames is None else {**state, "frames": self.frames.state(self.size)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.position = state["position"]
        for kind, data in self.data.items():
            stored = torch.as_tensor(state["data"][str(kind)])
            self.size = stored.shape[1]
            data[:, : self.size] = stored.to(data.device)
        if self.frames is not None:
            self.frames.restore(state["frames"], self.position)
        self.uniforms.restore(state["uniforms"])
