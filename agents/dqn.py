"""DQN: deep Q-network with replay (Mnih et al. 2015), with double Q-learning unless switched off.

Each extension is a switch, and all of them go together: `double`, `dueling`, `n_steps`,
`prioritized`, `noisy`, `distribution` (c51, qr, iqn). The head defines how Q-values are represented
(`learning/networks/value_heads.py`), the buffer what is replayed (`learning/data/replay.py`).

With a recurrent encoder (`encoder=lstm`, `gru`, `rnn`) it replays sequences: each starts from the
hidden state stored with its first step, which is brought up to date over `burn_in` steps
(Hausknecht & Stone 2015; Kapturowski et al. 2019). Hidden states are zero where an episode begins,
also inside a sequence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.learning import row_values
from rlbench.learning.agent import Agent
from rlbench.learning.algorithms import epsilon_greedy
from rlbench.learning.algorithms.dqn_config import DQNConfig
from rlbench.learning.algorithms.hindsight import check_goals, replay_fields
from rlbench.learning.algorithms.off_policy import (
    batch_bytes,
    batch_items,
    make_replay,
    make_updates,
    sample_batch,
    updates_due,
)
from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.data.preprocessing import LaneContext
from rlbench.learning.data.replay import replay_bytes, transition_fields
from rlbench.learning.data.sum_tree import SumTree
from rlbench.learning.data.tensor_draws import TensorDraws
from rlbench.learning.environments.facts import EnvFacts
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import indexing, returns
from rlbench.learning.equations.distributional import ReturnDistribution, n_step_distribution
from rlbench.learning.networks import noisy
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import sizes, unroll_pair
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.networks.value_heads import ValueNetwork
from rlbench.learning.optim.learner import Aux, Learner, Metrics
from rlbench.learning.rng import RandomStream, generator
from rlbench.learning.row_values import Rows


class DQN(Agent):
    """S deep Q-networks, each with its own replay buffer, target network and exploration."""

    Config = DQNConfig
    version = 1
    action_spaces = (spaces.Discrete,)
    takes_settings = True
    takes_masks = True
    config: DQNConfig

    def build(self) -> None:
        c, seeds = self.config, len(self.seeds)
        generators = [generator(seed, "init") for seed in self.seeds]
        first = self.by_row.first
        self.q, self.q_target = self.network(generators, first), self.network(generators, first)
        self.learner = Learner(self.q, c, self.device, by_row=self.by_row)
        self.first_weights(self.learner, "noisy_sigma")
        self.online = self.learner.stack
        self.target = StackedParameters(self.q_target, self.device).freeze()
        self.target.data.copy_(self.online.data)
        self.normalizer = Normalizer(seeds, self.spec, self.device) if c.normalize_obs else None
        state_size = self.q.state_size
        self.context = LaneContext(self.spec, state_size, (seeds, self.n_envs), self.normalizer)
        fields = transition_fields(
            self.spec, state_size, first.gamma, c.n_steps, more=replay_fields(c)
        )
        self.replay: Any = make_replay(self, fields, state_size)
        self.exploration = RandomStream(self.seeds, "exploration", (self.n_envs, 2))
        width = noisy.width(self.q.noisy)
        self.acting_noise = self._stream("noise", (width,), normal=True)
        drawn = self._stream("learning-noise", (2 * width,), normal=True)
        self.learning_noise = TensorDraws.of(drawn, self.device, noisy.shaped)
        samples = c.iqn_samples + c.iqn_target_samples if c.distribution == "iqn" else 0
        fractions = self._stream("fractions", (batch_items(c), samples))
        self.tau = TensorDraws.of(fractions, self.device)
        self.updates = make_updates(self, [self.learning_noise, self.tau])

    def _stream(
        self, purpose: str, shape: tuple[int, ...], normal: bool = False
    ) -> RandomStream | None:
        """Make a stream of random numbers, or None where none are needed."""
        return RandomStream(self.seeds, purpose, shape, 16, normal) if np.prod(shape) else None

    def network(self, generators: Generators, config: DQNConfig) -> ValueNetwork:
        return ValueNetwork(generators, self.spec, self.n_actions, config)

    @property
    def n_actions(self) -> int:
        """Number of actions, A."""
        return int(self.action_space.n)  # type: ignore[attr-defined]  # checked: Discrete

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        copies = 1 + Learner.copies(config)  # the target network too
        of = sizes(ValueNetwork, spec, int(action_space.n), config)
        fields = transition_fields(
            spec, of.state_size, config.gamma, config.n_steps, more=replay_fields(config)
        )
        tree = SumTree.bytes(seeds, config.buffer_size) if config.prioritized else 0
        samples = acting = 0
        if config.distribution == "iqn":  # each sample makes a copy of the features
            samples = config.iqn_samples + config.iqn_target_samples
            acting = 4 * n_envs * config.iqn_acting_samples * (of.computed + config.iqn_embedding)
        each = batch_bytes(config, fields, of.state_size) + of.update(batch_items(config), spec)
        return {
            "replay": replay_bytes(seeds, config.buffer_size, fields) + tree,
            "networks": 4 * seeds * copies * of.parameters,
            "updates": seeds * (each * (1 + samples) + acting),
        }

    @classmethod
    def check_env(cls, facts: EnvFacts, config: Any, n_envs: int) -> None:
        super().check_env(facts, config, n_envs)
        check_goals(cls.name(), facts, config)

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.learning_starts + 1

    def act(self, obs: np.ndarray) -> np.ndarray:
        uniform = self.exploration.next()  # (S, N, 2)
        greedy = uniform[..., 0] >= self.exploration_rate()
        context, n_greedy = self.context, np.count_nonzero(greedy)
        if n_greedy < greedy.size:
            action = epsilon_greedy.drawn(uniform[..., 1], self.n_actions, self.spec.legal_now(obs))
            if context.plain and not n_greedy:
                return action
        inputs, hidden, frames = context.see(obs, context.carry, context.episode_start)
        context.pending = {"memory": hidden}
        noise = None if self.acting_noise is None else noisy.drawn(self.acting_noise)
        values, hidden = self.q.act(inputs, hidden, self.device, noise)  # new noise at every step
        context.carry = (*frames, hidden) if self.q.state_size else frames
        best = values.argmax(-1)
        return best if n_greedy == greedy.size else np.where(greedy, best, action)

    def exploration_rate(self) -> float | np.ndarray:
        """Share of random actions: linear from initial to final, and 0 where noise explores.

        It is 1 before learning starts. One number, or one for each row, (S, 1).
        """
        c, progress = self.config, self.progress()
        if self.num_timesteps < c.learning_starts:
            return 1.0
        if c.noisy:
            return 0.0
        return row_values.column(self.by_row.each(lambda own: own.epsilon(progress)), 2)

    def observe(self, step: Step) -> Metrics:
        context = self.context
        self.replay.add(**step._asdict(), first=context.episode_start, **context.pending)
        context.episode_start = step.terminated | step.truncated
        if self.normalizer is not None:
            self.normalizer.update(step.obs)
        self.num_timesteps += self.n_envs
        self.learn_now(updates_due(self))
        for rows, own in self.by_row.runs("target_update_interval", "tau"):
            if self.intervals_crossed(own.target_update_interval):
                self.target.data[rows].lerp_(self.online.data[rows], own.tau)
        return self.metrics

    def on_env_reset(self) -> None:
        self.context.reset()

    def learn_now(self, updates: int) -> None:
        """Take the updates that are due, if any."""
        if not updates:
            return
        self.updates.run(updates)
        self.metrics["train/learning_rate"] = row_values.metric(self.rate())
        self.metrics["train/n_updates"] = self.learner.optimizer.updates
        self.metrics["rollout/exploration_rate"] = row_values.metric(self.exploration_rate())

    def update(self) -> None:
        """Take one gradient step of every seed on a batch of its own."""
        c, rate = self.config, self.updates.number(self.rate)
        metrics, aux = self.learner.step(self.objective, rate, c.batch_size, **self.batch())
        if c.prioritized:
            self.replay.update(aux["priority"])
        self.metrics |= metrics

    def batch(self) -> dict[str, Tensor]:
        """Sample what the next update learns from: the arguments of `objective`."""
        batch = sample_batch(self)
        if self.tau is not None:
            batch["tau"] = self.tau.next()
        if self.learning_noise is not None:
            batch["noise"] = self.learning_noise.next().unsqueeze(1)
        if self.config.prioritized:
            beta = self.updates.number(self.beta)
            batch["weight"] = self.replay.weights(beta)  # (S, B), or one of a sequence
        return batch

    def beta(self) -> Rows:
        """Exponent of importance weights: grows to 1 over the horizon."""
        progress = self.progress()
        return self.by_row.each(
            lambda c: c.prioritized_beta + progress * (1.0 - c.prioritized_beta)
        )

    def objective(
        self, noise: Tensor | None = None, weight: Tensor | None = None, **batch: Tensor
    ) -> tuple[Tensor, Metrics, Aux]:
        """Mean loss of a batch, `(S,)`, with importance weights and under noise where given."""
        loss_of = self.sequence_loss if self.q.state_size else self.loss
        # Unlike in the paper, double's choice has the same noise as the values that learn.
        with noisy.laid_on([*self.q.noisy, *self.q_target.noisy], noise):
            loss, priority = loss_of(**batch)
        if weight is None:
            loss = returns.mean(loss)
            return loss, {"train/loss": loss}, {}
        items = (weight.shape[1], -1)
        loss = returns.mean((loss.unflatten(1, items) * weight[..., None]).flatten(1))
        return loss, {"train/loss": loss}, {"priority": priority.unflatten(1, items)}

    def loss(
        self, obs: Tensor, action: Tensor, reward: Tensor, tau: Tensor | None = None, **rest: Tensor
    ) -> tuple[Tensor, Tensor]:
        """TD loss of transitions (Mnih et al. 2015), and their priorities, both `(S, B)`.

        `tau` are IQN's quantile fractions for this step and the next; `rest` are the other
        arguments of `bootstrap`, of which there are none where gamma is 0.
        """
        tau, next_tau = self.split_tau(tau)
        features = self.q.encoder.static(obs)
        target = ReturnDistribution(reward.unsqueeze(-1))
        if rest:
            reward, discount, future = self.bootstrap(reward, tau=next_tau, **rest)
            target = future._replace(support=reward + discount * future.support)
        return self.td_loss(features, action, target, tau)

    def sequence_loss(
        self,
        obs: Tensor,
        action: Tensor,
        reward: Tensor,
        next_obs: Tensor,
        terminated: Tensor,
        first: Tensor,
        memory: Tensor,
        tau: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`loss` of sequences `(S, B, T, ...)`, with a recurrent encoder.

        They begin with the burn-in; the results are of their other steps, `(S, B (T - burn_in))`.
        `memory` (S, B, T, M) are the stored hidden states, of which the first is used.
        """
        c, networks = self.config, (self.q, self.q_target)
        tau, next_tau = self.split_tau(tau)
        features, following, online = unroll_pair(
            *networks, obs, next_obs, memory[:, :, 0], first, c.burn_in, c.double
        )
        successors = next_obs[:, :, c.burn_in :].flatten(1, 2)
        future = self.greedy_returns(successors, following, online, next_tau)
        reward, terminated, first, action = (
            value[:, :, c.burn_in :] for value in (reward, terminated, first, action)
        )
        discount = returns.discount_of(self.by_row.tensor("gamma", 3), terminated)
        target = n_step_distribution(reward, discount, future, first, c.n_steps)
        return self.td_loss(features, action.flatten(1, 2), target, tau)

    def bootstrap(
        self,
        reward: Tensor,
        next_obs: Tensor,
        terminated: Tensor,
        first: Tensor | None = None,
        tau: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, ReturnDistribution]:
        """Reward and discount `(S, B, 1)`, and the returns `(S, B, Z)` that follow.

        With `n_steps` above 1, reward, terminated and first are those of n steps, `(S, B, n)`, and
        next_obs follows the last of them that is of the same episode.
        """
        c, gamma = self.config, self.by_row.tensor("gamma", terminated.ndim)
        discount = returns.discount_of(gamma, terminated)
        if first is not None and c.n_steps > 1:
            reward, discount, _ = returns.n_step(reward, discount, first)
        with torch.no_grad():
            online = self.q.encoder.static(next_obs) if c.double else None
            features = self.q_target.encoder.static(next_obs)
        future = self.greedy_returns(next_obs, features, online, tau)
        return reward.unsqueeze(-1), discount.unsqueeze(-1), future

    def split_tau(self, tau: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Split quantile fractions into those of this step and those of the next."""
        if tau is None:
            return None, None
        return tau[..., : self.config.iqn_samples], tau[..., self.config.iqn_samples :]

    def td_loss(
        self, features: Tensor, action: Tensor, target: ReturnDistribution, tau: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Loss of Q(s, a) against its target, and the priority, both `(S, B)`."""
        head = self.q.head
        outputs = indexing.take_outputs(head.outputs(features, tau), action)  # (S, B, Z)
        loss = head.loss(outputs, target, tau)
        if not self.config.prioritized:
            return loss, loss
        return loss, head.priority(outputs.detach(), target, loss.detach())

    @torch.no_grad()
    def greedy_returns(
        self, obs: Tensor, features: Tensor, online: Tensor | None, tau: Tensor | None
    ) -> ReturnDistribution:
        """Returns of the greedy action by the target network, from features (S, B, F) of `obs`.

        Only actions that are legal there are considered. The action is greedy by the features of
        the online network, where these are given (van Hasselt et al. 2016), else by the target
        network itself.
        """
        head = self.q_target.head
        outputs = head.outputs(features, tau)
        if online is None:
            values = head.greedy_values(features, outputs)
        else:
            values = self.q.head.forward(online)
        action = returns.greedy_action(self.spec.playable(values, obs))
        return head.return_distribution(indexing.take_outputs(outputs, action))

    policy_over = epsilon_greedy.policy_over

    def parts(self) -> dict[str, Any]:
        return {
            "network": self.q,
            "learner": self.learner,
            "target": self.target,
            "replay": self.replay,
            "exploration": self.exploration,
            "acting_noise": self.acting_noise,
            "learning_noise": self.learning_noise,
            "fractions": self.tau,
            "lookout": self.context,
            "normalizer": self.normalizer,
        }
