"""Prioritised replay of S seeds (Schaul et al. 2016): proportional, with importance weights.

Transitions are drawn with probability P(i) = p_i^alpha / sum_k p_k^alpha, where p_i is how much the
last update was surprised by transition i, plus `eps`; new ones have the greatest p so far. A
sequence has the priority of its first step's slot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.data.replay import Replay
from rlbench.learning.data.sum_tree import SumTree

LARGEST = 0.9  # share of the largest surprise in a sequence's; the rest is the mean's


class PrioritizedReplay(Replay):
    """A `Replay` that prefers what it was surprised by."""

    def __init__(self, *arguments: Any, alpha: float, eps: float) -> None:
        super().__init__(*arguments)
        seeds = len(self.rows)
        self.alpha, self.eps = alpha, eps
        self.tree = SumTree(seeds, self.capacity)
        self.highest = np.ones((seeds, 1))  # p^alpha of what is new
        self.drawn = np.zeros((seeds, 0), np.int64)  # the last batch
        self.added = 0  # steps of all lanes
        self.admitted = (0, 0)  # steps at which a sample may begin, as of the last look

    def add(self, **values: np.ndarray) -> None:
        super().add(**values)
        self.added += 1

    def _admit(self) -> None:
        """Put what was added since the last look into the tree, and take out what no sample may
        begin with any more. Nothing moved `highest` in between, so it need not be done earlier."""
        steps = self.capacity // self.n_envs
        first, count = self._starts()
        low = max(self.added - steps, 0) + first
        high = low + max(count, 0)
        old_low, old_high = self.admitted
        for begin, end, weight in (
            (old_low, min(low, old_high), np.zeros_like(self.highest)),
            (max(old_high, low), high, self.highest),
        ):
            begin = max(begin, end - steps)
            if begin < end:
                slots = np.arange(begin * self.n_envs, end * self.n_envs) % self.capacity
                self.tree.set(slots[None], weight)
        self.admitted = low, high

    def _begin(self, uniform: np.ndarray) -> np.ndarray:
        """One from each of B equal shares of the total, `(S, B)`."""
        self._admit()
        batch = uniform.shape[1]
        self.drawn = self.tree.find((np.arange(batch) + uniform) / batch)
        return self.drawn

    def weights(self, beta: float) -> Tensor:
        """Importance weights of the last batch, `(S, B)`: (n P(i))^-beta, over the largest."""
        low, high = self.admitted
        share = self.tree.weight(self.drawn) / self.tree.total()[:, None]
        weight = (share * ((high - low) * self.n_envs)) ** -beta
        weight /= weight.max(-1, keepdims=True)
        return torch.from_numpy(weight.astype(np.float32)).to(self.device)

    def update(self, surprise: Tensor) -> None:
        """Take note of how surprising the last batch was, `(S, B)` or, of sequences, `(S, B, T)`,
        of which one is 0.9 times the largest and 0.1 times the mean (Kapturowski et al. 2019)."""
        if surprise.ndim == 3:
            surprise = LARGEST * surprise.amax(-1) + (1.0 - LARGEST) * surprise.mean(-1)
        weight = (surprise.cpu().numpy().astype(np.float64) + self.eps) ** self.alpha
        self.tree.set(self.drawn, weight)
        self.highest = np.maximum(self.highest, weight.max(-1, keepdims=True))

    def state(self) -> dict[str, Any]:
        self._admit()
        weights = self.tree.levels[0][:, : self.size]
        return {**super().state(), "priorities": weights, "highest": self.highest}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        full = self.size == self.capacity
        self.added = (self.position + self.capacity * full) // self.n_envs
        self.highest = np.asarray(state["highest"])
        first, count = self._starts()
        low = max(self.added - self.capacity // self.n_envs, 0) + first
        self.admitted = low, low + max(count, 0)
        self.tree.fill(np.asarray(state["priorities"]))
