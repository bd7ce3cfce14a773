"""On-policy actor-critics: A2C, PPO and REINFORCE differ in how they learn from a full rollout."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float, Int
from rlbench.errors import UserError
from rlbench.learning import row_values
from rlbench.learning.agent import Agent
from rlbench.learning.algorithms import stochastic_actor
from rlbench.learning.algorithms.rollouts import (
    collect,
    lambda_advantages,
    make_rollout,
    network_inputs,
    restart,
    sequence_length,
)
from rlbench.learning.algorithms.updates import Updates
from rlbench.learning.data.normalization import Normalizer, RewardScaler
from rlbench.learning.data.preprocessing import LaneContext
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.masks import ACTION_MASKS
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import losses, returns
from rlbench.learning.networks.action_distributions import distribution
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import ActorCritic, sizes
from rlbench.learning.optim.learner import Learner, LearnerConfig, Metrics, Rule
from rlbench.learning.rng import RandomStream, generator


class OnPolicyConfig(LearnerConfig):
    """Parameters that on-policy agents share."""

    learning_rate: Float = field(7e-4, gt=0, description="step size of the optimiser")
    optimizer: Rule = field("rmsprop", description="update rule")
    max_grad_norm: Float | None = field(
        0.5, gt=0, description="largest gradient norm of a seed; none: no clipping"
    )
    n_steps: Int = field(
        5, ge=1, description="steps of each environment between two updates: T of the rollout"
    )
    gamma: Float = field(0.99, ge=0, le=1, description="discount per env step")
    gae_lambda: Float = field(
        1.0, ge=0, le=1, description="bias against variance of advantages; 1: n-step returns"
    )
    ent_coef: Float = field(0.0, ge=0, description="weight of the entropy bonus")
    vf_coef: Float = field(0.5, ge=0, description="weight of the value loss")
    normalize_advantage: bool = field(
        False, description="scale advantages of a batch to mean 0 and deviation 1"
    )
    normalize_reward: bool = field(
        False, description="rewards over the running deviation of returns, for learning only"
    )
    activation: Literal["relu", "tanh"] = field(
        "tanh", description="after each fully connected layer (convolutions have relu)"
    )
    ortho_init: bool = field(True, description="orthogonal first weights (Saxe et al. 2014)")
    share_encoder: bool | None = field(
        None, description="one encoder for actor and critic; none: where it has convolutions"
    )
    log_std_init: Float = field(
        0.0, description="Box actions: first logarithm of the standard deviation"
    )
    sequence_length: Int | None = field(
        None,
        ge=1,
        description="recurrent encoders: steps of backpropagation through time, a divisor of "
        "n_steps; none: n_steps",
    )
    action_masks: bool = field(True, description=ACTION_MASKS)

    def check(self) -> None:
        if self.n_steps % sequence_length(self):
            raise UserError(
                f"sequence_length={self.sequence_length} does not divide n_steps={self.n_steps}: "
                "choose a divisor"
            )


class OnPolicy(Agent):
    """S actor-critics, each with N environments of its own."""

    Config: ClassVar[type[OnPolicyConfig]] = OnPolicyConfig
    action_spaces: ClassVar[tuple[type[spaces.Space[Any]], ...]] = (
        spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Box,
    )  # fmt: skip
    default_envs = 8
    takes_settings = True
    takes_masks = True
    step_fields: ClassVar[tuple[str, ...]] = ()  # of the rollout, besides the usual ones
    config: OnPolicyConfig

    def build(self) -> None:
        c, lead = self.config, (len(self.seeds), self.n_envs)
        self.distribution = distribution(self.action_space)
        self.net = self.network([generator(seed, "init") for seed in self.seeds], self.by_row.first)
        # A larger epsilon than usual steadies small second moments (Huang et al. 2022, detail 3).
        self.learner = Learner(self.net, c, self.device, eps=1e-5, by_row=self.by_row)
        self.first_weights(self.learner, "log_std_init")
        self.normalizer = Normalizer(lead[0], self.spec) if c.normalize_obs else None
        gamma = row_values.column(self.by_row.value("gamma"), 2)
        self.scaler = RewardScaler(*lead, gamma) if c.normalize_reward else None
        self.context = LaneContext(self.spec, self.net.state_size, lead, self.normalizer)
        dist, shape = self.distribution, (self.n_envs, self.distribution.actions)
        self.draws = RandomStream(self.seeds, "exploration", shape, normal=dist.normal)
        self.rollout = make_rollout(self, dist.actions, dist.dtype, self.step_fields)
        self.updates = Updates(self, [])

    def network(self, generators: Generators, config: OnPolicyConfig) -> ActorCritic:
        arguments = self._network_arguments(config, self.spec, self.action_space)
        return ActorCritic(generators, *arguments)

    @staticmethod
    def _network_arguments(c: Any, spec: ObsSpec, action_space: Any) -> tuple[Any, ...]:
        log_std = c.log_std_init if isinstance(action_space, spaces.Box) else None
        return spec, distribution(action_space).outputs, c, c.share_encoder, log_std

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        of = sizes(ActorCritic, *cls._network_arguments(config, spec, action_space))
        pixels, actions = math.prod(spec.seen), distribution(action_space).actions
        # Stored, shuffled, and as float32 where the network reads all of it at once.
        step = pixels * (2 * spec.dtype.itemsize + 4) + 16 * actions + 40
        step += (
            8 * of.state_size // sequence_length(config) + 4 * of.computed
        )  # for values of all of it
        steps = n_envs * config.n_steps
        batch = min(getattr(config, "batch_size", steps), steps)
        return {
            "rollouts": seeds * steps * step,
            "networks": 4 * seeds * Learner.copies(config) * of.parameters,
            "updates": seeds * of.update(batch, spec),
        }

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.n_steps * n_envs

    def act(self, obs: np.ndarray) -> np.ndarray:
        context = self.context
        inputs, hidden, frames = context.see(obs, context.carry, context.episode_start)
        parameters, next_hidden = self.net.act(inputs, hidden, self.device)
        context.carry = (*frames, next_hidden) if self.net.state_size else frames
        action = self.distribution.sample(parameters, self.draws.next(), self.net.std())
        context.pending = {"seen": inputs, "action": action, "memory": hidden}
        return self.distribution.to_env(action)

    def observe(self, step: Step) -> Metrics:
        if collect(self, step, self._values):
            self.train()
        return self.metrics

    def _values(self, inputs: np.ndarray, hidden: np.ndarray) -> Any:
        return self.net.values(inputs, hidden, self.device)

    def on_env_reset(self) -> None:
        restart(self)

    def train(self) -> None:
        """Learn from a full rollout."""
        items = dict(self.updates.once(self.prepared))
        self.metrics["train/explained_variance"] = items.pop("explained")
        self.improve(items)
        self.metrics["train/learning_rate"] = row_values.metric(self.rate())
        self.metrics["train/n_updates"] = self.learner.optimizer.updates
        if self.net.log_std is not None:
            self.metrics["train/std"] = self.net.log_std.detach().exp().mean((-1, -2))

    def prepared(self) -> dict[str, Tensor]:
        """Return items of a full rollout, and how much of its returns their values explain."""
        rollout = self.rollout
        fields = rollout.tensors(self.device)
        items = network_inputs(rollout, fields)
        with torch.no_grad():
            log_prob, _, value = self.evaluate(items)
        estimates, explained = self._estimates(fields, value)
        log_prob = rollout.items(log_prob.view(fields["reward"].shape))
        return items | estimates | {"log_prob": log_prob, "explained": explained}

    def estimated_again(self) -> dict[str, Tensor]:
        """Return values and advantages of the full rollout, by the network as it is now."""
        fields = self.rollout.tensors(self.device)
        with torch.no_grad():
            value = self.evaluate(network_inputs(self.rollout, fields))[2]
        return self._estimates(fields, value)[0]

    def _estimates(
        self, fields: dict[str, Tensor], value: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return `value` and `advantage` as items, and how much of the returns values explain."""
        value = value.view(fields["reward"].shape)  # (S, N, T)
        with torch.no_grad():
            advantage = lambda_advantages(fields, value, self.by_row, "gae_lambda")
        explained = losses.explained_variance(value.flatten(1), (value + advantage).flatten(1))
        items = {"value": self.rollout.items(value), "advantage": self.rollout.items(advantage)}
        return items, explained

    def improve(self, items: dict[str, Tensor]) -> None:
        """Update the network from a rollout: once from all of it, unless a subclass does more."""
        self.items = self.updates.static(items)
        self.updates.run(1)

    def update(self) -> None:
        """Take one gradient step of every seed from the items of a rollout."""
        rate, samples = self.updates.number(self.rate), self.items["advantage"][0].numel()
        self.metrics |= self.learner.step(self.objective, rate, samples, **self.items).metrics

    def objective(self, **items: Tensor) -> tuple[Tensor, Metrics]:
        """Policy, value and entropy losses of a batch, `(S,)` (Mnih et al. 2016)."""
        log_prob, entropy, value = self.evaluate(items)
        advantage = items["advantage"].flatten(1)
        target = advantage + items["value"].flatten(1)
        if self.config.normalize_advantage:
            advantage = losses.standardised(advantage)
        policy_loss = returns.mean(losses.policy_gradient(log_prob, advantage))
        value_loss = returns.mean(losses.squared(value, target))
        return self.total_loss(policy_loss, value_loss, returns.mean(entropy))

    def evaluate(self, items: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability of the actions, entropy of the policy, and value, each `(S, B)`."""
        parameters, value = self.net(items["seen"], items.get("memory"), items.get("first"))
        action = items["action"].reshape(*parameters.shape[:2], -1)
        log_prob, entropy = self.distribution.evaluate(parameters, action, self.net.log_std)
        return log_prob, entropy, value

    def total_loss(
        self, policy_loss: Tensor, value_loss: Tensor, entropy: Tensor
    ) -> tuple[Tensor, Metrics]:
        """Weighted sum of the losses of policy and value and the entropy, all `(S,)`."""
        vf_coef, ent_coef = (self.by_row.tensor(name, 1) for name in ("vf_coef", "ent_coef"))
        loss = policy_loss + vf_coef * value_loss - ent_coef * entropy
        metrics = {"policy_gradient_loss": policy_loss, "value_loss": value_loss,
                   "entropy_loss": -entropy, "loss": loss}  # fmt: skip
        return loss, {f"train/{name}": part for name, part in metrics.items()}

    policy_over = stochastic_actor.policy_over

    def parts(self) -> dict[str, Any]:
        return {
            "learner": self.learner,
            "network": self.net,
            "rollout": self.rollout,
            "lookout": self.context,
            "draws": self.draws,
            "normalizer": self.normalizer,
            "scaler": self.scaler,
        }
