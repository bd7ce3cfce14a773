"""DQN: deep Q-network with replay (Mnih et al. 2015), double unless told not to.

Each extension is a switch, and all of them go together: `double`, `dueling`, `n_steps`,
`prioritized`, `noisy`, `distribution` (c51, qr, iqn). The head defines how Q-values are represented
(`learning/networks/value_heads.py`), the buffer what is replayed (`learning/data/replay.py`).

With a memory (`encoder=lstm`, `gru`, `rnn`) it replays sequences: each goes on from the memory
stored with its first step, which is brought up to date over `burn_in` steps (Hausknecht & Stone
2015; Kapturowski et al. 2019). Memory is cleared where an episode begins, also inside a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from rlbench.agents._dqn_config import DQNConfig
from rlbench.learning.agent import Agent
from rlbench.learning.algorithms.off_policy import (
    batch_bytes,
    batch_items,
    drawn_batch,
    replay_for,
    updates_due,
)
from rlbench.learning.compile.compiled_update import Told
from rlbench.learning.core.agent_core import Metrics
from rlbench.learning.data.normalization import Normalizer
from rlbench.learning.data.preprocessing import LaneContext, ObservationPipeline
from rlbench.learning.data.prioritized_replay import PrioritizedReplay
from rlbench.learning.data.replay import replay_bytes, transition_fields
from rlbench.learning.data.sum_tree import SumTree
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import indexing, returns
from rlbench.learning.equations.distributional import n_step_outcomes
from rlbench.learning.networks import noisy
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import QNetwork, feature_pair, sizes, unroll_pair
from rlbench.learning.networks.stack import StackedParameters
from rlbench.learning.networks.value_heads import ValueNetwork
from rlbench.learning.optim.learner import Learner
from rlbench.learning.policies.network_policies import GreedyQ
from rlbench.learning.rng import RandomStream, generator


class DQN(Agent):
    """S deep Q-networks, each with its own replay memory, target network and exploration."""

    Config = DQNConfig
    version = 1
    action_spaces = (spaces.Discrete,)
    config: DQNConfig

    def build(self) -> None:
        c, seeds = self.config, len(self.seeds)
        generators = [generator(seed, "init") for seed in self.seeds]
        self.q, self.q_target = self.network(generators, c), self.network(generators, c)
        self.learner = Learner(self.q, c, self.device)
        self.online = self.learner.stack
        self.target = StackedParameters(self.q_target, self.device).freeze()
        self.target.data.copy_(self.online.data)
        self.normalizer = Normalizer(seeds, self.spec) if c.normalize_obs else None
        memory = self.q.state_size
        self.lookout = LaneContext(self.spec, memory, (seeds, self.n_envs), self.normalizer)
        fields = transition_fields(self.spec, memory, c.gamma, c.n_steps)
        self.replay = replay_for(self, fields, memory)
        self.exploration = RandomStream(self.seeds, "exploration", (self.n_envs, 2))
        width = noisy.width(self.q.noisy)
        self.acting_noise = self._draws("noise", (width,), normal=True)
        self.learning_noise = self._draws("learning-noise", (2 * width,), normal=True)
        drawn = c.iqn_samples + c.iqn_target_samples if c.distribution == "iqn" else 0
        self.fractions = self._draws("fractions", (batch_items(c), drawn))

    def _draws(
        self, purpose: str, shape: tuple[int, ...], normal: bool = False
    ) -> RandomStream | None:
        """A stream of random numbers, where any are needed."""
        return RandomStream(self.seeds, purpose, shape, 16, normal) if np.prod(shape) else None

    def network(self, generators: Generators, config: DQNConfig) -> ValueNetwork:
        return ValueNetwork(generators, self.spec, self.n_actions, config)

    @property
    def n_actions(self) -> int:
        return int(self.action_space.n)  # type: ignore[attr-defined]  # checked: Discrete

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        copies = 1 + Learner.copies(config)  # the target network too
        of = sizes(ValueNetwork, spec, int(action_space.n), config)
        fields = transition_fields(spec, of.state_size, config.gamma, config.n_steps)
        tree = SumTree.bytes(seeds, config.buffer_size) if config.prioritized else 0
        fractions = acting = 0
        if config.distribution == "iqn":  # each makes a copy of the features
            fractions = config.iqn_samples + config.iqn_target_samples
            acting = 4 * n_envs * config.iqn_acting_samples * (of.computed + config.iqn_embedding)
        each = batch_bytes(config, fields, of.state_size) + of.update(batch_items(config), spec)
        return {
            "replay": replay_bytes(seeds, config.buffer_size, fields) + tree,
            "networks": 4 * seeds * copies * of.parameters,
            "updates": seeds * (each * (1 + fractions) + acting),
        }

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.learning_starts + 1

    def act(self, obs: np.ndarray) -> np.ndarray:
        uniform = self.exploration.next()  # (S, N, 2)
        greedy = uniform[..., 0] >= self.exploration_rate()
        look, chosen = self.lookout, np.count_nonzero(greedy)
        if chosen < greedy.size:
            action = (uniform[..., 1] * self.n_actions).astype(np.int64)
            if look.plain and not chosen:
                return action
        seen, memory, frames = look.see(obs, look.carry, look.episode_start)
        look.pending = {"memory": memory}
        if self.acting_noise is None:
            values, memory = self.q.act(seen, memory, self.device)
        else:
            with noisy.laid_on(self.q.noisy, self.acting_noise):  # drawn anew for every step
                values, memory = self.q.act(seen, memory, self.device)
        look.carry = (*frames, memory) if self.q.state_size else frames
        best = values.argmax(-1)
        return best if chosen == greedy.size else np.where(greedy, best, action)

    def exploration_rate(self) -> float:
        """Share of random actions now: linear from initial to final, 1 before learning starts, and
        0 after that where noise explores."""
        c, passed = self.config, self.progress()
        if self.num_timesteps < c.learning_starts:
            return 1.0
        return 0.0 if c.noisy else c.epsilon(passed)

    def observe(self, step: Step) -> Metrics:
        c, look = self.config, self.lookout
        self.replay.add(**step._asdict(), first=look.episode_start, **look.pending)
        look.episode_start = step.terminated | step.truncated
        if self.normalizer is not None:
            self.normalizer.update(step.obs)
        self.num_timesteps += self.n_envs
        for _ in range(updates_due(self)):
            self.update()
        if self.intervals_crossed(c.target_update_interval):
            self.target.data.lerp_(self.online.data, c.tau)
        return self.metrics

    def on_env_reset(self) -> None:
        self.lookout.reset()

    def update(self) -> None:
        """One gradient step of every seed on a batch of its own."""
        c, rate = self.config, self.learner.rate(self.progress())
        told = self.learner.step(self.objective, rate, c.batch_size, **self.batch())
        if isinstance(self.replay, PrioritizedReplay):
            self.replay.update(told.pop("surprise"))
        self.metrics |= told
        self.metrics["train/learning_rate"] = rate
        self.metrics["train/n_updates"] = self.learner.optimizer.updates
        self.metrics["rollout/exploration_rate"] = self.exploration_rate()

    def batch(self) -> dict[str, Tensor]:
        """What is learned from next: see `loss` and `objective`."""
        c, batch = self.config, drawn_batch(self)
        if self.fractions is not None:
            drawn = torch.from_numpy(self.fractions.next().astype(np.float32))
            batch["fractions"] = drawn.to(self.device)
        if self.learning_noise is not None:
            batch["drawn"] = torch.from_numpy(noisy.drawn(self.learning_noise)).to(self.device)
        if isinstance(self.replay, PrioritizedReplay):
            beta = c.prioritized_beta + self.progress() * (1.0 - c.prioritized_beta)
            batch["weight"] = self.replay.weights(beta)  # (S, B), or one of a sequence
        return batch

    def objective(
        self, drawn: Tensor | None = None, weight: Tensor | None = None, **batch: Tensor
    ) -> tuple[Tensor, Told]:
        """Mean loss of a batch, `(S,)`, each with its weight and under the noise that was drawn."""
        # Unlike in the paper, double's choice has the same noise as the values that learn.
        with noisy.laid_on([*self.q.noisy, *self.q_target.noisy], drawn):
            loss, surprise = self.loss(**batch)
        if weight is None:
            loss = returns.mean(loss)
            return loss, {"train/loss": loss}
        parts = (weight.shape[1], -1)
        loss = returns.mean((loss.unflatten(1, parts) * weight[..., None]).flatten(1))
        return loss, {"train/loss": loss, "surprise": surprise.unflatten(1, parts)}

    def loss(
        self,
        obs: Tensor,
        reward: Tensor,
        action: Tensor,
        next_obs: Tensor | None = None,
        terminated: Tensor | None = None,
        first: Tensor | None = None,
        memory: Tensor | None = None,
        fractions: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loss of Q(s, a) against its target (Mnih et al. 2015), and the surprise, `(S, B)`.

        Without a memory and with n_steps above 1, reward, terminated and first are those of the n
        steps of one target, `(S, B, n)`; with one, all are sequences `(S, B, T, ...)`, which begin
        with the burn-in, and results are of their other steps. `fractions` are IQN's, here and one
        step ahead.
        """
        c, head, fraction, future = self.config, self.q.head, None, None
        if fractions is not None:
            fraction, future = fractions[..., : c.iqn_samples], fractions[..., c.iqn_samples :]
        if next_obs is None or terminated is None:  # gamma is 0
            x, target, mass = self.q.encoder.static(obs), reward.unsqueeze(-1), None
        elif memory is None or first is None:
            discount = returns.discount_of(c.gamma, terminated)
            if c.n_steps > 1 and first is not None:
                reward, discount, _ = returns.n_step(reward, discount, first)
            x, next_x, chooser = feature_pair(self.q, self.q_target, obs, next_obs, c.double)
            outcome, mass = self.outcomes(next_x, chooser, future)
            target = reward.unsqueeze(-1) + discount.unsqueeze(-1) * outcome
        else:
            start, burn, pair = memory[:, :, 0], c.burn_in, (self.q, self.q_target)
            x, next_x, chooser = unroll_pair(*pair, obs, next_obs, start, first, burn, c.double)
            outcome, mass = self.outcomes(next_x, chooser, future)
            reward, terminated, first, action = (
                value[:, :, burn:] for value in (reward, terminated, first, action)
            )
            discount = returns.discount_of(c.gamma, terminated)
            target, mass = n_step_outcomes(reward, discount, outcome, mass, first, c.n_steps)
            action = action.flatten(1, 2)
        numbers = indexing.take_outcomes(head.numbers_at(x, fraction), action)  # (S, B, Z)
        loss = head.loss(numbers, target, mass, fraction)
        if not c.prioritized:
            return loss, loss
        return loss, head.surprise(numbers.detach(), target, loss.detach())

    @torch.no_grad()
    def outcomes(
        self, x: Tensor, x_online: Tensor | None, fraction: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """What may come after the greedy action, from features (S, B, F) of next observations:
        values `(S, B, Z)`, with their probabilities where they are not alike."""
        head = self.q_target.head
        numbers = head.numbers_at(x, fraction)
        values = None if x_online is None else self.q.head.forward(x_online)
        action = returns.greedy_action(head.greedy(x, numbers) if values is None else values)
        return head.outcomes(indexing.take_outcomes(numbers, action))

    def policy_over(
        self, network: QNetwork, perception: ObservationPipeline, seeds: Sequence[int], frozen: bool
    ) -> GreedyQ:
        rate = self._predict_rate()
        explore = (lambda: rate) if frozen else self._predict_rate
        policy = GreedyQ(seeds, perception, network, self.action_start, self.device)
        policy.exploration_rate = explore
        if network.noisy:
            width = (noisy.width(network.noisy),)
            policy.noise = RandomStream(seeds, "policy-noise", width, 16, normal=True)
        return policy

    def _predict_rate(self) -> float:
        """How much `predict(deterministic=False)` explores: as training does, once it began."""
        return 0.0 if self.total_timesteps is None else self.exploration_rate()

    def parts(self) -> dict[str, Any]:
        names = ("learner", "target", "replay", "exploration", "acting_noise", "learning_noise",
                 "fractions", "lookout", "normalizer")  # fmt: skip
        return {"network": self.q, **{name: getattr(self, name) for name in names}}
