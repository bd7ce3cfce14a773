"""Replay buffers in the memory of a GPU, written and sampled by captured graphs.

They hold, draw and save what `Replay` does. A step is sent as one block, with where it belongs and
which steps a sample may begin with; uniform numbers come from the streams of the seeds, in blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.data.device_frames import DeviceFrames
from rlbench.learning.data.replay import Replay
from rlbench.learning.data.tensor_draws import TensorDraws
from rlbench.learning.hardware import graphs, transfer


class DeviceReplay(Replay):
    """A `Replay` in device memory: `add` sends one step, `sample` may be part of a graph."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        n, device = self.n_envs, self.device
        self.draws = TensorDraws(self.uniforms, device, dtype=torch.float64)
        self.packet = transfer.Packet(self._fields(), device)
        self.lanes = torch.arange(n, device=device)
        self.steps = n * torch.arange(self.length, device=device)
        self.first_rows = torch.from_numpy(self.rows).to(device)
        self.write = graphs.Graphs(self._write, device)
        self.on_growth: list[Callable[[], None]] = [self.write.forget]

    def _host(self) -> dict[torch.dtype, np.ndarray]:
        """Make the arrays in which a step is put together, before it is sent."""
        return {
            kind: np.zeros(
                (len(data), self.n_envs, data.shape[-1]), torch.empty(0, dtype=kind).numpy().dtype
            )
            for kind, data in self.data.items()
        }

    def _fields(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """What is sent of a step, by name: shapes and types."""
        lead = len(self.rows), self.n_envs
        fields: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
            str(kind): ((*lead, data.shape[-1]), kind) for kind, data in self.data.items()
        }
        # The position of the step, the number of slots at which a sample may begin, and the step of
        # the first of them.
        fields |= dict.fromkeys(("position", "starts", "begin"), ((), torch.int64))
        if self.frames is not None:
            frame = (*lead, self.frames.data.shape[-1]), self.frames.data.dtype
            fields |= {"obs": frame, "next_obs": frame, "moved": (lead, torch.int64)}
        return fields

    def _frame_store(self, *arguments: Any) -> DeviceFrames:
        return DeviceFrames(*arguments)

    def add(self, **values: np.ndarray) -> None:
        here = slice(self.position, self.position + self.n_envs)
        for name, (kind, columns, _) in self.columns.items():
            block = self.host[kind][:, :, columns]
            block[...] = values[name].reshape(block.shape)
        sent: dict[str, Any] = {str(kind): block for kind, block in self.host.items()}
        if self.frames is not None:
            if self.frames.crowded():
                self.frames.grow()
                self._moved()
            sent["moved"] = self.frames.admit(self.position, values["first"], values["terminated"])
            shape = self.packet.arrays[0]["obs"].shape
            sent |= {name: values[name].reshape(shape) for name in ("obs", "next_obs")}
        sent["position"] = self.position
        self.position = here.stop % self.capacity
        self.size = max(self.size, here.stop)
        self.packet.send(**sent, **self._range())
        self.write()

    def _range(self) -> dict[str, Any]:
        """Where samples may begin, from which `sample` makes slots."""
        if self.length == self.stack == 1:
            return {"starts": self.size, "begin": 0}
        first, count = self._starts()
        oldest = self.position // self.n_envs if self.size == self.capacity else 0
        return {"starts": count * self.n_envs, "begin": first + oldest}

    def _write(self) -> None:
        """Store the step that was sent."""
        sent = self.packet.tensors
        here = sent["position"] + self.lanes
        for kind, data in self.data.items():
            data.index_copy_(1, here, sent[str(kind)])
        if self.frames is not None:
            self.frames.store(here, sent["obs"], sent["next_obs"], sent["moved"])

    def sample(self) -> dict[str, Tensor]:
        begin = self._begin_slots(self.draws.next())
        slots = begin
        if self.length > 1:
            slots = ((begin.unsqueeze(-1) + self.steps) % self.capacity).flatten(1)
        index = (slots + self.first_rows).flatten()
        for kind, data in self.data.items():
            torch.index_select(data.flatten(0, 1), 0, index, out=self._buffers[kind])
        return self._fields_of(begin, slots)

    def _begin_slots(self, uniform: Tensor) -> Tensor:
        """Slots of the first steps of samples, from uniform numbers in [0, 1), both `(S, B)`."""
        sent = self.packet.tensors
        index = (uniform * sent["starts"]).long()
        step, lane = sent["begin"] + index // self.n_envs, index % self.n_envs
        return step % (self.capacity // self.n_envs) * self.n_envs + lane

    def _as_slots(self, steps: Tensor) -> Tensor:
        """Return numbers of steps as what slots are made of: a tensor."""
        return steps

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self._moved()
        self.packet.send(**self._range())

    def _moved(self) -> None:
        """Have graphs captured anew, since observations may be elsewhere now."""
        for forget in self.on_growth:
            forget()
