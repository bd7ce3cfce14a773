"""The best weights of each seed so far: early stopping without stopping.

Seeds in lockstep train to a common end; stopping one would be no saving, and freezing it by a loss
of 0 is none, since its optimiser still has momentum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rlbench.learning.networks.stack import StackedParameters


class BestWeights:
    """Weights (S, P) and the scores (S,) that they reached; -inf before the first."""

    def __init__(self, stack: StackedParameters) -> None:
        self.weights = stack.data.clone()
        self.score = np.full(len(stack.data), -np.inf)

    def update(self, stack: StackedParameters, score: np.ndarray) -> None:
        """Take over the weights of seeds that are better than before; the earlier one of equals."""
        better = score > self.score
        self.score = np.where(better, score, self.score)
        rows = torch.from_numpy(np.flatnonzero(better)).to(stack.data.device)
        self.weights[rows] = stack.data[rows]

    def restore_best(self, stack: StackedParameters) -> None:
        """Give back the best weights of every seed that has some."""
        rows = torch.from_numpy(np.flatnonzero(np.isfinite(self.score))).to(stack.data.device)
        stack.data[rows] = self.weights[rows]

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights, "score": self.score}

    def restore(self, state: dict[str, Any]) -> None:
        self.weights.copy_(torch.as_tensor(state["weights"]))
        self.score = np.array(state["score"])
