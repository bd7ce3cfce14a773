"""Whole networks: encoders with heads. `forward` learns, `act` acts on arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rlbench.learning.environments.spaces import ObsSpec
from rlbench.learning.networks.convolution import Convolutions
from rlbench.learning.networks.dropout import Dropout
from rlbench.learning.networks.encoders import Encoder, EncoderConfig
from rlbench.learning.networks.layers import MLP, Generators, cache_submodules
from rlbench.learning.networks.noisy import NoisyLinear
from rlbench.learning.networks.recurrent import RecurrentCell
from rlbench.learning.networks.user_module import UserModule
from rlbench.learning.rng import generator


class Network(nn.Module):
    """Base: `state_size` numbers are carried from step to step in every lane."""

    state_size = 0
    noisy: Sequence[NoisyLinear] = ()  # layers that may have noise

    def state(self) -> dict[str, Any]:
        """What is not in the parameters: how often modules have drawn."""
        return {str(i): module.calls for i, module in enumerate(self.drawing())}

    def restore(self, state: dict[str, Any]) -> None:
        for i, module in enumerate(self.drawing()):
            module.calls = state[str(i)]

    def drawing(self) -> list[UserModule | Dropout]:
        """Modules that may draw random numbers of their own."""
        return [m for m in self.modules() if isinstance(m, UserModule | Dropout)]


class Sizes(NamedTuple):
    """Of one seed's network: parameters, the memory it carries, and how many numbers it computes
    from one observation.
    """

    parameters: int
    state_size: int
    computed: int

    def update(self, items: int, spec: ObsSpec) -> int:
        """Bytes that an update on so many observations takes, roughly: they and their successors
        as stored and as read, and what is computed of them, kept for gradients, and these.
        """
        return 4 * items * (4 * spec.features + 6 * self.computed)


def sizes(network: type[Network], *args: Any) -> Sizes:
    """What a network takes, without taking it: tensors on torch's device `meta` have no memory."""
    try:
        with torch.device("meta"):
            made = network([generator(0, "init")], *args)
    except (RuntimeError, TypeError) as error:
        if "overflow" not in str(error).lower():
            raise
        return Sizes(sys.maxsize, 0, sys.maxsize)  # at least: torch counts no further
    computed = 0
    for module in made.modules():
        if isinstance(module, MLP):
            computed += sum(int(layer.weight.shape[-1]) for layer in module.layers)
        elif isinstance(module, Convolutions):
            computed += module.computed
        elif isinstance(module, RecurrentCell):
            computed += 2 * module.gates * module.hidden
    return Sizes(sum(p[0].numel() for p in made.parameters()), made.state_size, computed)


class QNetwork(Network):
    """Action values of S seeds: an encoder below a head."""

    def __init__(
        self,
        generators: Generators,
        spec: ObsSpec,
        n_actions: int,
        c: EncoderConfig,
        head: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(generators, spec, c)
        self.state_size = self.encoder.state_size
        self.head = (head or perceptron)(generators, self.encoder.features, n_actions, c)
        cache_submodules(self)

    def forward(self, obs: Tensor) -> Tensor:
        """`(S, B, *seen) -> (S, B, A)`, without memory."""
        return self.head.forward(self.encoder.static(obs))

    def unroll(self, obs: Tensor, memory: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Sequences (see `Encoder.unroll`): action values (S, B T, A), memories (S, B T, M)."""
        features, memories = self.encoder.unroll(obs, memory, first)
        return self.head.forward(features.flatten(1, 2)), memories.flatten(1, 2)

    def after(self, obs: Tensor, memory: Tensor) -> Tensor:
        """Action values one step after `memory`: (S, B, *seen), (S, B, M) -> (S, B, A)."""
        return self.head.forward(self.encoder.after(obs, memory))

    def act(
        self, seen: np.ndarray, memory: np.ndarray, device: torch.device
    ) -> tuple[np.ndarray, np.ndarray]:
        """Action values (S, N, A) and memory on arrays."""
        features, memory = self.encoder.act(seen, memory, device)
        return _apply(self.head, features, device), memory


def feature_pair(
    online: QNetwork, target: QNetwork, obs: Tensor, next_obs: Tensor, double: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Features of observations `(S, B, *seen)`, below the heads, for Q-learning: the online
    network's of obs, the target's of next_obs and, where `double`, the online network's of these,
    all `(S, B, F)`; gradients go through the first alone.
    """
    features = online.encoder.static(obs)
    with torch.no_grad():
        chooser = online.encoder.static(next_obs) if double else None
        return features, target.encoder.static(next_obs), chooser


def unroll_pair(
    online: QNetwork,
    target: QNetwork,
    obs: Tensor,
    next_obs: Tensor,
    memory: Tensor,
    first: Tensor,
    burn_in: int,
    double: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """`feature_pair` over sequences, for Q-learning with a memory.

    obs and next_obs (S, B, T, *seen), memory (S, B, M) before the first step, first (S, B, T).
    Returns those of obs, with gradients, then the target network's of next_obs and, where
    `double`, the online network's, all `(S, B (T - burn_in), F)`. A successor is always one step
    further than the memory after its observation, so that it needs no care at borders of episodes.
    """
    seen, starts = obs[:, :, burn_in:], first[:, :, burn_in:]
    successors = next_obs[:, :, burn_in:].flatten(1, 2)
    begin = [memory, memory]
    with torch.no_grad():
        if burn_in:
            for i, network in enumerate((online, target)):
                old = network.encoder.unroll(obs[:, :, :burn_in], memory, first[:, :, :burn_in])[1]
                begin[i] = old[:, :, -1]
        _, reached = target.encoder.unroll(seen, begin[1], starts)
        following = target.encoder.after(successors, reached.flatten(1, 2))
    features, reached = online.encoder.unroll(seen, begin[0], starts)
    with torch.no_grad():
        ahead = reached.detach().flatten(1, 2)
        chooser = online.encoder.after(successors, ahead) if double else None
    return features.flatten(1, 2), following, chooser


class ActorCritic(Network):
    """A policy's parameters (logits or means, A of them) and a value, for S seeds.

    The critic shares the actor's encoder or has one of its own.
    """

    def __init__(
        self,
        generators: Generators,
        spec: ObsSpec,
        outputs: int,
        c: EncoderConfig,
        share: bool | None,
        log_std: float | None,
    ) -> None:
        super().__init__()
        self.actor = Encoder(generators, spec, c)
        self.shared = not self.actor.plain if share is None else share
        self.critic = self.actor if self.shared else Encoder(generators, spec, c)
        features = self.actor.features
        # A small gain: the first policy is nearly uniform (Andrychowicz et al. 2021).
        self.policy = perceptron(generators, features, outputs, c, 0.01)
        self.value = perceptron(generators, features, 1, c, 1.0)
        self.state_size = self.actor.state_size * (1 if self.shared else 2)
        self.log_std = None
        if log_std is not None:
            self.log_std = nn.Parameter(torch.full((len(generators), 1, outputs), log_std))
        cache_submodules(self)

    def forward(
        self, obs: Tensor, memory: Tensor | None = None, first: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Policy parameters (S, B, A) and values (S, B) of obs (S, B, *seen).

        With memory, obs are sequences (S, B, T, *seen), and the results are of B T steps.
        """
        if memory is None or first is None:
            actor = self.actor.static(obs)
            critic = actor if self.shared else self.critic.static(obs)
        else:
            m = self.actor.state_size
            actor, _ = self.actor.unroll(obs, memory[..., :m], first)
            critic = actor
            if not self.shared:
                critic, _ = self.critic.unroll(obs, memory[..., m:], first)
                critic = critic.flatten(1, 2)
            actor = actor.flatten(1, 2)
            critic = actor if self.shared else critic
        return self.policy.forward(actor), self.value.forward(critic).squeeze(-1)

    def act(
        self, seen: np.ndarray, memory: np.ndarray, device: torch.device
    ) -> tuple[np.ndarray, np.ndarray]:
        """Policy parameters (S, N, A) and memory on arrays."""
        m = self.actor.state_size
        features, own = self.actor.act(seen, memory[..., :m], device)
        if self.state_size > m:
            _, other = self.critic.act(seen, memory[..., m:], device)
            own = np.concatenate([own, other], -1)
        return _apply(self.policy, features, device), own

    def values(self, seen: np.ndarray, memory: np.ndarray, device: torch.device) -> np.ndarray:
        """Values (S, N) on arrays."""
        m = self.actor.state_size
        mine = memory if self.shared else memory[..., m:]
        features, _ = self.critic.act(seen, mine, device)
        return _apply(self.value, features, device)[..., 0]

    def std(self) -> np.ndarray | None:
        """Standard deviations (S, 1, A) of a Gaussian policy."""
        return None if self.log_std is None else self.log_std.detach().exp().cpu().numpy()


def perceptron(
    generators: Generators, n_in: int, n_out: int, c: EncoderConfig, gain: float = 1.0
) -> MLP:
    """The layers of one head; `gain` is that of its last, where first weights are orthogonal."""
    last = gain if c.ortho_init else None
    return MLP(generators, n_in, [*c.heads(), n_out], c.activation, gain=c.gain(), last_gain=last)


def _apply(head: Any, features: np.ndarray, device: torch.device) -> np.ndarray:
    if device.type == "cpu":
        return head.forward_numpy(features)
    with torch.inference_mode():
        return head.forward(torch.from_numpy(features).to(device)).cpu().numpy()
