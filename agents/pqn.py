"""PQN: parallelised Q-learning without replay or target network (Gallici et al. 2024).

Many environments per seed, lambda returns of greedy values, a few epochs over every rollout; layer
norm stabilises training. Unlike there, the optimiser is Adam, and convolutions have no norm.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float, Int
from rlbench.errors import UserError
from rlbench.learning import row_values
from rlbench.learning.agent import Agent
from rlbench.learning.algorithms import epsilon_greedy
from rlbench.learning.algorithms.rollouts import (
    Minibatches,
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
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import indexing, losses, returns
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import QNetwork, sizes
from rlbench.learning.optim.learner import Learner, Metrics
from rlbench.learning.rng import PermutationStream, RandomStream, generator


class PQNConfig(epsilon_greedy.ExplorationConfig):
    """Parameters of PQN. Steps are env steps per seed."""

    learning_rate: Float = field(2.5e-4, gt=0, description="step size of the optimiser")
    lr_schedule: Literal["constant", "linear", "cosine"] = field(
        "linear", description="linear, cosine: falls to 0 at the last step"
    )
    layer_norm: bool = field(
        True, description="normalise features before each activation (Ba et al. 2016)"
    )
    loss: Literal["huber", "mse"] = field("mse", description="loss of the temporal difference")
    n_steps: Int = field(
        64, ge=1, description="steps of each environment between two updates: T of the rollout"
    )
    batch_size: Int = field(
        128, ge=1, description="steps per minibatch, per seed (recurrent: in whole sequences)"
    )
    n_epochs: Int = field(4, ge=1, description="passes over each rollout")
    gamma: Float = field(0.99, ge=0, le=1, description="discount per env step")
    q_lambda: Float = field(
        0.95, ge=0, le=1, description="how far returns look: 0 is one step, 1 the whole rollout"
    )
    normalize_reward: bool = field(
        False, description="rewards over the running deviation of returns, for learning only"
    )
    exploration_final_eps: Float = field(
        0.2, ge=0, le=1, description="share of random actions once exploration has ended"
    )
    sequence_length: Int | None = field(
        None,
        ge=1,
        description="recurrent encoders: steps of backpropagation through time, a divisor of "
        "n_steps; none: n_steps",
    )

    def check(self) -> None:
        length = sequence_length(self)
        if self.n_steps % length or self.batch_size < length:
            raise UserError(
                f"the sequence length ({length}) must divide n_steps ({self.n_steps}) and be at "
                f"most batch_size ({self.batch_size}): choose another sequence_length"
            )


class PQN(Agent):
    """S Q-networks, each with N environments of its own."""

    Config = PQNConfig
    version = 1
    action_spaces = (spaces.Discrete,)
    default_envs = 32
    takes_settings = True
    takes_masks = True
    config: PQNConfig

    def build(self) -> None:
        c, lead = self.config, (len(self.seeds), self.n_envs)
        self.q = self.network([generator(seed, "init") for seed in self.seeds], c)
        self.learner = Learner(self.q, c, self.device, by_row=self.by_row)
        self.normalizer = Normalizer(lead[0], self.spec) if c.normalize_obs else None
        gamma = row_values.column(self.by_row.value("gamma"), 2)
        self.scaler = RewardScaler(*lead, gamma) if c.normalize_reward else None
        self.context = LaneContext(self.spec, self.q.state_size, lead, self.normalizer)
        self.exploration = RandomStream(self.seeds, "exploration", (self.n_envs, 2))
        self.rollout = make_rollout(self, 1, np.int64)
        items = self.n_envs * c.n_steps // self.rollout.length
        self.order = PermutationStream(self.seeds, "minibatch", items)
        size = c.batch_size // self.rollout.length
        self.batches = Minibatches(self.order, size, c.n_epochs, self)
        self.updates = Updates(self, [self.batches], phase=self.batches.phase)

    def network(self, generators: Generators, config: PQNConfig) -> QNetwork:
        return QNetwork(generators, self.spec, int(self.action_space.n), config)  # type: ignore[attr-defined]

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        of, steps = sizes(QNetwork, spec, int(action_space.n), config), n_envs * config.n_steps
        # Stored, shuffled, and as float32 where the network reads all of it at once.
        step = math.prod(spec.seen) * (2 * spec.dtype.itemsize + 4) + 60
        step += (
            8 * of.state_size // sequence_length(config) + 4 * of.computed
        )  # for values of all of it
        return {
            "rollouts": seeds * steps * step,
            "networks": 4 * seeds * Learner.copies(config) * of.parameters,
            "updates": seeds * of.update(min(config.batch_size, steps), spec),
        }

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.n_steps * n_envs

    def act(self, obs: np.ndarray) -> np.ndarray:
        context, uniform = self.context, self.exploration.next()  # (S, N, 2)
        inputs, hidden, frames = context.see(obs, context.carry, context.episode_start)
        values, next_hidden = self.q.act(inputs, hidden, self.device)
        context.carry = (*frames, next_hidden) if self.q.state_size else frames
        random = epsilon_greedy.drawn(uniform[..., 1], values.shape[-1], self.spec.legal_now(obs))
        explores = uniform[..., 0] < self.exploration_rate()
        action = np.where(explores, random, values.argmax(-1))
        context.pending = {"seen": inputs, "action": action[..., None], "memory": hidden}
        return action

    def exploration_rate(self) -> float | np.ndarray:
        """Share of random actions at this step: one number, or one for each row, (S, 1)."""
        progress = self.progress()
        return row_values.column(self.by_row.each(lambda c: c.epsilon(progress)), 2)

    def observe(self, step: Step) -> Metrics:
        if collect(self, step, self._greedy_values):
            self.train()
        return self.metrics

    def _greedy_values(self, inputs: np.ndarray, hidden: np.ndarray) -> Any:
        return self.q.best_values(inputs, hidden, self.device)

    def on_env_reset(self) -> None:
        restart(self)

    def train(self) -> None:
        """Learn from a full rollout on several epochs of minibatches."""
        self.batches.begin(self.updates.static(self.updates.once(self.prepared)))
        self.updates.run(len(self.batches))
        self.metrics["train/learning_rate"] = row_values.metric(self.rate())
        self.metrics["train/n_updates"] = self.learner.optimizer.updates
        self.metrics["rollout/exploration_rate"] = row_values.metric(self.exploration_rate())

    def prepared(self) -> dict[str, Tensor]:
        """Return items of a full rollout.

        Targets are lambda returns of the greedy values before the first of its updates.
        """
        rollout = self.rollout
        fields = rollout.tensors(self.device)
        items = network_inputs(rollout, fields)
        with torch.no_grad():
            value = self.values(items).amax(-1).view(fields["reward"].shape)  # (S, N, T)
            target = lambda_advantages(fields, value, self.by_row, "q_lambda") + value
        items["target"] = rollout.items(target)
        return items

    def update(self) -> None:
        """Take one gradient step of every seed on the next minibatch."""
        rate, batch = self.updates.number(self.rate), self.batches.next()
        samples = batch["target"][0].numel()
        self.metrics |= self.learner.step(self.objective, rate, samples, **batch).metrics

    def values(self, items: dict[str, Tensor]) -> Tensor:
        """Q-values of steps, or of all steps of sequences, `(S, B, A)`."""
        if not self.q.state_size:
            return self.q.forward(items["seen"])
        return self.q.unroll(items["seen"], items["memory"], items["first"])[0]

    def objective(self, **items: Tensor) -> tuple[Tensor, Metrics]:
        """Mean loss of Q(s, a) against the lambda return, `(S,)`."""
        value = indexing.take(self.values(items), items["action"].flatten(1))
        loss = returns.mean(losses.LOSSES[self.config.loss](value, items["target"].flatten(1)))
        return loss, {"train/loss": loss}

    policy_over = epsilon_greedy.policy_over

    def parts(self) -> dict[str, Any]:
        return {
            "network": self.q,
            "learner": self.learner,
            "rollout": self.rollout,
            "lookout": self.context,
            "exploration": self.exploration,
            "order": self.order,
            "normalizer": self.normalizer,
            "scaler": self.scaler,
        }
