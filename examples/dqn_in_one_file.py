"""Lockstep DQN on CartPole in one file, with the numbers of `rlbench run dqn --env CartPole-v1`.

S seeds train side by side: every array has the seed axis first, and all parameters are one matrix
(S, P). Seeds share nothing but the calls, so each gets the same bits alone and in company. The
package adds agents, encoders, checks and speed to what is here: network, replay, loss, optimiser,
loop and evaluation. tests/examples/test_dqn_in_one_file.py holds both to the same weights.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rlbench import configure_process
from rlbench.learning.rng import evaluation_seeds, generator, lane_seed


class Config(NamedTuple):
    """Parameters as in `rlbench show dqn`; the values are those of the preset of CartPole-v1."""

    total_timesteps: int = 50_000  # env steps per seed, as all counts here
    net_arch: tuple[int, ...] = (64, 64)
    learning_rate: float = 2.3e-3  # at the first step; it falls linearly to 0 at the last
    batch_size: int = 128
    buffer_size: int = 100_000
    learning_starts: int = 1_000
    gamma: float = 0.99
    target_update_interval: int = 10
    train_freq: int = 256
    gradient_steps: int = 128
    exploration_fraction: float = 0.16
    exploration_final_eps: float = 0.04
    max_grad_norm: float = 0.3
    double: bool = False


class Affine(torch.autograd.Function):
    """relu(x W + b), or without relu: (S, B, n_in), (S, n_in, n_out), (S, 1, n_out).

    Multiplied by numpy, as in the package on a CPU: torch rounds differently.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, relu: bool) -> Tensor:
        y = torch.from_numpy(np.matmul(x.numpy(), weight.numpy()) + bias.numpy())
        y = torch.relu(y) if relu else y
        ctx.save_for_backward(x, weight, y)
        ctx.relu = relu
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = (tensor.numpy() for tensor in ctx.saved_tensors)
        grad = grads[0].numpy() * (y > 0) if ctx.relu else grads[0].numpy()
        grad_bias = np.ones((1, grad.shape[1]), np.float32) @ grad
        results = (grad @ weight.swapaxes(1, 2), x.swapaxes(1, 2) @ grad, grad_bias)
        return *map(torch.from_numpy, results), None


class QNetwork:
    """S perceptrons `(S, B, 4) -> (S, B, 2)` whose parameters are views of one matrix (S, P)."""

    def __init__(self, seeds: Sequence[int], net_arch: Sequence[int]) -> None:
        generators, drawn = [generator(seed, "init") for seed in seeds], []
        for n_in, n_out in pairwise([4, *net_arch, 2]):
            bound = n_in**-0.5  # as torch initialises nn.Linear
            layers = [g.uniform(-bound, bound, (n_in + 1, n_out)) for g in generators]
            layer = torch.from_numpy(np.stack(layers).astype(np.float32))
            drawn += [layer[:, :-1], layer[:, -1:]]  # weights and biases
        # Parameters start at multiples of 16 floats and rows at multiples of 32: vectorised
        # kernels then treat every seed alike, wherever its row is.
        starts = np.cumsum([0, *(-(-p[0].numel() // 16) * 16 for p in drawn)]).tolist()
        self.data = torch.zeros(len(seeds), -(-starts[-1] // 32) * 32)
        self.grad = self.data.grad = torch.zeros_like(self.data)
        self.parameters, self.grads = (
            [m[:, i : i + p[0].numel()].unflatten(1, p.shape[1:]) for i, p in zip(starts, drawn)]
            for m in (self.data, self.grad)
        )
        torch._foreach_copy_(self.parameters, drawn)

    def forward(self, x: Tensor, parameters: Sequence[Tensor] | None = None) -> Tensor:
        p = self.parameters if parameters is None else parameters
        for i in range(0, len(p), 2):
            x = Affine.apply(x, p[i], p[i + 1], i + 2 < len(p))
        return x

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """The actions of the largest values, `(S, N, 4) -> (S, N)`."""
        return self.forward(torch.from_numpy(obs)).argmax(-1).numpy()


class DQN:
    """S deep Q-networks (Mnih et al. 2015), each with its own replay, target and exploration."""

    def __init__(self, config: Config, seeds: Sequence[int]) -> None:
        self.config, self.seeds, self.num_timesteps = config, seeds, 0
        self.q, self.target = (QNetwork(seeds, config.net_arch) for _ in range(2))
        self.adam = torch.optim.Adam([self.q.data], fused=True)
        self.replay: dict[str, np.ndarray] = {}  # fields of transitions, (S, buffer_size, ...)
        self.exploring = [generator(seed, "exploration") for seed in seeds]
        self.sampling = [generator(seed, "replay") for seed in seeds]

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Epsilon-greedy actions, `(S, 4) -> (S,)`: all random until learning starts."""
        c, progress = self.config, self.num_timesteps / self.config.total_timesteps
        learning = self.num_timesteps >= c.learning_starts
        share = min(progress / c.exploration_fraction, 1.0) if learning else 0.0
        epsilon = 1.0 + share * (c.exploration_final_eps - 1.0)
        uniform = np.stack([g.random(2) for g in self.exploring])
        action = (uniform[:, 1] * 2).astype(np.int64)
        return np.where(uniform[:, 0] < epsilon, action, self.q.greedy(obs[:, None])[:, 0])

    def observe(self, **transition: np.ndarray) -> None:
        """Store a transition of every seed, each value (S, ...), and learn when it is time."""
        c = self.config
        for name, value in transition.items():
            if name not in self.replay:
                shape = (len(value), c.buffer_size, *value.shape[1:])
                self.replay[name] = np.zeros(shape, value.dtype)
            self.replay[name][:, self.num_timesteps % c.buffer_size] = value
        self.num_timesteps += 1
        if self.num_timesteps > c.learning_starts and self.num_timesteps % c.train_freq == 0:
            for _ in range(c.gradient_steps):
                self.update(self.sample())
        if self.num_timesteps % c.target_update_interval == 0:
            self.target.data.copy_(self.q.data)

    def sample(self) -> dict[str, Tensor]:
        """A batch (S, B, ...) of each seed's transitions, drawn uniformly with replacement."""
        c, rows = self.config, np.arange(len(self.seeds))[:, None]
        uniform = np.stack([g.random(c.batch_size) for g in self.sampling])
        slots = (uniform * min(self.num_timesteps, c.buffer_size)).astype(np.int64)
        return {name: torch.from_numpy(v[rows, slots]) for name, v in self.replay.items()}

    def loss(self, parameters: Sequence[Tensor], batch: dict[str, Tensor]) -> Tensor:
        """Mean squared error of Q(s, a) against r + gamma (1 - terminated) Q'(s', a*), `(S,)`."""
        c = self.config
        with torch.no_grad():
            next_q = self.target.forward(batch["next_obs"])
            chooser = self.q.forward(batch["next_obs"]) if c.double else next_q
            value = next_q.gather(-1, chooser.argmax(-1, keepdim=True)).squeeze(-1)
            target = batch["reward"] + c.gamma * (1.0 - batch["terminated"]) * value
        q = self.q.forward(batch["obs"], parameters).gather(-1, batch["action"][..., None])[..., 0]
        return F.mse_loss(q, target, reduction="none").mean(-1)

    def update(self, batch: dict[str, Tensor]) -> None:
        """One step of Adam for every seed, its gradient clipped by its own norm."""
        c, progress = self.config, self.num_timesteps / self.config.total_timesteps
        parameters = [p.detach().requires_grad_() for p in self.q.parameters]
        loss = self.loss(parameters, batch).sum()  # seeds share no parameter
        torch._foreach_copy_(self.q.grads, torch.autograd.grad(loss, parameters))
        rows = self.q.grad.numpy()
        norm = torch.from_numpy(np.sqrt(rows[:, None] @ rows[:, :, None])[:, 0])  # (S, 1)
        self.q.grad.mul_((c.max_grad_norm / (norm + 1e-6)).clamp_(max=1.0))
        self.adam.param_groups[0]["lr"] = c.learning_rate * (1.0 - progress)
        self.adam.step()


def train(config: Config, seeds: Sequence[int]) -> DQN:
    """Train all seeds. A terminated step has no future; a truncated one keeps it."""
    agent, envs = DQN(config, seeds), [gymnasium.make("CartPole-v1") for _ in seeds]
    obs = np.stack([env.reset(seed=lane_seed(s, 0))[0] for env, s in zip(envs, seeds)])
    while agent.num_timesteps < config.total_timesteps:
        action = agent.act(obs)
        steps = zip(*(env.step(a) for env, a in zip(envs, action)))
        next_obs, reward, ended, cut = (np.stack(part, dtype=np.float32) for part in [*steps][:4])
        agent.observe(obs=obs, action=action, reward=reward, terminated=ended, next_obs=next_obs)
        obs = next_obs.copy()
        for s in np.flatnonzero(ended + cut):
            obs[s] = envs[s].reset()[0]
    return agent


def evaluate(agent: DQN, episodes: int = 100, width: int = 10) -> Iterator[np.ndarray]:
    """Returns (S,) of the final evaluation's episodes, played greedily and ten at a time."""
    for resets in np.reshape(evaluation_seeds("final", episodes), (-1, width)).tolist():
        envs = [[gymnasium.make("CartPole-v1") for _ in resets] for _ in agent.seeds]
        obs = np.array([[e.reset(seed=s)[0] for e, s in zip(row, resets)] for row in envs])
        returns, playing = np.zeros(obs.shape[:2]), np.ones(obs.shape[:2], bool)
        while playing.any():
            action = agent.q.greedy(obs)
            for s, i in np.argwhere(playing):
                obs[s, i], reward, terminated, truncated, _ = envs[s][i].step(action[s, i])
                returns[s, i] += float(reward)
                playing[s, i] = not (terminated or truncated)
        yield from returns.T


if __name__ == "__main__":
    configure_process()
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    print("mean return of 100 episodes:", np.mean(list(evaluate(train(Config(), seeds))), 0))
