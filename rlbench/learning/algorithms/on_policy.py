"""On-policy agents: actor and critic learn from rollouts of their own, each used once.

A2C, PPO and REINFORCE share all of this; they differ in what they do with a full rollout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float, Int
from rlbench.errors import UserError
from rlbench.learning.agent import Agent
from rlbench.learning.compile.compiled_update import Told
from rlbench.learning.core.agent_core import Metrics
from rlbench.learning.data.normalization import Normalizer, RewardScaler
from rlbench.learning.data.preprocessing import LaneContext, ObservationPipeline
from rlbench.learning.data.rollout import Rollout
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import losses, returns
from rlbench.learning.networks import encoders
from rlbench.learning.networks.action_distributions import distribution
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import ActorCritic, sizes
from rlbench.learning.optim.learner import Learner, LearnerConfig, Rule
from rlbench.learning.policies.network_policies import StochasticPolicy
from rlbench.learning.rng import RandomStream, generator


class OnPolicyConfig(LearnerConfig):
    """What on-policy agents share."""

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
        False, description="advantages of a batch to mean 0 and deviation 1"
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
        description="with a memory: steps of backpropagation through time, a divisor of n_steps; "
        "none: n_steps",
    )

    def length(self) -> int:
        """Steps that are learned from as one sequence."""
        return (self.sequence_length or self.n_steps) if encoders.parse(self.encoder)[1] else 1

    def check(self) -> None:
        if self.n_steps % self.length():
            raise UserError(
                f"sequence_length={self.sequence_length} does not divide n_steps={self.n_steps}: "
                "choose a divisor"
            )


class OnPolicy(Agent):
    """S actor-critics, each with N environments of its own."""

    Config: ClassVar[type[OnPolicyConfig]] = OnPolicyConfig
    action_spaces = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Box)
    default_envs = 8
    config: OnPolicyConfig

    def build(self) -> None:
        c, seeds = self.config, len(self.seeds)
        self.distribution = distribution(self.action_space)
        self.net = self.network([generator(seed, "init") for seed in self.seeds], c)
        # A larger epsilon than usual steadies small second moments (Huang et al. 2022, detail 3).
        self.learner = Learner(self.net, c, self.device, eps=1e-5)
        lead = (seeds, self.n_envs)
        self.normalizer = Normalizer(seeds, self.spec) if c.normalize_obs else None
        self.scaler = RewardScaler(seeds, self.n_envs, c.gamma) if c.normalize_reward else None
        self.lookout = LaneContext(self.spec, self.net.state_size, lead, self.normalizer)
        dist, numbers = self.distribution, (self.n_envs, self.distribution.actions)
        self.draws = RandomStream(self.seeds, "exploration", numbers, normal=dist.normal)
        length = c.length()
        self.rollout = Rollout(
            lead,
            c.n_steps,
            length,
            self.spec.seen,
            self.spec.dtype,
            (dist.actions, dist.dtype),
            self.net.state_size,
        )

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
        # Stored, put in another order, and as float32 where the network reads all of it at once.
        step = pixels * (2 * spec.dtype.itemsize + 4) + 16 * actions + 40
        step += 8 * of.state_size // config.length() + 4 * of.computed  # for values of all of it
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
        look = self.lookout
        seen, memory, frames = look.see(obs, look.carry, look.episode_start)
        parameters, after = self.net.act(seen, memory, self.device)
        look.carry = (*frames, after) if self.net.state_size else frames
        action = self.distribution.sample(parameters, self.draws.next(), self.net.std())
        look.pending = {"seen": seen, "action": action, "memory": memory}
        return self.distribution.to_env(action)

    def observe(self, step: Step) -> Metrics:
        look, ended = self.lookout, step.terminated | step.truncated
        values = {**look.pending, "ended": ended, "cut_value": np.float32(0.0)}
        values["reward"] = step.reward if self.scaler is None else self.scaler(step.reward, ended)
        if self.net.state_size:
            values["first"] = look.episode_start
        last = self.rollout.position == self.rollout.steps - 1
        if last or step.truncated.any():
            follows = (step.truncated | last) & ~step.terminated
            values["cut_value"] = np.where(follows, self._successors(step.next_obs), 0.0)
        look.episode_start = ended
        full = self.rollout.add(**values)
        if self.normalizer is not None:
            self.normalizer.update(step.obs)
        self.num_timesteps += self.n_envs
        if full:
            self.train()
        return self.metrics

    def _successors(self, next_obs: np.ndarray) -> np.ndarray:
        """V(next_obs), one step further than what is carried, `(S, N)`."""
        look = self.lookout
        carry = look.carry or ()
        memory = carry[-1] if self.net.state_size else look.pending["memory"]
        return self.net.values(look.peek(next_obs, carry), memory, self.device)

    def train(self) -> None:
        """Learn from a full rollout."""
        c, rollout = self.config, self.rollout
        fields = rollout.tensors(self.device)
        items = {name: rollout.items(fields[name]) for name in ("seen", "action")}
        if self.net.state_size:
            items["first"] = rollout.items(fields["first"])
            items["memory"] = fields["memory"].flatten(1, 2)
        with torch.no_grad():
            parameters, value = self.net(items["seen"], items.get("memory"), items.get("first"))
            value = value.view(fields["reward"].shape)  # (S, N, T)
            following = torch.cat([value[..., 1:], value[..., :1]], -1)
            cut = fields["ended"] > 0
            cut[..., -1] = True
            following = torch.where(cut, fields["cut_value"], following)
            decay = c.gamma * c.gae_lambda * (1.0 - fields["ended"])
            advantage = returns.gae(fields["reward"], value, following, c.gamma, decay)
            action = items["action"].reshape(*parameters.shape[:2], -1)
            log_prob, _ = self.distribution.evaluate(parameters, action, self.net.log_std)
        items["value"], items["advantage"] = rollout.items(value), rollout.items(advantage)
        self.metrics["train/explained_variance"] = losses.explained_variance(
            value.flatten(1), (value + advantage).flatten(1)
        )
        items["log_prob"] = rollout.items(log_prob.view(value.shape))
        rate = self.learner.rate(self.progress())
        self.improve(items, rate)
        self.metrics["train/learning_rate"] = rate
        self.metrics["train/n_updates"] = self.learner.optimizer.updates
        if self.net.log_std is not None:
            self.metrics["train/std"] = self.net.log_std.detach().exp().mean((-1, -2))

    def improve(self, items: dict[str, Tensor], rate: float) -> None:
        """Update the network from a rollout: once from all of it, unless a subclass does more."""
        samples = items["advantage"][0].numel()
        self.metrics |= self.learner.step(self.objective, rate, samples, **items)

    def objective(self, **items: Tensor) -> tuple[Tensor, Told]:
        """Policy, value and entropy losses of a batch, `(S,)` (Mnih et al. 2016)."""
        log_prob, entropy, value = self.evaluate(items)
        advantage = items["advantage"].flatten(1)
        target = advantage + items["value"].flatten(1)
        if self.config.normalize_advantage:
            advantage = losses.standardised(advantage)
        errors = losses.policy_gradient(log_prob, advantage), losses.squared(value, target)
        return self.total(*map(returns.mean, (*errors, entropy)))

    def evaluate(self, items: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability of the actions, entropy and value, each `(S, B)`."""
        parameters, value = self.net(items["seen"], items.get("memory"), items.get("first"))
        action = items["action"].reshape(*parameters.shape[:2], -1)
        log_prob, entropy = self.distribution.evaluate(parameters, action, self.net.log_std)
        return log_prob, entropy, value

    def total(
        self, policy_loss: Tensor, value_loss: Tensor, entropy: Tensor
    ) -> tuple[Tensor, Told]:
        """The loss that is minimised, from its three parts, all `(S,)`, and what is told of it."""
        c = self.config
        loss = policy_loss + c.vf_coef * value_loss - c.ent_coef * entropy
        told = {"policy_gradient_loss": policy_loss, "value_loss": value_loss,
                "entropy_loss": -entropy, "loss": loss}  # fmt: skip
        return loss, {f"train/{name}": part for name, part in told.items()}

    def on_env_reset(self) -> None:
        self.lookout.reset()
        self.rollout.position = 0
        if self.scaler is not None:
            self.scaler.restart()

    def policy_over(
        self,
        network: ActorCritic,
        perception: ObservationPipeline,
        seeds: Sequence[int],
        frozen: bool,
    ) -> StochasticPolicy:
        policy = StochasticPolicy(seeds, perception, network, self.action_start, self.device)
        policy.distribution = self.distribution
        return policy

    def parts(self) -> dict[str, Any]:
        return {
            "learner": self.learner,
            "network": self.net,
            "rollout": self.rollout,
            "lookout": self.lookout,
            "draws": self.draws,
            "normalizer": self.normalizer,
            "scaler": self.scaler,
        }
