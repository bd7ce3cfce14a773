"""TQC: truncated quantile critics (Kuznetsov et al. 2020).

SAC whose critics learn quantiles of the return. The target leaves out the largest quantiles of all
critics together, instead of taking the smaller of two means.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field as field
from torch import Tensor

from rlbench.agents.sac import SAC, SACConfig
from rlbench.config import Int
from rlbench.errors import UserError
from rlbench.learning.algorithms.replayed_batch import Replayed
from rlbench.learning.equations import returns
from rlbench.learning.equations.distributional import midpoints, quantile_huber


class TQCConfig(SACConfig):
    """Parameters of TQC; names are Stable-Baselines3's."""

    n_critics: Int = field(2, ge=1, description="critics per seed (5 in the paper)")
    n_quantiles: Int = field(25, ge=1, description="quantiles that each critic learns")
    top_quantiles_to_drop: Int = field(
        2,
        ge=0,
        description="quantiles for each critic by which targets are truncated, largest first",
    )

    def check(self) -> None:
        super().check()
        if self.top_quantiles_to_drop >= self.n_quantiles:
            raise UserError(
                f"top_quantiles_to_drop ({self.top_quantiles_to_drop}) must be less than "
                f"n_quantiles ({self.n_quantiles}): nothing would be left of a target"
            )


class TQC(SAC):
    """S soft actor-critics with truncated quantile critics."""

    Config: ClassVar[type[TQCConfig]] = TQCConfig
    version = 1
    config: TQCConfig

    def build(self) -> None:
        super().build()
        self.fractions = midpoints(self.config.n_quantiles).to(self.device)

    @classmethod
    def critic_outputs(cls, config: TQCConfig) -> int:
        return config.n_quantiles

    def estimate(self, values: Tensor) -> Tensor:
        """Mean over critics and quantiles, `(S, C, B, Q) -> (S, B)`."""
        return values.movedim(1, 2).flatten(2).mean(-1)

    def next_value(self, replayed: Replayed, noise: Tensor, alpha: Tensor | None) -> Tensor:
        """Smallest quantiles of all critics, less entropy, `(S, B, M)` (eq. 9 to 11)."""
        assert alpha is not None
        action, log_prob = self.distribution.drawn(replayed.next_policy(self.actor), noise)
        quantiles = replayed.next_values(self.critics_target, action)
        c = self.config
        kept = c.n_critics * (c.n_quantiles - c.top_quantiles_to_drop)
        smallest = quantiles.movedim(1, 2).flatten(2).sort(-1).values[..., :kept]
        return smallest - (alpha * log_prob).unsqueeze(-1)

    def critic_loss(self, values: Tensor, target: Tensor) -> Tensor:
        """Quantile Huber loss of the critics, `(S, C, B, Q), (S, B, M) -> (S,)` (eq. 12)."""
        error = quantile_huber(values, self.fractions, target.unsqueeze(1), 1.0)
        return returns.mean(error).sum(-1) / self.config.n_quantiles
