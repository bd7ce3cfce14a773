"""The weight of entropy in SAC: fixed, or learned for a target entropy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlbench.learning.equations import returns
from rlbench.learning.networks.stack import ROW
from rlbench.learning.optim.optimizers import Adam
from rlbench.learning.row_values import Rows, tensor_column


class EntropyCoefficient:
    """alpha of S seeds, stored as its logarithm; `target` is None where it is fixed.

    First values and targets are numbers, or one for each seed.

    Haarnoja et al. 2018b, eq. 18, with log alpha in place of alpha as in their code.
    """

    def __init__(
        self, seeds: int, initial: Rows, target: Rows | None, device: torch.device
    ) -> None:
        self.target = None if target is None else tensor_column(target, 2, device)
        self.log = torch.zeros(seeds, ROW, device=device)
        first = initial if isinstance(initial, tuple) else (initial,) * seeds
        for row, alpha in enumerate(first):
            self.log[row, 0] = torch.tensor(alpha).log()
        self.grad = torch.zeros_like(self.log)
        self.optimizer = Adam(self.log, self.grad)

    def alpha(self) -> Tensor:
        """alpha, `(S, 1)`."""
        return self.log[:, :1].exp()

    def step(self, log_prob: Tensor, rate: Rows | Tensor) -> Tensor:
        """Take a gradient step; returns the loss -log alpha mean(log_prob + target), `(S,)`.

        alpha grows where the entropy of actions with log_prob (S, B) is below the target.
        """
        assert self.target is not None
        gradient = -returns.mean(log_prob + self.target)
        loss = self.log[:, 0] * gradient
        self.grad[:, 0] = gradient
        self.optimizer.step(rate)
        return loss

    def state(self) -> dict[str, Any]:
        """Return what `restore` goes on from: arrays, numbers and text by name."""
        return {"log": self.log, "optimizer": self.optimizer.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.log.copy_(torch.as_tensor(state["log"]))
        self.optimizer.restore(state["optimizer"])
