"""PQN: parallelised Q-learning without replay or target network (Gallici et al. 2024).

Many environments a seed, lambda returns of greedy values, a few epochs over every rollout; layer
norm keeps it steady. Unlike there, the optimiser is Adam, and convolutions have no norm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field as field
from torch import Tensor

from rlbench.config import Float, Int
from rlbench.errors import UserError
from rlbench.learning.agent import Agent
from rlbench.learning.algorithms.epsilon_greedy import ExplorationConfig
from rlbench.learning.compile.compiled_update import Told
from rlbench.learning.core.agent_core import Metrics
from rlbench.learning.data.normalization import Normalizer, RewardScaler
from rlbench.learning.data.preprocessing import LaneContext, ObservationPipeline
from rlbench.learning.data.rollout import Rollout, select
from rlbench.learning.environments.lanes import Step
from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.equations import indexing, losses, returns
from rlbench.learning.networks import encoders
from rlbench.learning.networks.layers import Generators
from rlbench.learning.networks.models import QNetwork, sizes
from rlbench.learning.optim.learner import Learner
from rlbench.learning.policies.network_policies import GreedyQ
from rlbench.learning.rng import PermutationStream, RandomStream, generator


class PQNConfig(ExplorationConfig):
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
        128, ge=1, description="steps per minibatch, per seed (with a memory: in whole sequences)"
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
        description="with a memory: steps of backpropagation through time, a divisor of n_steps; "
        "none: n_steps",
    )

    def length(self) -> int:
        """Steps that are learned from as one sequence."""
        return (self.sequence_length or self.n_steps) if encoders.parse(self.encoder)[1] else 1

    def check(self) -> None:
        if self.n_steps % self.length() or self.batch_size < self.length():
            raise UserError(
                f"sequences of {self.length()} steps must divide n_steps={self.n_steps} and fit "
                f"into batch_size={self.batch_size}: choose another sequence_length"
            )


class PQN(Agent):
    """S Q-networks, each with N environments of its own."""

    Config = PQNConfig
    version = 1
    action_spaces = (spaces.Discrete,)
    default_envs = 32
    config: PQNConfig

    def build(self) -> None:
        c, lead = self.config, (len(self.seeds), self.n_envs)
        self.q = self.network([generator(seed, "init") for seed in self.seeds], c)
        self.learner = Learner(self.q, c, self.device)
        self.normalizer = Normalizer(lead[0], self.spec) if c.normalize_obs else None
        self.scaler = RewardScaler(*lead, c.gamma) if c.normalize_reward else None
        self.lookout = LaneContext(self.spec, self.q.state_size, lead, self.normalizer)
        self.exploration = RandomStream(self.seeds, "exploration", (self.n_envs, 2))
        steps, length, spec = c.n_steps, c.length(), self.spec
        self.rollout = Rollout(
            lead, steps, length, spec.seen, spec.dtype, (1, np.int64), self.q.state_size
        )
        self.order = PermutationStream(self.seeds, "minibatch", self.n_envs * steps // length)

    def network(self, generators: Generators, config: PQNConfig) -> QNetwork:
        return QNetwork(generators, self.spec, int(self.action_space.n), config)  # type: ignore[attr-defined]

    @classmethod
    def estimate_bytes(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        of, steps = sizes(QNetwork, spec, int(action_space.n), config), n_envs * config.n_steps
        # Stored, put in another order, and as float32 where the network reads all of it at once.
        step = math.prod(spec.seen) * (2 * spec.dtype.itemsize + 4) + 60
        step += 8 * of.state_size // config.length() + 4 * of.computed  # for values of all of it
        return {
            "rollouts": seeds * steps * step,
            "networks": 4 * seeds * Learner.copies(config) * of.parameters,
            "updates": seeds * of.update(min(config.batch_size, steps), spec),
        }

    @classmethod
    def first_update(cls, config: Any, n_envs: int) -> int:
        return config.n_steps * n_envs

    def act(self, obs: np.ndarray) -> np.ndarray:
        look, uniform = self.lookout, self.exploration.next()  # (S, N, 2)
        seen, memory, frames = look.see(obs, look.carry, look.episode_start)
        values, after = self.q.act(seen, memory, self.device)
        look.carry = (*frames, after) if self.q.state_size else frames
        drawn = (uniform[..., 1] * values.shape[-1]).astype(np.int64)
        random = uniform[..., 0] < self.config.epsilon(self.progress())
        action = np.where(random, drawn, values.argmax(-1))
        look.pending = {"seen": seen, "action": action[..., None], "memory": memory}
        return action

    def observe(self, step: Step) -> Metrics:
        look, ended = self.lookout, step.terminated | step.truncated
        values = {**look.pending, "ended": ended, "cut_value": np.float32(0.0)}
        values["reward"] = step.reward if self.scaler is None else self.scaler(step.reward, ended)
        if self.q.state_size:
            values["first"] = look.episode_start
        last = self.rollout.position == self.rollout.steps - 1
        if last or step.truncated.any():
            seen, carry = look.peek(step.next_obs, look.carry or ()), look.carry or ()
            memory = carry[-1] if self.q.state_size else look.pending["memory"]
            following = self.q.act(seen, memory, self.device)[0].max(-1)
            follows = (step.truncated | last) & ~step.terminated
            values["cut_value"] = np.where(follows, following, 0.0)
        look.episode_start = ended
        full = self.rollout.add(**values)
        if self.normalizer is not None:
            self.normalizer.update(step.obs)
        self.num_timesteps += self.n_envs
        if full:
            self.train()
        return self.metrics

    def train(self) -> None:
        """Several epochs of minibatches of a full rollout, in an order drawn anew for each epoch
        and seed. Targets are lambda returns of the values that the rollout was made with."""
        c, rollout = self.config, self.rollout
        fields = rollout.tensors(self.device)
        items = {name: rollout.items(fields[name]) for name in ("seen", "action")}
        if self.q.state_size:
            items["first"] = rollout.items(fields["first"])
            items["memory"] = fields["memory"].flatten(1, 2)
        with torch.no_grad():
            value = self.values(items).amax(-1).view(fields["reward"].shape)  # (S, N, T)
            following = torch.cat([value[..., 1:], value[..., :1]], -1)
            cut = fields["ended"] > 0
            cut[..., -1] = True
            following = torch.where(cut, fields["cut_value"], following)
            decay = c.gamma * c.q_lambda * (1.0 - fields["ended"])
            # The advantage over a value, plus this value, is the lambda return.
            target = returns.gae(fields["reward"], value, following, c.gamma, decay) + value
        items["target"] = rollout.items(target)
        rate, batch = self.learner.rate(self.progress()), c.batch_size // rollout.length
        for _ in range(c.n_epochs):
            order = torch.from_numpy(self.order.next()).to(self.device)
            shuffled = select(items, order)
            for start in range(0, order.shape[1], batch):
                some = {name: part[:, start : start + batch] for name, part in shuffled.items()}
                samples = some["target"][0].numel()
                self.metrics |= self.learner.step(self.objective, rate, samples, **some)
        self.metrics["train/learning_rate"] = rate
        self.metrics["train/n_updates"] = self.learner.optimizer.updates
        self.metrics["rollout/exploration_rate"] = c.epsilon(self.progress())

    def values(self, items: dict[str, Tensor]) -> Tensor:
        """Action values of steps, or of all steps of sequences, `(S, B, A)`."""
        if not self.q.state_size:
            return self.q.forward(items["seen"])
        return self.q.unroll(items["seen"], items["memory"], items["first"])[0]

    def objective(self, **items: Tensor) -> tuple[Tensor, Told]:
        """Mean loss of Q(s, a) against the lambda return, `(S,)`."""
        action = items["action"].flatten(1)
        value = indexing.take(self.values(items), action)
        loss = returns.mean(losses.LOSSES[self.config.loss](value, items["target"].flatten(1)))
        return loss, {"train/loss": loss}

    def on_env_reset(self) -> None:
        self.lookout.reset()
        self.rollout.position = 0
        if self.scaler is not None:
            self.scaler.restart()

    def policy_over(
        self, network: QNetwork, perception: ObservationPipeline, seeds: Sequence[int], frozen: bool
    ) -> GreedyQ:
        rate = 0.0 if self.total_timesteps is None else self.config.epsilon(self.progress())
        policy = GreedyQ(seeds, perception, network, self.action_start, self.device)
        policy.exploration_rate = lambda: rate if frozen else self.config.epsilon(self.progress())
        return policy

    def parts(self) -> dict[str, Any]:
        names = ("learner", "rollout", "lookout", "exploration", "order", "normalizer", "scaler")
        return {"network": self.q, **{name: getattr(self, name) for name in names}}
