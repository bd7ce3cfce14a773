"""CrossQ: SAC without target networks, with batch renormalisation (Bhatt et al. 2024).

The critics value (s, a) and (s', a') in one batch, whose statistics are of both. Actions of the
next states are by the actor's running statistics, and so are actions in the environment.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field as field
from torch import Tensor

from rlbench.agents.sac import SAC, SACConfig
from rlbench.config import Float, Int, IntList
from rlbench.errors import UserError
from rlbench.learning.algorithms.off_policy import make_updates, sample_batch
from rlbench.learning.networks import encoders
from rlbench.learning.networks.batch_norm import Statistics
from rlbench.learning.optim.learner import Aux, Learner, Metrics


class CrossQConfig(SACConfig):
    """Parameters of CrossQ; names are Stable-Baselines3's."""

    batch_norm: ClassVar[bool] = True
    beta1: ClassVar[float] = 0.5
    critic_arch: IntList | None = field(
        None,
        description="widths of the critics' fully connected layers (2048,2048 in the paper); none: "
        "those of the actor, net_arch",
    )
    learning_rate: Float = field(1e-3, gt=0, description="step size of the optimisers")
    tau: None = field(None, description="there are no target networks")  # type: ignore[assignment]
    policy_delay: Int = field(
        3, ge=1, description="critic updates for each update of policy and temperature"
    )
    renorm_warmup_steps: Int = field(
        100_000,
        ge=0,
        description="updates of a network before its batch statistics are corrected towards "
        "running ones",
    )

    def check(self) -> None:
        super().check()
        if cell := encoders.parse(self.encoder)[1]:
            raise UserError(
                f"crossq has no memory: batch statistics are of single steps. Leave {cell} out, or "
                "run sac"
            )
        if self.weight_decay:
            raise UserError(
                "weight_decay would move the running statistics of crossq: set it to 0, or run sac"
            )


class CrossQ(SAC):
    """S soft actor-critics without target networks."""

    Config: ClassVar[type[CrossQConfig]] = CrossQConfig
    version = 1
    n_target_critics = 0
    config: CrossQConfig

    @classmethod
    def critic_config(cls, config: CrossQConfig) -> CrossQConfig:
        return config.model_copy(update={"net_arch": config.critic_arch or config.net_arch})

    def build(self) -> None:
        super().build()
        self.statistics = Statistics(self.actor)
        self.critic_statistics = Statistics(self.critics)
        optimizers = [self.temperature.optimizer]
        self.updates = make_updates(self, [self.learning_noise], optimizers, self.phase)

    def phase(self) -> int:
        """How many updates of the critics there were since the last one of the policy."""
        return self.critic_learner.optimizer.updates % self.config.policy_delay

    def update(self) -> None:
        """Take a gradient step of the critics, and with a delay of policy and temperature."""
        rate = self.updates.number(self.rate)
        batch = {"alpha": self.temperature.alpha(), **sample_batch(self)}
        noise, next_noise = self.update_noise()
        renorm = self._tensor(self.updates.number(self.critic_renorm))
        aux = self.update_critics(rate, noise=next_noise, renorm=renorm, **batch)
        self.critic_statistics.follow(aux["statistics"])
        if self.phase() == 0:
            renorm = self._tensor(self.updates.number(self.renorm))
            aux = self.update_policy(rate, noise=noise, renorm=renorm, **batch)
            self.statistics.follow(aux["statistics"])

    def renorm(self) -> float:
        """Return whether the actor's batch statistics are corrected: 0 or 1."""
        return self._past_warm_up(self.learner)

    def critic_renorm(self) -> float:
        """Return whether the critics' batch statistics are corrected: 0 or 1."""
        return self._past_warm_up(self.critic_learner)

    def _past_warm_up(self, learner: Learner) -> float:
        return float(learner.optimizer.updates >= self.config.renorm_warmup_steps)

    def _tensor(self, number: float | Tensor) -> Tensor:
        return torch.as_tensor(number, dtype=torch.float32, device=self.device)

    def critic_objective(  # type: ignore[override]  # takes renorm
        self, noise: Tensor, alpha: Tensor, renorm: Tensor, **batch: Tensor
    ) -> tuple[Tensor, Metrics, Aux]:
        """Loss of the critics, `(S,)`, and the statistics of this batch and the next (fig. 2)."""
        replayed = self.replayed(**batch)
        with torch.no_grad():
            action, log_prob = self.distribution.drawn(replayed.next_policy(self.actor), noise)
        obs = torch.cat([replayed.obs, replayed.next_obs], 1)
        with self.critic_statistics.of_batch(renorm):
            joint = self.critics.forward(obs, torch.cat([replayed.action, action], 1))
        values, following = joint.chunk(2, -1)
        with torch.no_grad():
            target = replayed.targets(self.estimate(following) - alpha * log_prob)
        loss = self.critic_loss(values, target)
        aux = {"statistics": self.critic_statistics.latest()}
        return loss, {"train/critic_loss": loss}, aux

    def objective(  # type: ignore[override]  # takes renorm
        self, noise: Tensor, alpha: Tensor, renorm: Tensor, **batch: Tensor
    ) -> tuple[Tensor, Metrics, Aux]:
        """Loss of the policy, `(S,)`, by the batch's statistics of the actor alone."""
        with self.statistics.of_batch(renorm):
            loss, metrics, aux = super().objective(noise, alpha, **batch)
        return loss, metrics, {**aux, "statistics": self.statistics.latest()}
