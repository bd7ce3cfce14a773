"""Rollouts: T steps of N lanes for each of S seeds, learned from once and then dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Rollout:
    """Arrays `(S, N, T, ...)`, filled one step at a time.

    `length` is the number of successive steps in a training sequence; it divides T. A sequence
    starts from the hidden state carried into its first step, through which no gradient flows
    (truncated backpropagation through time, Williams & Peng 1990). Fields: `seen` are network
    inputs, `memory` hidden states, `cut_value` values of successors where the future is cut off,
    and an agent may have `further` ones, a number for each step. `seen` is given as shape and type,
    `action` as number and type.
    """

    def __init__(
        self,
        lead: tuple[int, int],
        steps: int,
        length: int,
        seen: tuple[tuple[int, ...], Any],
        action: tuple[int, Any],
        memory: int,
        further: Sequence[str] = (),
    ) -> None:
        self.steps, self.length = steps, length
        self.position = 0
        self.arrays: dict[str, np.ndarray] = {
            "seen": np.zeros((*lead, steps, *seen[0]), seen[1]),
            "action": np.zeros((*lead, steps, action[0]), action[1]),
            "reward": np.zeros((*lead, steps), np.float32),
            "ended": np.zeros((*lead, steps), np.float32),
            "cut_value": np.zeros((*lead, steps), np.float32),  # see `algorithms.rollouts`
        }
        for name in further:
            self.arrays[name] = np.zeros((*lead, steps), np.float32)
        if memory:
            self.arrays["first"] = np.zeros((*lead, steps), np.float32)
            self.arrays["memory"] = np.zeros((*lead, steps // length, memory), np.float32)

    def add(self, memory: np.ndarray, **values: Any) -> bool:
        """Store one step of every lane, each value `(S, N, ...)`; True when the rollout is full."""
        t = self.position
        for name, value in values.items():
            self.arrays[name][:, :, t] = value
        if "memory" in self.arrays and t % self.length == 0:
            self.arrays["memory"][:, :, t // self.length] = memory
        self.position = (t + 1) % self.steps
        return self.position == 0

    def cut(self, bootstraps: np.ndarray, successor: Any) -> dict[str, Any]:
        """What `add` stores as value of successors `(S, N)`, and 0 where it is not needed."""
        return {"cut_value": np.where(bootstraps, successor, 0.0)}

    def tensors(self, device: torch.device) -> dict[str, Tensor]:
        """Fields as tensors `(S, N, T, ...)` on the device."""
        return {name: torch.from_numpy(array).to(device) for name, array in self.arrays.items()}

    def items(self, values: Tensor) -> Tensor:
        """Reshape a field to items: steps, or sequences where hidden states are stored."""
        return items(values, self.length if "memory" in self.arrays else None)

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"position": self.position, "arrays": dict(self.arrays)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.position = state["position"]
        for name, array in self.arrays.items():
            array[...] = state["arrays"][name]


def items(values: Tensor, length: int | None) -> Tensor:
    """Reshape `(S, N, T, ...)` to steps `(S, N T, ...)`, or `(S, N T / length, length, ...)`."""
    if length is not None:
        values = values.unflatten(2, (-1, length))
    return values.flatten(1, 2)


def select(items: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    """Select items of each seed, `(S, M, ...) -> (S, B, ...)`.

    `index` (S, B) counts through the items of all seeds.
    """
    flat = index.flatten()
    return {
        name: value.flatten(0, 1).index_select(0, flat).unflatten(0, index.shape)
        for name, value in items.items()
    }
