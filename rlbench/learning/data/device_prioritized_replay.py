"""Prioritised replay in the memory of a GPU: what `PrioritizedReplay` draws, by tensors.

Steps enter the tree when a sample may begin with them, and leave it when none may: the host says
which with the step that it sends.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.data.device_replay import DeviceReplay
from rlbench.learning.data.prioritized_replay import priority_of
from rlbench.learning.data.sum_tree import FAN


class DeviceSumTree:
    """Weights of `leaves` items for S seeds; levels are `(S, n)` tensors, from leaves to root."""

    def __init__(self, seeds: int, leaves: int, device: torch.device) -> None:
        self.rows = torch.arange(seeds, device=device).unsqueeze(1)
        self.levels: list[Tensor] = []
        nodes = leaves
        while not self.levels or nodes > 1:
            nodes = -(-nodes // FAN)
            level = torch.zeros(seeds, nodes * FAN, dtype=torch.float64, device=device)
            self.levels.append(level)

    def total(self) -> Tensor:
        """Sum of all weights, `(S,)`."""
        return self.levels[-1].sum(-1)

    def weight(self, leaf: Tensor) -> Tensor:
        """Weights of leaves, `(S, B) -> (S, B)`."""
        return self.levels[0].gather(1, leaf)

    def set(self, leaf: Tensor, weight: Tensor) -> None:
        """Set the weights of leaves `(S, B)`; those of a leaf that occurs twice are the same."""
        self.levels[0].scatter_(1, leaf, weight)
        for below, above in pairwise(self.levels):
            leaf = leaf // FAN
            above.scatter_(1, leaf, self._children(below, leaf).sum(-1))

    def fill(self, weights: Tensor) -> None:
        """Set the weights of the first n leaves, `(S, n)`."""
        self.levels[0][:, : weights.shape[1]] = weights
        for below, above in pairwise(self.levels):
            sums = below.view(len(below), -1, FAN).sum(-1)
            above[:, : sums.shape[1]] = sums

    def find(self, share: Tensor) -> Tensor:
        """Find the leaves at these shares of the cumulated weights: see `SumTree`."""
        node, rest = torch.zeros_like(share, dtype=torch.int64), share * self.total()[:, None]
        for level in reversed(self.levels):
            upto = self._children(level, node).cumsum(-1)  # (S, B, 16)
            last = upto[..., -1]
            rest = torch.minimum(rest, torch.nextafter(last, torch.zeros_like(last)))
            child = (upto <= rest.unsqueeze(-1)).sum(-1)
            before = upto.gather(-1, (child - 1).clamp(min=0).unsqueeze(-1)).squeeze(-1)
            rest = torch.where(child > 0, rest - before, rest)
            node = node * FAN + child
        return node

    def _children(self, level: Tensor, node: Tensor) -> Tensor:
        """Weights of the children of nodes, `(S, B) -> (S, B, 16)`."""
        return level.view(len(level), -1, FAN)[self.rows, node]


class DevicePrioritizedReplay(DeviceReplay):
    """A `DeviceReplay` that samples in proportion to priorities."""

    def __init__(self, *arguments: Any, alpha: float, eps: float) -> None:
        super().__init__(*arguments)
        seeds = len(self.rows)
        self.alpha, self.eps = alpha, eps
        # The item after the last is none: it takes the weight of steps that there are not.
        self.tree = DeviceSumTree(seeds, self.capacity + 1, self.device)
        self.highest = torch.ones(seeds, 1, dtype=torch.float64, device=self.device)
        self.drawn: Tensor  # the last batch, (S, B)
        self.added = 0  # steps of all lanes
        self.admitted = (0, 0)  # steps at which a sample may begin

    def _fields(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        step = torch.int64
        fields = {"entering": ((1,), step), "leaving": ((self.stack,), step), "items": ((), step)}
        return super()._fields() | fields

    def add(self, **values: np.ndarray) -> None:
        self.added += 1
        super().add(**values)

    def _range(self) -> dict[str, Any]:
        """Which steps enter and leave the tree, -1 for none, and how many items are in it."""
        steps, (old_low, old_high) = self.capacity // self.n_envs, self.admitted
        self.admitted = low, high = self._admissible()
        leaving = np.full(self.stack, -1)
        gone = np.arange(old_low, min(low, old_high))
        leaving[: len(gone)] = gone % steps
        entering = high - 1 if high > max(old_high, low) else -1
        items = (high - low) * self.n_envs
        return {"entering": entering % steps if entering >= 0 else -1, "leaving": leaving,
                "items": items}  # fmt: skip

    def _admissible(self) -> tuple[int, int]:
        first, count = self._starts()
        low = max(self.added - self.capacity // self.n_envs, 0) + first
        return low, low + max(count, 0)

    def _write(self) -> None:
        super()._write()
        sent = self.packet.tensors
        self._admit(sent["leaving"], torch.zeros_like(self.highest))
        self._admit(sent["entering"], self.highest)

    def _admit(self, steps: Tensor, weight: Tensor) -> None:
        """Give the items of some steps (n,) a weight (S, 1); of none where a step is -1."""
        slots = steps.unsqueeze(-1) * self.n_envs + self.lanes  # (n, N)
        there = (slots >= 0).flatten().expand(len(self.rows), -1)
        leaf = torch.where(there, slots.flatten(), self.capacity)
        self.tree.set(leaf, torch.where(there, weight, 0.0))

    def _begin_slots(self, uniform: Tensor) -> Tensor:
        """Draw one slot from each of B equal shares of the total, `(S, B)`."""
        batch = uniform.shape[1]
        share = (torch.arange(batch, device=uniform.device) + uniform) / batch
        self.drawn = self.tree.find(share)
        return self.drawn

    def weights(self, beta: float | Tensor) -> Tensor:
        """Importance weights of the last batch, `(S, B)`: (n P(i))^-beta, over the largest."""
        share = self.tree.weight(self.drawn) / self.tree.total()[:, None]
        weight = (share * self.packet.tensors["items"]) ** -beta
        return (weight / weight.amax(-1, keepdim=True)).float()

    def update(self, priority: Tensor) -> None:
        """Store the priorities of the last batch: see `PrioritizedReplay`."""
        weight = (priority_of(priority).double() + self.eps) ** self.alpha
        highest = torch.maximum(self.highest, weight.amax(-1, keepdim=True))
        # Of an item that was drawn twice the last priority counts.
        batch = torch.arange(weight.shape[1], device=weight.device)
        same = self.drawn.unsqueeze(2) == self.drawn.unsqueeze(1)  # (S, B, B)
        self.tree.set(self.drawn, weight.gather(1, (same * batch).amax(-1)))
        self.highest.copy_(highest)

    def state(self) -> dict[str, Any]:
        weights = self.tree.levels[0][:, : self.size]
        return {**super().state(), "priorities": weights, "highest": self.highest}

    def restore(self, state: dict[str, Any]) -> None:
        full = torch.as_tensor(state["priorities"]).shape[1] == self.capacity
        self.added = (state["position"] + self.capacity * full) // self.n_envs
        self.size = torch.as_tensor(state["priorities"]).shape[1]
        self.position = state["position"]
        self.admitted = self._admissible()
        super().restore(state)
        self.highest.copy_(torch.as_tensor(state["highest"]))
        self.tree.fill(torch.as_tensor(state["priorities"]).to(self.device))
