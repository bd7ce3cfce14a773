"""TD3: twin delayed deterministic policy gradient (Fujimoto et al. 2018).

Targets take the smaller value of twin critics, for an action of the target policy with clipped
noise; the policy and all target networks move at every `policy_delay`-th update of the critics.
What is shared with SAC, recurrence included, is in
`learning/algorithms/off_policy_actor_critic.py`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float, Int, IntList
from rlbench.learning.algorithms.off_policy import make_updates, sample_batch
from rlbench.learning.algorithms.off_policy_actor_critic import OffPolicyActorCritic
from rlbench.learning.algorithms.off_policy_actor_critic_config import OffPolicyActorCriticConfig
from rlbench.learning.algorithms.replayed_batch import Replayed
from rlbench.learning.equations import returns
from rlbench.learning.networks.squashed_gaussian import Squashed
from rlbench.learning.optim.learner import Metrics


class TD3Config(OffPolicyActorCriticConfig):
    """Parameters of TD3; names are Stable-Baselines3's, and RL Zoo's for the noise."""

    vector_arch: ClassVar[tuple[int, ...]] = (400, 300)
    net_arch: IntList | None = field(
        None,
        description=str(OffPolicyActorCriticConfig.model_fields["net_arch"].description).replace(
            "256,256", "400,300"
        ),
    )
    learning_rate: Float = field(1e-3, gt=0, description="step size of the optimisers")
    noise_type: Literal["normal", "ornstein-uhlenbeck"] | None = field(
        "normal",
        description=OffPolicyActorCriticConfig.model_fields["noise_type"].description,
    )
    policy_delay: Int = field(
        2, ge=1, description="critic updates for each update of policy and targets"
    )
    target_policy_noise: Float = field(
        0.2, ge=0, description="standard deviation of noise on the target policy's actions"
    )
    target_noise_clip: Float = field(0.5, ge=0, description="bound of this noise")


class TD3(OffPolicyActorCritic):
    """S twin delayed deterministic policy gradients."""

    Config = TD3Config
    version = 1
    action_distribution = Squashed
    noise_draws_per_update = 1
    n_target_actors = 1
    config: TD3Config

    def build(self) -> None:
        super().build()
        self.actor_target = self.network([np.random.default_rng(0)] * len(self.seeds), self.config)
        self.target_policy = self.frozen(self.actor_target, self.learner)
        self.updates = make_updates(self, [self.learning_noise], phase=self.phase)

    def phase(self) -> int:
        """How many updates of the critics there were since the last one of the policy."""
        return self.critic_learner.optimizer.updates % self.config.policy_delay

    def explore(self, outputs: Any) -> Any:
        return self.distribution.mode(outputs)

    def update(self) -> None:
        """Take a gradient step of the critics, and with a delay of policy and targets (alg. 1)."""
        rate, batch = self.updates.number(self.rate), sample_batch(self)
        batch |= self.update_critics(rate, noise=self.update_noise()[0], **batch)
        if self.phase() == 0:
            self.metrics |= self.learner.step(self.objective, rate, 0, **batch).metrics
            for rows, own in self.by_row.runs("tau"):
                self.target.data[rows].lerp_(self.critic_learner.stack.data[rows], own.tau)
                self.target_policy.data[rows].lerp_(self.learner.stack.data[rows], own.tau)

    def next_value(self, replayed: Replayed, noise: Tensor, alpha: Tensor | None) -> Tensor:
        """Value of the next state, `(S, B)`, for a noisy action of the target policy."""
        deviation, bound = (
            self.by_row.tensor(f"target_{name}", 3) for name in ("policy_noise", "noise_clip")
        )
        noise = (noise * deviation).clamp(-bound, bound)
        action = (torch.tanh(replayed.next_policy(self.actor_target)) + noise).clamp(-1.0, 1.0)
        return replayed.next_values(self.critics_target, action).amin(1)

    def objective(self, **batch: Tensor) -> tuple[Tensor, Metrics]:
        """Loss of the policy: the negative value of its actions by the first critic, `(S,)`."""
        replayed = self.replayed(**batch)
        action = torch.tanh(replayed.policy(self.actor))
        loss = -returns.mean(replayed.values_of(self.critics, action)[:, 0])
        return loss, {"train/actor_loss": loss}

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "target_policy": self.target_policy}
