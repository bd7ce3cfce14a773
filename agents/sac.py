"""SAC: soft actor-critic with a learned temperature (Haarnoja et al. 2018b).

The policy is a squashed Gaussian, the critics are twins (Fujimoto et al. 2018), whose lesser value
counts. With `n_steps` above 1 the rewards of these steps are without entropy, as in
Stable-Baselines3. Everything shared with TD3, recurrence included, is in
`learning/algorithms/off_policy_actor_critic.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float
from rlbench.learning.algorithms.entropy_coefficient import EntropyCoefficient
from rlbench.learning.algorithms.off_policy import drawn_batch
from rlbench.learning.algorithms.off_policy_actor_critic import OffPolicyActorCritic
from rlbench.learning.algorithms.off_policy_actor_critic_config import OffPolicyActorCriticConfig
from rlbench.learning.algorithms.replayed_batch import ReplayedSequences, ReplayedTransitions
from rlbench.learning.compile.compiled_update import Told
from rlbench.learning.equations import returns
from rlbench.learning.networks.squashed_gaussian import SquashedGaussian


def _coefficient(value: Any) -> Any:
    """`auto`, `auto_0.1` or a number above 0."""
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
        description="weight of entropy (temperature): a number, or learned: auto (from 1 on), "
        "auto_0.1 (from 0.1 on)",
    )
    target_entropy: Annotated[float | str, BeforeValidator(_entropy)] = field(
        "auto",
        description="entropy that a learned temperature aims at, in nats, of actions in [-1, 1]; "
        "auto: minus the number of action components",
    )

    def first_coefficient(self) -> float:
        """The temperature at the first update."""
        return 1.0 if self.ent_coef == "auto" else float(str(self.ent_coef).removeprefix("auto_"))

    def unused(self) -> dict[str, str]:
        fixed = isinstance(self.ent_coef, float)
        reasons = {"target_entropy": f"ent_coef={self.ent_coef}"} if fixed else {}
        return {**super().unused(), **reasons}


class SAC(OffPolicyActorCritic):
    """S soft actor-critics."""

    Config = SACConfig
    version = 1
    action_distribution = SquashedGaussian
    noise_draws_per_update = 2
    config: SACConfig
    distribution: SquashedGaussian

    def build(self) -> None:
        super().build()
        c = self.config
        target = -self.distribution.actions if c.target_entropy == "auto" else c.target_entropy
        self.temperature = EntropyCoefficient(
            len(self.seeds),
            c.first_coefficient(),
            None if isinstance(c.ent_coef, float) else float(target),
            self.device,
        )

    def explore(self, outputs: Any) -> Any:
        return self.distribution.sample(outputs, self.normal.next())

    def update(self) -> None:
        """Critics, policy and temperature, each by one step (algorithm 1)."""
        rate = self.learner.rate(self.progress())
        batch = {"alpha": self.temperature.alpha(), **drawn_batch(self)}
        here, ahead = self.normals()
        batch |= self.learn_values(rate, drawn=ahead, **batch)
        told = self.learner.step(self.objective, rate, 0, drawn=here, **batch)
        log_prob = told.pop("log_prob")
        self.metrics |= told
        if self.temperature.target is not None:
            self.metrics["train/ent_coef_loss"] = self.temperature.step(log_prob, rate)
        self.target.data.lerp_(self.critic_learner.stack.data, self.config.tau)
        self.metrics["train/ent_coef"] = batch["alpha"][:, 0]

    def next_value(
        self, passes: ReplayedTransitions | ReplayedSequences, drawn: Tensor, alpha: Tensor | None
    ) -> Tensor:
        """With entropy (eq. 3 in eq. 2)."""
        assert alpha is not None
        action, log_prob = self.distribution.drawn(passes.next_policy(self.actor), drawn)
        return passes.next_values(self.critics_target, action).amin(1) - alpha * log_prob

    def objective(self, drawn: Tensor, alpha: Tensor, **batch: Tensor) -> tuple[Tensor, Told]:
        """Entropy and value of the policy's actions, as a loss `(S,)` (eq. 7)."""
        passes = self.passes(**batch)
        action, log_prob = self.distribution.drawn(passes.policy(self.actor), drawn)
        value = passes.values_of(self.critics, action).amin(1)
        loss = returns.mean(alpha * log_prob - value)
        told = {"log_prob": log_prob, "train/entropy": -returns.mean(log_prob)}
        return loss, {"train/actor_loss": loss, **told}

    def diverged(self) -> dict[int, str]:
        finite = torch.isfinite(self.temperature.log[:, 0]).tolist()
        reason = "the temperature became NaN or infinite"
        return {**{r: reason for r, fine in enumerate(finite) if not fine}, **super().diverged()}

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "temperature": self.temperature}
