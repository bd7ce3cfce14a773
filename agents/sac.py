"""SAC: soft actor-critic with a learned temperature (Haarnoja et al. 2018b).

The policy is a squashed Gaussian; targets take the smaller value of twin critics (Fujimoto et al.
2018). With `n_steps` above 1 the rewards of these steps are without entropy, as in
Stable-Baselines3. What is shared with TD3, recurrence included, is in
`learning/algorithms/off_policy_actor_critic.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

import torch
from pydantic import BeforeValidator
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float
from rlbench.learning.algorithms.entropy_coefficient import EntropyCoefficient
from rlbench.learning.algorithms.off_policy import make_updates, sample_batch
from rlbench.learning.algorithms.off_policy_actor_critic import OffPolicyActorCritic
from rlbench.learning.algorithms.off_policy_actor_critic_config import OffPolicyActorCriticConfig
from rlbench.learning.algorithms.replayed_batch import Replayed
from rlbench.learning.equations import returns
from rlbench.learning.hardware import transfer
from rlbench.learning.networks.squashed_gaussian import SquashedGaussian
from rlbench.learning.optim.learner import Aux, Metrics
from rlbench.learning.row_values import Rows


def _coefficient(value: Any) -> Any:
    """Parse `auto`, `auto_0.1` or a number above 0; raises ValueError."""
    text = str(value).strip()
    number = text.removeprefix("auto_") if text != "auto" else "1"
    if isinstance(value, bool) or not re.fullmatch(r"[\d.]+(e[+-]?\d+)?", number):
        raise ValueError("must be auto, auto_0.1 (learned from 0.1 on) or a number")
    if not 0.0 < float(number) < float("inf"):
        raise ValueError("must be greater than 0")
    return text if text.startswith("auto") else float(number)


def _entropy(value: Any) -> Any:
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError("must be auto or a number")
    return value


class SACConfig(OffPolicyActorCriticConfig):
    """Parameters of SAC; names are Stable-Baselines3's."""

    learning_rate: Float = field(3e-4, gt=0, description="step size of the optimisers")
    ent_coef: Annotated[float | str, BeforeValidator(_coefficient)] = field(
        "auto",
        description="weight of entropy (temperature): a number, or learned: auto (initially 1), "
        "auto_0.1 (initially 0.1)",
    )
    target_entropy: Annotated[float | str, BeforeValidator(_entropy)] = field(
        "auto",
        description="entropy for which a learned temperature aims, in nats, of actions in [-1, 1]; "
        "auto: minus the number of action components",
    )

    def initial_coefficient(self) -> float:
        """Temperature at the first update."""
        return 1.0 if self.ent_coef == "auto" else float(str(self.ent_coef).removeprefix("auto_"))

    def unused(self) -> dict[str, str]:
        fixed = isinstance(self.ent_coef, float)
        reasons = {"target_entropy": f"ent_coef={self.ent_coef}"} if fixed else {}
        return {**super().unused(), **reasons}


class SAC(OffPolicyActorCritic):
    """S soft actor-critics."""

    Config: ClassVar[type[SACConfig]] = SACConfig
    version = 1
    action_distribution = SquashedGaussian
    noise_draws_per_update = 2
    config: SACConfig
    distribution: SquashedGaussian

    def build(self) -> None:
        super().build()
        actions = self.distribution.actions
        fixed = isinstance(self.by_row.first.ent_coef, float)

        def target(own: SACConfig) -> float:
            return float(-actions if own.target_entropy == "auto" else own.target_entropy)

        self.temperature = EntropyCoefficient(
            len(self.seeds),
            self.by_row.each(lambda own: own.initial_coefficient()),
            None if fixed else self.by_row.each(target),
            self.device,
        )
        optimizers = [self.temperature.optimizer]
        self.updates = make_updates(self, [self.learning_noise], optimizers)

    def explore(self, outputs: Any) -> Any:
        return self.distribution.sample(outputs, self.normal.next())

    def update(self) -> None:
        """Take one gradient step of critics, policy and temperature each (algorithm 1)."""
        rate = self.updates.number(self.rate)
        batch = {"alpha": self.temperature.alpha(), **sample_batch(self)}
        noise, next_noise = self.update_noise()
        batch |= self.update_critics(rate, noise=next_noise, **batch)
        self.update_policy(rate, noise=noise, **batch)
        for rows, own in self.by_row.runs("tau"):
            self.target.data[rows].lerp_(self.critic_learner.stack.data[rows], own.tau)

    def update_policy(self, rate: Rows | Tensor, **tensors: Tensor) -> Aux:
        """Take one gradient step of policy and temperature; returns the objective's aux."""
        metrics, aux = self.learner.step(self.objective, rate, 0, **tensors)
        self.metrics |= metrics
        if self.temperature.target is not None:
            self.metrics["train/ent_coef_loss"] = self.temperature.step(aux["log_prob"], rate)
        self.metrics["train/ent_coef"] = tensors["alpha"][:, 0]
        return aux

    def next_value(self, replayed: Replayed, noise: Tensor, alpha: Tensor | None) -> Tensor:
        """Soft value of the next state, `(S, B)` (eq. 3 in eq. 2)."""
        assert alpha is not None
        action, log_prob = self.distribution.drawn(replayed.next_policy(self.actor), noise)
        return self.estimate(replayed.next_values(self.critics_target, action)) - alpha * log_prob

    def estimate(self, values: Tensor) -> Tensor:
        """Value of an action by all critics, the smallest, `(S, C, B) -> (S, B)`."""
        return values.amin(1)

    def objective(
        self, noise: Tensor, alpha: Tensor, **batch: Tensor
    ) -> tuple[Tensor, Metrics, Aux]:
        """Loss of the policy: its negative value and entropy, `(S,)` (eq. 7)."""
        replayed = self.replayed(**batch)
        action, log_prob = self.distribution.drawn(replayed.policy(self.actor), noise)
        value = self.estimate(replayed.values_of(self.critics, action))
        loss = returns.mean(alpha * log_prob - value)
        metrics = {"train/actor_loss": loss, "train/entropy": -returns.mean(log_prob)}
        return loss, metrics, {"log_prob": log_prob}

    def diverged(self) -> dict[int, str]:
        finite = transfer.fetch(torch.isfinite(self.temperature.log[:, 0]))
        reason = "the temperature became NaN or infinite"
        return {**{r: reason for r, ok in enumerate(finite) if not ok}, **super().diverged()}

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "temperature": self.temperature}
