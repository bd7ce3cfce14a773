"""Sum trees of S seeds: leaves are sampled in proportion to their weights.

A node has 16 children, so that a hundred thousand leaves are five levels deep, and one level is a
few array calls for a whole batch of all seeds.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

FAN = 16


class SumTree:
    """Weights of `leaves` items for S seeds; levels are `(S, n)` arrays, from leaves to root."""

    def __init__(self, seeds: int, leaves: int) -> None:
        self.rows = np.arange(seeds)[:, None]
        self.levels: list[np.ndarray] = []
        nodes = leaves
        while not self.levels or nodes > 1:
            self.levels.append(np.zeros((seeds, -(-nodes // FAN) * FAN)))
            nodes = -(-nodes // FAN)

    @staticmethod
    def bytes(seeds: int, leaves: int) -> int:
        """Estimate the bytes of a tree, without its padding."""
        return 8 * seeds * leaves * FAN // (FAN - 1)

    def total(self) -> np.ndarray:
        """Sum of all weights, `(S,)`."""
        return self.levels[-1].sum(-1)

    def weight(self, leaf: np.ndarray) -> np.ndarray:
        """Weights of leaves, `(S, B) -> (S, B)`."""
        return self.levels[0][self.rows, leaf]

    def set(self, leaf: np.ndarray, weight: np.ndarray) -> None:
        """Set the weights of leaves `(S, B)`; of a leaf that occurs twice the last one counts."""
        self.levels[0][self.rows, leaf] = weight
        for below, above in pairwise(self.levels):
            leaf = leaf // FAN
            above[self.rows, leaf] = self._children(below, leaf).sum(-1)

    def fill(self, weights: np.ndarray) -> None:
        """Set the weights of the first n leaves, `(S, n)`."""
        self.levels[0][:, : weights.shape[1]] = weights
        for below, above in pairwise(self.levels):
            sums = below.reshape(len(below), -1, FAN).sum(-1)
            above[:, : sums.shape[1]] = sums

    def find(self, share: np.ndarray) -> np.ndarray:
        """Find the leaves at these shares of the cumulated weights, `(S, B) -> (S, B)`.

        Shares are in [0, 1).
        """
        node, rest = np.zeros(share.shape, np.int64), share * self.total()[:, None]
        for level in reversed(self.levels):
            upto = self._children(level, node).cumsum(-1)  # (S, B, 16)
            # Rounding must not lead past the last child, nor into one without weight.
            rest = np.minimum(rest, np.nextafter(upto[..., -1], 0.0))
            child = (upto <= rest[..., None]).sum(-1)
            before = np.take_along_axis(upto, np.maximum(child - 1, 0)[..., None], -1)[..., 0]
            rest = np.where(child > 0, rest - before, rest)
            node = node * FAN + child
        return node

    def _children(self, level: np.ndarray, node: np.ndarray) -> np.ndarray:
        """Weights of the children of nodes, `(S, B) -> (S, B, 16)`."""
        return level.reshape(len(level), -1, FAN)[self.rows, node]
