"""Hybrid: PPO whose answers are taught by labels, and whose other actions learn from rewards.

After Mnih et al. 2014 (recurrent models of visual attention), where the class is learned by
cross-entropy and where to look by REINFORCE. It is told more than agents that learn from rewards
alone, so that its scores are of a kind of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from pydantic import Field as field
from torch import Tensor

from rlbench.agents.ppo import PPO, PPOConfig
from rlbench.config import Float
from rlbench.errors import UserError
from rlbench.learning.environments.facts import EnvFacts, check_labels
from rlbench.learning.environments.lanes import Step
from rlbench.learning.equations import losses, returns
from rlbench.learning.optim.learner import Metrics


class HybridConfig(PPOConfig):
    """Parameters of PPO, and the weight of what labels teach."""

    label_coef: Float = field(1.0, gt=0, description="weight of the cross-entropy of answers")


class Hybrid(PPO):
    """S proximal policy optimisers that are shown the labels of the images they answer."""

    Config = HybridConfig
    version = 1
    action_spaces = (spaces.Discrete,)
    step_fields = ("taught",)  # 1 where an image was answered, else 0: see observe
    config: HybridConfig

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        check_labels(facts, cls.name())

    def observe(self, step: Step) -> Metrics:
        if step.answer is None:
            raise UserError(f"{self.name()} needs labels: step.answer of image data")
        taught, pending = step.answer.answered, self.context.pending
        # The label takes the place of the answer: its log-probability is what is learned.
        label = step.answer.label[..., None]
        pending["action"] = np.where(taught[..., None], label, pending["action"])
        pending["taught"] = taught.astype(np.float32)
        return super().observe(step)

    def prepared(self) -> dict[str, Tensor]:
        taught = self.rollout.tensors(self.device)["taught"]
        return {**super().prepared(), "taught": self.rollout.items(taught)}

    def objective(self, **items: Tensor) -> tuple[Tensor, Metrics]:
        """Cross-entropy of answers, and PPO's losses of all other actions, `(S,)`.

        Values are learned of all steps, entropy counts where rewards teach.
        """
        log_prob, entropy, value = self.evaluate(items)
        taught = items["taught"].flatten(1)
        free = 1.0 - taught
        parts = (*self.policy_losses(items, log_prob), entropy)
        policy_loss, kl, clipped, spread = (losses.weighted_mean(each, free) for each in parts)
        label_loss = losses.weighted_mean(-log_prob, taught)
        value_loss = returns.mean(self.value_losses(items, value))
        loss, metrics = self.total_loss(policy_loss, value_loss, spread)
        loss = loss + self.by_row.tensor("label_coef", 1) * label_loss
        return loss, {
            **metrics,
            "train/loss": loss,
            "train/label_loss": label_loss,
            "train/approx_kl": kl,
            "train/clip_fraction": clipped,
        }
