"""Prioritised replay of S seeds (Schaul et al. 2016): proportional, with importance weights.

Transitions are drawn with probability P(i) = p_i^alpha / sum_k p_k^alpha, where p_i is the priority
that the last update gave transition i, plus `eps`; new ones have the highest p so far. The priority
of a sequence is stored at the slot of its first step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlbench.learning.data.replay import Replay
from rlbench.learning.data.sum_tree import SumTree
from rlbench.learning.row_values import Rows, by_run, column

LARGEST = 0.9  # weight of the largest priority in a sequence's; the rest is the mean's


class PrioritizedReplay(Replay):
    """A `Replay` that samples in proportion to priorities.

    Exponents and `eps` are numbers, or one for each seed.
    """

    def __init__(self, *arguments: Any, alpha: Rows, eps: Rows) -> None:
        super().__init__(*arguments)
        seeds = len(self.rows)
        self.alpha, self.eps = alpha, eps
        self.tree = SumTree(seeds, self.capacity)
        self.highest = np.ones((seeds, 1))  # p^alpha of what is new
        self.drawn = np.zeros((seeds, 0), np.int64)  # the last batch
        self.added = 0  # steps of all lanes
        self.admitted = (0, 0)  # steps at which a sample may begin, as of the last `_admit`

    def add(self, **values: np.ndarray) -> None:
        super().add(**values)
        self.added += 1

    def _admit(self) -> None:
        """Add steps since the last call to the tree, and remove those no sample may begin with.

        Nothing changed `highest` in between, so it need not be done earlier.
        """
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
        """Draw one slot from each of B equal shares of the total, `(S, B)`."""
        self._admit()
        batch = uniform.shape[1]
        self.drawn = self.tree.find((np.arange(batch) + uniform) / batch)
        return self.drawn

    def weights(self, beta: Rows) -> Tensor:
        """Importance weights of the last batch, `(S, B)`: (n P(i))^-beta, over the largest."""
        low, high = self.admitted
        share = self.tree.weight(self.drawn) / self.tree.total()[:, None]
        share = share * ((high - low) * self.n_envs)
        weight = by_run(lambda exponent, x: x**-exponent, beta, share)
        weight /= weight.max(-1, keepdims=True)
        return torch.from_numpy(weight.astype(np.float32)).to(self.device)

    def update(self, priority: Tensor) -> None:
        """Store the priorities of the last batch, `(S, B)`, or of sequences, `(S, B, T)`."""
        above = priority_of(priority).numpy().astype(np.float64) + column(self.eps, 2)
        weight = by_run(lambda exponent, x: x**exponent, self.alpha, above)
        self.tree.set(self.drawn, weight)
        self.highest = np.maximum(self.highest, weight.max(-1, keepdims=True))

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        self._admit()
        weights = self.tree.levels[0][:, : self.size]
        return {**super().state(), "priorities": weights, "highest": self.highest}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        super().restore(state)
        full = self.size == self.capacity
        self.added = (self.position + self.capacity * full) // self.n_envs
        self.highest = np.asarray(state["highest"])
        first, count = self._starts()
        low = max(self.added - self.capacity // self.n_envs, 0) + first
        self.admitted = low, low + max(count, 0)
        self.tree.fill(np.asarray(state["priorities"]))


def priority_of(priority: Tensor) -> Tensor:
    """Return priorities of items `(S, B)`; of sequences `(S, B, T)` one for each.

    It is 0.9 times the largest plus 0.1 times the mean (Kapturowski et al. 2019).
    """
    if priority.ndim < 3:
        return priority
    return LARGEST * priority.amax(-1) + (1.0 - LARGEST) * priority.mean(-1)
