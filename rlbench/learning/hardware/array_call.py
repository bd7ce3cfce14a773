"""Functions of tensors on a device that are called with arrays, as acting is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.hardware import graphs, transfer
from rlbench.learning.hardware.precision import products

MOST = 16  # shapes that memory is kept for


class ArrayCall:
    """A function of tensors: one copy in, one captured graph for each form, one copy out.

    Args:
        function: takes tensors and returns float32 tensors, by what it has in device memory.
        device: where it computes.
        captured: False calls it anew every time: it may draw numbers, or read what changes.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[Tensor]],
        device: torch.device,
        captured: bool = True,
    ) -> None:
        self.function, self.device, self.captured = function, device, captured
        self.forms: dict[Any, _Form] = {}

    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """Return what the function gives for these arrays, as arrays."""
        form = self._form(arrays)
        return form.split(transfer.fetch(form.launch(arrays)))

    def tensors(self, *arrays: np.ndarray) -> list[Tensor]:
        """Return what it gives, left on the device, where the next call overwrites it."""
        form = self._form(arrays)
        return form.split(form.launch(arrays))

    def _form(self, arrays: Sequence[np.ndarray]) -> _Form:
        key = tuple([(x.shape, x.dtype) for x in arrays])
        if key not in self.forms:
            if len(self.forms) == MOST:
                self.forms.clear()
            self.forms[key] = _Form(self, arrays)
        return self.forms[key]


class _Form:
    """Memory and graph of calls with arrays of the same shapes and types."""

    def __init__(self, call: ArrayCall, arrays: Sequence[np.ndarray]) -> None:
        kinds = [torch.from_numpy(np.empty(0, x.dtype)).dtype for x in arrays]
        self.packet = transfer.Packet(
            {
                str(i): (x.shape, kind)
                for i, (x, kind) in enumerate(zip(arrays, kinds, strict=True))
            },
            call.device,
        )
        self.function, self.device = call.function, call.device
        self.shapes: list[torch.Size] = []
        self.run: Callable[[], Tensor] = self._joined
        if call.captured:
            self.run = graphs.Graphs(self._joined, call.device)

    @torch.inference_mode()
    def _joined(self) -> Tensor:
        """Results one after the other, as one vector."""
        with products("float32", self.device):
            results = self.function(*self.packet.tensors.values())
        self.shapes = [x.shape for x in results]
        return torch.cat([x.reshape(-1) for x in results])

    def launch(self, arrays: Sequence[np.ndarray]) -> Tensor:
        self.packet.send(**{str(i): x for i, x in enumerate(arrays)})
        return self.run()

    def split(self, joined: Any) -> list[Any]:
        parts, start = [], 0
        for shape in self.shapes:
            stop = start + math.prod(shape)
            parts.append(joined[start:stop].reshape(tuple(shape)))
            start = stop
        return parts
