"""Off-policy actor-critics for bounded Box actions: what SAC and TD3 share.

The critics of all seeds are one stack of networks, and so are their targets; the targets follow by
one call. A subclass says how actions are drawn and what an update is.

With a memory they learn from sequences. Actor and critics each have a memory of their own, that of
the critics over observations and actions; all are carried while acting and stored with every step,
and brought up to date over `burn_in` steps (Kapturowski et al. 2019), as in `dqn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.learning.agent import Agent
from rlbench.learning.algorithms.action_noise import ActionNoise
from rlbench.learning.algorithms.off_policy import batch_bytes, batch_items, replay_for, updates_due
from rlbench.learning.algorithms.off_policy_actor_critic_config import OffPolicyActorCriticConfig
from rlbench.learning.algorithms.replayed_batch import ReplayedSequences, ReplayedTransitions
from rlbench.learning.compile.compiled_update import Told
from rlbench.learning.core.agent_core import Metrics
from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.data.preprocessing import LaneContext, ObservationPipeline
from rlbench.learning.data.replay import Field, replay_bytes, transition_fields
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import losses, returns
from rlbench.learning.networks import squashed_gaussian
from rlbench.learning.networks.critics import Actor, Critics
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import sizes
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.optim.learner import Learner
from rlbench.learning.policies.network_policies import StochasticPolicy
from rlbench.learning.rng import RandomStream, generator


class OffPolicyActorCritic(Agent):
    """S actor-critics, each with its own replay memory and target networks."""

    Config: ClassVar[type[OffPolicyActorCriticConfig]] = OffPolicyActorCriticConfig
    action_spaces = (spaces.Box,)
    action_distribution: ClassVar[
        type[squashed_gaussian.Squashed]
    ]  # what turns outputs into actions
    noise_draws_per_update: ClassVar[
        int
    ]  # normal numbers that an update takes for each item and action component
    n_target_actors: ClassVar[int] = 0
    config: OffPolicyActorCriticConfig

    def build(self) -> None:
        c, seeds, lead = self.config, len(self.seeds), (len(self.seeds), self.n_envs)
        self.distribution = self.action_distribution(self.action_space)  # type: ignore[arg-type]  # checked: Box
        generators = [generator(seed, "init") for seed in self.seeds]
        self.actor = self.network(generators, c)
        self.learner = Learner(self.actor, c, self.device)
        arguments = self.spec, self.distribution.actions, c, c.n_critics
        self.critics = Critics(generators, *arguments)
        self.critic_learner = Learner(self.critics, c, self.device)
        self.critics_target = Critics(generators, *arguments)
        self.target = self.frozen(self.critics_target, self.critic_learner)
        self.normalizer = Normalizer(seeds, self.spec) if c.normalize_obs else None
        memory = self.actor.state_size + c.n_critics * self.critics.state_size
        self.lookout = LaneContext(self.spec, memory, lead, self.normalizer)
        fields = self._fields(c, self.spec, self.action_space, memory)
        self.replay = replay_for(self, fields, memory)
        each = (self.n_envs, self.distribution.actions)
        self.uniform = RandomStream(self.seeds, "exploration", each)
        self.normal = RandomStream(self.seeds, "noise", each, normal=True)
        shape = (self.noise_draws_per_update, batch_items(c), self.distribution.actions)
        self.learning_noise = RandomStream(self.seeds, "learning-noise", shape, 16, normal=True)
        self.action_noise = ActionNoise(c, self.seeds, each) if c.noise_type else None

    def frozen(self, network: Any, learner: Learner) -> StackedParameters:
        """A target network with the weights of the one that learns."""
        stack = StackedParameters(network, self.device).freeze()
        stack.data.copy_(learner.stack.data)
        return stack

    def network(self, generators: Generators, config: OffPolicyActorCriticConfig) -> Actor:
        return Actor(generators, self.spec, self.distribution.outputs, config)

    @staticmethod
    def _fields(
        c: OffPolicyActorCriticConfig, spec: ObsSpec, space: Any, memory: int
    ) -> dict[str, Field]:
        action = Field((int(np.prod(space.shape)),), np.float32)
        return transition_fields(spec, memory, 1.0, c.n_steps, action)

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        space, held = cls.action_distribution(action_space), 1 + Learner.copies(config)
        actor = sizes(Actor, spec, space.outputs, config)
        critic, critics = sizes(Critics, spec, space.actions, config, 1), config.n_critics
        memory, items = actor.state_size + critics * critic.state_size, batch_items(config)
        fields = cls._fields(config, spec, action_space, memory)
        width = actor.parameters * (held - 1 + cls.n_target_actors)
        width += critic.parameters * critics * held
        update = actor.update(items, spec) + critics * critic.update(items, spec)
        drawn = 8 * 16 * cls.noise_draws_per_update * items * space.actions
        return {
            "replay": replay_bytes(seeds, config.buffer_size, fields),
            "networks": 4 * seeds * width,
            "updates": seeds * (batch_bytes(config, fields, memory) + update + drawn),
        }

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.learning_starts + 1

    @classmethod
    def check_spaces(
        cls, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        super().check_spaces(observation_space, action_space)
        squashed_gaussian.check_bounded(cls.name(), action_space)

    def act(self, obs: np.ndarray) -> np.ndarray:
        look, first = self.lookout, self.lookout.episode_start
        random = self.num_timesteps < self.config.learning_starts
        memory, action = np.empty((*obs.shape[:2], 0), np.float32), None
        if not (random and look.plain):
            seen, memory, frames = look.see(obs, look.carry, first)
            m = self.actor.state_size
            outputs, after = self.actor.act(seen, memory[..., :m], self.device)
            look.carry = frames
            action = self.explore(outputs)
        if random or action is None:
            action = (2.0 * self.uniform.next() - 1.0).astype(np.float32)
        if self.action_noise is not None:
            noisy = action + self.action_noise.next(first)
            action = np.clip(noisy, -1.0, 1.0).astype(np.float32)
        if self.actor.state_size:
            its = self.critics.remember(seen, action, memory[..., m:], self.device)
            look.carry = (*frames, np.concatenate([after, its], -1))
        look.pending = {"memory": memory, "action": action}
        return self.distribution.to_env(action)

    def explore(self, outputs: np.ndarray) -> np.ndarray:
        """Actions in [-1, 1] to train with, `(S, N, outputs) -> (S, N, K)`."""
        raise NotImplementedError

    def observe(self, step: Step) -> Metrics:
        look = self.lookout
        self.replay.add(**{**step._asdict(), **look.pending, "first": look.episode_start})
        look.episode_start = step.terminated | step.truncated
        if self.normalizer is not None:
            self.normalizer.update(step.obs)
        self.num_timesteps += self.n_envs
        for _ in range(updates_due(self)):
            self.update()
        return self.metrics

    def on_env_reset(self) -> None:
        self.lookout.reset()

    def update(self) -> None:
        """One gradient step of every seed's critics, and perhaps of its actor, on a batch of its
        own."""
        raise NotImplementedError

    def passes(
        self,
        obs: Tensor,
        action: Tensor,
        next_obs: Tensor,
        reward: Tensor,
        terminated: Tensor,
        first: Tensor | None = None,
        memory: Tensor | None = None,
        before: Tensor | None = None,
    ) -> ReplayedTransitions | ReplayedSequences:
        """A batch as networks pass over it; `before` is what the critics told of an earlier pass,
        in an update of a policy that comes after theirs."""
        c, discount = self.config, returns.discount_of(self.config.gamma, terminated)
        each = (obs, action, next_obs, reward, discount)
        if memory is None or first is None:
            return ReplayedTransitions(*each, first)
        return ReplayedSequences(*each, first, memory[:, :, 0], c.burn_in, c.n_steps, before)

    def normals(self) -> list[Tensor]:
        """Standard normal numbers for an update: `draws` times (S, B, K)."""
        drawn = torch.from_numpy(self.learning_noise.next().astype(np.float32))
        return list(drawn.to(self.device).unbind(1))

    def critic_objective(
        self, drawn: Tensor, alpha: Tensor | None = None, **batch: Tensor
    ) -> tuple[Tensor, Told]:
        """How far the critics are from their targets, `(S,)`: the sum over critics."""
        passes = self.passes(**batch)
        with torch.no_grad():
            target = passes.targets(self.next_value(passes, drawn, alpha))  # (S, B)
        error = losses.squared(passes.values(self.critics), target.unsqueeze(1))
        loss = 0.5 * returns.mean(error).sum(-1)
        told = {} if passes.before is None else {"before": passes.before}
        return loss, {"train/critic_loss": loss, **told}

    def next_value(
        self, passes: ReplayedTransitions | ReplayedSequences, drawn: Tensor, alpha: Tensor | None
    ) -> Tensor:
        """What the future is worth one step ahead, `(S, B)`."""
        raise NotImplementedError

    def learn_values(self, rate: float, **tensors: Tensor) -> dict[str, Tensor]:
        """One step of the critics; returns what an update of the policy needs to know of it."""
        items = batch_items(self.config)
        told = self.critic_learner.step(self.critic_objective, rate, items, **tensors)
        self.metrics["train/critic_loss"] = told.pop("train/critic_loss")
        self.metrics["train/learning_rate"] = rate
        self.metrics["train/n_updates"] = self.critic_learner.optimizer.updates
        return {name: tensor.clone() for name, tensor in told.items()}

    @property
    def samples(self) -> int:
        return self.critic_learner.samples

    def learners(self) -> list[Learner]:
        return [self.learner, self.critic_learner]

    def diverged(self) -> dict[int, str]:
        loss = self.metrics.get("train/critic_loss")
        return {**self.learner.broken(None), **self.critic_learner.broken(loss)}

    def policy_over(
        self, network: Actor, perception: ObservationPipeline, seeds: Sequence[int], frozen: bool
    ) -> StochasticPolicy:
        policy = StochasticPolicy(seeds, perception, network, self.action_start, self.device)
        policy.distribution = self.distribution
        return policy

    def parts(self) -> dict[str, Any]:
        names = ("learner", "critic_learner", "critics", "target", "replay", "lookout", "uniform",
                 "normal", "learning_noise", "action_noise", "normalizer")  # fmt: skip
        return {"network": self.actor, **{name: getattr(self, name) for name in names}}
