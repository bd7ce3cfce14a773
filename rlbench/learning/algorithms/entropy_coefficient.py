"""The weight of entropy in SAC, learned so that policies keep a given entropy, or fixed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlbench.learning.equations import returns
from rlbench.learning.networks.stack import ROW
from rlbench.learning.optim.optimizers import Adam


class EntropyCoefficient:
    """alpha of S seeds, as its logarithm in the first column; `target` is None where it is fixed.

    Haarnoja et al. 2018b, eq. 18, with log alpha for alpha as their code has it.
    """

    def __init__(
        self, seeds: int, first: float, target: float | None, device: torch.device
    ) -> None:
        self.target = target
        self.log = torch.zeros(seeds, ROW, device=device)
        self.log[:, 0] = torch.tensor(first).log()
        self.grad = torch.zeros_like(self.log)
        self.optimizer = Adam(self.log, self.grad)

    def alpha(self) -> Tensor:
        """`(S, 1)`."""
        return self.log[:, :1].exp()

    def step(self, log_prob: Tensor, rate: float) -> Tensor:
        """Larger where the entropy of actions with log_prob (S, B) is below the target, smaller
        where it is above; the loss -log alpha mean(log_prob + target), `(S,)`."""
        assert self.target is not None
        slope = -returns.mean(log_prob + self.target)
        loss = self.log[:, 0] * slope
        self.grad[:, 0] = slope
        self.optimizer.step(rate)
        return loss

    def state(self) -> dict[str, Any]:
        return {"log": self.log, "optimizer": self.optimizer.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.log.copy_(torch.as_tensor(state["log"]))
        self.optimizer.restore(state["optimizer"])
