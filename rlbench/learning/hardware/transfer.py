"""Copies between host and device: several fields as one block, in pinned memory, not awaited.

Whatever reads device memory goes through `fetch`: each call waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_BORDER = 64  # bytes: fields begin at multiples


class HostBlock:
    """A block of host memory from which a device block is filled."""

    def __init__(self, size: int) -> None:
        self.memory = torch.zeros(size, dtype=torch.uint8)

    def free(self) -> None:
        """Wait until its last copy is done."""

    def send(self, block: Tensor) -> None:
        """Copy it into a block on a device."""
        block.copy_(self.memory)


class PinnedBlock(HostBlock):
    """A block that a GPU copies from by itself, while the host goes on."""

    def __init__(self, size: int) -> None:
        self.memory = torch.zeros(size, dtype=torch.uint8, pin_memory=True)
        self.copied = torch.cuda.Event()

    def free(self) -> None:
        """Wait until its last copy is done."""
        self.copied.synchronize()

    def send(self, block: Tensor) -> None:
        """Begin to copy it into a block on a GPU, without waiting."""
        block.copy_(self.memory, non_blocking=True)
        self.copied.record(torch.cuda.current_stream(block.device))


def host_block(size: int, device: torch.device) -> HostBlock:
    """Make the host's side of a block on a device."""
    return PinnedBlock(size) if device.type == "cuda" else HostBlock(size)


class Packet:
    """Fields of fixed shapes that are sent to a device together.

    Attributes:
        tensors: the fields on the device, by name; `send` overwrites them.
    """

    def __init__(
        self, fields: Mapping[str, tuple[tuple[int, ...], torch.dtype]], device: torch.device
    ) -> None:
        places, size = {}, 0
        for name, (shape, dtype) in fields.items():
            length = math.prod(shape) * dtype.itemsize
            places[name] = slice(size, size + length), dtype, shape
            size += -(-length // _BORDER) * _BORDER

        def split(block: Tensor) -> dict[str, Tensor]:
            return {
                name: block[place].view(dtype).view(shape)
                for name, (place, dtype, shape) in places.items()
            }

        self.block = torch.zeros(size, dtype=torch.uint8, device=device)
        self.tensors = split(self.block)
        # Two, so that one may be filled while the other is copied.
        self.sources = [host_block(size, device) for _ in range(2)]
        self.arrays = [
            {name: x.numpy() for name, x in split(source.memory).items()} for source in self.sources
        ]
        self._turn = 0

    def send(self, **values: Any) -> None:
        """Send arrays or numbers by name; fields without one get what was sent two calls ago."""
        self._turn = 1 - self._turn
        source, arrays = self.sources[self._turn], self.arrays[self._turn]
        source.free()
        for name, value in values.items():
            arrays[name][...] = value
        source.send(self.block)


def fetch(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array of its own, once the device has computed it."""
    if tensor.device.type != "cuda":
        return tensor.numpy().copy()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    array: np.ndarray = host.numpy()
    return array
