"""PPO: proximal policy optimisation, several epochs over every rollout (Schulman et al. 2017)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float, Int
from rlbench.errors import UserError
from rlbench.learning import row_values
from rlbench.learning.algorithms.on_policy import OnPolicy, OnPolicyConfig
from rlbench.learning.algorithms.rollouts import Minibatches, sequence_length
from rlbench.learning.algorithms.updates import Updates
from rlbench.learning.equations import losses, returns
from rlbench.learning.optim.learner import Metrics, Rule
from rlbench.learning.rng import PermutationStream
from rlbench.learning.row_values import Rows


class PPOConfig(OnPolicyConfig):
    """Parameters of PPO. Steps are env steps; names are Stable-Baselines3's."""

    learning_rate: Float = field(3e-4, gt=0, description="step size of the optimiser")
    optimizer: Rule = field("adam", description="update rule")
    n_steps: Int = field(
        128, ge=1, description="steps of each environment between two updates: T of the rollout"
    )
    batch_size: Int = field(
        256, ge=1, description="steps per minibatch, per seed (recurrent: in whole sequences)"
    )
    n_epochs: Int = field(10, ge=1, description="passes over each rollout")
    gae_lambda: Float = field(
        0.95, ge=0, le=1, description="bias against variance of advantages; 1: n-step returns"
    )
    clip_range: Float = field(
        0.2, gt=0, description="how far the ratio of probabilities may move from 1"
    )
    clip_range_vf: Float | None = field(
        None, gt=0, description="how far values may move in one rollout; none: not limited"
    )
    clip_schedule: Literal["constant", "linear"] = field(
        "constant", description="linear: both clip ranges fall to 0 at the last step"
    )
    normalize_advantage: bool = field(
        True, description="scale advantages of a minibatch to mean 0 and deviation 1"
    )
    recompute_advantages: bool = field(
        False,
        description="values and advantages anew before each pass (Andrychowicz et al. 2021, "
        "section 3.5); the value after a rollout's last step stays",
    )

    def check(self) -> None:
        super().check()
        if self.batch_size < sequence_length(self):
            raise UserError(
                f"batch_size ({self.batch_size}) is smaller than the sequence length "
                f"({sequence_length(self)}): make the batch larger or sequence_length shorter"
            )


class PPO(OnPolicy):
    """S proximal policy optimisers, each with N environments of its own."""

    Config: ClassVar[type[PPOConfig]] = PPOConfig
    version = 1
    config: PPOConfig

    def build(self) -> None:
        super().build()
        c = self.config
        self.clip = self.by_row.value("clip_range")
        self.batch = c.batch_size // self.rollout.length  # items, see Rollout.items
        items = self.n_envs * c.n_steps // self.rollout.length
        self.order = PermutationStream(self.seeds, "minibatch", items)
        self.rounds = c.n_epochs if c.recompute_advantages else 1  # of passes over one estimate
        self.batches = Minibatches(self.order, self.batch, c.n_epochs // self.rounds, self)
        self.updates = Updates(self, [self.batches], phase=self.batches.phase)

    def improve(self, items: dict[str, Tensor]) -> None:
        """Update the network on several epochs of minibatches."""
        share = {"linear": 1.0 - self.progress(), "constant": 1.0}
        self.clip = self.by_row.each(lambda c: max(c.clip_range * share[c.clip_schedule], 1e-8))
        for done in range(self.rounds):
            if done:
                items = items | self.updates.once(self.estimated_again)
            self.batches.begin(self.updates.static(items))
            self.updates.run(len(self.batches))
        self.metrics["train/clip_range"] = row_values.metric(self.clip)

    def update(self) -> None:
        """Take one gradient step of every seed on the next minibatch."""
        rate, clip = self.updates.number(self.rate), self.updates.number(self.clip_now)
        clip = torch.as_tensor(row_values.tensor_column(clip, 2, self.device), device=self.device)
        batch = self.batches.next() | {"clip": clip}
        samples = batch["advantage"][0].numel()
        self.metrics |= self.learner.step(self.objective, rate, samples, **batch).metrics

    def clip_now(self) -> Rows:
        """How far ratios may move in this rollout's updates."""
        return self.clip

    def objective(self, **items: Tensor) -> tuple[Tensor, Metrics]:
        """Clipped surrogate, value and entropy losses of a minibatch, `(S,)` (eq. 9)."""
        log_prob, entropy, value = self.evaluate(items)
        policy_loss, kl, clipped = map(returns.mean, self.policy_losses(items, log_prob))
        value_loss = returns.mean(self.value_losses(items, value))
        loss, metrics = self.total_loss(policy_loss, value_loss, returns.mean(entropy))
        return loss, {**metrics, "train/approx_kl": kl, "train/clip_fraction": clipped}

    def policy_losses(
        self, items: dict[str, Tensor], log_prob: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Clipped surrogate, estimated KL divergence, and 1 where the ratio is clipped: `(S, B)`.

        The divergence is from the policy that acted; `log_prob` (S, B) is of its actions.
        """
        advantage, clip = items["advantage"].flatten(1), items["clip"]
        if self.config.normalize_advantage:
            advantage = losses.standardised(advantage)
        log_ratio = log_prob - items["log_prob"].flatten(1)
        ratio = log_ratio.exp()
        with torch.no_grad():  # Schulman, http://joschu.net/blog/kl-approx.html
            kl = ratio - 1.0 - log_ratio
            clipped = ((ratio - 1.0).abs() > clip).float()
        return losses.clipped_surrogate(ratio, advantage, clip), kl, clipped

    def value_losses(self, items: dict[str, Tensor], value: Tensor) -> Tensor:
        """Squared error of values from lambda returns, `(S, B)`, clipped where that is set."""
        old = items["value"].flatten(1)
        target = items["advantage"].flatten(1) + old
        if self.by_row.first.clip_range_vf is None:
            return losses.squared(value, target)
        wide, clip_range = (self.by_row.tensor(f"clip_range{of}", 2) for of in ("_vf", ""))
        return losses.clipped_value(value, old, target, wide * items["clip"] / clip_range)

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "order": self.order}
