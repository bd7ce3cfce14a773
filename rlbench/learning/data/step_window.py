"""The most recent steps of every lane, used for one update and then dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class StepWindow:
    """Up to `length` steps; each is a set of fields `(S, N, ...)`."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.steps: list[dict[str, np.ndarray]] = []

    def add(self, **fields: np.ndarray) -> None:
        """Add one step of every lane."""
        self.steps.append(fields)

    def full(self) -> bool:
        """Whether it holds `length` steps."""
        return len(self.steps) == self.length

    def take(self, device: torch.device) -> dict[str, Tensor]:
        """Return all steps as fields `(S, N, T, ...)` on the device, and empty the window."""
        arrays = {name: array.swapaxes(1, 2) for name, array in self._stacked().items()}
        self.clear()
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}

    def clear(self) -> None:
        """Forget all steps."""
        self.steps = []

    def _stacked(self) -> dict[str, np.ndarray]:
        """Stack steps to `(S, T, N, ...)` by name; a single step is not copied."""
        if len(self.steps) == 1:
            return {name: array[:, None] for name, array in self.steps[0].items()}
        names = self.steps[0] if self.steps else ()
        return {name: np.stack([step[name] for step in self.steps], 1) for name in names}

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return self._stacked()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        count = min((array.shape[1] for array in state.values()), default=0)
        self.steps = [
            {name: np.asarray(array[:, t]) for name, array in state.items()} for t in range(count)
        ]
