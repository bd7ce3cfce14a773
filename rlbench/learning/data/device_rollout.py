"""Rollouts in the memory of a GPU: each step is sent as one block when it is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.data.rollout import Rollout
from rlbench.learning.hardware import graphs, transfer


class DeviceRollout(Rollout):
    """A `Rollout` whose arrays are tensors on a device, written by a captured graph."""

    def __init__(self, *arguments: Any, device: torch.device) -> None:
        super().__init__(*arguments)
        self.fields = {name: torch.from_numpy(x).to(device) for name, x in self.arrays.items()}
        lead = self.arrays["reward"].shape[:2]
        sent = {
            name: ((*lead, *x.shape[3:]), x.dtype)
            for name, x in self.fields.items()
            if name != "cut_value"
        }
        sent |= {"bootstraps": (lead, torch.bool), "time": ((1,), torch.int64)}
        self.packet = transfer.Packet(sent, device)
        self.successor = torch.zeros(lead, device=device)  # values of the newest step's
        self.write = graphs.Graphs(self._write, device)
        self.arrays = {name: np.empty(0) for name in self.arrays}  # the names alone

    def cut(self, bootstraps: np.ndarray, successor: Tensor) -> dict[str, Any]:
        """Keep values of successors (S, N) on the device; return what is sent with a step."""
        self.successor.copy_(successor)
        return {"bootstraps": bootstraps}

    def add(self, memory: np.ndarray, **values: Any) -> bool:
        t = self.position
        values.pop("cut_value", None)  # 0 where nothing bootstraps
        begins = "memory" in self.fields and t % self.length == 0
        sent = {"bootstraps": False, **values, **({"memory": memory} if begins else {})}
        self.packet.send(time=t, **sent)
        self.write(int(begins))
        self.position = (t + 1) % self.steps
        return self.position == 0

    def _write(self, begins: int) -> None:
        """Store the step that was sent, and hidden states where a sequence begins."""
        sent = self.packet.tensors
        time = sent["time"]
        for name, field in self.fields.items():
            if name == "cut_value":
                value = torch.where(sent["bootstraps"], self.successor, 0.0)
            elif name != "memory":
                value = sent[name]
            elif begins:
                field.index_copy_(2, time // self.length, sent[name].unsqueeze(2))
                continue
            else:
                continue
            field.index_copy_(2, time, value.unsqueeze(2))

    def tensors(self, device: torch.device) -> dict[str, Tensor]:
        """Return the fields, which are on the device already."""
        return dict(self.fields)

    def state(self) -> dict[str, Any]:
        return {"position": self.position, "arrays": dict(self.fields)}

    def restore(self, state: dict[str, Any]) -> None:
        self.position = state["position"]
        for name, field in self.fields.items():
            field.copy_(torch.as_tensor(state["arrays"][name]))
