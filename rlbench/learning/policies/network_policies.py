"""Policies over networks: greedy on action values, and drawn from an actor's distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from rlbench.learning.data.preprocessing import Carry, ObservationPipeline
from rlbench.learning.networks import noisy
from rlbench.learning.networks.action_distributions import Distribution
from rlbench.learning.networks.models import ActorCritic, QNetwork
from rlbench.learning.policies.policy import Policy
from rlbench.learning.rng import RandomStream, generator


class NetworkPolicy(Policy):
    """Base: sees and remembers by a perception, and acts by a network."""

    def __init__(
        self,
        seeds: Sequence[int],
        perception: ObservationPipeline,
        network: QNetwork | ActorCritic,
        action_start: int,
        device: torch.device,
    ) -> None:
        super().__init__(seeds, perception.spec, action_start)
        self.perception, self.network, self.device = perception, network, device
        self.carries = perception.carries
        self.generators = [generator(seed, "policy") for seed in seeds]

    def step(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, Carry | None]:
        seen, memory, frames = self.perception.see(obs, carry, first)
        outputs, memory = self.network.act(seen, memory, self.device)
        carry = (*frames, memory) if self.network.state_size else frames
        return self.choose(outputs, deterministic), carry

    def choose(self, outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        """Actions `(S, N, *action)` from what the network gives, `(S, N, A)`."""
        raise NotImplementedError


class GreedyQ(NetworkPolicy):
    """argmax_a Q(s, a); with `deterministic=False` it explores as much as training did, by random
    actions or by noise."""

    exploration_rate: Callable[[], float]
    noise: RandomStream | None = None

    def step(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, Carry | None]:
        with noisy.laid_on(self.network.noisy, None if deterministic else self.noise):
            return super().step(obs, carry, first, deterministic)

    def randomness(self) -> str:
        rate = self.exploration_rate()
        parts = [f"a random action with probability {rate:g}"] if rate else []
        return " and ".join([*parts, *["noise in every step"] * (self.noise is not None)])

    def choose(self, outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        action = outputs.argmax(-1)
        if deterministic:
            return action
        uniform = np.stack([g.random((action.shape[1], 2)) for g in self.generators])
        drawn = (uniform[..., 1] * outputs.shape[-1]).astype(np.int64)
        return np.where(uniform[..., 0] < self.exploration_rate(), drawn, action)


class StochasticPolicy(NetworkPolicy):
    """The likeliest action; with `deterministic=False` one drawn, as in training."""

    network: ActorCritic
    distribution: Distribution

    def randomness(self) -> str:
        return "actions drawn from its distribution" if self.distribution.spread else ""

    def choose(self, outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        dist = self.distribution
        if deterministic:
            return dist.to_env(dist.mode(outputs))
        shape = (outputs.shape[1], dist.actions)
        noise = [
            g.standard_normal(shape) if dist.normal else g.random(shape) for g in self.generators
        ]
        return dist.to_env(dist.sample(outputs, np.stack(noise), self.network.std()))
