"""Best weights of each seed so far: early stopping without ending the training.

Seeds in lockstep train to a common end: stopping one would save no time, and a loss of 0 would not
freeze it, since its optimiser still has momentum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rlbench.learning.networks.stack import StackedParameters


class BestWeights:
    """Weights (S, P) and their scores (S,); -inf before the first."""

    def __init__(self, stack: StackedParameters) -> None:
        self.weights = stack.data.clone()
        self.score = np.full(len(stack.data), -np.inf)

    def update(self, stack: StackedParameters, score: np.ndarray) -> None:
        """Copy the weights of seeds that are better than before; ties keep the earlier ones."""
        better = score > self.score
        self.score = np.where(better, score, self.score)
        rows = torch.from_numpy(np.flatnonzero(better)).to(stack.data.device)
        self.weights[rows] = stack.data[rows]

    def restore_best(self, stack: StackedParameters) -> None:
        """Restore the best weights of every seed that has some."""
        rows = torch.from_numpy(np.flatnonzero(np.isfinite(self.score))).to(stack.data.device)
        stack.data[rows] = self.weights[rows]

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"weights": self.weights, "score": self.score}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.weights.copy_(torch.as_tensor(state["weights"]))
        self.score = np.array(state["score"])
