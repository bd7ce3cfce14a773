"""Off-policy actor-critics for bounded Box actions: what SAC and TD3 share.

The critics of all seeds are one stack of networks, and so are their targets, which follow by one
call. A subclass defines how it explores, an update, and the value of the next state.

With a recurrent encoder they learn from sequences. Actor and critics have hidden states of their
own, those of the critics over observations and actions. All are carried while acting, stored with
every step, and brought up to date over `burn_in` steps (Kapturowski et al. 2019), as in `dqn`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.learning import row_values
from rlbench.learning.agent import Agent
from rlbench.learning.algorithms import stochastic_actor
from rlbench.learning.algorithms.action_noise import ActionNoise
from rlbench.learning.algorithms.hindsight import check_goals, replay_fields
from rlbench.learning.algorithms.off_policy import (
    batch_bytes,
    batch_items,
    make_replay,
    make_updates,
    updates_due,
)
from rlbench.learning.algorithms.off_policy_actor_critic_config import OffPolicyActorCriticConfig
from rlbench.learning.algorithms.replayed_batch import (
    Replayed,
    ReplayedSequences,
    ReplayedTransitions,
)
from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.data.preprocessing import LaneContext
from rlbench.learning.data.replay import Field, Replay, replay_bytes, transition_fields
from rlbench.learning.data.tensor_draws import TensorDraws
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import losses, returns
from rlbench.learning.networks import squashed_gaussian
from rlbench.learning.networks.critics import Actor, Critics
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import sizes
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.optim.learner import Aux, Learner, Metrics
from rlbench.learning.rng import RandomStream, generator
from rlbench.learning.row_values import Rows


class OffPolicyActorCritic(Agent):
    """S actor-critics, each with its own replay buffer and target networks."""

    Config: ClassVar[type[OffPolicyActorCriticConfig]] = OffPolicyActorCriticConfig
    action_spaces = (spaces.Box,)
    takes_settings = True
    # What turns the actor's outputs into actions.
    action_distribution: ClassVar[type[squashed_gaussian.Squashed]]
    # Normal numbers that an update takes for each item and action component.
    noise_draws_per_update: ClassVar[int]
    n_target_actors: ClassVar[int] = 0
    n_target_critics: ClassVar[int] = 1  # for each critic
    config: OffPolicyActorCriticConfig

    def build(self) -> None:
        c, seeds, lead = self.config, len(self.seeds), (len(self.seeds), self.n_envs)
        self.distribution = self.action_distribution(self.action_space)  # type: ignore[arg-type]  # checked: Box
        generators = [generator(seed, "init") for seed in self.seeds]
        self.actor = self.network(generators, c)
        self.learner = Learner(self.actor, c, self.device, by_row=self.by_row)
        actions, outputs = self.distribution.actions, self.critic_outputs(c)
        arguments = self.spec, actions, self.critic_config(c), c.n_critics, outputs
        self.critics = Critics(generators, *arguments)
        self.critic_learner = Learner(self.critics, c, self.device, by_row=self.by_row)
        self.target: Any = None
        if self.n_target_critics:
            self.critics_target = Critics(generators, *arguments)
            self.target = self.frozen(self.critics_target, self.critic_learner)
        self.normalizer = Normalizer(seeds, self.spec, self.device) if c.normalize_obs else None
        state_size = self.actor.state_size + c.n_critics * self.critics.state_size
        self.context = LaneContext(self.spec, state_size, lead, self.normalizer)
        fields = self._fields(c, self.spec, self.action_space, state_size)
        self.replay = self.make_replay(fields, state_size)
        lanes = (self.n_envs, actions)
        self.uniform = RandomStream(self.seeds, "exploration", lanes)
        self.normal = RandomStream(self.seeds, "noise", lanes, normal=True)
        shape = (self.noise_draws_per_update, batch_items(c), actions)
        noise = RandomStream(self.seeds, "learning-noise", shape, 16, normal=True)
        self.learning_noise = TensorDraws(noise, self.device)
        self.action_noise = ActionNoise(self.by_row, self.seeds, lanes) if c.noise_type else None
        self.updates = make_updates(self, [self.learning_noise])

    def make_replay(self, fields: dict[str, Field], state_size: int) -> Replay:
        """Make what updates sample their batches from."""
        return make_replay(self, fields, state_size)

    def frozen(self, network: Any, learner: Learner) -> StackedParameters:
        """Copy the weights of an online network into a target network, and freeze it."""
        stack = StackedParameters(network, self.device).freeze()
        stack.data.copy_(learner.stack.data)
        return stack

    def network(self, generators: Generators, config: OffPolicyActorCriticConfig) -> Actor:
        return Actor(generators, self.spec, self.distribution.outputs, config)

    @classmethod
    def critic_config(cls, config: Any) -> Any:
        """Return what the critics' networks are built by."""
        return config

    @classmethod
    def critic_outputs(cls, config: Any) -> int:
        """Return the outputs of a critic: 1, the value, or quantiles of it."""
        return 1

    @staticmethod
    def _fields(
        c: OffPolicyActorCriticConfig, spec: ObsSpec, space: Any, state_size: int
    ) -> dict[str, Field]:
        action = Field((int(np.prod(space.shape)),), np.float32)
        return transition_fields(spec, state_size, 1.0, c.n_steps, action, replay_fields(c))

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        space, copies = cls.action_distribution(action_space), Learner.copies(config)
        actor = sizes(Actor, spec, space.outputs, config)
        outputs, critics = cls.critic_outputs(config), config.n_critics
        critic = sizes(Critics, spec, space.actions, cls.critic_config(config), 1, outputs)
        state_size, items = actor.state_size + critics * critic.state_size, batch_items(config)
        fields = cls._fields(config, spec, action_space, state_size)
        width = actor.parameters * (copies + cls.n_target_actors)
        width += critic.parameters * critics * (copies + cls.n_target_critics)
        update = actor.update(items, spec) + critics * critic.update(items, spec)
        noise = 8 * 16 * cls.noise_draws_per_update * items * space.actions
        return {
            "replay": replay_bytes(seeds, config.buffer_size, fields),
            "networks": 4 * seeds * width,
            "updates": seeds * (batch_bytes(config, fields, state_size) + update + noise),
        }

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.learning_starts + 1

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        check_goals(cls.name(), facts, config)

    @classmethod
    def check_spaces(
        cls, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        super().check_spaces(observation_space, action_space)
        squashed_gaussian.check_bounded(cls.name(), action_space)

    def act(self, obs: np.ndarray) -> np.ndarray:
        context, first = self.context, self.context.episode_start
        random = self.num_timesteps < self.config.learning_starts
        hidden, action = np.empty((*obs.shape[:2], 0), np.float32), None
        if not (random and context.plain):
            inputs, hidden, frames = context.see(obs, context.carry, first)
            m = self.actor.state_size
            outputs, actor_hidden = self.actor.act(inputs, hidden[..., :m], self.device)
            context.carry = frames
            action = self.explore(outputs)
        if random or action is None:
            action = (2.0 * self.uniform.next() - 1.0).astype(np.float32)
        if self.action_noise is not None:
            noisy = action + self.action_noise.next(first)
            action = np.clip(noisy, -1.0, 1.0).astype(np.float32)
        if self.actor.state_size:
            critic_hidden = self.critics.remember(inputs, action, hidden[..., m:], self.device)
            context.carry = (*frames, np.concatenate([actor_hidden, critic_hidden], -1))
        context.pending = {"memory": hidden, "action": action}
        return self.distribution.to_env(action)

    def explore(self, outputs: np.ndarray) -> np.ndarray:
        """Actions in [-1, 1] to train with, `(S, N, outputs) -> (S, N, K)`."""
        raise NotImplementedError

    def observe(self, step: Step) -> Metrics:
        context = self.context
        self.replay.add(**{**step._asdict(), **context.pending, "first": context.episode_start})
        context.episode_start = step.terminated | step.truncated
        if self.normalizer is not None:
            self.normalizer.update(step.obs)
        self.num_timesteps += self.n_envs
        self.learn_now(updates_due(self))
        return self.metrics

    def learn_now(self, updates: int) -> None:
        """Take the updates that are due, if any."""
        if not updates:
            return
        self.updates.run(updates)
        self.metrics["train/learning_rate"] = row_values.metric(self.rate())
        self.metrics["train/n_updates"] = self.critic_learner.optimizer.updates

    def on_env_reset(self) -> None:
        self.context.reset()

    def update(self) -> None:
        """Take one gradient step of every seed's critics, and of its actor when that is due."""
        raise NotImplementedError

    def update_critics(self, rate: Rows | Tensor, **tensors: Tensor) -> Aux:
        """Take one gradient step of the critics; returns what the actor's update needs of it."""
        items = batch_items(self.config)
        metrics, aux = self.critic_learner.step(self.critic_objective, rate, items, **tensors)
        self.metrics |= metrics
        return {name: tensor.clone() for name, tensor in aux.items()}

    def update_noise(self) -> list[Tensor]:
        """Draw standard normal noise for an update: `noise_draws_per_update` times (S, B, K)."""
        return list(self.learning_noise.next().unbind(1))

    def critic_objective(
        self, noise: Tensor, alpha: Tensor | None = None, **batch: Tensor
    ) -> tuple[Tensor, Metrics, Aux]:
        """Loss of the critics, `(S,)`, and hidden states for the actor's update."""
        replayed = self.replayed(**batch)
        with torch.no_grad():
            target = replayed.targets(self.next_value(replayed, noise, alpha))
        loss = self.critic_loss(replayed.values(self.critics), target)
        hidden = replayed.critic_hidden
        return (
            loss,
            {"train/critic_loss": loss},
            {} if hidden is None else {"critic_hidden": hidden},
        )

    def critic_loss(self, values: Tensor, target: Tensor) -> Tensor:
        """Squared TD errors, summed over critics, `(S, C, B), (S, B) -> (S,)`."""
        return 0.5 * returns.mean(losses.squared(values, target.unsqueeze(1))).sum(-1)

    def next_value(self, replayed: Replayed, noise: Tensor, alpha: Tensor | None) -> Tensor:
        """Value of the policy's actions in the next state, `(S, B)`, or several of them."""
        raise NotImplementedError

    def replayed(
        self,
        obs: Tensor,
        action: Tensor,
        next_obs: Tensor,
        reward: Tensor,
        terminated: Tensor,
        first: Tensor | None = None,
        memory: Tensor | None = None,
        critic_hidden: Tensor | None = None,
    ) -> Replayed:
        """View of a batch as transitions, or as sequences where `memory` is stored with steps.

        `critic_hidden` are hidden states that the critics' update computed, for the actor's.
        """
        c, gamma = self.config, self.by_row.tensor("gamma", terminated.ndim)
        discount = returns.discount_of(gamma, terminated)
        fields = (obs, action, next_obs, reward, discount)
        if memory is None or first is None:
            return ReplayedTransitions(*fields, first)
        start = memory[:, :, 0]
        return ReplayedSequences(*fields, first, start, c.burn_in, c.n_steps, critic_hidden)

    policy_over = stochastic_actor.policy_over

    @property
    def samples(self) -> int:
        return self.critic_learner.samples

    def learners(self) -> list[Learner]:
        return [self.learner, self.critic_learner]

    def diverged(self) -> dict[int, str]:
        loss = self.metrics.get("train/critic_loss")
        return {**self.learner.broken(None), **self.critic_learner.broken(loss)}

    def parts(self) -> dict[str, Any]:
        return {
            "network": self.actor,
            "learner": self.learner,
            "critic_learner": self.critic_learner,
            "critics": self.critics,
            "target": self.target,
            "replay": self.replay,
            "lookout": self.context,
            "uniform": self.uniform,
            "normal": self.normal,
            "learning_noise": self.learning_noise,
            "action_noise": self.action_noise,
            "normalizer": self.normalizer,
        }
