"""DQN: deep Q-network with replay (Mnih et al. 2015), double unless told not to.

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
from rlbench.learning import returns
from rlbench.learning.agent import Agent, Metrics
from rlbench.learning.lanes import Step
from rlbench.learning.learner import Learner
from rlbench.learning.nets import Generators, Stack
from rlbench.learning.networks import QNetwork, sizes, unroll_pair
from rlbench.learning.normalize import Normalizer
from rlbench.learning.perception import Lookout, Perception
from rlbench.learning.policies import GreedyQ
from rlbench.learning.replay import Replay, replay_bytes, transition_fields
from rlbench.learning.seeds import Draws, generator
from rlbench.learning.spaces import ObsSpec


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
        self.target = Stack(self.q_target, self.device).freeze()
        self.target.data.copy_(self.online.data)
        self.normalizer = Normalizer(seeds, self.spec) if c.normalize_obs else None
        memory = self.q.memory
        self.lookout = Lookout(self.spec, memory, (seeds, self.n_envs), self.normalizer)
        length = c.burn_in + c.sequence_length if memory else c.n_steps
        self.sequences = length > 1 or memory > 0  # whether batches have an axis of time
        fields = transition_fields(self.spec, memory, c.gamma, c.n_steps)
        self.stored = [name for name in Step._fields if name in fields]
        batch = c.batch_size // c.sequence_length if memory else c.batch_size
        self.replay = Replay(
            c.buffer_size,
            fields,
            self.n_envs,
            Draws(self.seeds, "replay", (batch,), block=64),
            self.device,
            length,
            self.spec.stack,
        )
        self.exploration = Draws(self.seeds, "exploration", (self.n_envs, 2))
        self.loss_function = returns.LOSSES[c.loss]

    def network(self, generators: Generators, config: DQNConfig) -> QNetwork:
        return QNetwork(generators, self.spec, self.n_actions, config)

    @property
    def n_actions(self) -> int:
        return int(self.action_space.n)  # type: ignore[attr-defined]  # checked: Discrete

    @classmethod
    def memory(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        copies = 1 + Learner.copies(config)  # the target network too
        width, memory = sizes(QNetwork, spec, int(action_space.n), config)
        fields = transition_fields(spec, memory, config.gamma, config.n_steps)
        return {
            "replay": replay_bytes(seeds, config.buffer_size, fields),
            "networks": 4 * seeds * copies * width,
        }

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.learning_starts + 1

    def act(self, obs: np.ndarray) -> np.ndarray:
        uniform = self.exploration.next()  # (S, N, 2)
        action = (uniform[..., 1] * self.n_actions).astype(np.int64)
        greedy = uniform[..., 0] >= self.exploration_rate()
        look = self.lookout
        if look.plain and not greedy.any():
            return action
        seen, memory, frames = look.see(obs, look.carry, look.first)
        look.taken = {"memory": memory}
        values, memory = self.q.act(seen, memory, self.device)
        look.carry = (*frames, memory) if self.q.memory else frames
        return np.where(greedy, values.argmax(-1), action)

    def exploration_rate(self) -> float:
        """Share of random actions now: linear from initial to final, 1 before learning starts."""
        c, passed = self.config, self.progress()
        if self.num_timesteps < c.learning_starts:
            return 1.0
        share = passed / c.exploration_fraction if passed < c.exploration_fraction else 1.0
        return c.exploration_initial_eps + share * (
            c.exploration_final_eps - c.exploration_initial_eps
        )

    def observe(self, step: Step) -> Metrics:
        c, values = self.config, {name: getattr(step, name) for name in self.stored}
        if "first" in self.replay.columns:
            values["first"] = self.lookout.first
        if self.q.memory:
            values["memory"] = self.lookout.taken["memory"]
        self.replay.add(**values)
        self.lookout.first = step.terminated | step.truncated
        if self.normalizer is not None:
            self.normalizer.update(step.obs)
        self.num_timesteps += self.n_envs
        if self.num_timesteps > c.learning_starts and self.replay.ready():
            updates = c.train_freq if c.gradient_steps < 0 else c.gradient_steps
            for _ in range(self.due(c.train_freq) * updates):
                self.update()
        if self.due(c.target_update_interval):
            self.target.data.lerp_(self.online.data, c.tau)
        return self.metrics

    def restart(self) -> None:
        self.lookout.restart()

    def update(self) -> None:
        """One gradient step of every seed on a batch of its own."""
        rate = self.learner.rate(self.progress())
        loss = self.loss(**self.replay.sample())
        self.learner.step(loss, rate, self.config.batch_size)
        self.metrics["train/loss"] = loss.detach()
        self.metrics["train/learning_rate"] = rate
        self.metrics["train/n_updates"] = self.learner.optimizer.updates
        self.metrics["rollout/exploration_rate"] = self.exploration_rate()

    def loss(
        self,
        obs: Tensor,
        reward: Tensor,
        action: Tensor,
        next_obs: Tensor | None = None,
        terminated: Tensor | None = None,
        first: Tensor | None = None,
        memory: Tensor | None = None,
    ) -> Tensor:
        """Mean loss of Q(s, a) against its target, `(S, B, ...) -> (S,)` (Mnih et al. 2015).

        With a memory all are sequences `(S, B, T, ...)`, which begin with the burn-in; without one
        and with n_steps above 1 the n steps of one target `(S, B, n, ...)`.
        """
        c = self.config
        if self.normalizer is not None:
            lead = 2 + self.sequences + (self.spec.stack > 1)
            obs = self.normalizer.tensor(obs, lead)
            next_obs = None if next_obs is None else self.normalizer.tensor(next_obs, lead)
        if next_obs is None or terminated is None:  # gamma is 0
            return self.loss_function(returns.take(self.q(obs), action), reward).mean(-1)
        discount = returns.discount_of(c.gamma, terminated)
        if memory is None or first is None:
            if first is not None and c.n_steps > 1:
                obs, action = obs[:, :, 0], action[:, :, 0]
                reward, discount, last = returns.n_step(reward, discount, first)
                next_obs = returns.take_step(next_obs, last)
            q = self.q(obs)
            with torch.no_grad():
                next_q = self.q_target(next_obs)
                value = returns.greedy_value(next_q, self.q(next_obs) if c.double else None)
                target = reward + discount * value
        else:
            q, next_q, next_online = unroll_pair(
                self.q, self.q_target, obs, next_obs, memory[:, :, 0], first, c.burn_in, c.double
            )
            value = returns.greedy_value(next_q, next_online)
            reward, discount, first, action = (
                x[:, :, c.burn_in :] for x in (reward, discount, first, action)
            )
            value, action = value.view(reward.shape), action.flatten(1, 2)
            target = returns.n_step_targets(reward, discount, value, first, c.n_steps).flatten(1, 2)
        return self.loss_function(returns.take(q, action), target).mean(-1)

    def policy_over(
        self, network: QNetwork, perception: Perception, seeds: Sequence[int], frozen: bool
    ) -> GreedyQ:
        rate = self._predict_rate()
        explore = (lambda: rate) if frozen else self._predict_rate
        policy = GreedyQ(seeds, perception, network, self.action_start, self.device)
        policy.exploration_rate = explore
        return policy

    def _predict_rate(self) -> float:
        """How much `predict(deterministic=False)` explores: as training does, once it began."""
        return 0.0 if self.total_timesteps is None else self.exploration_rate()

    def parts(self) -> dict[str, Any]:
        return {
            "learner": self.learner,
            "target": self.target,
            "network": self.q,
            "replay": self.replay,
            "exploration": self.exploration,
            "lookout": self.lookout,
            "normalizer": self.normalizer,
        }
