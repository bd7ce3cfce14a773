"""Policies over networks: greedy on action values, and drawn from an actor's distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from rlbench.learning.distributions import Distribution
from rlbench.learning.networks import ActorCritic, QNetwork
from rlbench.learning.perception import Carry, Perception
from rlbench.learning.policy import Policy
from rlbench.learning.seeds import generator


class GreedyQ(Policy):
    """argmax_a Q(s, a); with `deterministic=False` it explores as much as training did."""

    def __init__(
        self,
        seeds: Sequence[int],
        perception: Perception,
        network: QNetwork,
        action_start: int,
        device: torch.device,
        exploration_rate: Callable[[], float],
    ) -> None:
        super().__init__(seeds, perception.spec, action_start)
        self.perception, self.network, self.device = perception, network, device
        self.carries = perception.carries
        self.exploration_rate = exploration_rate
        self.generators = [generator(seed, "policy") for seed in seeds]

    def step(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, Carry | None]:
        seen, memory, frames = self.perception.see(obs, carry, first)
        values, memory = self.network.act(seen, memory, self.device)
        action = values.argmax(-1)
        if not deterministic:
            uniform = np.stack([g.random((action.shape[1], 2)) for g in self.generators])
            drawn = (uniform[..., 1] * values.shape[-1]).astype(np.int64)
            action = np.where(uniform[..., 0] < self.exploration_rate(), drawn, action)
        return action, (*frames, memory) if self.network.memory else frames


class Sampled(Policy):
    """The likeliest action; with `deterministic=False` one drawn, as in training."""

    def __init__(
        self,
        seeds: Sequence[int],
        perception: Perception,
        network: ActorCritic,
        distribution: Distribution,
        action_start: int,
        device: torch.device,
    ) -> None:
        super().__init__(seeds, perception.spec, action_start)
        self.perception, self.network, self.device = perception, network, device
        self.carries = perception.carries
        self.distribution = distribution
        self.generators = [generator(seed, "policy") for seed in seeds]

    def step(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, Carry | None]:
        seen, memory, frames = self.perception.see(obs, carry, first)
        parameters, memory = self.network.act(seen, memory, self.device)
        if deterministic:
            action = self.distribution.mode(parameters)
        else:
            shape = (obs.shape[1], self.distribution.actions)
            normal = self.distribution.normal
            noise = np.stack(
                [g.standard_normal(shape) if normal else g.random(shape) for g in self.generators]
            )
            action = self.distribution.sample(parameters, noise, self.network.std())
        carry = (*frames, memory) if self.network.memory else frames
        return self.distribution.to_env(action), carry
