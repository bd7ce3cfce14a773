"""Random numbers of streams as tensors, on a CPU one draw at a time, on a GPU in blocks.

On both they are the same numbers: those that the streams of the seeds draw on the host. A GPU gets
them a block at a time, and a captured update takes the draw at a cursor in device memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.hardware import graphs, transfer
from rlbench.learning.rng import RandomStream


class TensorDraws:
    """Draws `(S, *shape)` of a stream, as float32 unless told.

    `form` makes what is wanted of the stream's numbers, element by element.
    """

    def __init__(
        self,
        stream: RandomStream,
        device: torch.device,
        form: Callable[[np.ndarray], np.ndarray] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.stream, self.device, self.form, self.dtype = stream, device, form, dtype
        self.resident = graphs.used(device)
        if self.resident:
            self.packet = transfer.Packet({"block": (stream.values.shape, dtype)}, device)
            self.cursor = torch.zeros(1, dtype=torch.int64, device=device)
            self._sent: Any = None  # the block that is there, by where its generators were

    @classmethod
    def of(cls, stream: RandomStream | None, *arguments: Any) -> Self | None:
        """Draws of a stream; None of none."""
        return None if stream is None else cls(stream, *arguments)

    def next(self) -> Tensor:
        """Return the next draw; on a GPU only between `ready` and as many calls as are left."""
        if not self.resident:
            return torch.from_numpy(self._formed(self.stream.next())).to(self.dtype)
        self.stream.position += 1
        draw = self.packet.tensors["block"].index_select(1, self.cursor).squeeze(1)
        self.cursor.add_(1)
        return draw

    def ready(self) -> int:
        """Send a block if there is none, and return how many draws are left of it."""
        stream = self.stream
        if stream.position == stream.values.shape[1]:
            stream.fill()
        if self._sent is not stream.block_start:
            self.packet.send(block=self._formed(stream.values))
            self.cursor.fill_(stream.position)
            self._sent = stream.block_start
        return stream.values.shape[1] - stream.position

    def _formed(self, numbers: np.ndarray) -> np.ndarray:
        return numbers if self.form is None else self.form(numbers)

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return self.stream.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.stream.restore(state)
