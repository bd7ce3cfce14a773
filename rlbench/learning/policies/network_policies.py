"""Policies over networks: greedy by Q-values, or sampled from an actor's distribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from rlbench.learning.data.preprocessing import Carry, ObservationPipeline
from rlbench.learning.environments.masked_space import draw_legal
from rlbench.learning.networks import noisy
from rlbench.learning.networks.action_distributions import Distribution
from rlbench.learning.networks.models import ActorCritic, QNetwork
from rlbench.learning.policies.policy import Policy
from rlbench.learning.rng import RandomStream, generator


class Glance(NamedTuple):
    """What a policy acted on in its latest step, and what its network gave."""

    inputs: np.ndarray  # (S, N, *seen)
    hidden: np.ndarray  # (S, N, M), before the step
    outputs: np.ndarray  # (S, N, A)


class NetworkPolicy(Policy):
    """Base class: preprocesses observations by a pipeline, and acts by a network."""

    latest: Glance | None = None

    def __init__(
        self,
        seeds: Sequence[int],
        pipeline: ObservationPipeline,
        network: QNetwork | ActorCritic,
        action_start: int,
        device: torch.device,
    ) -> None:
        super().__init__(seeds, pipeline.spec, action_start)
        self.pipeline, self.network, self.device = pipeline, network, device
        self.carries = pipeline.carries
        self.generators = [generator(seed, "policy") for seed in seeds]

    def step(
        self, obs: np.ndarray, carry: Carry | None, first: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, Carry | None]:
        inputs, before, frames = self.pipeline.see(obs, carry, first)
        outputs, hidden = self.act_by(inputs, before, deterministic)
        self.latest = Glance(inputs, before, outputs)
        carry = (*frames, hidden) if self.network.state_size else frames
        return self.choose(outputs, deterministic), carry

    def act_by(
        self, inputs: np.ndarray, hidden: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The network's outputs `(S, N, A)` and next hidden states."""
        return self.network.act(inputs, hidden, self.device)

    def choose(self, outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        """Actions `(S, N, *action)` from the network's outputs `(S, N, A)`."""
        raise NotImplementedError


class GreedyQ(NetworkPolicy):
    """argmax_a Q(s, a); with `deterministic=False` it explores as in training.

    It does so by random actions with probability `exploration_rate`, or by `noise` in the weights.
    """

    network: QNetwork
    meaning = "Q"  # of the network's outputs
    exploration_rate: Callable[[], float | np.ndarray]  # one for all rows, or (S, 1)
    noise: RandomStream | None = None

    def act_by(
        self, inputs: np.ndarray, hidden: np.ndarray, deterministic: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return Q-values and hidden states, under new noise where the network has any."""
        draws = None if deterministic or self.noise is None else noisy.drawn(self.noise)
        return self.network.act(inputs, hidden, self.device, draws)

    def randomness(self) -> str:
        rate = self.exploration_rate()
        low, high = float(np.min(rate)), float(np.max(rate))
        each = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        parts = [f"a random action with probability {each}"] if high else []
        return " and ".join([*parts, *["noise in every step"] * (self.noise is not None)])

    def choose(self, outputs: np.ndarray, deterministic: bool) -> np.ndarray:
        action = outputs.argmax(-1)
        if deterministic:
            return action
        uniform = np.stack([g.random((action.shape[1], 2)) for g in self.generators])
        assert self.latest is not None
        legal = self.spec.legal(self.latest.inputs)
        if legal is None:
            random = (uniform[..., 1] * outputs.shape[-1]).astype(np.int64)
        else:
            random = draw_legal(legal, uniform[..., 1])
        return np.where(uniform[..., 0] < self.exploration_rate(), random, action)


class StochasticPolicy(NetworkPolicy):
    """The most probable action; with `deterministic=False` a sample, as in training."""

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
