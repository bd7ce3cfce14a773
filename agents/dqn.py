"""DQN: deep Q-network with replay (Mnih et al. 2015), double unless told not to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field as field
from torch import Tensor

from rlbench import config
from rlbench.config import Float, Int, IntList
from rlbench.learning import encoders, returns
from rlbench.learning.agent import Agent, Metrics
from rlbench.learning.lanes import Step
from rlbench.learning.nets import Stack
from rlbench.learning.optim import OPTIMIZERS
from rlbench.learning.policy import Policy
from rlbench.learning.replay import Field, Replay, replay_bytes
from rlbench.learning.seeds import Uniforms, generator
from rlbench.learning.spaces import ObsSpec


class DQNConfig(config.Config):
    """Parameters of DQN. Steps are env steps per seed; names are Stable-Baselines3's."""

    learning_rate: Float = field(5e-4, gt=0, description="step size of the optimiser")
    lr_schedule: Literal["constant", "linear"] = field(
        "constant", description="linear: falls to 0 at the last step"
    )
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd", "momentum"] = field(
        "adam", description="update rule"
    )
    weight_decay: Float = field(0.0, ge=0, description="L2 penalty (decoupled for adamw)")
    max_grad_norm: Float | None = field(
        10.0, gt=0, description="largest gradient norm of a seed; none: no clipping"
    )
    loss: Literal["huber", "mse"] = field("huber", description="loss of the temporal difference")
    double: bool = field(True, description="Double DQN's target (van Hasselt et al. 2016)")
    gamma: Float = field(0.99, ge=0, le=1, description="discount per env step")
    buffer_size: Int = field(50_000, ge=1, description="transitions kept, per seed")
    batch_size: Int = field(64, ge=1, description="transitions per update, per seed")
    learning_starts: Int = field(
        1000, ge=0, description="steps of random actions before the first update"
    )
    train_freq: Int = field(4, ge=1, description="steps between two rounds of updates")
    gradient_steps: Int = field(
        1, ge=-1, description="updates per round; -1: as many as train_freq"
    )
    target_update_interval: Int = field(
        500, ge=1, description="steps between two updates of the target network"
    )
    tau: Float = field(
        1.0, gt=0, le=1, description="share of the online network taken by the target network"
    )
    exploration_initial_eps: Float = field(
        1.0, ge=0, le=1, description="share of random actions at the first step"
    )
    exploration_final_eps: Float = field(
        0.05, ge=0, le=1, description="share of random actions once exploration has ended"
    )
    exploration_fraction: Float = field(
        0.2, ge=0, le=1, description="share of all steps over which exploration falls"
    )
    net_arch: IntList = field((64, 64), description="widths of the hidden layers")
    activation: Literal["relu", "tanh"] = field("relu", description="after each hidden layer")


def transition_fields(spec: ObsSpec) -> dict[str, Field]:
    """What a transition with one discrete action is made of."""
    obs, scalar = Field(spec.shape, spec.dtype), Field((), np.float32)
    return {
        "obs": obs,
        "next_obs": obs,
        "reward": scalar,
        "terminated": scalar,
        "action": Field((), np.int64),
    }


class DQN(Agent):
    """S deep Q-networks, each with its own replay memory, target network and exploration."""

    Config = DQNConfig
    version = 1
    action_spaces = (spaces.Discrete,)
    config: DQNConfig
    _live: GreedyQ | None = None

    def build(self) -> None:
        c = self.config
        generators = [generator(seed, "init") for seed in self.seeds]
        self.q = encoders.QNetwork(generators, self.spec, self.n_actions, c)
        self.q_target = encoders.QNetwork(generators, self.spec, self.n_actions, c)
        self.online = Stack(self.q, self.device)
        self.target = Stack(self.q_target, self.device).freeze()
        self.target.data.copy_(self.online.data)
        self.optimizer = OPTIMIZERS[c.optimizer](self.online.data, self.online.grad, c.weight_decay)
        draws = Uniforms(self.seeds, "replay", (c.batch_size,), block=64)
        self.replay = Replay(
            c.buffer_size, transition_fields(self.spec), self.n_envs, draws, self.device
        )
        self.exploration = Uniforms(self.seeds, "exploration", (self.n_envs, 2))
        self.loss_function = returns.LOSSES[c.loss]
        self.metrics: dict[str, Tensor | float] = {}

    @property
    def n_actions(self) -> int:
        return int(self.action_space.n)  # type: ignore[attr-defined]  # checked: Discrete

    @classmethod
    def memory(
        cls, config: Any, spec: ObsSpec, action_space: Any, seeds: int, n_envs: int
    ) -> dict[str, int]:
        copies = 3 + len(OPTIMIZERS[config.optimizer].moments)  # online, gradient, target, moments
        width = encoders.QNetwork.parameters_of(spec, int(action_space.n), config)
        return {
            "replay": replay_bytes(seeds, config.buffer_size, transition_fields(spec)),
            "networks": 4 * seeds * copies * width,
        }

    def act(self, obs: np.ndarray) -> np.ndarray:
        uniform = self.exploration.next()  # (S, N, 2)
        action = (uniform[..., 1] * self.n_actions).astype(np.int64)
        greedy = uniform[..., 0] >= self.exploration_rate()
        if greedy.any():
            return np.where(greedy, self.q.best(obs, self.device), action)
        return action

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
        c = self.config
        self.replay.add(
            obs=step.obs,
            next_obs=step.next_obs,
            reward=step.reward,
            terminated=step.terminated,
            action=step.action,
        )
        self.num_timesteps += self.n_envs
        if self.num_timesteps > c.learning_starts:
            updates = c.train_freq if c.gradient_steps < 0 else c.gradient_steps
            for _ in range(self.due(c.train_freq) * updates):
                self.update()
        if self.due(c.target_update_interval):
            self.target.data.lerp_(self.online.data, c.tau)
        return self.metrics

    def update(self) -> None:
        """One gradient step of every seed on a batch of its own."""
        c = self.config
        rate = c.learning_rate
        if c.lr_schedule == "linear":
            rate *= 1.0 - self.progress()
        loss = self.loss(**self.replay.sample())
        self.online.backward(loss, c.max_grad_norm)
        self.optimizer.step(rate)
        self.metrics["train/loss"] = loss.detach()
        self.metrics["train/learning_rate"] = rate
        self.metrics["train/n_updates"] = self.optimizer.updates
        self.metrics["rollout/exploration_rate"] = self.exploration_rate()

    def loss(
        self, obs: Tensor, next_obs: Tensor, reward: Tensor, terminated: Tensor, action: Tensor
    ) -> Tensor:
        """Mean loss of Q(s, a) against its target, `(S, B, ...) -> (S,)` (Mnih et al. 2015)."""
        with torch.no_grad():
            discount = returns.discount_of(self.config.gamma, terminated)
            next_q = self.q_target(next_obs)
            if self.config.double:
                target = returns.double_q_target(reward, discount, next_q, self.q(next_obs))
            else:
                target = returns.q_target(reward, discount, next_q)
        return self.loss_function(returns.take(self.q(obs), action), target).mean(-1)

    def policy(self, seed: int | None = None) -> GreedyQ:
        rows = self.row(seed)
        frozen = encoders.QNetwork(
            [generator(0, "init")] * len(rows), self.spec, self.n_actions, self.config
        )
        Stack(frozen, self.device).freeze().data.copy_(self.online.data[rows])
        rate = self._predict_rate()
        return GreedyQ(self, frozen, [self.seeds[r] for r in rows], lambda: rate)

    def live_policy(self) -> GreedyQ:
        if self._live is None or self._live.network is not self.q:
            self._live = GreedyQ(self, self.q, self.seeds, self._predict_rate)
        return self._live

    def _predict_rate(self) -> float:
        """How much `predict(deterministic=False)` explores: as training does, once it began."""
        return 0.0 if self.total_timesteps is None else self.exploration_rate()

    def diverged(self) -> dict[int, str]:
        finite = self.online.finite()
        if (loss := self.metrics.get("train/loss")) is not None:
            finite &= torch.isfinite(torch.as_tensor(loss)).to(finite.device)
        return {
            row: "loss or weights became NaN or infinite"
            for row, fine in enumerate(finite.tolist())
            if not fine
        }

    def state(self) -> dict[str, Any]:
        return {
            "num_timesteps": self.num_timesteps,
            "online": self.online.data,
            "target": self.target.data,
            "optimizer": self.optimizer.state(),
            "replay": self.replay.state(),
            "exploration": self.exploration.state(),
            "metrics": dict(self.metrics),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.num_timesteps = state["num_timesteps"]
        self.online.data.copy_(torch.as_tensor(state["online"]))
        self.target.data.copy_(torch.as_tensor(state["target"]))
        self.optimizer.restore(state["optimizer"])
        if state["replay"] is not None:
            self.replay.restore(state["replay"])
        self.exploration.restore(state["exploration"])
        self.metrics = {
            key: torch.as_tensor(value) if isinstance(value, np.ndarray) else value
            for key, value in state["metrics"].items()
        }


class GreedyQ(Policy):
    """argmax_a Q(s, a); with `deterministic=False` it explores as much as training did."""

    def __init__(
        self,
        agent: DQN,
        network: encoders.QNetwork,
        seeds: Sequence[int],
        exploration_rate: Callable[[], float],
    ) -> None:
        super().__init__(seeds, agent.spec, int(agent.action_space.start))  # type: ignore[attr-defined]
        self.network, self.device, self.n_actions = network, agent.device, agent.n_actions
        self.exploration_rate = exploration_rate
        self.generators = [generator(seed, "policy") for seed in seeds]

    def act(self, obs: np.ndarray, first: np.ndarray, deterministic: bool = True) -> np.ndarray:
        action = self.network.best(obs, self.device)
        if not deterministic:
            uniform = np.stack([g.random((action.shape[1], 2)) for g in self.generators])
            drawn = (uniform[..., 1] * self.n_actions).astype(np.int64)
            action = np.where(uniform[..., 0] < self.exploration_rate(), drawn, action)
        return action
